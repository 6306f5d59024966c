/* notify.c - what the job says of itself, see notify.h.
 *
 * The socket's mode lets in the job's user and root; the kernel says which process sent a datagram,
 * and that must be one of this job. Who has gone cannot be asked any more and is refused: hence
 * BARRIER=1, with which a sender waits until a descriptor that it sent along is closed. Descriptors
 * are never taken: there is no room for them, so the kernel drops them as it hands the datagram
 * over.
 *
 * A job may talk as fast as it can: so many datagrams are taken in within a while, then the socket
 * rests and the sender waits; ctxd is told the latest state a few times a second. */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/text.h"
#include "record/about.h"
#include "record/rundir.h"
#include "spawner/action.h"
#include "spawner/alarm.h"
#include "spawner/cgroup.h"
#include "spawner/link.h"
#include "spawner/monitor_state.h"
#include "spawner/notify.h"
#include "spawner/tree.h"

enum { DATAGRAM_MAX = 4096, SHARE = 16, QUEUE_MAX = 1024 };
#define SHARE_EVERY (10 * NSEC_PER_MSEC)
#define TELL_EVERY (100 * NSEC_PER_MSEC)

/* A piece of a datagram; there is no NUL behind it. */
struct piece {
	const char *p;
	size_t n;
};

static bool
take_word(struct piece *t, const char *word)
{
	size_t n = strlen(word);

	if (t->n < n || memcmp(t->p, word, n) != 0)
		return false;
	t->p += n;
	t->n -= n;
	return true;
}

/* C0, DEL, and C1, which are two bytes in UTF-8. */
static bool
is_control(const char *p, size_t len)
{
	const unsigned char *c = (const unsigned char *)p;

	return len == 1 ? c[0] < 0x20 || c[0] == 0x7f : len == 2 && c[0] == 0xc2 && c[1] < 0xa0;
}

static void
set_text(struct progress *to, struct piece t)
{
	size_t used = 0;

	memset(to->text, 0, sizeof(to->text));
	while (t.n > 0) {
		size_t len = text_utf8_step(t.p, t.n), step = len ? len : 1;
		const char *c = len == 0 ? "?" : is_control(t.p, len) ? " " : t.p;

		if (c != t.p)
			len = 1;
		if (used + len >= sizeof(to->text))
			break;
		memcpy(to->text + used, c, len);
		used += len;
		t.p += step;
		t.n -= step;
	}
	to->text_size = (uint32_t)used;
}

/* Digits at the front; their value at MOST. False: there is none. */
static bool
take_digits(struct piece *t, uint64_t most, uint64_t *ret)
{
	uint64_t v = 0;
	size_t n = 0;

	for (; n < t->n && t->p[n] >= '0' && t->p[n] <= '9'; n++) {
		v = v * 10 + (uint64_t)(t->p[n] - '0');
		if (v > most)
			v = most;
	}
	t->p += n;
	t->n -= n;
	*ret = v;
	return n > 0;
}

/* 0..100, with a point and as many decimals as one likes, of which three count. */
static bool
parse_percent(struct piece t, int32_t *ret_milli)
{
	uint64_t whole, milli = 0;
	size_t decimals = 0;

	if (!take_digits(&t, 101, &whole))
		return false;
	if (take_word(&t, ".")) {
		for (; decimals < t.n && t.p[decimals] >= '0' && t.p[decimals] <= '9'; decimals++) {
			if (whole == 100 && t.p[decimals] != '0')
				return false;
			if (decimals < 3)
				milli = milli * 10 + (uint64_t)(t.p[decimals] - '0');
		}
		if (decimals == 0)
			return false;
		t.n -= decimals;
	}
	for (; decimals < 3; decimals++)
		milli *= 10;
	if (t.n > 0 || whole > 100)
		return false;
	*ret_milli = (int32_t)(whole * 1000 + milli);
	return true;
}

/* Later than it is, and no later than it may be. */
static void
extend(struct monitor *m, struct piece t)
{
	struct detail d = {.by_job = true};
	uint64_t us;

	if (!take_digits(&t, DUR_MAX_NS / NSEC_PER_USEC, &us) || t.n > 0)
		return;
	d.deadline_ns = mono_add(mono_now(), dur_usec((int64_t)us)).ns;
	if (d.deadline_ns > m->limit_ns)
		d.deadline_ns = m->limit_ns;
	if (d.deadline_ns > m->deadline_ns)
		action_step(m, E_EXTEND, &d);
}

/* Did it change what is shown? */
static bool
on_line(struct monitor *m, struct piece t)
{
	struct progress *p = &m->progress;
	int32_t milli;

	if (take_word(&t, "STATUS=")) {
		set_text(p, t);
		return true;
	}
	if (take_word(&t, "X_CTX_PERCENT=")) {
		if (!parse_percent(t, &milli))
			return false;
		p->percent_milli = milli;
		p->flags |= PROGRESS_HAS_PERCENT;
		return true;
	}
	if (take_word(&t, "READY=1") && t.n == 0) {
		if (p->flags & PROGRESS_READY)
			return false;
		p->flags |= PROGRESS_READY;
		p->ready_us = wall_to_usec(wall_now());
		return true;
	}
	if (take_word(&t, "WATCHDOG=1") && t.n == 0)
		alarm_alive(m);
	else if (take_word(&t, "EXTEND_TIMEOUT_USEC="))
		extend(m, t);
	return false; /* BARRIER=1, and whatever else a service manager understands */
}

