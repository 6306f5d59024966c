/* retry.c - one more attempt of a job that ended without success: asked for by somebody (Retry, or
 * Submit with if_exists `retry`), or made by ctxd itself because the job, or its class, says so.
 *
 * Never while anything of the last attempt may be alive, and never of what was cancelled or ran out
 * of time unless somebody asks. What the last attempt told of itself is kept for the next one. */
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
#include "engine/queue.h"
#include "engine/submit.h"
#include "engine/tell.h"

#define BACKOFF_DEFAULT_US INT64_C(1000000)

static int
refuse(struct refusal *r, const char *field, const char *why)
{
	return refusal_set(r, REFUSAL_INVALID_ARGUMENT, field, "it cannot be retried: %s", why);
}

/* ---- what speaks against it */

/* Attached to a context that is over, a new attempt would be cancelled at once. */
static int
check_parent(struct engine *g, const struct job *j, const char *field, struct refusal *r)
{
	_cleanup_(job_freep) struct job *parent = NULL;
	int e;

	if (j->parent == 0 || !(j->inherit & INHERIT_CANCEL))
		return 0;
	e = store_job_get(g->store, j->parent, &parent);
	if (e == STORE_E_NOT_FOUND)
		return refuse(r, field, "the record of the parent it is attached to is gone");
	if (e)
		return err_fold(e);
	if (parent->state != JOB_STOPPING && !job_state_ended(parent->state))
		return 0;
	r->id = parent->id;
	r->state = parent->state;
	return refusal_set(r, REFUSAL_ALREADY_ENDED, NULL,
			   "its parent %" PRIu64 " has ended already", parent->id);
}

static int
check_what_is_kept(struct engine *g, const struct job *j, const char *field, struct refusal *r)
{
	_cleanup_(strv_done) struct strv env = {0};
	int e = store_env_get(g->store, j->id, &env);

	if (e == STORE_E_NOT_FOUND)
		return refuse(r, field,
			      "its environment is not kept any more ([environment] keep)");
	if (e)
		return err_fold(e);
	if (j->has_stdin && !spool_kept(g, j->id))
		return refuse(r, field, "its standard input is not kept any more");
	return 0;
}

/* AT_US: when it would start. */
static int
check(struct engine *g, const struct job *j, int64_t at_us, const char *field, struct refusal *r)
{
	int64_t latest = deadline_latest(j);
	int e;

	if (j->survivors_possible && !j->resolution_as)
		return refuse(r, field,
			      "processes of its last attempt may be alive; resolve it first");
	if (latest > 0 && latest <= at_us)
		return refuse(r, field,
			      deadline_latest_rule(j) == RULE_ABSOLUTE
				      ? "the deadline that was asked for it has passed"
				      : "the deadline it inherits has passed");
	e = check_parent(g, j, field, r);
	return e ? e : check_what_is_kept(g, j, field, r);
}

/* ---- the next attempt */

/* What the last attempt left in the row goes, but for what it told last; history keeps its end. */
static int
reset(struct job *j)
{
	if (j->has_percent || j->progress_text) {
		j->has_last_percent = j->has_percent;
		j->last_percent = j->percent;
		if (job_set(&j->last_text, j->progress_text) < 0)
			return -ENOMEM;
	}
	j->requeues = 0;
	j->seq = 0;
	memset(j->boot, 0, sizeof(j->boot));
	j->pid = 0;
	j->cancel_attempt = 0;
	j->cancel_now = false;
	j->started_us = j->ended_us = j->seen_us = 0;
	j->deadline_boot_ns = 0;
	j->progress_us = j->ready_us = 0;
	j->has_percent = false;
	j->percent = 0;
	j->has_exit_code = false;
	j->exit_code = j->signal = j->exec_errno = 0;
	j->has_leftovers = j->survivors_possible = j->has_usage = false;
	j->leftovers = 0;
	j->cause_code = CAUSE_NONE;
	j->known_by = KNOWN_BY_NONE;
	j->out_bytes = j->out_dropped = j->err_bytes = j->err_dropped = 0;
	j->user_us = j->system_us = j->max_rss_bytes = 0;
	j->has_memory_peak = j->has_io = false;
	j->memory_peak_bytes = j->io_read_bytes = j->io_write_bytes = 0;
	j->stop = (struct job_stop){0};
	j->unenforced = 0;
	j->resolution_by = 0;
	j->resolution_at_us = 0;
	if (job_set(&j->progress_text, NULL) < 0 || job_set(&j->cause, NULL) < 0 ||
	    job_set(&j->resolution_as, NULL) < 0)
		return -ENOMEM;
	return job_set(&j->resolution_note, NULL);
}

static int
queue_again(struct engine *g, struct job *j, const struct why *why)
{
	int r = reset(j);

	if (r < 0)
		return err_raise(r, "retry a job");
	j->attempt++;
	r = trace_new_span(j->trace.span_id); /* each attempt is a span of its own */
	if (r < 0)
		return err_raise(r, "a span for another attempt");
	deadline_grant(g->policy, j->class_name, j->timeout_requested_us, &j->timeout_us,
		       &j->deadline_rule);
	j->deadline_us = deadline_latest(j);
	r = lifecycle_set(g, j, JOB_QUEUED, why);
	if (r < 0)
		return err_pass(r);
	CRASH_COMMIT("ctxd.retry");
	if (j->deadline_us > 0)
		sched_overdue_arm(g);
	if (j->not_before_us > 0)
		delay_arm(g);
	return 0;
}

