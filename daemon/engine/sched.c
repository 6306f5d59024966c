/* sched.c - which queued job starts, and which one's time passed while it waited.
 *
 * Runs right before a commit, so jobs that were submitted and slots that became free in this
 * iteration are served in the same transaction. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "core/deadline.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/queue.h"
#include "engine/tree.h"

enum { STARTS_PER_TURN = 256 }; /* jobs started in one iteration */
#define START_RETRY_SEC 1.0     /* after a start that failed for lack of something */

enum { OVERDUE_PER_TURN = 64 };

void
sched_kick(struct engine *g)
{
	g->sched_kick = true;
}

void
sched_hold(struct engine *g)
{
	if (g->stopping)
		return;
	g->sched_held = true;
	ev_timer_stop(g->loop, &g->sched_again);
	ev_timer_set(&g->sched_again, START_RETRY_SEC, 0.);
	ev_timer_start(g->loop, &g->sched_again);
}

static void
sched_on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, sched_again);

	(void)loop, (void)revents;
	g->sched_held = false;
	g->sched_kick = true;
}

/* A queued job whose absolute or inherited deadline has passed ends without running. Takes J. */
static int
expire(struct engine *g, struct job *j)
{
	struct why why = {CAUSE_DEADLINE, "the deadline passed while the job was queued", -1};
	char text[64];

	j->deadline_rule = deadline_latest_rule(j);
	if (j->deadline_rule == RULE_INHERITED) {
		(void)snprintf(text, sizeof(text), "parent %" PRIu64 " deadline exceeded",
			       context_deadline_origin(g, j));
		why = (struct why){CAUSE_PARENT_DEADLINE, text, -1};
	}
	return finish_job(g, j, JOB_DEADLINE_EXCEEDED, &why);
}

static int
start(struct engine *g, uint64_t id)
{
	_cleanup_(job_freep) struct job *j = NULL;
	_cleanup_(strv_done) struct strv env = {0};
	struct why why = {CAUSE_NONE, NULL, -1};
	uint64_t seq = 0;
	int r;

	r = store_job_get(g->store, id, &j);
	if (r != 0)
		return err_fold(r);
	if (deadline_latest(j) > 0 && deadline_latest(j) <= wall_to_usec(wall_now()))
		return expire(g, take_ptr(j));
	r = store_env_get(g->store, id, &env);
	if (r < 0)
		return err_pass(r);
	r = txn_write(g->txn, __func__);
	if (!r)
		r = store_seq_next(g->store, &seq);
	if (r < 0)
		return err_pass(r);
	start_prepare(g, j, seq);
	r = lifecycle_set(g, j, JOB_RUNNING, &why);
	if (r < 0)
		return err_pass(r);
	CRASH_COMMIT("ctxd.start");
	r = start_defer(g, take_ptr(j), &env);
	if (r < 0) /* running, and nothing would start it */
		txn_spoil(g->txn);
	return r;
}

/* A start raises `seen`, and that is the only witness for those which the spawner had not seen when
 * it was linked: if ctxd died again now, nobody could tell that they never ran. */
bool
sched_may_start(const struct engine *g)
{
	return exec_is_up(g->exec) && !exec_is_old(g->exec) && g->unseen == 0 && !g->sched_held &&
	       !g->lanes_wrong && !g->stopping && !control_queue_stands(g);
}

void
sched_run(struct engine *g)
{
	if (!g->sched_kick || !sched_may_start(g))
		return;
	g->sched_kick = false;
	if (g->lanes.queued == 0)
		return;
	for (int i = 0; i < STARTS_PER_TURN; i++) {
		uint64_t id = 0;
		int r = lanes_pick(&g->lanes, g->policy, g->store, &id);

		if (r == LANES_E_NONE)
			return;
		if (!r)
			r = start(g, id);
		if (r < 0) {
			engine_log_about(g, LOG_LVL_WARN, id,
					 "a queued job could not be started now (%s), continuing",
					 strerror(-r));
			sched_hold(g);
			return;
		}
	}
	g->sched_kick = true;
}

/* ---- deadlines of queued jobs: absolute or inherited */

void
sched_overdue_arm(struct engine *g)
{
	int64_t us = 0;
	int r = store_queue_next_deadline(g->store, &us);
	ev_tstamp at;

	ev_periodic_stop(g->loop, &g->overdue);
	if (r != 0 || g->stopping)
		return;
	at = (double)us / 1e6;
	if (!txn_ok(g->txn) && at < ev_now(g->loop) + STORAGE_RETRY_SEC) /* not again and again */
		at = ev_now(g->loop) + STORAGE_RETRY_SEC;
	ev_periodic_set(&g->overdue, at, 0., NULL);
	ev_periodic_start(g->loop, &g->overdue);
}

static int
expire_by_id(struct engine *g, uint64_t id)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r = store_job_get(g->store, id, &j);

	if (r != 0)
		return err_fold(r);
	if (j->state != JOB_QUEUED) /* the end of another of this turn has reached it */
		return 0;
	return expire(g, take_ptr(j));
}

static void
sched_on_overdue(struct ev_loop *loop, ev_periodic *w, int revents)
{
	struct engine *g = container_of(w, struct engine, overdue);
	uint64_t ids[OVERDUE_PER_TURN];
	size_t n = 0;
	int r;

	(void)revents;
	r = store_queue_overdue(g->store, wall_to_usec(wall_now()), ids, ARRAY_SIZE(ids), &n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = expire_by_id(g, ids[i]);
	if (r < 0 || n == ARRAY_SIZE(ids)) {
		ev_periodic_stop(loop, w);
		ev_periodic_set(w, ev_now(loop) + (r < 0 ? STORAGE_RETRY_SEC : 0.001), 0., NULL);
		ev_periodic_start(loop, w);
		return;
	}
	sched_overdue_arm(g);
}

void
sched_init(struct engine *g)
{
	ev_init(&g->sched_again, sched_on_again);
	ev_periodic_init(&g->overdue, sched_on_overdue, 0., 0., NULL);
}

void
sched_done(struct engine *g)
{
	ev_timer_stop(g->loop, &g->sched_again);
	ev_periodic_stop(g->loop, &g->overdue);
}
