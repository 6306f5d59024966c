/* live.c - the table of jobs that are running or stopping: ctxd's own backstop behind each
 * deadline, and their ends, kept until they are committed. What an end means is for judge.c to say.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/queue.h"
#include "engine/tell.h"

#define BACKSTOP_SEC 5.0 /* after deadline and grace: ctxd itself asks the monitor to kill */

/* The first wait; doubles each time, REQUEUES_MAX times. */
#define START_AGAIN_US INT64_C(1000000)

enum { LIVE_MAGIC = 0x4c495645 };

struct live *
live_find(const struct engine *g, uint64_t id)
{
	struct map_node *n = map_find(&g->live, id);

	return n ? container_of(n, struct live, node) : NULL;
}

static void
live_on_backstop(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct live *l = container_of(w, struct live, backstop);
	int64_t due = l->deadline_boot_ns + l->grace_us * NSEC_PER_USEC;

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LIVE_MAGIC);
	if (mono_now().ns < due) { /* extended meanwhile */
		live_arm_backstop(l);
		return;
	}
	engine_log_about(l->engine, LOG_LVL_WARN, l->id,
			 "job %ju: still there after its deadline and grace; its monitor is asked "
			 "to kill, continuing",
			 (uintmax_t)l->id);
	if (exec_stop(l->engine->exec, l->id, l->attempt, true, STOP_CAUSE_DEADLINE) < 0)
		(void)exec_look(l->engine->exec, l->id, l->attempt);
	ev_timer_set(&l->backstop, BACKSTOP_SEC, 0.);
	ev_timer_start(l->engine->loop, &l->backstop);
}

/* ev_timer runs on a clock that stands still in suspend; the callback judges by CLOCK_BOOTTIME. */
void
live_arm_backstop(struct live *l)
{
	int64_t due = l->deadline_boot_ns + l->grace_us * NSEC_PER_USEC;
	double after = (double)(due - mono_now().ns) / 1e9 + BACKSTOP_SEC;

	ev_timer_stop(l->engine->loop, &l->backstop);
	ev_timer_set(&l->backstop, after < 0.001 ? 0.001 : after, 0.);
	ev_timer_start(l->engine->loop, &l->backstop);
}

static void
live_on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct live *l = container_of(w, struct live, again);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LIVE_MAGIC);
	if (l->has_end)
		live_ended(l, &l->end, l->end_by);
	else
		recovery_step(l);
}

void
live_again(struct live *l)
{
	ev_timer_stop(l->engine->loop, &l->again);
	ev_timer_set(&l->again, STORAGE_RETRY_SEC, 0.);
	ev_timer_start(l->engine->loop, &l->again);
}

struct live *
live_new(struct engine *g, const struct job *j)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l || map_insert(&g->live, j->id, &l->node) < 0) {
		free(l);
		return NULL;
	}
	l->magic = LIVE_MAGIC;
	l->engine = g;
	l->id = j->id;
	l->attempt = j->attempt;
	l->seq = j->seq;
	l->phase = LIVE_UNKNOWN;
	l->deadline_boot_ns = j->deadline_boot_ns;
	l->grace_us = j->grace_us;
	l->cancel = j->cancel_attempt == j->attempt;
	l->cancel_now = l->cancel && j->cancel_now;
	l->found_stopping = j->state == JOB_STOPPING;
	ev_init(&l->backstop, live_on_backstop);
	ev_init(&l->again, live_on_again);
	progress_attach(l);
	live_arm_backstop(l);
	return l;
}

void
live_free(struct live *l)
{
	ev_timer_stop(l->engine->loop, &l->backstop);
	ev_timer_stop(l->engine->loop, &l->again);
	progress_detach(l);
	recovery_known(l);
	map_remove(&l->engine->live, &l->node);
	l->magic = 0;
	free(l);
}

/* ---- the end */

/* Nothing of J ever ran: the same attempt again, when it has waited by itself, for what is short
 * may be short for its user alone. Takes J. */
static int
start_over(struct live *l, struct job *j)
{
	struct engine *g = l->engine;
	char why[200], text[240];
	int r;

	(void)snprintf(text, sizeof(text), "could not be started: %s",
		       judge_exec_text(j, &l->end, why, sizeof(why)));
	log_job(LOG_LVL_WARN, j, "%s; it waits, continuing", text);
	j->not_before_us = wall_to_usec(wall_now()) + (START_AGAIN_US << j->requeues);
	if (j->requeues > 0 && j->requeues < REQUEUES_MAX)
		j->requeues++;
	r = recovery_never_ran(g, j, text, l->end.exec_error);
	if (r == 0)
		delay_arm(g);
	return r;
}

/* L may be gone afterwards. */
static int
commit_end(struct live *l)
{
	struct engine *g = l->engine;
	_cleanup_(job_freep) struct job *j = NULL;
	char text[200];
	struct why why;
	enum job_state to;
	int r = store_job_get(g->store, l->id, &j);

	if (r != 0)
		return err_fold(r);
	if (j->attempt != l->attempt || (j->state != JOB_RUNNING && j->state != JOB_STOPPING)) {
		log_job(LOG_LVL_ERR, j, "an end came of attempt %u, and the row is %s: ignored",
			l->attempt, job_state_name(j->state));
		exec_unlink(g->exec, l->id, l->attempt);
		live_free(l);
		return 0;
	}
	if (j->state == JOB_RUNNING && judge_unborn(&l->end) && j->requeues <= REQUEUES_MAX)
		return start_over(l, take_ptr(j));
	r = judge_facts(l, j, &l->end, l->end_by);
	if (r < 0)
		return err_pass(r);
	to = judge_end(l, j, &why, text, sizeof(text));
	return finish_job(g, take_ptr(j), to, &why);
}

void
live_ended(struct live *l, const struct result *res, enum known_by by)
{
	int r;

	if (l->in_txn)
		return;
	if (&l->end != res)
		l->end = *res;
	l->has_end = true;
	l->end_by = by;
	CRASH_POINT("ctxd.end.known");
	r = commit_end(l);
	if (r < 0)
		live_again(l);
}
