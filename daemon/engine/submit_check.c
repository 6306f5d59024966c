/* submit_check.c - which submissions are refused, and in what words. What is wrong with a request
 * by itself is told first. What is wrong only here and now (a class that is not configured any
 * more, a deadline that has passed, a full queue) is asked of new jobs alone: who asks again under
 * a key is to get the job that is there. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/text.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/submit.h"

enum { PRIORITY_MOST = 1000000, SIGNAL_MOST = 64, RETRIES_MOST = 1000 };

int
submit_check_priority(int32_t priority, struct refusal *r)
{
	if (priority >= -PRIORITY_MOST && priority <= PRIORITY_MOST)
		return 0;
	return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "priority", "must be within -%d and %d",
			   PRIORITY_MOST, PRIORITY_MOST);
}

/* 0 is: not given. */
static int
check_span(int64_t us, const char *field, struct refusal *r)
{
	if (us < 0 || (us > 0 && us < 1000))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, field, "must be at least 1 ms");
	return 0;
}

static int
check_bounded_span(int64_t us, const char *field, struct refusal *r)
{
	if (us >= DUR_MAX_US)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, field,
				   "must be shorter than ten years");
	return check_span(us, field, r);
}

static int
check_signal(int32_t signo, const char *field, struct refusal *r)
{
	if (signo < 0 || signo > SIGNAL_MOST)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, field, "no such signal");
	return 0;
}

static int
check_retries(const struct submit_args *a, struct refusal *r)
{
	if (a->retries > RETRIES_MOST)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "retries",
				   "must be within 0 and %d", RETRIES_MOST);
	if (a->backoff_us != 0 && a->retries == 0)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "backoff_usec",
				   "is for retries, which are not asked for");
	if (a->backoff_us > RETRY_BACKOFF_MOST_US)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "backoff_usec",
				   "must be at most one hour");
	return check_span(a->backoff_us, "backoff_usec", r);
}

static int
check_numbers(const struct submit_args *a, struct refusal *r)
{
	int e;

	if (a->has_umask && a->umask > 0777)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "umask",
				   "must be within 0 and 0777 (octal)");
	if (a->has_priority && submit_check_priority(a->priority, r) != 0)
		return ENGINE_E_REFUSED;
	if (a->grace_us > DUR_MAX_US)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "grace_usec",
				   "longer than ten years");
	if (a->warn_signal != 0 && a->warn_us == 0)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "warn_signal",
				   "is for warn_usec, which is not given");
	e = check_signal(a->stop_signal, "stop_signal", r);
	e = e ? e : check_signal(a->warn_signal, "warn_signal", r);
	e = e ? e : check_span(a->grace_us, "grace_usec", r);
	e = e ? e : check_bounded_span(a->warn_us, "warn_usec", r);
	e = e ? e : check_bounded_span(a->watchdog_us, "watchdog_usec", r);
	return e ? e : check_retries(a, r);
}

static int
check_texts(const struct submit_args *a, struct refusal *r)
{
	const char *first = strv_first(&a->argv);

	if (!first || !*first)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "argv", "no command is given");
	if (a->cwd && a->cwd[0] != '/')
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "cwd", "must be an absolute path");
	if (a->cwd && strlen(a->cwd) >= 4096)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "cwd", "longer than 4095 bytes");
	if (a->key && !text_job_name(a->key))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "key",
				   "must be 1 to 128 bytes without control characters");
	if (a->if_exists != IF_EXISTS_RETURN && !a->key)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "if_exists",
				   "is for a key, which is not given");
	return 0;
}

int
submit_check_request(const struct submit_args *a, struct refusal *r)
{
	int e = check_texts(a, r);

	return e ? e : check_numbers(a, r);
}

