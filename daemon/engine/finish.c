/* finish.c - a job, or scope, is taken to its end, or back to the queue: the row, what is attached
 * below it, another attempt; and after the commit, whoever is to know. */
#include <errno.h>
#include <stdlib.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/forward.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/tell.h"
#include "engine/tree.h"

struct finish_fx {
	struct effect fx;
	struct engine *g;
	struct job *job;   /* owned */
	struct job *ended; /* owned: JOB as it ended, if it has gone on to its next attempt */
	uint32_t attempt;  /* that ended */
	bool was_live;
};

/* Whoever followed the output was told the end, and how long it is, just before. */
static void
spare_output(struct engine *g, const struct job *j)
{
	bool known = j->known_by == KNOWN_BY_MONITOR || j->known_by == KNOWN_BY_RESULT_FILE;

	if (!g->system_mode && job_state_ended(j->state) && known && j->out_bytes == 0)
		output_spare(g->output, j->id, j->attempt);
}

static void
finish_run(struct effect *fx, int result)
{
	struct finish_fx *f = container_of(fx, struct finish_fx, fx);
	struct engine *g = f->g;
	struct live *l = live_find(g, f->job->id);

	if (l)
		l->in_txn = false;
	if (result < 0) {
		if (l) /* kept here and in the run directory, until it can be written */
			live_again(l);
	} else {
		if (f->was_live) {
			exec_unlink(g->exec, f->job->id, f->attempt);
			(void)exec_forget(g->exec, f->job->id, f->attempt);
		}
		if (l)
			live_free(l);
		if (f->job->kind == JOB_KIND_SCOPE)
			scope_arm(g);
		if (job_state_ended(f->job->state)) {
			bound_forget(g, f->job->id);
			lifecycle_ended(g, f->job);
			spare_output(g, f->job);
			forward_over(g, f->job->id, f->attempt);
		} else {
			if (f->ended)
				log_job_edge(f->ended, job_state_name(f->ended->state));
			log_job_edge(f->job, "queued again");
			if (f->job->attempt != f->attempt) {
				metrics_retried(&g->metrics, f->job);
				forward_over(g, f->job->id, f->attempt);
				watch_again(g, f->job->id);
			}
		}
	}
	(void)job_free(f->job);
	(void)job_free(f->ended);
	free(f);
}

/* *RET: what is done after the commit, until then. */
static int
finish(struct engine *g, struct job *j, enum job_state to, const struct why *why,
       struct finish_fx **ret)
{
	struct finish_fx *f = calloc(1, sizeof(*f));
	struct live *l = live_find(g, j->id);
	int r;

	if (!f) {
		(void)job_free(j);
		return err_raise(-ENOMEM, "end a job");
	}
	*f = (struct finish_fx){.fx.run = finish_run,
				.g = g,
				.job = j,
				.attempt = j->attempt,
				.was_live = j->state == JOB_RUNNING || j->state == JOB_STOPPING};
	r = lifecycle_set(g, j, to, why);
	if (!r && to == JOB_SUCCEEDED)
		r = store_env_drop(g->store, j->id);
	if (!r)
		r = forward_ending(g, j->id);
	if (r < 0) {
		(void)job_free(j);
		free(f);
		return err_pass(r);
	}
	if (l)
		l->in_txn = true;
	CRASH_COMMIT(to == JOB_QUEUED ? "ctxd.requeue" : f->was_live ? "ctxd.end" : "ctxd.over");
	/* Most jobs end unwatched, and no other waits for the slot: that end can share a commit. */
	if (job_state_ended(to) && g->lanes.queued == 0 && !watch_any(g, j->id))
		txn_defer_lazy(g->txn, &f->fx);
	else
		txn_defer(g->txn, &f->fx);
	*ret = f;
	return 0;
}

int
finish_one(struct engine *g, struct job *j, enum job_state to, const struct why *why)
{
	struct finish_fx *f;

	return finish(g, j, to, why, &f);
}

int
finish_job(struct engine *g, struct job *j, enum job_state to, const struct why *why)
{
	bool itself = j->state == JOB_RUNNING || shutdown_stops(j); /* nobody wanted it to end */
	struct finish_fx *f = NULL;
	int r = finish(g, j, to, why, &f);

	if (r < 0)
		return err_pass(r); /* J is gone */
	if (job_state_ended(to)) {
		r = tree_done(g, j, why->by_uid, false, NULL);
		if (r == 0 && itself)
			r = retry_itself(g, j, &f->ended);
		if (r == 0)
			r = hook_run(g, j);
		if (r < 0) /* all of it, or nothing */
			txn_spoil(g->txn);
	}
	return r < 0 ? err_pass(r) : 0;
}
