/* submit.c - accepting a job: limits, defaults, environment, and the row; started at once when a
 * slot is free. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "core/deadline.h"
#include "engine/impl.h"

enum { PRIORITY_MOST = 1000000 };

void
notice(struct notices *n, const char *fmt, ...)
{
	va_list ap;

	if (n->n >= NOTICES_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(n->text[n->n++], sizeof(n->text[0]), fmt, ap);
	va_end(ap);
}

static int
check_span(int64_t us, const char *field, struct refusal *r)
{
	if (us < 0 || (us > 0 && us < 1000))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, field, "must be at least 1 ms");
	return 0;
}

int
submit_check_times(int64_t timeout_us, int64_t deadline_us, struct refusal *r)
{
	if (deadline_us != 0 && deadline_us <= wall_to_usec(wall_now()))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "deadline_at",
				   "is not in the future");
	return check_span(timeout_us, "timeout_usec", r);
}

static int
check_numbers(const struct submit_args *a, struct refusal *r)
{
	if (a->has_umask && a->umask > 0777)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "umask",
				   "must be within 0 and 0777 (octal)");
	if (a->has_priority && (a->priority < -PRIORITY_MOST || a->priority > PRIORITY_MOST))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "priority",
				   "must be within -%d and %d", PRIORITY_MOST, PRIORITY_MOST);
	if (a->stop_signal < 0 || a->stop_signal > 64)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "stop_signal", "no such signal");
	if (a->grace_us > DUR_MAX_US)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "grace_usec",
				   "longer than ten years");
	if (submit_check_times(a->timeout_us, a->deadline_us, r))
		return ENGINE_E_REFUSED;
	return check_span(a->grace_us, "grace_usec", r);
}

int
submit_check_names(struct engine *g, const char *name, const char *class_name, struct refusal *r)
{
	if (name && !text_job_name(name))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "name",
				   "must be 1 to 128 bytes without control characters");
	if (class_name && !policy_class_known(g->policy, class_name))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "class",
				   "there is no such class in the configuration");
	return 0;
}

static int
check_texts(struct engine *g, const struct submit_args *a, struct refusal *r)
{
	const char *first = strv_first(&a->argv);

	if (!first || !*first)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "argv", "no command is given");
	if (a->cwd && a->cwd[0] != '/')
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "cwd", "must be an absolute path");
	if (a->cwd && strlen(a->cwd) >= 4096)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "cwd", "longer than 4095 bytes");
	return submit_check_names(g, a->name, a->class_name, r);
}

static int
check_root(struct engine *g, const struct requester *who, struct refusal *r)
{
	if (!g->system_mode || who->uid != 0 || !exec_is_up(g->exec) ||
	    exec_flags(g->exec) & WELCOME_ALLOW_ROOT)
		return 0;
	return refusal_set(r, REFUSAL_NOT_PERMITTED, NULL,
			   "jobs are not run as root here; to allow it, `systemctl edit "
			   "ctx-spawner.service` and "
			   "add --allow-root to its command line (a drop-in below "
			   "/etc/systemd/system/ctx-spawner.service.d/)");
}

static int
check_room(struct engine *g, const struct requester *who, struct refusal *r)
{
	const struct policy *p = g->policy;

	if (g->lanes.queued >= (uint64_t)p->queued) {
		r->limit = (uint64_t)p->queued;
		return refusal_set(r, REFUSAL_QUEUE_FULL, NULL, "the queue is full");
	}
	if (p->queued_per_user > 0 &&
	    lanes_user_queued(&g->lanes, who->uid) >= (uint64_t)p->queued_per_user) {
		r->limit = (uint64_t)p->queued_per_user;
		return refusal_set(r, REFUSAL_QUEUE_FULL, NULL, "the queue is full for this user");
	}
	return 0;
}

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
		notice(n, "the configuration leaves out the variable %.*s", (int)strcspn(one, "="),
		       one);
	else if (left_out > 1)
		notice(n, "the configuration leaves out %zu variables of the environment",
		       left_out);
	return 0;
}

int
submit_copy_who(struct job *j, const struct requester *who)
{
	j->uid = who->uid;
	j->gid = who->gid;
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

static void
copy_numbers(const struct policy *p, struct job *j, const struct submit_args *a)
{
	const struct policy_class *c = policy_class_find(p, j->class_name);

	j->umask = a->has_umask ? a->umask : 022;
	j->bound = a->bound;
	j->priority = a->has_priority        ? a->priority
		      : c && c->has_priority ? (int32_t)c->priority
					     : 0;
	j->timeout_requested_us = a->timeout_us;
	j->deadline_requested_us = j->deadline_us = a->deadline_us;
	j->grace_us = a->grace_us > 0        ? a->grace_us
		      : c && c->grace_us > 0 ? c->grace_us
					     : p->grace_us;
	j->stop_signal = a->stop_signal > 0        ? a->stop_signal
			 : c && c->stop_signal > 0 ? (int32_t)c->stop_signal
						   : (int32_t)p->stop_signal;
	j->submitted_us = wall_to_usec(wall_now());
	deadline_grant(p, j->class_name, a->timeout_us, &j->timeout_us, &j->deadline_rule);
}

static int
make_job(struct engine *g, const struct requester *who, const struct submit_args *a,
	 struct job **ret, struct notices *n, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = job_new();
	int e;

	if (!j || submit_copy_who(j, who) < 0 || strv_copy(&j->argv, &a->argv) < 0 ||
	    job_set(&j->name, a->name) < 0 ||
	    job_set(&j->class_name, a->class_name ? a->class_name : "default") < 0 ||
	    job_set(&j->cwd, a->cwd ? a->cwd : "/") < 0)
		return err_raise(-ENOMEM, "take in a job");
	j->state = JOB_QUEUED;
	copy_numbers(g->policy, j, a);
	e = context_derive(g, who, &a->context, j, n, r);
	if (e == 0)
		*ret = take_ptr(j);
	return e;
}

void
submit_notice_clamp(const struct job *j, struct notices *n)
{
	char asked[CLOCK_TEXT], granted[CLOCK_TEXT];

	if ((j->deadline_rule != RULE_CLASS_MAX && j->deadline_rule != RULE_GLOBAL_MAX) ||
	    j->timeout_requested_us == INT64_MAX || j->timeout_requested_us == 0)
		return;
	notice(n, "timeout: asked %s, granted %s (rule %s)",
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
	notice(n,
	       "the deadline is later than the timeout of %s (rule %s) ends: ask for more with a "
	       "timeout",
	       dur_format(dur_usec(j->timeout_us), granted, sizeof(granted)),
	       job_rule_name(j->deadline_rule));
}

static bool
slot_free(struct engine *g, const struct job *j)
{
	if (!exec_is_up(g->exec) || g->sched_held)
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
	r = lifecycle_create(g, j, env, j->uid);
	if (r < 0)
		return err_pass(r);
	copy = job_copy(j);
	if (!copy)
		return err_raise(-ENOMEM, "start a job");
	return start_defer(g, take_ptr(copy), env);
}

int
engine_submit(struct engine *g, const struct requester *who, const struct submit_args *a,
	      struct job **ret_job, bool *ret_created, struct notices *n, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	_cleanup_(strv_done) struct strv env = {0};
	int e;

	if (g->stopping)
		return refusal_set(r, REFUSAL_NOT_READY, NULL, "ctxd is stopping");
	e = check_texts(g, a, r);
	e = e ? e : check_numbers(a, r);
	e = e ? e : check_root(g, who, r);
	if (e)
		return e;
	if (g->lanes.queued > 0) { /* whoever waited longer goes first; before a parent is looked at,
				      for this may find that its time has passed */
		sched_kick(g);
		sched_run(g);
	}
	e = make_job(g, who, a, &j, n, r);
	if (!e)
		e = filter_env(g->policy, &a->env, &env, n);
	if (e != 0)
		return err_pass(e);
	assert(j);
	submit_notice_clamp(j, n);
	notice_earlier(j, n);
	if (slot_free(g, j)) {
		e = insert_running(g, j, &env);
	} else {
		e = check_room(g, who, r);
		if (e)
			return e;
		e = lifecycle_create(g, j, &env, who->uid);
		if (!e && j->deadline_us > 0)
			sched_overdue_arm(g);
	}
	if (e < 0)
		return err_pass(e);
	*ret_job = take_ptr(j);
	*ret_created = true;
	return 0;
}
