/* resolve.c - what a person found out about a half-processed job. Its state stays `interrupted`:
 * that is what happened. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/queue.h"
#include "engine/tell.h"

enum { NOTE_MAX = 1024 };

static int
check(const struct job *j, const char *as, const char *note, struct refusal *r)
{
	if (strcmp(as, "succeeded") != 0 && strcmp(as, "failed") != 0)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "as",
				   "must be succeeded or failed");
	if (note && strlen(note) > NOTE_MAX)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "note", "longer than %d bytes",
				   NOTE_MAX);
	if (j->state != JOB_INTERRUPTED)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				   "only an interrupted job can be resolved: %" PRIu64 " is %s",
				   j->id, job_state_name(j->state));
	if (j->resolution_as)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				   "job %" PRIu64 " was resolved already, as %s", j->id,
				   j->resolution_as);
	return 0;
}

static int
write_down(struct engine *g, const struct requester *who, struct job *j, const char *as,
	   const char *note)
{
	char text[NOTE_MAX + 64];
	struct why why = {CAUSE_NONE, text, who->uid};
	int r = job_set(&j->resolution_as, as);

	if (!r)
		r = job_set(&j->resolution_note, note);
	if (r < 0)
		return err_raise(r, "resolve a job");
	j->resolution_by = who->uid;
	j->resolution_at_us = wall_to_usec(wall_now());
	(void)snprintf(text, sizeof(text), "resolved as %s%s%s", as, note ? ": " : "",
		       note ? note : "");
	r = lifecycle_save(g, j);
	if (r == 0)
		depend_settled(g, j->id);
	CRASH_COMMIT("ctxd.resolve");
	return r < 0 ? r : lifecycle_note(g, j, &why);
}

int
engine_resolve(struct engine *g, const struct requester *who, uint64_t id, const char *as,
	       const char *note, struct job **ret, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int e = engine_fetch(g, who, id, &j, r);

	if (e)
		return e;
	assert(j);
	if (note && !*note)
		note = NULL;
	e = check(j, as, note, r);
	e = e ? e : write_down(g, who, j, as, note);
	if (e < 0)
		return err_pass(e);
	if (e == 0) {
		log_job_later(g, LOG_LVL_INFO, j->id, "job=%" PRIu64 " resolved as=%s by uid=%u",
			      j->id, as, who->uid);
		audit_job(g, who, j, "resolve");
		*ret = take_ptr(j);
	}
	return e;
}
