/* submit.c - accepting a job: its key, defaults, environment, input, and the row; started at once
 * when a slot is free. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/text.h"
#include "core/deadline.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/queue.h"
#include "engine/submit.h"
#include "engine/tell.h"
#include "engine/tree.h"

/* Environment as the configuration lets it in. */
static int
filter_env(const struct policy *p, const struct strv *env, struct strv *ret, struct notices *n)
{
	size_t left_out = 0;
	const char *one = NULL;

	for (const char *e = strv_first(env); e; e = strv_next(env, e)) {
		size_t len = strcspn(e, "=");
		int r = 0;

		if (policy_env_taken(p, e, len)) {
			r = strv_add(ret, e);
		} else {
			left_out++;
			one = e;
		}
		if (r < 0)
			return r;
	}
	if (left_out == 1)
		notice_add(n, "the configuration leaves out the variable %.*s",
			   (int)strcspn(one, "="), one);
	else if (left_out > 1)
		notice_add(n, "the configuration leaves out %zu variables of the environment",
			   left_out);
	return 0;
}

int
submit_copy_who(struct job *j, const struct requester *who)
{
	j->uid = who->uid;
	j->gid = who->gid;
	j->submitted_by = who->uid;
	if (who->n_groups > 0) {
		j->groups = reallocarray(NULL, who->n_groups, sizeof(*j->groups));
		if (!j->groups)
			return -ENOMEM;
		memcpy(j->groups, who->groups, who->n_groups * sizeof(*j->groups));
		j->n_groups = who->n_groups;
	}
	if (job_set(&j->user, who->user) < 0 || job_set(&j->home, who->home) < 0)
		return -ENOMEM;
	return job_set(&j->shell, who->shell);
}

const struct requester *
submit_owner(const struct requester *who, const struct submit_args *a)
{
	return a->as ? a->as : who;
}

static void
copy_numbers(const struct policy *p, struct job *j, const struct submit_args *a)
{
	const struct policy_class *c = policy_class_find(p, j->class_name);
	int64_t mask;

	j->umask = a->has_umask ? a->umask : 022;
	if (c && policy_limit(c->umask, &mask))
		j->umask = (uint32_t)mask;
	j->bound = a->bound;
	j->priority = a->has_priority        ? a->priority
		      : c && c->has_priority ? (int32_t)c->priority
					     : 0;
	j->timeout_requested_us = a->timeout_us;
	j->deadline_requested_us = a->deadline_us;
	j->grace_us = a->grace_us > 0        ? a->grace_us
		      : c && c->grace_us > 0 ? c->grace_us
					     : p->grace_us;
	j->stop_signal = a->stop_signal > 0        ? a->stop_signal
			 : c && c->stop_signal > 0 ? (int32_t)c->stop_signal
						   : (int32_t)p->stop_signal;
	j->split_output = a->split_output;
	j->warn_us = a->warn_us;
	j->warn_signal = a->warn_us == 0 ? 0 : a->warn_signal > 0 ? a->warn_signal : SIGUSR1;
	j->watchdog_us = a->watchdog_us;
	j->not_before_us = a->not_before_us;
	j->retries = a->retries;
	j->backoff_us = a->backoff_us;
	j->has_stdin = a->stdin_spool != NULL;
	if (j->has_stdin) {
		j->stdin_bytes = spool_bytes(a->stdin_spool);
		j->stdin_hash = spool_hash(a->stdin_spool);
	}
	j->submitted_us = wall_to_usec(wall_now());
	deadline_grant(p, j->class_name, a->timeout_us, &j->timeout_us, &j->deadline_rule);
}

static int
make_job(struct engine *g, const struct requester *who, const struct submit_args *a,
	 struct job **ret, struct notices *n, struct refusal *r)
{
	const struct requester *owner = submit_owner(who, a);
	_cleanup_(job_freep) struct job *j = job_new();
	int e;

