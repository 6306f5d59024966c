/* link.c - a monitor's connections: ctxd's first one, and whoever comes to ctl. See link.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/sock.h"
#include "record/frame.h"
#include "spawner/action.h"
#include "spawner/link.h"
#include "spawner/monitor_state.h"

#define ACCEPT_PAUSE (100 * NSEC_PER_MSEC) /* out of descriptors or memory */
enum { FRAMES_PER_WAKE = 16, END_WAIT_MS = 5000 };

static void
close_link(int *fd)
{
	(void)close(*fd);
	*fd = -1;
}

/* Whoever does not read loses his connection: he comes back and asks. */
static void
send_to(int *fd, const void *frame, size_t size)
{
	if (*fd >= 0 && sock_send(*fd, frame, size, NULL, 0) < 0)
		close_link(fd);
}

static void
send_all(struct monitor *m, const void *frame, size_t size)
{
	for (size_t i = 0; i < LINKS_MAX; i++)
		send_to(&m->links[i], frame, size);
}

static struct frame_progress
progress_frame(const struct monitor *m)
{
	struct frame_progress f;

	frame_init(&f, FRAME_PROGRESS, m->result.id, m->result.attempt, sizeof(f));
	f.progress = m->progress;
	return f;
}

void
link_hello(struct monitor *m, int *fd)
{
	struct frame_hello h;

	frame_init(&h, FRAME_HELLO, m->result.id, m->result.attempt, sizeof(h));
	h.pid = m->result.pid;
	h.monitor_pid = (uint32_t)getpid();
	h.phase = m->phase;
	h.stop_cause = m->result.stop_cause;
	h.started_us = m->result.started_us;
	h.started_ns = m->started_ns;
	h.deadline_ns = m->deadline_ns;
	if ((m->out[0].flags | m->out[1].flags) & RESULT_CAP_UNENFORCED)
		h.flags |= HELLO_CAP_UNENFORCED;
	if (m->result.flags & RESULT_SELF_EXTENDED)
		h.flags |= HELLO_SELF_EXTENDED;
	h.unenforced = m->result.unenforced;
	send_to(fd, &h, sizeof(h));
	if (m->progress.at_us) {
		struct frame_progress p = progress_frame(m);

		send_to(fd, &p, sizeof(p));
	}
}

void
link_progress(struct monitor *m)
{
	struct frame_progress p = progress_frame(m);

	send_all(m, &p, sizeof(p));
}

void
link_unused(struct monitor *m, int error)
{
	struct frame_spawn_failed f;

	frame_init(&f, FRAME_SPAWN_FAILED, m->result.id, m->result.attempt, sizeof(f));
	f.error = error;
	f.step = SPAWN_STEP_MONITOR;
	send_all(m, &f, sizeof(f));
}

void
link_extended(struct monitor *m)
{
	struct frame_extended x;

	frame_init(&x, FRAME_EXTENDED, m->result.id, m->result.attempt, sizeof(x));
	x.deadline_ns = m->deadline_ns;
	x.at_us = m->extended_us;
	send_all(m, &x, sizeof(x));
}

void
link_stopping(struct monitor *m, int64_t at_us)
{
	struct frame_stopping s;

	frame_init(&s, FRAME_STOPPING, m->result.id, m->result.attempt, sizeof(s));
	s.phase = m->phase;
	s.stop_cause = m->result.stop_cause;
	s.at_us = at_us;
	send_all(m, &s, sizeof(s));
}

/* The end matters more than the rest: wait a little for a reader whose buffer is full. */
static void
send_end(struct monitor *m, int *fd)
{
	int64_t until = mono_now().ns + END_WAIT_MS * NSEC_PER_MSEC, left;
	struct frame_end e;
	int r;

	if (*fd < 0)
		return;
	frame_init(&e, FRAME_END, m->result.id, m->result.attempt, sizeof(e));
	e.result = m->result;
	while ((r = sock_send(*fd, &e, sizeof(e), NULL, 0)) == -EAGAIN &&
	       (left = until - mono_now().ns) > 0) {
		struct pollfd p = {.fd = *fd, .events = POLLOUT};

		(void)poll(&p, 1, (int)(left / NSEC_PER_MSEC) + 1);
	}
	if (r < 0)
		close_link(fd);
}

