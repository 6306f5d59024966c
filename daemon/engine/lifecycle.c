/* lifecycle.c - the only writer of a job's state. Each change checks the allowed edge, writes the
 * row and one row of history in the open transaction, and keeps the counts of queued and running
 * jobs. What follows from a change (spawn, signal, answer) is the caller's, as an effect. */
#include <errno.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/text.h"
#include "core/stop.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/queue.h"
#include "engine/tell.h"
#include "engine/tree.h"

struct log_fx {
	struct effect fx;
	struct job *job;  /* owned */
	const char *what; /* a literal */
};

static bool
takes_slot(enum job_state s)
{
	return s == JOB_RUNNING || s == JOB_STOPPING;
}

/* BLOCKED: it was queued, and not in its lane. */
static int
count(struct engine *g, const struct job *j, enum job_state from, enum job_state to, bool blocked)
{
	int r = 0;

	if (from == JOB_QUEUED && blocked)
		lanes_undelayed(&g->lanes, j->uid);
	else if (from == JOB_QUEUED)
		lanes_unqueued(&g->lanes, j->class_name, j->uid, j->id);
	else if (takes_slot(from) && !takes_slot(to))
		lanes_ended(&g->lanes, j->class_name, j->uid);
	if (to == JOB_QUEUED && job_blocked(j))
		r = lanes_delayed(&g->lanes, j->uid);
	else if (to == JOB_QUEUED)
		r = lanes_queued(&g->lanes, j->class_name, j->uid, j->id, j->priority);
	else if (takes_slot(to) && !takes_slot(from))
		r = lanes_running(&g->lanes, j->class_name, j->uid);
	sched_kick(g);
	return r;
}

/* Who stopped J, how and when, as far as is known: into B for an edge that tells of it. NULL: this
 * one does not. */
static const char *
stop_of(const struct job *j, int from, struct buf *b)
{
	struct jw w;

	if ((int)j->state == from || !job_was_stopped(j) ||
	    (j->state != JOB_STOPPING && !job_state_ended(j->state)))
		return NULL;
	jw_init(&w, b);
	stop_write(&w, NULL, j);
	(void)buf_putc(b, '\0');
	return b->failed ? NULL : buf_head(b);
}

/* The end of what was being stopped has the cause of the stopping: an event tells it by itself. */
static int
history(struct engine *g, const struct job *j, int from, const struct why *why)
{
	bool kept = why->code == CAUSE_NONE && !why->text && job_state_ended(j->state);
	_cleanup_(buf_done) struct buf stop = {0};
	struct store_edge e = {.job = j->id,
			       .attempt = j->attempt,
			       .at_us = wall_to_usec(wall_now()),
			       .from = from,
			       .to = j->state,
			       .cause_code = kept ? j->cause_code : why->code,
			       .cause = kept ? j->cause : why->text,
			       .by_uid = why->by_uid,
			       .stop = stop_of(j, from, &stop)};

	if (stop.failed)
		return err_pass(stop.failed);
	events_changed(g);
	return store_history_add(g->store, &e);
}

int
lifecycle_create(struct engine *g, struct job *j, const struct strv *env, int64_t by_uid)
{
	struct why why = {CAUSE_NONE, NULL, by_uid};
	int r = txn_write(g->txn, __func__);

	assert(j->state == JOB_QUEUED || j->state == JOB_RUNNING || j->state == JOB_OPEN);
	if (!r)
		r = store_job_insert(g->store, j, env);
	if (!r)
		r = history(g, j, 0, &why);
	if (!r) {
		r = count(g, j, 0, j->state, false);
		if (r < 0) /* what is written is not what is counted */
			txn_spoil(g->txn);
	}
	return r < 0 ? err_pass(r) : err_fold(r);
}

void
lifecycle_asker(struct job *j, const struct requester *who)
{
	if (j->stop.asked_us == 0)
		j->stop.pid = who->pid > 0 ? (uint32_t)who->pid : 0;
}

/* Who asked is kept once: the first one stopped it. */
static void
note_stop(struct engine *g, struct job *j, enum job_state to, const struct why *why)
{
	bool stops = to == JOB_STOPPING || to == JOB_CANCELED || to == JOB_DEADLINE_EXCEEDED ||
		     to == JOB_CLOSED;

	if (!stops || why->code == CAUSE_NONE)
		return;
	if (j->stop.asked_us == 0)
		j->stop.asked_us = wall_to_usec(wall_now());
	if (!j->stop.has_uid && why->by_uid >= 0) {
		j->stop.has_uid = true;
		j->stop.uid = (uint32_t)why->by_uid;
	}
	if (why->code == CAUSE_PARENT_DEADLINE && j->stop.parent == 0)
		j->stop.parent = context_deadline_origin(g, j);
}

