/* fuzz_spawner.c - what comes to ctx-spawner over its socket, in any order, from up to four peers:
 * its own reading, dispatch, run directory and sweeping, without its loop. fork fails, so a SPAWN
 * goes as far as that. A sweep kills whatever is a child of this process, so it must have none
 * (-print_funcs=0: no symbolizer). */
#include <dirent.h>
#include <sys/socket.h>

#include "harness.h"
#include "record/rundir.h"
#include "record/spec.h"
#include "spawner/children.h"
#include "spawner/conn.h"
#include "spawner/spawner.h"

enum { PEERS = 4, STEPS = 64 };

struct peer {
	int fd; /* -1: not connected */
	bool welcomed, claimed;
};

static struct spawner s;
static struct peer peers[PEERS];

pid_t __wrap_fork(void);
pid_t
__wrap_fork(void)
{
	errno = EAGAIN;
	return -1;
}

static void
on_answer(void *arg, const struct frame_head *h, int *fds, size_t n)
{
	struct peer *p = arg;

	(void)fds;
	assert(n == 0);
	switch (h->type) {
	case FRAME_WELCOME:
		assert(!p->welcomed);
		p->welcomed = true;
		return;
	case FRAME_DIRS:
	case FRAME_REFUSED:
		assert(p->welcomed && !p->claimed);
		return;
	case FRAME_CLAIMED:
		assert(p->welcomed && !p->claimed);
		p->claimed = true;
		return;
	case FRAME_SPAWN_FAILED:
	case FRAME_SWEPT:
		assert(p->claimed && h->id && h->attempt);
		return;
	default:
		abort(); /* SPAWNED too: nothing was forked */
	}
}

static void
hang_up(struct peer *p)
{
	if (p->fd >= 0)
		(void)close(p->fd);
	*p = (struct peer){.fd = -1};
}

static void
hear(struct peer *p)
{
	if (p->fd >= 0 && !harness_told(p->fd, on_answer, p))
		hang_up(p);
}

static void
dial(struct peer *p)
{
	int pair[2];

	hang_up(p);
	assert(sock_pair(SOCK_SEQPACKET, pair) == 0);
	p->fd = pair[0];
	conn_add(&s, pair[1]);
}

/* What listen.c does in a turn. */
static void
turn(void)
{
	uint64_t seen = s.seen;

	for (size_t i = 0; i < s.n_conns; i++) {
		if (s.conns[i].state == CONN_LISTING)
			conn_write(&s, &s.conns[i]);
		(void)conn_read(&s, &s.conns[i]);
	}
	conn_settle(&s);
	conn_welcome(&s);
	conn_settle(&s);
	children_tick(&s);
	assert(s.n_conns <= CONNS_MAX && s.seen >= seen);
	for (size_t i = 0; i < PEERS; i++)
		hear(&peers[i]);
}

/* A true spec of the attempt that the frame names, and whatever else belongs to it. */
static size_t
right_fds(const struct frame_head *h, int *fds)
{
	_cleanup_(spec_done) struct spec spec = {
		.id = h->id ? h->id : 1,
		.attempt = h->attempt ? h->attempt : 1,
		.uid = geteuid(),
		.gid = getegid(),
		.stop_signal = 15,
		.deadline_ns = 1,
		.limit_ns = 1,
		.out_gid = UINT32_MAX,
		.cwd = strdup("/"),
	};
	int pair[2];

	assert(spec.cwd && strv_add(&spec.argv, "true") == 0);
	fds[0] = spec_seal(&spec);
	assert(fds[0] >= 0 && sock_pair(SOCK_SEQPACKET, pair) == 0);
	fds[1] = pair[0];
	fds[2] = pair[1];
	fds[3] = fcntl(2, F_DUPFD_CLOEXEC, 3);
	fds[4] = fcntl(2, F_DUPFD_CLOEXEC, 3);
	return FRAME_SPAWN_FDS;
}

