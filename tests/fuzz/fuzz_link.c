/* fuzz_link.c - what ctxd hears over its links: a spawner and three monitors that say anything in
 * any order, and go. What is passed on is whole and of the job it is said to be of. */
#include <ev.h>
#include <sys/socket.h>

#include "base/err.h"
#include "exec/exec.h"
#include "harness.h"
#include "record/spec.h"

enum { SPAWNER = 0, SIDES = 4, STEPS = 64, ATTEMPT = 1 };

static struct ev_loop *loop;
static struct exec *x;
static int listeners[SIDES], sides[SIDES]; /* -1: none */
static bool up;

static void
of_a_job(uint64_t id, uint32_t attempt)
{
	assert(id >= 1 && id < SIDES && attempt == ATTEMPT);
}

static void
on_up(void *arg, uint32_t flags, uint64_t seen)
{
	(void)arg, (void)flags, (void)seen;
	assert(!up && exec_is_up(x));
	up = true;
}

static void
on_down(void *arg)
{
	(void)arg;
	assert(!exec_is_up(x));
	up = false;
}

static void
on_dir(void *arg, uint64_t id, uint32_t attempt)
{
	(void)arg, (void)id, (void)attempt;
}

static void
on_spawn_failed(void *arg, uint64_t id, uint32_t attempt, int error, enum spawn_step at)
{
	(void)arg, (void)id, (void)attempt, (void)error, (void)at;
}

static void
on_hello(void *arg, const struct frame_hello *h)
{
	(void)arg;
	of_a_job(h->head.id, h->head.attempt);
	assert(exec_linked(x, h->head.id, h->head.attempt));
}

static void
on_stopping(void *arg, const struct frame_stopping *st)
{
	(void)arg;
	of_a_job(st->head.id, st->head.attempt);
}

static void
on_progress(void *arg, const struct progress *p)
{
	(void)arg;
	of_a_job(p->id, p->attempt);
	assert(progress_check(p, sizeof(*p), p->id, p->attempt) == 0);
}

static void
on_extended(void *arg, const struct frame_extended *e)
{
	(void)arg;
	of_a_job(e->head.id, e->head.attempt);
}

static void
on_end(void *arg, const struct result *r)
{
	(void)arg;
	of_a_job(r->id, r->attempt);
	assert(result_check(r, r->size, r->id, r->attempt) == 0);
}

/* As the engine does. */
static void
on_silent(void *arg, uint64_t id, uint32_t attempt)
{
	(void)arg;
	of_a_job(id, attempt);
	assert(!exec_linked(x, id, attempt));
	(void)exec_sweep(x, id, attempt);
}

static void
on_swept(void *arg, uint64_t id, uint32_t attempt, bool certain, uint32_t killed)
{
	(void)arg, (void)certain, (void)killed;
	(void)exec_forget(x, id, attempt);
}

static void
on_note(void *arg, enum log_level l, uint64_t id, uint32_t attempt, const char *what)
{
	(void)arg, (void)l, (void)id, (void)attempt;
	assert(*what);
}

static uint64_t
last_seq(void *arg)
{
	(void)arg;
	return 7;
}

static void
hang_up(size_t i)
{
	if (sides[i] >= 0)
		(void)close(sides[i]);
	sides[i] = -1;
}

/* Frames that ctxd sends; the link in a SPAWN is that of the monitor-to-be. */
static void
on_order(void *arg, const struct frame_head *h, int *fds, size_t n)
{
	size_t i = (size_t)((int *)arg - sides);

	if (h->type == FRAME_SPAWN) {
		assert(i == SPAWNER && n == FRAME_SPAWN_FDS && h->id >= 1 && h->id < SIDES);
		hang_up(h->id);
		sides[h->id] = fds[1];
		fds[1] = -1;
	} else if (i == SPAWNER) {
		assert(n == 0 && (h->type == FRAME_CLAIM || h->type == FRAME_SWEEP ||
				  h->type == FRAME_FORGET));
	} else {
		assert(n == 0 && h->id == i && h->attempt == ATTEMPT);
		assert(h->type == FRAME_STOP || h->type == FRAME_EXTEND || h->type == FRAME_SIGNAL);
	}
}

static void
turn(void)
{
	(void)ev_run(loop, EVRUN_NOWAIT);
	for (size_t i = 0; i < SIDES; i++) {
		int fd = listeners[i] < 0 ? -1 : accept4(listeners[i], NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			hang_up(i);
			sides[i] = fd;
		}
		if (sides[i] >= 0 && !harness_told(sides[i], on_order, &sides[i]))
			hang_up(i);
	}
}

