/* listener.c - accepting and admission.
 *
 * One slot is kept for root and some for administrators, so that whoever fills the table cannot
 * lock them out. A peer over a limit is told so once and closed. Without descriptors left,
 * accepting pauses; a spare one is given up to tell the peer at the head of the queue, who would
 * otherwise wait for ever. */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/audit.h"
#include "api/conn.h"
#include "api/errors.h"
#include "api/listener.h"
#include "api/server.h"
#include "api/user.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/sock.h"
#include "core/policy.h"
#include "engine/engine.h"

#define LISTENER_MAGIC UINT32_C(0x4c73746e)
#define LISTENER_PAUSE 0.1

enum { ACCEPTS_PER_WAKE = 64, ADMIN_SLOTS = 16, LOG_BURST = 5 };

struct listener {
	uint32_t magic;
	struct api *api;
	int fd;     /* owned */
	int spare;  /* owned; -1: given up */
	char *path; /* owned; removed at the end; NULL: not ours */
	ev_io io;
	ev_timer pause;
};

/* Slots that one of this kind may not take. */
static int64_t
reserved(const struct policy *p, bool root, bool admin)
{
	int64_t few = p->max_connections / 8;
	int64_t admins = few > ADMIN_SLOTS ? ADMIN_SLOTS : few;

	if (root)
		return 0;
	return p->max_connections > 4 ? 1 + (admin ? 0 : admins) : 0;
}

/* 0, or ENGINE_E_REFUSED with R. */
static int
admit(struct api *a, const struct sock_peer *p, const struct user *u, struct refusal *r)
{
	const struct policy *pol = engine_policy(a->engine);
	const struct requester who = {.uid = p->uid,
				      .gid = p->gid,
				      .groups = p->groups,
				      .n_groups = p->n_groups,
				      .pid = p->pid};
	int64_t most = pol->max_connections;

	if (u->n_conns >= (size_t)pol->max_connections_per_user)
		return refusal_set(
			r, REFUSAL_NOT_READY, NULL,
			"too many connections of uid %u (max_connections_per_user is %lld)", p->uid,
			(long long)pol->max_connections_per_user);
	if (a->n_conns < (size_t)(most - reserved(pol, false, false)))
		return 0;
	if (a->n_conns <
	    (size_t)(most - reserved(pol, p->uid == 0, engine_is_admin(a->engine, &who))))
		return 0;
	return refusal_set(r, REFUSAL_NOT_READY, NULL,
			   "too many connections (max_connections is %lld)", (long long)most);
}

/* Tell a peer that was not admitted, as far as its socket takes it. */
static void
tell(int fd, const struct refusal *r)
{
	struct buf b = {0};

	errors_write(&b, r);
	if (!b.failed)
		(void)send(fd, buf_head(&b), buf_len(&b), MSG_NOSIGNAL | MSG_DONTWAIT);
	buf_done(&b);
}

static void
refuse(struct api *a, int fd, const struct sock_peer *p, const struct refusal *r)
{
	tell(fd, r);
	audit_refused(a->audit, p->uid, (int)p->pid, "connection", r);
}

/* Takes FD. */
static void
take(struct api *a, int fd)
{
	_close_ int own = fd;
	_cleanup_(sock_peer_done) struct sock_peer peer = {0};
	struct refusal r = {0};
	struct user *u;

	if (sock_peer(fd, &peer) < 0)
		return;
	u = user_get(a->users, peer.uid);
	if (!u) {
		(void)refusal_set(&r, REFUSAL_NOT_READY, NULL, "out of memory");
		refuse(a, fd, &peer, &r);
		return;
	}
	if (admit(a, &peer, u, &r) != 0)
		refuse(a, fd, &peer, &r);
	else if (conn_new(a, fd, &peer, u)) {
		(void)take_fd(own);
		return;
	}
	(void)user_put(u);
}

static void
listener_pause(struct listener *l)
{
	ev_io_stop(l->api->loop, &l->io);
	ev_timer_set(&l->pause, LISTENER_PAUSE, 0.);
	ev_timer_start(l->api->loop, &l->pause);
}

static int
spare_open(void)
{
	return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* EMFILE or ENFILE. */
static void
out_of_fds(struct listener *l, int error)
{
	struct refusal r = {0};
	int fd;

	if (log_rate_ok(&l->api->rate, LOG_BURST))
		log_warn("cannot accept connections: %s; continuing with the %zu there are",
			 strerror(error), l->api->n_conns);
	if (l->spare >= 0) {
		(void)close(l->spare);
		fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			(void)refusal_set(&r, REFUSAL_NOT_READY, NULL,
					  "the daemon is out of descriptors");
			tell(fd, &r);
			(void)close(fd);
		}
	}
	l->spare = spare_open();
	listener_pause(l);
}

static void
listener_accept(struct listener *l)
{
	for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			take(l->api, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		if (errno == EMFILE || errno == ENFILE)
			out_of_fds(l, errno);
		else if (errno != EAGAIN)
			listener_pause(l);
		return;
	}
}

static void
listener_on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct listener *l = container_of(w, struct listener, io);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LISTENER_MAGIC);
	listener_accept(l);
	api_check(l->api);
}

static void
listener_on_pause(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct listener *l = container_of(w, struct listener, pause);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LISTENER_MAGIC);
	listener_resume(l);
}

int
listener_new(struct api *a, int fd, const char *path, struct listener **ret)
{
	_close_ int own = fd;
	_free_ struct listener *l = calloc(1, sizeof(*l));
	_free_ char *copy = path ? strdup(path) : NULL;

	if (!l || (path && !copy))
		return -ENOMEM;
	l->magic = LISTENER_MAGIC;
	l->api = a;
	l->spare = spare_open();
	l->fd = take_fd(own);
	l->path = take_ptr(copy);
	ev_io_init(&l->io, listener_on_readable, l->fd, EV_READ);
	ev_init(&l->pause, listener_on_pause);
	ev_io_start(a->loop, &l->io);
	*ret = take_ptr(l);
	return 0;
}

struct listener *
listener_free(struct listener *l)
{
	if (!l)
		return NULL;
	CHECK_MAGIC(l, LISTENER_MAGIC);
	ev_io_stop(l->api->loop, &l->io);
	ev_timer_stop(l->api->loop, &l->pause);
	(void)close(l->fd);
	if (l->spare >= 0)
		(void)close(l->spare);
	if (l->path)
		(void)unlink(l->path);
	free(l->path);
	l->magic = 0;
	free(l);
	return NULL;
}

void
listener_resume(struct listener *l)
{
	ev_timer_stop(l->api->loop, &l->pause);
	if (l->spare < 0)
		l->spare = spare_open();
	ev_io_start(l->api->loop, &l->io);
}