static size_t
wrong_fds(size_t n, int *fds)
{
	for (size_t i = 0; i < n; i++)
		fds[i] = fcntl(2, F_DUPFD_CLOEXEC, 3);
	return n;
}

static void
send_to_it(struct peer *p, const void *data, size_t size, int *fds, size_t n)
{
	if (p->fd >= 0)
		(void)sock_send(p->fd, data, size, fds, n);
	for (size_t i = 0; i < n; i++)
		(void)close(fds[i]);
}

static void
step(struct input *in)
{
	static union {
		struct frame_head head;
		char space[FRAME_MAX];
	} f;
	uint8_t op = input_byte(in);
	struct peer *p = &peers[op >> 4 & 3];
	int fds[SOCK_MAX_FDS];
	size_t n = 0, size;
	const uint8_t *raw;

	switch (op & 7) {
	case 0:
		dial(p);
		return;
	case 1:
		hang_up(p);
		return;
	case 2:
		size = input_bytes(in, input_byte(in), &raw);
		send_to_it(p, raw, size, NULL, 0);
		return;
	case 3:
	case 4:
	case 5:
		size = input_frame(in, &f, sizeof(f));
		if ((op & 7) == 4)
			n = right_fds(&f.head, fds);
		if ((op & 7) == 5)
			n = wrong_fds(input_byte(in) % (SOCK_MAX_FDS + 1u), fds);
		send_to_it(p, &f, size, fds, n);
		return;
	default:
		turn();
	}
}

/* A job of an earlier spawner for FORGET, SWEEP and DIRS. */
static void
furnish(uint8_t what)
{
	const char *const marks[] = {RUNDIR_FRESH, RUNDIR_STARTED, RUNDIR_SWEPT};
	const char *const jobs[] = {"1.1", "2.1"};

	assert(mkdirat(s.dir_fd, RUNDIR_JOBS, 0700) == 0);
	for (size_t i = 0; i < ARRAY_SIZE(jobs); i++, what >>= 2) {
		char path[64];
		int fd;

		if ((what & 3) == 0)
			continue;
		(void)snprintf(path, sizeof(path), RUNDIR_JOBS "/%s", jobs[i]);
		assert(mkdirat(s.dir_fd, path, 0700) == 0);
		(void)snprintf(path, sizeof(path), RUNDIR_JOBS "/%s/%s", jobs[i],
			       marks[(what & 3) - 1]);
		fd = openat(s.dir_fd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert(fd >= 0 && close(fd) == 0);
	}
}

static void
done(void)
{
	for (size_t i = 0; i < PEERS; i++)
		hang_up(&peers[i]);
	for (int i = 0; i < 16 && s.n_conns > 0; i++)
		turn();
	assert(s.n_conns == 0 && s.children.n == 0 && s.children.alive == 0);
	spare_drop(&s);
	free(s.children.list);
	free(s.children.sweeps);
	if (s.jobs_fd >= 0)
		(void)close(s.jobs_fd);
	for (size_t i = 0; i < ARRAY_SIZE(s.seen_fds); i++)
		if (s.seen_fds[i] >= 0)
			(void)close(s.seen_fds[i]);
	(void)close(s.dir_fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	size_t fds = harness_fds();

	s = (struct spawner){
		.owner = geteuid(),
		.listen_fd = -1,
		.signal_fd = -1,
		.dir_fd = open(harness_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		.jobs_fd = -1,
		.cgroup_fd = -1,
		.seen_fds = {-1, -1},
	};
	assert(s.dir_fd >= 0);
	for (size_t i = 0; i < PEERS; i++)
		peers[i].fd = -1;
	furnish(input_byte(&in));
	for (int i = 0; i < STEPS && in.n > 0; i++)
		step(&in);
	turn();
	done();
	assert(harness_fds() == fds);
	harness_empty();
	return 0;
}