static void
start(uint64_t id)
{
	_cleanup_(spec_done) struct spec spec = {
		.id = id,
		.attempt = ATTEMPT,
		.stop_signal = 15,
		.deadline_ns = 1,
		.limit_ns = 1,
		.cwd = strdup("/"),
	};
	struct exec_job j = {.seq = 8, .spec = &spec, .in_fd = -1, .out_fd = 2, .err_fd = -1};

	assert(spec.cwd && strv_add(&spec.argv, "true") == 0);
	(void)exec_spawn(x, &j);
}

/* What the engine may ask for at any time. */
static void
ask(uint64_t id, uint8_t what)
{
	switch (what & 7) {
	case 0:
		start(id);
		break;
	case 1:
		(void)exec_look(x, id, ATTEMPT);
		break;
	case 2:
		(void)exec_stop(x, id, ATTEMPT, what & 8, STOP_CAUSE_REQUEST);
		break;
	case 3:
		(void)exec_extend(x, id, ATTEMPT, 1 << 20);
		break;
	case 4:
		(void)exec_signal(x, id, ATTEMPT, 10, what & 8);
		break;
	case 5:
		(void)exec_sweep(x, id, ATTEMPT);
		break;
	case 6:
		(void)exec_forget(x, id, ATTEMPT);
		break;
	default:
		exec_unlink(x, id, ATTEMPT);
	}
}

static void
step(struct input *in)
{
	static union {
		struct frame_head head;
		char space[FRAME_MAX];
	} f;
	uint8_t op = input_byte(in);
	size_t i = op >> 4 & 3, size;
	const uint8_t *raw;

	switch (op & 7) {
	case 0:
		hang_up(i);
		return;
	case 1:
		size = input_bytes(in, input_byte(in), &raw);
		if (sides[i] >= 0)
			(void)sock_send(sides[i], raw, size, NULL, 0);
		return;
	case 2:
	case 3:
		size = input_frame(in, &f, sizeof(f));
		if (size >= sizeof(struct frame_progress) && f.head.type == FRAME_PROGRESS)
			progress_seal(&((struct frame_progress *)(void *)&f)->progress);
		if (sides[i] >= 0)
			(void)sock_send(sides[i], &f, size, NULL, 0);
		return;
	case 4:
		if (i > 0)
			ask(i, input_byte(in));
		return;
	default:
		turn();
	}
}

/* Sockets to connect to: the spawner's, and each monitor's but the third one's. */
static void
furnish(int dir)
{
	char path[64];

	assert(mkdirat(dir, RUNDIR_JOBS, 0700) == 0);
	for (size_t i = 0; i < SIDES; i++) {
		sides[i] = listeners[i] = -1;
		(void)snprintf(path, sizeof(path), RUNDIR_JOBS "/%zu.%d", i, ATTEMPT);
		if (i == SIDES - 1)
			continue;
		if (i != SPAWNER) {
			assert(mkdirat(dir, path, 0700) == 0);
			(void)snprintf(path, sizeof(path), RUNDIR_JOBS "/%zu.%d/" RUNDIR_CTL, i,
				       ATTEMPT);
		} else {
			(void)snprintf(path, sizeof(path), "spawner.sock");
		}
		listeners[i] = sock_listen_at(dir, path, SOCK_SEQPACKET, 0600, 8);
		assert(listeners[i] >= 0);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t uuid[16];
	const struct exec_options o = {
		.runtime_dir = harness_dir(),
		.uuid = uuid,
		.ops = {on_up, on_down, on_dir, on_spawn_failed, on_hello, on_stopping, on_progress,
			on_extended, on_end, on_silent, on_swept, on_note},
	};
	struct input in = {data, size};
	struct ctx_err e;
	size_t fds;
	int dir;

	if (!loop)
		loop = ev_default_loop(EVFLAG_AUTO);
	assert(loop);
	fds = harness_fds();
	dir = open(o.runtime_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(dir >= 0);
	furnish(dir);
	up = false;
	assert(exec_new(loop, &o, &x, &e) == 0);
	exec_start(x, last_seq);
	turn();
	for (int i = 0; i < STEPS && in.n > 0; i++)
		step(&in);
	turn();
	x = exec_free(x);
	for (size_t i = 0; i < SIDES; i++) {
		hang_up(i);
		if (listeners[i] >= 0)
			(void)close(listeners[i]);
	}
	(void)close(dir);
	assert(harness_fds() == fds);
	harness_empty();
	return 0;
}