int
lifecycle_set(struct engine *g, struct job *j, enum job_state to, const struct why *why)
{
	enum job_state from = j->state;
	bool blocked = job_blocked(j), waits = j->waits > 0;
	int r = txn_write(g->txn, __func__);

	if (r < 0)
		return err_pass(r);
	if (!job_state_allowed(from, to)) {
		log_job(LOG_LVL_ERR, j, "%s cannot become %s", job_state_name(from),
			job_state_name(to));
		abort();
	}
	j->state = to;
	note_stop(g, j, to, why);
	if (to != JOB_QUEUED) {
		j->not_before_us = 0;
		j->held = false;
		j->waits = 0;
	}
	if (why->code != CAUSE_NONE) {
		j->cause_code = why->code;
		r = job_set(&j->cause, why->text);
	}
	if (job_state_ended(to) && j->ended_us == 0)
		j->ended_us = wall_to_usec(wall_now());
	if (!r)
		r = store_job_update(g->store, j, from);
	if (!r)
		r = history(g, j, (int)from, why);
	if (!r && job_state_ended(to)) {
		depend_settled(g, j->id);
		r = outbox_add(g, j);
	}
	if (!r && waits && j->waits == 0)
		r = depend_drop(g, j->id);
	if (!r) {
		r = count(g, j, from, to, blocked);
		if (r < 0) /* as above */
			txn_spoil(g->txn);
	}
	return r < 0 ? err_pass(r) : err_fold(r);
}

int
lifecycle_save(struct engine *g, struct job *j)
{
	int r = txn_write(g->txn, __func__);

	if (!r)
		r = store_job_update(g->store, j, j->state);
	return r < 0 ? err_pass(r) : err_fold(r);
}

int
lifecycle_waits(struct engine *g, struct job *j, bool was_blocked)
{
	bool blocked = job_blocked(j);
	int r = lifecycle_save(g, j);

	assert(j->state == JOB_QUEUED);
	if (r < 0 || blocked == was_blocked)
		return r;
	sched_kick(g);
	if (was_blocked) {
		lanes_undelayed(&g->lanes, j->uid);
		r = lanes_queued(&g->lanes, j->class_name, j->uid, j->id, j->priority);
	} else {
		lanes_unqueued(&g->lanes, j->class_name, j->uid, j->id);
		r = lanes_delayed(&g->lanes, j->uid);
	}
	if (r < 0)
		txn_spoil(g->txn);
	return r;
}

int
lifecycle_reprioritize(struct engine *g, struct job *j, int32_t priority)
{
	int r;

	assert(j->state == JOB_QUEUED);
	j->priority = priority;
	r = lifecycle_save(g, j);
	if (r < 0 || job_blocked(j))
		return r;
	lanes_unqueued(&g->lanes, j->class_name, j->uid, j->id);
	r = lanes_queued(&g->lanes, j->class_name, j->uid, j->id, priority);
	if (r < 0)
		txn_spoil(g->txn);
	return r;
}

int
lifecycle_note(struct engine *g, const struct job *j, const struct why *why)
{
	int r = txn_write(g->txn, __func__);

	if (!r)
		r = history(g, j, (int)j->state, why);
	return r < 0 ? err_pass(r) : err_fold(r);
}

static void
log_run(struct effect *fx, int result)
{
	struct log_fx *f = container_of(fx, struct log_fx, fx);

	if (result == 0)
		log_job_edge(f->job, f->what);
	(void)job_free(f->job);
	free(f);
}

void
lifecycle_log(struct engine *g, const struct job *j, const char *what)
{
	struct log_fx *f;

	if (!log_enabled(LOG_LVL_INFO))
		return;
	f = calloc(1, sizeof(*f));
	if (f)
		*f = (struct log_fx){.fx.run = log_run, .job = job_copy(j), .what = what};
	if (!f || !f->job) {
		free(f);
		return;
	}
	txn_defer(g->txn, &f->fx);
}

void
lifecycle_ended(struct engine *g, const struct job *j)
{
	log_job_edge(j, job_state_name(j->state));
	if (j->kind == JOB_KIND_JOB)
		metrics_ended(&g->metrics, j);
	if (j->state == JOB_SUCCEEDED && j->has_stdin) /* others may be retried */
		spool_remove(g, j->id);
	watch_tell(g, j);
	retain_output(g, j);
}
