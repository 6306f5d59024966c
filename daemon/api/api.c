/* api.c - the server object: made and taken down here; and the list of connections that go on in
 * the next iteration.
 *
 * That list exists because nothing may be executed while the effects of a commit run, and because
 * no connection may hold the loop: who has more to do than its share stands in it. An idle watcher
 * of the highest priority drains it, for a few milliseconds an iteration, and keeps the loop from
 * sleeping meanwhile (a zero timer would cost epoll a millisecond). */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/account.h"
#include "api/api.h"
#include "api/audit.h"
#include "api/conn.h"
#include "api/listener.h"
#include "api/lookup.h"
#include "api/server.h"
#include "api/user.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/text.h"
#include "core/policy.h"
#include "engine/engine.h"
#include "exec/follow.h"
#include "exec/journal_read.h"

enum { LISTEN_BACKLOG = 1024 };

void
api_again(struct api *a, struct conn *c)
{
	if (!list_empty(&c->again))
		return;
	list_append(&a->again, &c->again);
	ev_idle_start(a->loop, &a->again_idle);
}

static void
again_drain(struct api *a)
{
	struct list now = LIST_INIT(now), *l;
	struct mono until = mono_add(mono_now(), (struct dur){API_SLICE_MS * NSEC_PER_MSEC});

	list_splice(&now, &a->again);
	while ((l = list_pop(&now))) {
		conn_on_again(list_entry(l, struct conn, again));
		if (mono_diff(mono_now(), until).ns > 0)
			break;
	}
	/* Whoever did not get a turn now is first next time. */
	list_splice(&now, &a->again);
	list_splice(&a->again, &now);
	if (list_empty(&a->again))
		ev_idle_stop(a->loop, &a->again_idle);
}

static void
api_on_again(struct ev_loop *loop, ev_idle *w, int revents)
{
	struct api *a = container_of(w, struct api, again_idle);

	(void)loop, (void)revents;
	again_drain(a);
	api_check(a);
}

void
api_on_closed(struct api *a)
{
	for (size_t i = 0; i < a->n_listeners; i++)
		listener_resume(a->listeners[i]);
}

size_t
api_max_message(const struct api *a)
{
	return (size_t)engine_policy(a->engine)->max_message;
}

size_t
api_connections(const struct api *a)
{
	return a->n_conns;
}

static int
listen_add(struct api *a, int fd, const char *path)
{
	int r;

	if (a->n_listeners == API_LISTENERS_MAX) {
		(void)close(fd);
		return -E2BIG;
	}
	r = listener_new(a, fd, path, &a->listeners[a->n_listeners]);
	if (r == 0)
		a->n_listeners++;
	return r;
}

static int
listen_all(struct api *a, const struct api_options *o, struct ctx_err *e)
{
	int fd, r = 0;

	for (size_t i = 0; i < o->n_listen_fds; i++) {
		int one = listen_add(a, o->listen_fds[i],
				     NULL); /* takes each, also after a failure */

		r = r < 0 ? r : one;
	}
	if (r < 0)
		return ctx_err_set(e, 0, r, "the sockets passed by systemd cannot be used: %s",
				   strerror(-r));
	if (o->n_listen_fds > 0)
		return 0;
	fd = sock_listen(o->socket_path, SOCK_STREAM, o->socket_mode ? o->socket_mode : 0600,
			 LISTEN_BACKLOG);
	if (fd == -EADDRINUSE)
		return ctx_err_set(e, 0, fd, "another program answers at '%s'", o->socket_path);
	if (fd < 0)
		return ctx_err_set(e, 0, fd, "cannot listen at '%s': %s", o->socket_path,
				   strerror(-fd));
	r = listen_add(a, fd, o->socket_path);
	if (r < 0)
		return ctx_err_set(e, 0, r, "cannot listen at '%s': %s", o->socket_path,
				   strerror(-r));
	return 0;
}

static int
api_parts(struct api *a, const struct api_options *o)
{
	const char *check = getenv("CTXD_CHECK");
	int r;

	a->checking = check && strcmp(check, "1") == 0;
	a->scratch = malloc(API_SCRATCH);
	a->follow = follow_new(a->loop);
	a->journal = journal_read_table_new(a->loop);
	if (!a->scratch || !a->follow || !a->journal)
		return -ENOMEM;
	r = audit_new(a->loop, a->engine, &a->audit);
	if (r == 0)
		r = lookup_table_new(a->loop,
				     o->lookup_program ? o->lookup_program : "/proc/self/exe",
				     &a->lookups);
	if (r == 0 && o->lookup_limit > 0)
		lookup_set_limit(a->lookups, o->lookup_limit);
	if (r == 0)
		r = user_table_new(a->lookups, &a->users);
	return r ? r : account_table_new(a->lookups, &a->accounts);
}

int
api_new(const struct api_options *o, struct api **ret, struct ctx_err *e)
{
	struct api *a = calloc(1, sizeof(*a));
	int r;

	if (!a) {
		for (size_t i = 0; i < o->n_listen_fds; i++)
			(void)close(o->listen_fds[i]);
		return ctx_err_set(e, 0, -ENOMEM, "out of memory");
	}
	a->loop = o->loop;
	a->engine = o->engine;
	a->version = o->version;
	a->system_mode = o->system_mode;
	a->own_uid = o->own_uid;
	a->reload = o->reload;
	a->config = o->config;
	a->arg = o->arg;
	list_init(&a->conns);
	list_init(&a->again);
	ev_idle_init(&a->again_idle, api_on_again);
	ev_set_priority(&a->again_idle, EV_MAXPRI);
	r = listen_all(a, o, e);
	if (r == 0) {
		r = api_parts(a, o);
		if (r < 0)
			(void)ctx_err_set(e, 0, r, "cannot set up the server: %s", strerror(-r));
	}
	if (r < 0) {
		(void)api_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

struct api *
api_free(struct api *a)
{
	if (!a)
		return NULL;
	a->stopping = true;
	for (size_t i = 0; i < a->n_listeners; i++)
		a->listeners[i] = listener_free(a->listeners[i]);
	a->n_listeners = 0;
	list_for_each_safe (l, &a->conns)
		conn_close(list_entry(l, struct conn, link), false);
	ev_idle_stop(a->loop, &a->again_idle);
	a->audit = audit_free(a->audit);
	a->accounts = account_table_free(a->accounts);
	a->users = user_table_free(a->users);
	a->lookups = lookup_table_free(a->lookups);
	a->journal = journal_read_table_free(a->journal);
	a->follow = follow_free(a->follow);
	assert(a->ties.n == 0); /* gone with their connections */
	map_done(&a->ties);
	free(a->scratch);
	free(a);
	return NULL;
}

void
api_check(const struct api *a)
{
	size_t n = 0;

	if (!a->checking)
		return;
	list_for_each (l, &a->conns) {
		const struct conn *c = list_entry(l, const struct conn, link);
		size_t of_user = 0, bytes = 0;

		conn_check(c);
		list_for_each (m, &a->conns) {
			const struct conn *d = list_entry(m, const struct conn, link);

			of_user += d->user == c->user;
			bytes += d->user == c->user ? d->accounted : 0;
		}
		assert(of_user == c->user->n_conns && bytes == c->user->bytes);
		n++;
	}
	assert(n == a->n_conns);
	assert(a->again_idle.active || list_empty(&a->again));
}