/* Evidence for whoever finds us dead. What cannot be written is told all the same. */
static void
save(struct monitor *m)
{
	if (m->progress_fd < 0)
		m->progress_fd = openat(m->dir, RUNDIR_PROGRESS,
					O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (m->progress_fd < 0)
		return;
	if (pwrite(m->progress_fd, &m->progress, sizeof(m->progress), 0) != sizeof(m->progress)) {
		(void)close(m->progress_fd);
		m->progress_fd = -1;
	}
}

static void
on_datagram(struct monitor *m, struct piece t)
{
	bool changed = false;

	while (t.n > 0) {
		const char *nl = memchr(t.p, '\n', t.n);
		struct piece line = {t.p, nl ? (size_t)(nl - t.p) : t.n};

		changed |= on_line(m, line);
		line.n += nl != NULL;
		t.p += line.n;
		t.n -= line.n;
	}
	if (!changed)
		return;
	m->progress.at_us = wall_to_usec(wall_now());
	progress_seal(&m->progress);
	save(m);
	CRASH_POINT("monitor.progress.saved");
	m->untold |= UNTOLD_PROGRESS;
}

/* PID 0: the sender's is not visible from here. Our own: root may send in the name of its parent,
 * as systemd-notify does, and the main process has us. */
static bool
is_of_job(const struct monitor *m, pid_t pid)
{
	return pid > 0 &&
	       (pid == getpid() || tree_has(pid) || (m->cgroup >= 0 && cgroup_has(m->cgroup, pid)));
}

static pid_t
sender_of(struct msghdr *h)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(h); c; c = CMSG_NXTHDR(h, c)) {
		struct ucred cred;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
		    c->cmsg_len != CMSG_LEN(sizeof(cred)))
			continue;
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		return cred.pid;
	}
	return 0;
}

static void
refuse(struct monitor *m, pid_t pid)
{
	if (m->refused++ == 0)
		about_log(LOG_LVL_DEBUG, &m->about, action_state(m),
			  "job %ju.%u: refused a notification of process %d, which is gone or not "
			  "of the job; more are not told",
			  (uintmax_t)m->result.id, m->result.attempt, (int)pid);
}

/* One datagram. False: there is none. */
static bool
receive(struct monitor *m)
{
	static char text[DATAGRAM_MAX];
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(sizeof(struct ucred))]; /* none for descriptors */
	} control = {0};
	struct iovec iov = {.iov_base = text, .iov_len = sizeof(text)};
	struct msghdr h = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = sizeof(control.space),
	};
	ssize_t n = recvmsg(m->notify, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	pid_t pid;

	if (n < 0)
		return false;
	if (h.msg_flags & MSG_TRUNC)
		return true;
	pid = sender_of(&h);
	if (is_of_job(m, pid))
		on_datagram(m, (struct piece){text, (size_t)n});
	else
		refuse(m, pid);
	return true;
}

static void
flush(struct monitor *m)
{
	uint32_t untold = m->untold;

	m->untold = 0;
	m->tell_ns = 0;
	if (untold & UNTOLD_PROGRESS) {
		link_progress(m);
		CRASH_POINT("monitor.progress.sent");
	}
	if (untold & UNTOLD_EXTENDED) {
		link_extended(m);
		CRASH_POINT("monitor.extended.sent");
	}
	if (untold)
		m->told_ns = mono_now().ns;
}

void
notify_tell(struct monitor *m)
{
	if (m->untold && mono_now().ns < m->told_ns + TELL_EVERY)
		m->tell_ns = m->told_ns + TELL_EVERY;
	else
		flush(m);
}

void
notify_read(struct monitor *m)
{
	int64_t now = mono_now().ns;

	if (m->notify < 0 || m->rest_ns > now)
		return;
	if (now >= m->share_ns + SHARE_EVERY) {
		m->share_ns = now;
		m->share_used = 0;
	}
	while (m->share_used < SHARE && receive(m))
		m->share_used++;
	m->rest_ns = m->share_used == SHARE ? m->share_ns + SHARE_EVERY : 0;
	notify_tell(m);
}

void
notify_read_last(struct monitor *m)
{
	for (int n = 0; n < QUEUE_MAX && m->notify >= 0 && receive(m); n++)
		;
}

void
notify_end(struct monitor *m)
{
	flush(m);
	m->rest_ns = 0;
	if (m->notify >= 0)
		(void)close(m->notify);
	if (m->progress_fd >= 0)
		(void)close(m->progress_fd);
	m->notify = m->progress_fd = -1;
}