	if (!j || submit_copy_who(j, owner) < 0 || strv_copy(&j->argv, &a->argv) < 0 ||
	    job_set(&j->name, a->name) < 0 || job_set(&j->key, a->key) < 0 ||
	    job_set(&j->class_name, a->class_name ? a->class_name : "default") < 0 ||
	    job_set(&j->cwd, a->cwd ? a->cwd : "/") < 0)
		return err_raise(-ENOMEM, "take in a job");
	j->state = JOB_QUEUED;
	j->submitted_by = who->uid;
	copy_numbers(g->policy, j, a);
	e = context_derive(g, owner, &a->context, j, n, r);
	if (e != 0)
		return e;
	j->deadline_us = deadline_latest(j);
	*ret = take_ptr(j);
	return 0;
}

void
submit_notice_clamp(const struct job *j, struct notices *n)
{
	char asked[CLOCK_TEXT], granted[CLOCK_TEXT];

	if ((j->deadline_rule != RULE_CLASS_MAX && j->deadline_rule != RULE_GLOBAL_MAX) ||
	    j->timeout_requested_us == INT64_MAX || j->timeout_requested_us == 0)
		return;
	notice_add(n, "timeout: asked %s, granted %s (rule %s)",
		   j->timeout_requested_us > DUR_MAX_US
			   ? "more than ten years"
			   : dur_format(dur_usec(j->timeout_requested_us), asked, sizeof(asked)),
		   dur_format(dur_usec(j->timeout_us), granted, sizeof(granted)),
		   job_rule_name(j->deadline_rule));
}

/* --deadline sets a latest moment; the time to run is still the timeout's. Whoever expects
 * otherwise is told. */
static void
notice_earlier(const struct job *j, struct notices *n)
{
	char granted[CLOCK_TEXT];
	int64_t latest = wall_to_usec(wall_now()) + j->timeout_us;

	if (j->deadline_requested_us == 0 || j->deadline_requested_us <= latest ||
	    j->timeout_requested_us != 0)
		return;
	notice_add(
		n,
		"the deadline is later than the timeout of %s (rule %s) ends: ask for more with a "
		"timeout",
		dur_format(dur_usec(j->timeout_us), granted, sizeof(granted)),
		job_rule_name(j->deadline_rule));
}

/* The warning is for those who can still do something about it. */
static void
notice_warn(const struct job *j, struct notices *n)
{
	int64_t latest = deadline_latest(j), left = j->timeout_us;
	char warn[CLOCK_TEXT];

	if (latest > 0 && latest - wall_to_usec(wall_now()) < left)
		left = latest - wall_to_usec(wall_now());
	if (j->warn_us == 0 || j->warn_us < left)
		return;
	notice_add(n,
		   "warn: %s before the deadline is before the start: the warning is given as soon "
		   "as the job starts",
		   dur_format(dur_usec(j->warn_us), warn, sizeof(warn)));
}

static void
notice_past(const struct job *j, struct notices *n)
{
	if (j->not_before_us > 0 && j->not_before_us <= wall_to_usec(wall_now()))
		notice_add(n, "not_before: that time is past: the job starts as soon as it can");
}

static void
notice_retries(const struct policy *p, const struct job *j, struct notices *n)
{
	const struct policy_class *c = policy_class_find(p, j->class_name);

	if (c && c->max_attempts > 0 && j->retries > c->max_attempts - 1)
		notice_add(n,
			   "retries: asked %" PRIu32 ", granted %" PRId64
			   " (max_attempts of the class)",
			   j->retries, c->max_attempts - 1);
}

static bool
slot_free(struct engine *g, const struct job *j)
{
	if (!sched_may_start(g) || job_blocked(j))
		return false;
	return lanes_slot(&g->lanes, g->policy, j->class_name, j->uid);
}

/* Insert J as running and start it after the commit. ENV is moved out. */
static int
insert_running(struct engine *g, struct job *j, struct strv *env)
{
	_cleanup_(job_freep) struct job *copy = NULL;
	uint64_t seq = 0;
	int r = txn_write(g->txn, __func__);

	if (!r)
		r = store_seq_next(g->store, &seq);
	if (r < 0)
		return err_pass(r);
	start_prepare(g, j, seq);
	j->state = JOB_RUNNING;
	r = lifecycle_create(g, j, env, j->submitted_by);
	if (r < 0)
		return err_pass(r);
	copy = job_copy(j);
	r = copy ? start_defer(g, take_ptr(copy), env) : err_raise(-ENOMEM, "start a job");
	if (r < 0) /* running, and nothing would start it */
		txn_spoil(g->txn);
	return r;
}

