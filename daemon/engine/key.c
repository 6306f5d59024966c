/* key.c - same key, same job; and starting one anew.
 *
 * A key is its user's own name for one piece of work, so that asking twice makes one job, however
 * the first answer was lost. What is compared is what is done: the command, where, as what class
 * and name, for how long, with which input. Environment and context are not: they differ between
 * two attempts of one client to say the same. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "core/deadline.h"
#include "engine/impl.h"

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool
same_input(const struct job *j, const struct spool *s)
{
	if (!s || !j->has_stdin)
		return !s && !j->has_stdin;
	return j->stdin_bytes == spool_bytes(s) && j->stdin_hash == spool_hash(s);
}

static bool
same_payload(const struct job *j, const struct submit_args *a)
{
	return j->argv.size == a->argv.size &&
	       memcmp(j->argv.data, a->argv.data, j->argv.size) == 0 &&
	       same_text(j->cwd, a->cwd ? a->cwd : "/") &&
	       same_text(j->class_name, a->class_name ? a->class_name : "default") &&
	       same_text(j->name, a->name) && j->timeout_requested_us == a->timeout_us &&
	       j->split_output == a->split_output && same_input(j, a->stdin_spool);
}

/* Has J ended, and not well? What a person resolved as succeeded has ended well. */
static bool
ended_without_success(const struct job *j)
{
	return job_state_allowed(j->state, JOB_QUEUED) && job_state_ended(j->state) &&
	       !(j->resolution_as && strcmp(j->resolution_as, "succeeded") == 0);
}

static int
conflict(const char *key, uint64_t id, const char *why, struct refusal *r)
{
	r->id = id;
	return refusal_set(r, REFUSAL_KEY_CONFLICT, key, "%s", why);
}

int
key_find(struct engine *g, const struct requester *who, const struct submit_args *a,
	 struct job **ret, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	uint64_t id = 0;
	int e = store_job_by_key(g->store, who->uid, a->key, &id);

	if (e == STORE_E_NOT_FOUND)
		return KEY_E_NEW;
	if (!e)
		e = store_job_get(g->store, id, &j);
	if (e)
		return err_fold(e);
	if (a->if_exists == IF_EXISTS_FAIL)
		return conflict(a->key, id, "there is a job with this key", r);
	if (!same_payload(j, a))
		return conflict(a->key, id, "the job with this key runs something else", r);
	if (a->if_exists == IF_EXISTS_RETRY && ended_without_success(j)) {
		j->bound = a->bound; /* to whoever asks for this attempt */
		e = key_retry(g, who, j, r);
		if (e)
			return e;
	}
	*ret = take_ptr(j);
	return 0;
}

/* ---- once more */

static int
refuse(struct refusal *r, const char *why)
{
	return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "if_exists", "it cannot be retried: %s",
			   why);
}

/* Attached to a context that is over, a new attempt would be cancelled at once. */
static int
check_parent(struct engine *g, const struct job *j, struct refusal *r)
{
	_cleanup_(job_freep) struct job *parent = NULL;
	int e;

	if (j->parent == 0 || !(j->inherit & INHERIT_CANCEL))
		return 0;
	e = store_job_get(g->store, j->parent, &parent);
	if (e == STORE_E_NOT_FOUND)
		return refuse(r, "the record of the parent it is attached to is gone");
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
check_what_is_kept(struct engine *g, const struct job *j, struct refusal *r)
{
	_cleanup_(strv_done) struct strv env = {0};
	int e = store_env_get(g->store, j->id, &env);

	if (e == STORE_E_NOT_FOUND)
		return refuse(r, "its environment is not kept any more ([environment] keep)");
	if (e)
		return err_fold(e);
	if (j->has_stdin && !spool_kept(g, j->id))
		return refuse(r, "its standard input is not kept any more");
	return 0;
}

static int
check_retry(struct engine *g, const struct job *j, struct refusal *r)
{
	int64_t latest = deadline_latest(j);
	int e;

	if (j->survivors_possible && !j->resolution_as)
		return refuse(r, "processes of its last attempt may be alive; resolve it first");
	if (latest > 0 && latest <= wall_to_usec(wall_now()))
		return refuse(r, deadline_latest_rule(j) == RULE_ABSOLUTE
					 ? "the deadline that was asked for it has passed"
					 : "the deadline it inherits has passed");
	e = check_parent(g, j, r);
	e = e ? e : check_what_is_kept(g, j, r);
	return e ? e : submit_check_room(g, j->uid, r);
}

/* What the last attempt left in the row goes; history keeps its end. */
static int
reset(struct job *j)
{
	j->requeues = 0;
	j->seq = 0;
	memset(j->boot, 0, sizeof(j->boot));
	j->pid = 0;
	j->cancel_attempt = 0;
	j->cancel_now = false;
	j->started_us = j->ended_us = 0;
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
	j->resolution_by = 0;
	j->resolution_at_us = 0;
	if (job_set(&j->progress_text, NULL) < 0 || job_set(&j->cause, NULL) < 0 ||
	    job_set(&j->resolution_as, NULL) < 0)
		return -ENOMEM;
	return job_set(&j->resolution_note, NULL);
}

int
key_retry(struct engine *g, const struct requester *who, struct job *j, struct refusal *r)
{
	struct why why = {CAUSE_NONE, "retried", who->uid};
	int e = check_retry(g, j, r);

	if (e)
		return e;
	e = reset(j);
	if (e < 0)
		return err_raise(e, "retry a job");
	j->attempt++;
	deadline_grant(g->policy, j->class_name, j->timeout_requested_us, &j->timeout_us,
		       &j->deadline_rule);
	j->deadline_us = deadline_latest(j);
	e = lifecycle_set(g, j, JOB_QUEUED, &why);
	if (e < 0)
		return err_pass(e);
	CRASH_COMMIT("ctxd.retry");
	if (j->deadline_us > 0)
		sched_overdue_arm(g);
	engine_log_edge(j, "queued for another attempt");
	return 0;
}
