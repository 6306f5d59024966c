/* shutdown.c - the machine goes down: what runs is stopped in good time, and recorded as what it
 * is.
 *
 * All that runs goes to stopping in one transaction, with the cause `shutdown`, and gets its signal
 * and its grace; it ends as interrupted, since nobody wanted it to end. What is queued stays so.
 * From then on nothing is accepted and nothing is started, until a ctxd is started anew: draining
 * is not in the database. */
#include <errno.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/queue.h"
#include "engine/tree.h"

struct drain_fx {
	struct effect fx;
	struct engine *g;
	uint64_t stopped;
	bool was; /* draining before */
};

/* ---- KILL, when the time is up */

static int
collect(void *arg, const struct job *j)
{
	return engine_ids_add(arg, j->id);
}

static int
hurry_all(struct engine *g)
{
	struct engine_ids ids = {0};
	int r = store_live_each(g->store, collect, &ids);

	for (size_t i = 0; i < ids.n && r == 0; i++) {
		_cleanup_(job_freep) struct job *j = NULL;

		r = err_fold(store_job_get(g->store, ids.v[i], &j));
		if (r == 0)
			r = stop_hurry(g, j);
	}
	free(ids.v);
	return r < 0 ? err_pass(r) : 0;
}

static void
on_time_up(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, drained_by);

	(void)revents;
	if (g->lanes.running == 0)
		return;
	log_warn("%ju jobs have not ended in the time that the shutdown leaves them; they are "
		 "killed, continuing",
		 (uintmax_t)g->lanes.running);
	if (hurry_all(g) == 0)
		return;
	txn_spoil(g->txn);
	ev_timer_set(w, STORAGE_RETRY_SEC, 0.);
	ev_timer_start(loop, w);
}

void
shutdown_init(struct engine *g)
{
	ev_init(&g->drained_by, on_time_up);
}

void
shutdown_done(struct engine *g)
{
	ev_timer_stop(g->loop, &g->drained_by);
}

static void
arm(struct engine *g, int64_t within_us)
{
	ev_timer_stop(g->loop, &g->drained_by);
	if (within_us <= 0)
		return;
	ev_timer_set(&g->drained_by, (double)within_us / 1e6, 0.);
	ev_timer_start(g->loop, &g->drained_by);
}

/* ---- TERM */

static int
stop_one(struct engine *g, uint64_t id, int64_t by_uid, uint64_t *n)
{
	struct why why = {CAUSE_SHUTDOWN, "the machine was shut down", by_uid};
	struct job *j = NULL;
	int r = store_job_get(g->store, id, &j);

	if (r != 0)
		return err_fold(r);
	if (j->state != JOB_RUNNING) {
		(void)job_free(j);
		return 0;
	}
	r = stop_job(g, j, &why, false);
	if (r == 0)
		r = tree_done(g, j, by_uid, false, NULL);
	*n += r == 0;
	return r;
}

/* The newest first: what is attached is newer than what it is attached to, and is to get this
 * cause, not that of its parent. */
static int
stop_all(struct engine *g, int64_t by_uid, uint64_t *n)
{
	struct engine_ids ids = {0};
	int r = store_live_each(g->store, collect, &ids);

	for (size_t i = ids.n; i-- > 0 && r == 0;)
		r = stop_one(g, ids.v[i], by_uid, n);
	free(ids.v);
	return r < 0 ? err_pass(r) : 0;
}

static void
drain_run(struct effect *fx, int result)
{
	struct drain_fx *f = container_of(fx, struct drain_fx, fx);

	if (result < 0) {
		f->g->draining = f->was;
		sched_kick(f->g);
	} else {
		log_notice("the machine goes down: %ju running jobs are being stopped, nothing "
			   "is accepted or started any more",
			   (uintmax_t)f->stopped);
	}
	free(f);
}

int
engine_shutdown(struct engine *g, const struct requester *who, int64_t within_us, uint64_t *ret_n)
{
	struct drain_fx *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_raise(-ENOMEM, "shut down");
	*f = (struct drain_fx){.fx.run = drain_run, .g = g, .was = g->draining};
	g->draining = true;
	r = stop_all(g, who->uid, &f->stopped);
	if (r < 0) { /* all of them, or none */
		txn_spoil(g->txn);
		g->draining = f->was;
		free(f);
		return err_pass(r);
	}
	*ret_n = f->stopped;
	CRASH_COMMIT("ctxd.shutdown");
	arm(g, within_us);
	txn_defer(g->txn, &f->fx);
	return 0;
}

bool
shutdown_stops(const struct job *j)
{
	return j->state == JOB_STOPPING && j->cause_code == CAUSE_SHUTDOWN;
}
