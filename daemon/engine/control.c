/* control.c - what is done to a job that exists: cancel, extend. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/text.h"
#include "core/deadline.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/tell.h"
#include "engine/tree.h"

struct extend_fx {
	struct effect fx;
	struct engine *g;
	uint64_t id;
	uint32_t attempt;
	int64_t deadline_ns;
};

int
engine_fetch(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	     struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int e = store_job_get(g->store, id, &j);

	if (e == STORE_E_NOT_FOUND) {
		r->id = id;
		return refusal_set(r, REFUSAL_NO_SUCH_JOB, NULL, "no such job");
	}
	if (e != 0)
		return err_fold(e);
	if (j->uid != who->uid && !engine_is_admin(g, who)) {
		r->id = id;
		return refusal_set(r, REFUSAL_NOT_PERMITTED, NULL,
				   "job %" PRIu64 " belongs to another user", id);
	}
	*ret = take_ptr(j);
	return 0;
}

/* ---- cancel */

/* J, which is the effects' until the commit, for the reply. */
static int
give(struct engine *g, const struct job *j, struct job **ret)
{
	if (!ret)
		return 0;
	*ret = job_copy(j);
	if (*ret)
		return 0;
	txn_spoil(g->txn);
	return err_raise(-ENOMEM, "answer a cancel");
}

/* What runs, queues or is open. Takes J. */
static int
cancel_active(struct engine *g, struct job *j, const struct why *why, bool now, struct job **ret)
{
	int r;

	if (j->state == JOB_RUNNING)
		r = stop_job(g, j, why, now);
	else
		r = finish_one(g, j, JOB_CANCELED, why);
	if (r == 0)
		r = tree_done(g, j, why->by_uid, now, NULL);
	return r < 0 ? err_pass(r) : give(g, j, ret);
}

/* What is over or being stopped keeps its cause: all that a second cancel may do is hurry. Takes J.
 */
static int
cancel_again(struct engine *g, struct job *j, const struct why *why, bool now, struct job **ret)
{
	int r = 0;

	if (now && j->state == JOB_STOPPING)
		r = stop_hurry(g, j);
	if (now && r == 0)
		r = tree_done(g, j, why->by_uid, true, NULL);
	if (r < 0 || !ret)
		(void)job_free(j);
	else
		*ret = j;
	return r < 0 ? err_pass(r) : 0;
}

int
control_cancel(struct engine *g, struct job *j, const struct why *why, bool now, struct job **ret)
{
	if (j->state == JOB_OPEN)
		return scope_end(g, j, JOB_CANCELED, why, now, NULL, ret);
	if (j->state == JOB_STOPPING || job_state_ended(j->state))
		return cancel_again(g, j, why, now, ret);
	return cancel_active(g, j, why, now, ret);
}

int
engine_cancel(struct engine *g, const struct requester *who, uint64_t id, const char *cause,
	      bool now, struct job **ret, struct refusal *r)
{
	struct why why = {CAUSE_REQUESTED, cause, who->uid};
	struct job *j = NULL;
	bool over;
	int e;

	e = engine_fetch(g, who, id, &j, r);
	if (e != 0)
		return e;
	assert(j);
	over = job_state_ended(j->state);
	lifecycle_asker(j, who);
	e = control_cancel(g, j, &why, now, ret);
	if (e == 0 && !over)
		audit_job(g, who, *ret, now ? "kill" : "cancel");
	return e;
}

/* ---- extend */

static void
extend_run(struct effect *fx, int result)
{
	struct extend_fx *f = container_of(fx, struct extend_fx, fx);
	struct live *l = live_find(f->g, f->id);

	if (result == 0 && l && l->attempt == f->attempt) {
		l->deadline_boot_ns = f->deadline_ns;
		live_arm_backstop(l);
		/* No link now: HELLO shows the monitor's deadline, and it is told then. */
		(void)exec_extend(f->g->exec, f->id, f->attempt, f->deadline_ns);
	}
	free(f);
}

static int
check_extend(const struct job *j, int64_t by_us, int64_t to_us, struct refusal *r)
{
	if ((by_us != 0) == (to_us != 0))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "by_usec",
				   "give either by_usec or to");
	if (by_us < 0 || by_us > DUR_MAX_US)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "by_usec",
				   "must be within 1 us and ten years");
	if (job_state_ended(j->state)) {
		r->id = j->id;
		r->state = j->state;
		return refusal_set(r, REFUSAL_ALREADY_ENDED, NULL, "already ended");
	}
	if (j->state == JOB_QUEUED)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				   "the job is queued: its time has not begun");
	if (j->state == JOB_STOPPING)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				   "the job is being stopped already");
	return 0;
}

/* New deadline on CLOCK_BOOTTIME, within the limit. */
static int
extended(struct engine *g, const struct job *j, int64_t by_us, int64_t to_us, int64_t *ret_ns,
	 struct refusal *r)
{
	int64_t limit = deadline_limit(g->policy, j, wall_now(), mono_now());
	const char *field = to_us ? "to" : "by_usec";
	int64_t want;

	if (to_us)
		want = deadline_moment(j, to_us, wall_now(), mono_now());
	else
		want = mono_add((struct mono){j->deadline_boot_ns}, dur_usec(by_us)).ns;
	/* A job's monitor stops it now, whether we have heard of that or not. */
	if (j->deadline_boot_ns <= mono_now().ns)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				   "its deadline has passed: it is being stopped");
	if (want <= j->deadline_boot_ns)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, field,
				   "is not later than the present deadline");
	if (limit <= j->deadline_boot_ns)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, field,
				   "the deadline is at its maximum already");
	*ret_ns = want < limit ? want : limit;
	return 0;
}

static int
extend_write(struct engine *g, struct job *j, int64_t deadline_ns)
{
	struct extend_fx *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_raise(-ENOMEM, "extend a deadline");
	deadline_extend(j, deadline_ns, wall_now(), mono_now());
	r = lifecycle_save(g, j);
	if (r < 0) {
		free(f);
		return err_pass(r);
	}
	*f = (struct extend_fx){.fx.run = extend_run,
				.g = g,
				.id = j->id,
				.attempt = j->attempt,
				.deadline_ns = deadline_ns};
	CRASH_COMMIT("ctxd.extend");
	txn_defer(g->txn, &f->fx);
	return 0;
}

int
engine_extend(struct engine *g, const struct requester *who, uint64_t id, int64_t by_us,
	      int64_t to_us, struct job **ret, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct live *l = live_find(g, id);
	int64_t deadline_ns = 0;
	int e;

	if (l) /* the job may have moved it itself */
		progress_settle(l);
	e = engine_fetch(g, who, id, &j, r);
	if (e != 0)
		return e;
	assert(j);
	e = check_extend(j, by_us, to_us, r);
	e = e ? e : extended(g, j, by_us, to_us, &deadline_ns, r);
	e = e ? e : extend_write(g, j, deadline_ns);
	if (e)
		return e;
	audit_job(g, who, j, "extend");
	*ret = take_ptr(j);
	return 0;
}
