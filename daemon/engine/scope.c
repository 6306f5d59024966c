/* scope.c - contexts without a command: opened, closed, cancelled, past their deadline. Whatever
 * ends one ends all that is attached below it, in the same transaction.
 *
 * A scope's deadline is kept by a timer here, for no process stands for a scope. While ctxd is down
 * it is kept by the monitors of what is attached, whose deadlines are no later. The timer runs on a
 * clock that stands still in suspend: the deadline is judged by CLOCK_BOOTTIME, and looked at once
 * a minute at least. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "core/deadline.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/queue.h"
#include "engine/submit.h"
#include "engine/tell.h"
#include "engine/tree.h"

enum { OVERDUE_PER_TURN = 64 };
#define LOOK_MOST 60.0 /* seconds between two looks at the clock */
#define LOOK_LEAST 0.001

/* ---- deadlines */

static void
arm(struct engine *g, double after)
{
	ev_timer_stop(g->loop, &g->scopes);
	if (g->stopping)
		return;
	ev_timer_set(&g->scopes, after, 0.);
	ev_timer_start(g->loop, &g->scopes);
}

void
scope_arm_later(struct engine *g)
{
	arm(g, STORAGE_RETRY_SEC);
}

void
scope_arm(struct engine *g)
{
	int64_t due_ns = 0;
	double after;
	int r = store_scope_next_deadline(g->store, &due_ns);

	if (r == STORE_E_NOT_FOUND) {
		ev_timer_stop(g->loop, &g->scopes);
		return;
	}
	if (r != 0) {
		scope_arm_later(g);
		return;
	}
	after = (double)(due_ns - mono_now().ns) / 1e9 + LOOK_LEAST;
	arm(g, after < LOOK_LEAST ? LOOK_LEAST : after > LOOK_MOST ? LOOK_MOST : after);
}

static int
expire(struct engine *g, uint64_t id)
{
	struct job *j = NULL;
	char text[160];
	struct why why;
	int r = store_job_get(g->store, id, &j);

	if (r != 0)
		return err_fold(r);
	if (j->state != JOB_OPEN) { /* the end of another of this turn has reached it */
		(void)job_free(j);
		return 0;
	}
	judge_deadline(g, j, 0, &why, text, sizeof(text));
	return scope_end(g, j, JOB_DEADLINE_EXCEEDED, &why, false, NULL, NULL);
}

static void
scope_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, scopes);
	uint64_t ids[OVERDUE_PER_TURN];
	size_t n = 0;
	int r;

	(void)loop, (void)revents;
	if (g->stopping)
		return;
	r = store_scope_overdue(g->store, mono_now().ns, ids, ARRAY_SIZE(ids), &n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = expire(g, ids[i]);
	if (r < 0)
		scope_arm_later(g);
	else
		scope_arm(g);
}

void
scope_init(struct engine *g)
{
	ev_init(&g->scopes, scope_on_timer);
}

void
scope_done(struct engine *g)
{
	ev_timer_stop(g->loop, &g->scopes);
}

/* ---- at the start */

static int
collect(void *arg, const struct job *j)
{
	return engine_ids_add(arg, j->id);
}

/* Of another boot: its deadline is kept by the wall clock, the only one that goes through both. */
static int
take_over(struct engine *g, uint64_t id)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct dur left;
	int r = store_job_get(g->store, id, &j);

	if (r != 0)
		return err_fold(r);
	if (memcmp(j->boot, g->boot, sizeof(g->boot)) == 0)
		return 0;
	left = wall_diff(wall_usec(j->deadline_us), wall_now());
	j->deadline_boot_ns = mono_add(mono_now(), left).ns;
	if (j->deadline_boot_ns <= 0) /* 0 would mean unset */
		j->deadline_boot_ns = 1;
	memcpy(j->boot, g->boot, sizeof(j->boot));
	return lifecycle_save(g, j);
}

int
scope_load(struct engine *g)
{
	struct engine_ids ids = {0};
	int r = store_scopes_each(g->store, collect, &ids);

	for (size_t i = 0; i < ids.n && r == 0; i++)
		r = take_over(g, ids.v[i]);
	free(ids.v);
	scope_arm(g);
	return r < 0 ? err_pass(r) : 0;
}

/* ---- opening */

/* Scopes take no place in the queue, yet there is an end to how many there may be: of all, and of
 * one user, who is not to take them from the others. */
