/* listen.c - the spawner's loop, see listen.h. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/ready.h"
#include "spawner/children.h"
#include "spawner/conn.h"
#include "spawner/listen.h"
#include "spawner/spare.h"
#include "spawner/spawner.h"

#define ACCEPT_PAUSE (100 * NSEC_PER_MSEC) /* out of descriptors or memory */
enum { ACCEPTS_PER_WAKE = 16, STRANGER_BURST = 10 };

struct loop {
	bool stop;
	int64_t idle_since_ns;    /* 0: not idle */
	int64_t accept_paused_ns; /* until then; 0: not */
};

static bool
may_connect(const struct spawner *s, int fd)
{
	static struct log_rate rate;
	struct ucred cred;
	socklen_t size = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return false;
	if (cred.uid == s->owner || cred.uid == 0)
		return true;
	if (log_rate_ok(&rate, STRANGER_BURST))
		log_warn("uid %u (pid %d) is not the owner of this socket: connection closed",
			 cred.uid, (int)cred.pid);
	return false;
}

static void
on_listener(struct spawner *s, struct loop *l)
{
	for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0 && may_connect(s, fd))
			conn_add(s, fd);
		else if (fd >= 0)
			(void)close(fd);
		else if (errno == ECONNABORTED || errno == EINTR)
			continue;
		else if (errno == EAGAIN)
			return;
		else {
			log_warn("accept: %s; continuing", strerror(errno));
			l->accept_paused_ns = mono_now().ns + ACCEPT_PAUSE;
			return;
		}
	}
}

static void
on_signal(struct spawner *s, struct loop *l)
{
	struct signalfd_siginfo si[8];
	ssize_t n = read(s->signal_fd, si, sizeof(si));

	for (ssize_t i = 0; i < n / (ssize_t)sizeof(si[0]); i++) {
		if (si[i].ssi_signo != SIGCHLD)
			l->stop = true;
	}
	children_reap(s);
}

static int64_t
sooner(int64_t a, int64_t b)
{
	return a == 0 || (b != 0 && b < a) ? b : a;
}

static int
poll_timeout(const struct spawner *s, const struct loop *l)
{
	int64_t at = sooner(s->children.tick_ns, l->accept_paused_ns), left;

	at = sooner(at, s->spare_until_ns);
	if (l->idle_since_ns && s->idle_ns)
		at = sooner(at, l->idle_since_ns + s->idle_ns);
	if (at == 0)
		return -1;
	left = at - mono_now().ns;
	if (left <= 0)
		return 0;
	return left / NSEC_PER_MSEC >= 3600000 ? 3600000 : (int)(left / NSEC_PER_MSEC) + 1;
}

/* A connection that came at the last moment is served. */
static bool
idle_too_long(struct spawner *s, struct loop *l, int64_t now)
{
	if (s->n_conns > 0 || children_any(s)) {
		l->idle_since_ns = 0;
		return false;
	}
	if (l->idle_since_ns == 0)
		l->idle_since_ns = now;
	if (s->idle_ns == 0 || now - l->idle_since_ns < s->idle_ns)
		return false;
	on_listener(s, l);
	return s->n_conns == 0;
}

static void
on_times(struct spawner *s, struct loop *l)
{
	int64_t now = mono_now().ns;

	if (s->children.tick_ns && s->children.tick_ns <= now)
		children_tick(s);
	if (s->spare_until_ns && s->spare_until_ns <= now)
		spare_drop(s);
	if (l->accept_paused_ns && l->accept_paused_ns <= now)
		l->accept_paused_ns = 0;
	if (idle_too_long(s, l, now)) {
		log_debug("nothing to do: leaving");
		l->stop = true;
	}
}

static void
on_conns(struct spawner *s, const struct pollfd *p, size_t n)
{
	/* The table only changes at its end (conn_add, conn_settle), not in here. */
	for (size_t i = 0; i < n; i++) {
		if (p[i].revents & POLLOUT)
			conn_write(s, &s->conns[i]);
		if (p[i].revents & ~POLLOUT)
			(void)conn_read(s, &s->conns[i]);
	}
}

void
listen_run(struct spawner *s)
{
	enum { AT_LISTEN, AT_SIGNAL, AT_CONNS };
	struct loop l = {0};

	while (!l.stop) {
		struct pollfd p[AT_CONNS + CONNS_MAX];
		size_t n = s->n_conns;

		p[AT_LISTEN] = (struct pollfd){.fd = l.accept_paused_ns ? -1 : s->listen_fd,
					       .events = POLLIN};
		p[AT_SIGNAL] = (struct pollfd){.fd = s->signal_fd, .events = POLLIN};
		for (size_t i = 0; i < n; i++)
			p[AT_CONNS + i] = (struct pollfd){
				.fd = s->conns[i].fd,
				.events = s->conns[i].state == CONN_LISTING ? POLLIN | POLLOUT
									    : POLLIN,
			};
		if (ready_poll(p, AT_CONNS + n, poll_timeout(s, &l)) < 0)
			continue;
		if (p[AT_SIGNAL].revents)
			on_signal(s, &l);
		on_conns(s, &p[AT_CONNS], n);
		conn_settle(s);
		if (p[AT_LISTEN].revents)
			on_listener(s, &l);
		conn_welcome(s);
		conn_settle(s);
		on_times(s, &l);
	}
	spare_drop(s);
}