static bool
may_talk(const struct monitor *m, int fd)
{
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return false;
	return cred.uid == 0 || cred.uid == geteuid() || cred.uid == m->owner;
}

void
link_accept(struct monitor *m)
{
	int fd = accept4(m->ctl, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	size_t i = 0;

	if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS))
		m->accept_ns = mono_now().ns + ACCEPT_PAUSE; /* it stays in the backlog */
	if (fd < 0)
		return;
	if (!may_talk(m, fd)) {
		(void)close(fd);
		return;
	}
	while (i < LINKS_MAX && m->links[i] >= 0)
		i++;
	if (i == LINKS_MAX) { /* the oldest makes room */
		(void)close(m->links[0]);
		memmove(&m->links[0], &m->links[1], (LINKS_MAX - 1) * sizeof(m->links[0]));
		i = LINKS_MAX - 1;
	}
	m->links[i] = fd;
	link_hello(m, &m->links[i]);
	CRASH_POINT("monitor.hello.again");
	if (m->state == S_ENDED)
		send_end(m, &m->links[i]);
}

void
link_end(struct monitor *m)
{
	for (size_t i = 0; i < LINKS_MAX; i++)
		send_end(m, &m->links[i]);
}

static int
on_stop(struct monitor *m, const struct frame_stop *s)
{
	struct detail d = {.cause = (enum stop_cause)s->stop_cause};

	if (s->flags & ~(uint32_t)STOP_NOW ||
	    (s->stop_cause != STOP_CAUSE_REQUEST && s->stop_cause != STOP_CAUSE_DEADLINE))
		return -EPROTO;
	CRASH_POINT("monitor.stop.read");
	action_step(m, s->flags & STOP_NOW ? E_STOP_NOW : E_STOP, &d);
	return 0;
}

static int
on_extend(struct monitor *m, const struct frame_extend *x)
{
	if (x->deadline_ns <= 0)
		return -EPROTO;
	/* The job has moved it further, and ctxd had not heard of that: it will take it over. */
	if (m->result.flags & RESULT_SELF_EXTENDED && x->deadline_ns < m->deadline_ns)
		return 0;
	action_step(m, E_EXTEND, &(struct detail){.deadline_ns = x->deadline_ns});
	return 0;
}

static int
on_signal(struct monitor *m, const struct frame_signal *s)
{
	struct detail d = {.signo = s->signo, .tree = s->flags & SIGNAL_TREE};

	if (s->flags & ~(uint32_t)SIGNAL_TREE || s->signo < 1 || s->signo >= _NSIG)
		return -EPROTO;
	action_step(m, E_SIGNAL, &d);
	return 0;
}

/* A frame from ctxd, of the size of its type. 0, or -EPROTO. */
static int
on_frame(struct monitor *m, const void *frame)
{
	const struct frame_head *h = frame;

	if (h->id != m->result.id || h->attempt != m->result.attempt)
		return -EPROTO;
	if (h->type == FRAME_STOP)
		return on_stop(m, frame);
	if (h->type == FRAME_EXTEND)
		return on_extend(m, frame);
	return h->type == FRAME_SIGNAL ? on_signal(m, frame) : -EPROTO;
}

void
link_read(struct monitor *m, int *fd)
{
	static _Alignas(uint64_t) char frame[FRAME_MAX];

	for (int i = 0; i < FRAMES_PER_WAKE && *fd >= 0; i++) {
		ssize_t n = sock_recv(*fd, frame, sizeof(frame), NULL, NULL);
		int r;

		if (n == -EAGAIN)
			return;
		if (n == -ECONNRESET) /* said once; what was sent before is still to come */
			continue;
		if (n <= 0) {
			close_link(fd);
			return;
		}
		r = frame_check(frame, (size_t)n);
		if (r == 0)
			r = on_frame(m, frame);
		if (r < 0 && r != -EPROTONOSUPPORT && *fd >= 0)
			close_link(fd);
	}
}