/* ---- asked for */

int
retry_asked(struct engine *g, const struct requester *who, struct job *j, const char *field,
	    struct refusal *r)
{
	struct why why = {CAUSE_NONE, "retried", who->uid};
	int e;

	if (control_queue_refuses(g))
		return refusal_draining(r);
	e = check(g, j, wall_to_usec(wall_now()), field, r);
	e = e ? e : submit_check_room(g, j->uid, r);
	if (e)
		return e;
	j->retried = 0;
	e = queue_again(g, j, &why);
	if (e)
		return e;
	lifecycle_log(g, j, "queued for another attempt");
	audit_job(g, who, j, "retry");
	return 0;
}

bool
retry_possible(const struct job *j)
{
	return job_state_allowed(j->state, JOB_QUEUED) && job_state_ended(j->state) &&
	       !(j->resolution_as && strcmp(j->resolution_as, "succeeded") == 0);
}

/* One that waits out its backoff need not. */
static int
hasten(struct engine *g, const struct requester *who, struct job *j)
{
	struct why why = {CAUSE_NONE, "retried now", who->uid};
	int r;

	j->not_before_us = 0;
	r = lifecycle_waits(g, j, true);
	if (!r)
		r = lifecycle_note(g, j, &why);
	if (!r)
		audit_job(g, who, j, "retry");
	return r;
}

static int
refuse_state(const struct job *j, struct refusal *r)
{
	if (j->kind == JOB_KIND_SCOPE)
		return refuse(r, "id", "a scope runs nothing");
	if (j->state == JOB_SUCCEEDED)
		return refuse(r, "id", "it succeeded");
	if (j->resolution_as)
		return refuse(r, "id", "it was resolved as succeeded");
	return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
			   "it cannot be retried: it has not ended, it is %s",
			   job_state_name(j->state));
}

int
engine_retry(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	     struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int e;

	if (g->stopping)
		return refusal_set(r, REFUSAL_NOT_READY, NULL, "ctxd is stopping");
	e = engine_fetch(g, who, id, &j, r);
	if (e)
		return e;
	assert(j);
	if (j->kind == JOB_KIND_JOB && j->state == JOB_QUEUED && j->attempt > 1 &&
	    j->not_before_us > 0)
		e = hasten(g, who, j);
	else if (j->kind == JOB_KIND_SCOPE || !retry_possible(j))
		return refuse_state(j, r);
	else
		e = retry_asked(g, who, j, "id", r);
	if (e == 0)
		*ret = take_ptr(j);
	return e;
}

/* ---- by itself */

/* How many attempts ctxd may add by itself to one that ended as J did. */
static int64_t
allowance(const struct engine *g, const struct job *j)
{
	const struct policy_class *c = policy_class_find(g->policy, j->class_name);
	int64_t most = c && c->max_attempts > 0 ? c->max_attempts - 1 : -1, n = 0;

	if (j->state == JOB_FAILED)
		n = j->retries;
	else if (j->state == JOB_INTERRUPTED && c && c->on_interrupt == ON_INTERRUPT_RETRY)
		n = most >= 0 ? most : RETRY_INTERRUPTED_DEFAULT;
	return most >= 0 && n > most ? most : n;
}

static int64_t
backoff(const struct job *j)
{
	int64_t us = j->backoff_us > 0 ? j->backoff_us : BACKOFF_DEFAULT_US;

	for (uint32_t i = 0; i < j->retried && us < RETRY_BACKOFF_MOST_US; i++)
		us *= 2;
	return us < RETRY_BACKOFF_MOST_US ? us : RETRY_BACKOFF_MOST_US;
}

int
retry_itself(struct engine *g, struct job *j, struct job **ret_ended)
{
	_cleanup_(job_freep) struct job *ended = NULL;
	struct refusal refusal = {.id = 0};
	struct why why = {CAUSE_NONE, NULL, -1};
	char text[96], span[CLOCK_TEXT];
	int64_t delay = backoff(j), at;
	int r;

	if (j->kind != JOB_KIND_JOB || (int64_t)j->retried >= allowance(g, j))
		return 0;
	at = wall_to_usec(wall_now()) + delay;
	r = check(g, j, at, "id", &refusal);
	if (r == ENGINE_E_REFUSED) {
		log_job_later(g, LOG_LVL_INFO, j->id, "job=%" PRIu64 " is not retried: %s", j->id,
			      refusal.reason);
		return 0;
	}
	if (r < 0)
		return err_pass(r);
	ended = job_copy(j);
	if (!ended)
		return err_raise(-ENOMEM, "retry a job");
	(void)snprintf(text, sizeof(text), "to be retried by itself after %s",
		       dur_format(dur_usec(delay), span, sizeof(span)));
	why.text = text;
	j->retried++;
	j->not_before_us = at;
	r = queue_again(g, j, &why);
	if (r == 0)
		*ret_ended = take_ptr(ended);
	return r;
}