static int
insert(struct engine *g, struct job *j, struct strv *env, const struct depend *d, struct refusal *r)
{
	int e;

	if (slot_free(g, j))
		return insert_running(g, j, env);
	e = submit_check_room(g, j->uid, r);
	e = e ? e : lifecycle_create(g, j, env, j->submitted_by);
	if (!e && d->n > 0) {
		e = depend_keep(g, j, d);
		if (e < 0) /* it would wait for nobody, for ever */
			txn_spoil(g->txn);
	}
	if (!e && j->not_before_us > 0)
		delay_arm(g);
	if (!e && j->deadline_us > 0)
		sched_overdue_arm(g);
	if (!e)
		lifecycle_log(g, j, "queued");
	return e;
}

/* The input goes to the disk first: that is what may fail while nothing is written yet. */
static int
insert_with_input(struct engine *g, struct job *j, struct strv *env, const struct depend *d,
		  struct spool *input, struct refusal *r)
{
	int e = submit_check_input(g, j, r);

	e = e ? e : spool_sync(input);
	if (e == -EBADF)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "stdin",
				   "went to another job already");
	e = e ? e : insert(g, j, env, d, r);
	if (e)
		return e;
	e = spool_keep(g, input, j);
	if (e < 0)
		txn_spoil(g->txn);
	return e;
}

/* OWN: of the daemon itself. */
static int
submit_new(struct engine *g, const struct requester *who, const struct submit_args *a, bool own,
	   struct job **ret_job, struct notices *n, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	_cleanup_(strv_done) struct strv env = {0};
	struct depend depend;
	int e = submit_check_moment(g, who, a, r);

	if (e)
		return e;
	if (g->lanes.queued > 0) { /* whoever waited longer goes first; before a parent is looked
				      at, for this may find that its time has passed */
		sched_kick(g);
		sched_run(g);
	}
	e = make_job(g, who, a, &j, n, r);
	if (!e)
		e = own ? strv_copy(&env, &a->env) : filter_env(g->policy, &a->env, &env, n);
	if (e != 0)
		return err_pass(e);
	assert(j);
	submit_notice_clamp(j, n);
	limits_notice(g, j, n);
	notice_earlier(j, n);
	notice_warn(j, n);
	notice_past(j, n);
	notice_retries(g->policy, j, n);
	e = depend_take(g, submit_owner(who, a), a, j, &depend, r);
	if (e == 0)
		e = a->stdin_spool ? insert_with_input(g, j, &env, &depend, a->stdin_spool, r)
				   : insert(g, j, &env, &depend, r);
	if (e == 0)
		*ret_job = take_ptr(j);
	CRASH_COMMIT("ctxd.submit");
	return e;
}

int
submit_own(struct engine *g, const struct requester *who, const struct submit_args *a,
	   struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct notices n = {.n = 0};
	int e = key_find(g, who, a, &j, r);

	return e == KEY_E_NEW ? submit_new(g, who, a, true, &j, &n, r) : e;
}

int
engine_submit(struct engine *g, const struct requester *who, const struct submit_args *a,
	      struct job **ret_job, bool *ret_created, struct notices *n, struct refusal *r)
{
	int e;

	if (g->stopping)
		return refusal_set(r, REFUSAL_NOT_READY, NULL, "ctxd is stopping");
	e = submit_check_as(g, who, a, r);
	e = e ? e : submit_check_request(a, r);
	if (e)
		return e;
	CRASH_POINT("ctxd.submit.read");
	e = a->key ? key_find(g, who, a, ret_job, r) : KEY_E_NEW;
	*ret_created = e == KEY_E_NEW;
	if (*ret_created && control_queue_refuses(g))
		return refusal_draining(r);
	if (*ret_created) {
		e = submit_new(g, who, a, false, ret_job, n, r);
		if (e == 0)
			audit_job(g, who, *ret_job, "submit");
		return e;
	}
	if (e == 0) {
		engine_live_facts(g, *ret_job);
		if (a->bound && !job_state_ended((*ret_job)->state))
			engine_client_back(g, (*ret_job)->id);
	}
	return e;
}
