/* fuzz_monitor.c - what a monitor hears: datagrams from its job (spawner/notify.c), and frames from
 * two ctxds. Whatever comes, what it holds and tells is fit to be shown, and the job moves its
 * deadline only forward and only as far as it may. */
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "harness.h"
#include "record/rundir.h"
#include "spawner/alarm.h"
#include "spawner/link.h"
#include "spawner/monitor_state.h"
#include "spawner/notify.h"

enum { PEERS = 2, STEPS = 64 };

static struct monitor m;
static int peers[PEERS], job;

static void
check_progress(const struct progress *p)
{
	assert(progress_check(p, sizeof(*p), 1, 1) == 0);
	assert(text_utf8_valid(p->text, p->text_size, NULL));
	for (uint32_t i = 0; i < p->text_size; i++)
		assert((unsigned char)p->text[i] >= ' ' && p->text[i] != 127);
}

static void
on_word(void *arg, const struct frame_head *h, int *fds, size_t n)
{
	(void)arg, (void)fds;
	assert(n == 0 && h->id == 1 && h->attempt == 1);
	if (h->type == FRAME_PROGRESS)
		check_progress(&((const struct frame_progress *)(const void *)h)->progress);
	else
		assert(h->type == FRAME_HELLO || h->type == FRAME_STOPPING ||
		       h->type == FRAME_EXTENDED);
}

static void
hang_up(size_t i)
{
	if (peers[i] >= 0)
		(void)close(peers[i]);
	peers[i] = -1;
}

static void
dial(size_t i)
{
	int pair[2];

	hang_up(i);
	if (m.links[i] >= 0)
		(void)close(m.links[i]);
	assert(sock_pair(SOCK_SEQPACKET, pair) == 0);
	peers[i] = pair[0];
	m.links[i] = pair[1];
	link_hello(&m, &m.links[i]);
}

/* All that waits is taken in, however fast it came. */
static void
turn(void)
{
	int64_t deadline_ns = m.deadline_ns;

	m.rest_ns = m.share_ns = m.told_ns = 0;
	m.share_used = 0;
	notify_read(&m);
	assert(m.deadline_ns == deadline_ns ||
	       (m.deadline_ns > deadline_ns && m.deadline_ns <= m.limit_ns));
	for (size_t i = 0; i < PEERS; i++)
		if (m.links[i] >= 0)
			link_read(&m, &m.links[i]);
	alarm_fire(&m);
	for (size_t i = 0; i < PEERS; i++)
		if (peers[i] >= 0 && !harness_told(peers[i], on_word, NULL))
			hang_up(i);
	if (m.progress.at_us)
		check_progress(&m.progress);
}

static void
say(const void *data, size_t size)
{
	(void)send(job, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void
step(struct input *in)
{
	static union {
		struct frame_head head;
		char space[FRAME_MAX];
	} f;
	uint8_t op = input_byte(in);
	size_t i = op >> 4 & 1, size;
	const uint8_t *raw;

	switch (op & 7) {
	case 0:
		dial(i);
		return;
	case 1:
		hang_up(i);
		return;
	case 2:
		size = input_bytes(in, input_byte(in), &raw);
		if (peers[i] >= 0)
			(void)sock_send(peers[i], raw, size, NULL, 0);
		return;
	case 3:
		size = input_frame(in, &f, sizeof(f));
		if (peers[i] >= 0)
			(void)sock_send(peers[i], &f, size, NULL, 0);
		return;
	case 4:
	case 5:
		size = input_bytes(in, input_byte(in) * (op & 8 ? 32u : 1u), &raw);
		say(raw, size);
		return;
	default:
		turn();
	}
}

/* As monitor.c begins, without a job and without a cgroup. */
static void
begin(int dir)
{
	int pair[2], on = 1;

	m = (struct monitor){
		.state = S_RUNNING,
		.phase = PHASE_RUNNING,
		.dir = dir,
		.ctl = -1,
		.signals = -1,
		.timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK),
		.result_fd = -1,
		.progress_fd = -1,
		.cgroup = -1,
		.grace_ns = NSEC_PER_SEC,
		.warn_ns = NSEC_PER_SEC,
		.watchdog_ns = 60 * NSEC_PER_SEC,
		.started_ns = mono_now().ns,
		.stop_signal = 15,
		.warn_signal = 10,
	};
	assert(m.timer >= 0);
	m.deadline_ns = m.started_ns + 60 * NSEC_PER_SEC;
	m.limit_ns = m.deadline_ns + 60 * NSEC_PER_SEC;
	for (size_t i = 0; i < LINKS_MAX; i++)
		m.links[i] = -1;
	for (size_t i = 0; i < PEERS; i++)
		peers[i] = -1;
	result_init(&m.result, 1, 1);
	progress_init(&m.progress, 1, 1);
	assert(sock_pair(SOCK_DGRAM, pair) == 0);
	assert(setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) == 0);
	m.notify = pair[0];
	job = pair[1];
	alarm_start(&m);
}

static void
end(void)
{
	struct progress p;
	ssize_t n;

	notify_end(&m);
	n = file_read_at(m.dir, RUNDIR_PROGRESS, &p, sizeof(p));
	if (m.progress.at_us)
		assert(n == sizeof(p) && memcmp(&p, &m.progress, sizeof(p)) == 0);
	else
		assert(n == -ENOENT);
	for (size_t i = 0; i < PEERS; i++) {
		hang_up(i);
		if (m.links[i] >= 0)
			(void)close(m.links[i]);
	}
	(void)close(job);
	(void)close(m.timer);
	(void)close(m.dir);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	size_t fds = harness_fds();
	int dir = open(harness_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert(dir >= 0);
	begin(dir);
	for (int i = 0; i < STEPS && in.n > 0; i++)
		step(&in);
	turn();
	end();
	assert(harness_fds() == fds);
	harness_empty();
	return 0;
}
