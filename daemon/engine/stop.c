/* stop.c - a job that runs is taken to stopping: its row first, then, after the commit, its monitor
 * is told. Or its monitor began by itself, and the row follows. */
#include <errno.h>
#include <stdlib.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/tell.h"
#include "engine/tree.h"

struct stop_fx {
	struct effect fx;
	struct engine *g;
	struct job *job; /* that became stopping; owned; NULL: it was that before */
	uint64_t id;
	uint32_t attempt;
	bool tell, now; /* tell the monitor */
};
static void
stop_run(struct effect *fx, int result)
{
	struct stop_fx *f = container_of(fx, struct stop_fx, fx);
	struct live *l = live_find(f->g, f->id);

	if (result == 0 && f->tell && l && l->attempt == f->attempt) {
		l->cancel = true;
		l->cancel_now |= f->now;
		/* No link now: it is sent again when the monitor says HELLO. */
		(void)exec_stop(f->g->exec, f->id, f->attempt, f->now, STOP_CAUSE_REQUEST);
	}
	if (result == 0 && f->job)
		log_job_edge(f->job, "stopping");
	(void)job_free(f->job);
	free(f);
}

static struct stop_fx *
stop_fx_new(struct engine *g, const struct job *j, bool tell, bool now)
{
	struct stop_fx *f = calloc(1, sizeof(*f));

	if (f)
		*f = (struct stop_fx){.fx.run = stop_run,
				      .g = g,
				      .id = j->id,
				      .attempt = j->attempt,
				      .tell = tell,
				      .now = now};
	else
		(void)err_raise(-ENOMEM, "stop a job");
	return f;
}

/* Takes J. */
static int
become_stopping(struct engine *g, struct job *j, const struct why *why, bool tell, bool now)
{
	struct stop_fx *f = stop_fx_new(g, j, tell, now);
	int r = f ? lifecycle_set(g, j, JOB_STOPPING, why) : -ENOMEM;

	if (r < 0) {
		(void)job_free(j);
		free(f);
		return err_pass(r);
	}
	f->job = j;
	CRASH_COMMIT("ctxd.stop");
	txn_defer(g->txn, &f->fx);
	return 0;
}

int
stop_job(struct engine *g, struct job *j, const struct why *why, bool now)
{
	j->cancel_attempt = j->attempt;
	j->cancel_now = now;
	return become_stopping(g, j, why, true, now);
}

int
stop_hurry(struct engine *g, struct job *j)
{
	struct stop_fx *f;
	int r;

	if (j->cancel_now && j->cancel_attempt == j->attempt)
		return 0;
	f = stop_fx_new(g, j, true, true);
	if (!f)
		return -ENOMEM;
	j->cancel_attempt = j->attempt;
	j->cancel_now = true;
	r = lifecycle_save(g, j);
	if (r < 0) {
		free(f);
		return err_pass(r);
	}
	txn_defer(g->txn, &f->fx);
	return 0;
}

/* The monitor sent TERM because of the deadline or for want of a sign of life: the row follows. A
 * request's STOPPING was committed before it was sent. */
void
stop_heard(struct live *l, const struct frame_stopping *s)
{
	struct job *j = NULL;
	char text[160];
	struct why why;
	int r;

	if ((s->stop_cause != STOP_CAUSE_DEADLINE && s->stop_cause != STOP_CAUSE_WATCHDOG) ||
	    l->has_end)
		return;
	r = store_job_get(l->engine->store, l->id, &j);
	if (r != 0 || j->state != JOB_RUNNING || j->attempt != l->attempt) {
		(void)job_free(j);
		return;
	}
	if (s->stop_cause == STOP_CAUSE_WATCHDOG)
		judge_watchdog(j, &why, text, sizeof(text));
	else
		judge_deadline(l->engine, j, s->at_us, &why, text, sizeof(text));
	j->stop.asked_us = s->at_us;
	r = become_stopping(l->engine, j, &why, false, false);
	if (r == 0)
		(void)tree_done(l->engine, j, -1, false, NULL);
	/* If it cannot be written now the end will say the same. */
}