static int
check_room(struct engine *g, uint32_t uid, struct refusal *r)
{
	struct store_counts c;
	uint64_t most = (uint64_t)g->policy->queued, own = 0;
	int e = store_counts(g->store, &c);

	if (e < 0)
		return err_pass(e);
	if (c.by_state[JOB_OPEN] >= most) {
		r->limit = most;
		return refusal_set(r, REFUSAL_QUEUE_FULL, NULL, "too many scopes are open");
	}
	most = (uint64_t)g->policy->queued_per_user;
	if (most == 0)
		return 0;
	e = store_scopes_of(g->store, uid, most, &own);
	if (e < 0)
		return err_pass(e);
	if (own < most)
		return 0;
	r->limit = most;
	return refusal_set(r, REFUSAL_QUEUE_FULL, NULL, "too many scopes of this user are open");
}

static int
make_scope(struct engine *g, const struct requester *who, const struct scope_args *a,
	   struct job **ret, struct notices *n, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = job_new();
	struct wall now = wall_now();
	int e;

	if (!j || submit_copy_who(j, who) < 0 || job_set(&j->name, a->name) < 0 ||
	    job_set(&j->class_name, a->class_name ? a->class_name : "default") < 0 ||
	    job_set(&j->cwd, "/") < 0)
		return err_raise(-ENOMEM, "open a scope");
	j->kind = JOB_KIND_SCOPE;
	j->state = JOB_OPEN;
	j->umask = 022;
	j->grace_us = g->policy->grace_us;
	j->stop_signal = (int32_t)g->policy->stop_signal;
	j->submitted_us = j->started_us = wall_to_usec(now);
	memcpy(j->boot, g->boot, sizeof(j->boot));
	j->timeout_requested_us = a->timeout_us;
	j->deadline_requested_us = a->deadline_us;
	e = context_derive(g, who, &a->context, j, n, r);
	if (e != 0)
		return e;
	deadline_scope(g->policy, j, now, mono_now());
	*ret = take_ptr(j);
	return 0;
}

int
engine_scope(struct engine *g, const struct requester *who, const struct scope_args *a,
	     struct job **ret, struct notices *n, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int e;

	if (g->stopping)
		return refusal_set(r, REFUSAL_NOT_READY, NULL, "ctxd is stopping");
	if (control_queue_refuses(g))
		return refusal_draining(r);
	e = submit_check_names(g, a->name, a->class_name, r);
	e = e ? e : submit_check_times(a->timeout_us, a->deadline_us, r);
	e = e ? e : check_room(g, who->uid, r);
	e = e ? e : make_scope(g, who, a, &j, n, r);
	if (e)
		return e;
	submit_notice_clamp(j, n);
	e = lifecycle_create(g, j, NULL, who->uid);
	if (e < 0)
		return err_pass(e);
	lifecycle_log(g, j, "open");
	CRASH_COMMIT("ctxd.scope");
	scope_arm(g);
	*ret = take_ptr(j);
	return 0;
}

/* ---- ending */

int
scope_end(struct engine *g, struct job *j, enum job_state to, const struct why *why, bool now,
	  struct engine_ids *reached, struct job **ret)
{
	int r = finish_one(g, j, to, why);

	if (r == 0)
		r = tree_done(g, j, why->by_uid, now, reached);
	if (r < 0 || !ret)
		return r < 0 ? err_pass(r) : 0;
	*ret = job_copy(j);
	if (*ret)
		return 0;
	txn_spoil(g->txn);
	return err_raise(-ENOMEM, "answer with a scope");
}

int
engine_close(struct engine *g, const struct requester *who, uint64_t id, const char *cause,
	     bool now, struct job **ret, struct engine_ids *reached, struct refusal *r)
{
	struct why why = {CAUSE_REQUESTED, cause, who->uid};
	_cleanup_(job_freep) struct job *j = NULL;
	int e;

	e = engine_fetch(g, who, id, &j, r);
	if (e != 0)
		return e;
	if (j->kind != JOB_KIND_SCOPE)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				   "%" PRIu64 " is a job and no scope: it can be canceled", id);
	lifecycle_asker(j, who);
	if (j->state == JOB_OPEN) {
		e = scope_end(g, take_ptr(j), JOB_CLOSED, &why, now, reached, ret);
		if (e == 0)
			audit_job(g, who, *ret, "close");
		return e;
	}
	/* Over already: what is attached is on its way, and may be hurried. */
	e = now || reached ? tree_done(g, j, who->uid, now, reached) : 0;
	if (e == 0)
		*ret = take_ptr(j);
	return e;
}