int
submit_check_times(int64_t timeout_us, int64_t deadline_us, struct refusal *r)
{
	if (deadline_us != 0 && deadline_us <= wall_to_usec(wall_now()))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "deadline_at",
				   "is not in the future");
	return check_span(timeout_us, "timeout_usec", r);
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
not_ours(struct refusal *r)
{
	return refusal_set(r, REFUSAL_NOT_PERMITTED, NULL,
			   "this ctxd is uid %u's own: all its jobs are run as that user",
			   geteuid());
}

/* Whose jobs are never run is told so now. In user mode that is root, who may do all else. */
static int
check_owner(struct engine *g, const struct requester *owner, struct refusal *r)
{
	if (!g->system_mode)
		return owner->uid == geteuid() ? 0 : not_ours(r);
	if (owner->uid != 0 || !exec_is_up(g->exec) || exec_flags(g->exec) & WELCOME_ALLOW_ROOT)
		return 0;
	return refusal_set(r, REFUSAL_NOT_PERMITTED, NULL,
			   "jobs are not run as root here; to allow it, `systemctl edit "
			   "ctx-spawner.service` and "
			   "add --allow-root to its command line (a drop-in below "
			   "/etc/systemd/system/ctx-spawner.service.d/)");
}

int
engine_submit_for(struct engine *g, const struct requester *who, struct refusal *r)
{
	if (!g->system_mode)
		return not_ours(r);
	if (!engine_is_admin(g, who))
		return refusal_set(r, REFUSAL_NOT_PERMITTED, NULL,
				   "submitting for other users is for root and administrators");
	return 0;
}

int
submit_check_as(struct engine *g, const struct requester *who, const struct submit_args *a,
		struct refusal *r)
{
	int e;

	if (!a->as || a->as->uid == who->uid)
		return 0;
	e = engine_submit_for(g, who, r);
	if (e || who->uid == 0)
		return e;
	if (a->as->uid == 0)
		return refusal_set(r, REFUSAL_NOT_PERMITTED, NULL,
				   "jobs of root are submitted by root alone");
	if (a->as->uid == geteuid()) /* such a job could read and write all that is kept here */
		return refusal_set(r, REFUSAL_NOT_PERMITTED, NULL,
				   "jobs of the daemon's own user are submitted by root alone");
	return 0;
}

int
submit_check_moment(struct engine *g, const struct requester *who, const struct submit_args *a,
		    struct refusal *r)
{
	int e = submit_check_names(g, a->name, a->class_name, r);

	e = e ? e : submit_check_times(a->timeout_us, a->deadline_us, r);
	if (!e && a->deadline_us > 0 && a->not_before_us >= a->deadline_us)
		e = refusal_set(r, REFUSAL_INVALID_ARGUMENT, "not_before",
				"is not before deadline_at");
	return e ? e : check_owner(g, submit_owner(who, a), r);
}

int
submit_check_room(struct engine *g, uint32_t uid, struct refusal *r)
{
	const struct policy *p = g->policy;

	if (g->lanes.queued + g->lanes.delayed >= (uint64_t)p->queued) {
		r->limit = (uint64_t)p->queued;
		return refusal_set(r, REFUSAL_QUEUE_FULL, NULL, "the queue is full");
	}
	if (p->queued_per_user > 0 &&
	    lanes_user_queued(&g->lanes, uid) >= (uint64_t)p->queued_per_user) {
		r->limit = (uint64_t)p->queued_per_user;
		return refusal_set(r, REFUSAL_QUEUE_FULL, NULL, "the queue is full for this user");
	}
	return 0;
}

int
submit_check_input(struct engine *g, const struct job *j, struct refusal *r)
{
	int64_t most = g->policy->stdin_per_user;
	struct store_kept kept;
	int e;

	if (most == 0)
		return 0;
	e = store_kept(g->store, j->uid, &kept);
	if (e < 0)
		return err_pass(e);
	if (kept.input <= most && (int64_t)j->stdin_bytes <= most - kept.input)
		return 0;
	return refusal_set(r, REFUSAL_NOT_READY, NULL,
			   "too much standard input is kept for jobs of uid %u "
			   "([limits] stdin_per_user)",
			   j->uid);
}
