/* hold.c - a queued job that waits for somebody's word, and what its turn is: for administrators.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/err.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/submit.h"
#include "engine/tell.h"

/* The job, which must be queued. */
static int
fetch_queued(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	     struct refusal *r)
{
	int e = engine_fetch(g, who, id, ret, r);

	if (e || (*ret)->state == JOB_QUEUED)
		return e;
	r->id = id;
	r->state = (*ret)->state;
	e = job_state_ended((*ret)->state)
		    ? refusal_set(r, REFUSAL_ALREADY_ENDED, NULL, "it has ended already")
		    : refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				  "job %" PRIu64 " is not queued but %s", id,
				  job_state_name((*ret)->state));
	*ret = job_free(*ret);
	return e;
}

/* Written down and told, as WHAT. */
static int
note(struct engine *g, const struct requester *who, struct job *j, const char *what,
     const char *text)
{
	struct why why = {CAUSE_NONE, text, who->uid};
	int r = lifecycle_note(g, j, &why);

	if (r == 0) {
		log_job_later(g, LOG_LVL_INFO, j->id, "job=%" PRIu64 " %s by uid=%u", j->id, text,
			      who->uid);
		audit_job(g, who, j, what);
	}
	return r;
}

static int
set_held(struct engine *g, const struct requester *who, uint64_t id, bool held, struct job **ret,
	 struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	bool was;
	int e = fetch_queued(g, who, id, &j, r);

	if (e)
		return e;
	was = job_blocked(j);
	if (j->held != held) {
		j->held = held;
		e = lifecycle_waits(g, j, was);
		e = e < 0 ? e
			  : note(g, who, j, held ? "hold" : "release", held ? "held" : "released");
	}
	if (e == 0)
		*ret = take_ptr(j);
	return e < 0 ? err_pass(e) : e;
}

int
engine_hold(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	    struct refusal *r)
{
	return set_held(g, who, id, true, ret, r);
}

int
engine_release(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	       struct refusal *r)
{
	return set_held(g, who, id, false, ret, r);
}

int
engine_reprioritize(struct engine *g, const struct requester *who, uint64_t id, int32_t priority,
		    struct job **ret, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	char text[64];
	int e = submit_check_priority(priority, r);

	e = e ? e : fetch_queued(g, who, id, &j, r);
	if (e)
		return e;
	if (j->priority != priority) {
		e = lifecycle_reprioritize(g, j, priority);
		(void)snprintf(text, sizeof(text), "priority %" PRId32, priority);
		e = e < 0 ? e : note(g, who, j, "reprioritize", text);
	}
	if (e == 0)
		*ret = take_ptr(j);
	return e < 0 ? err_pass(e) : e;
}
