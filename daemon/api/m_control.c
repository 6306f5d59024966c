/* m_control.c - steering: cancel, extend and signal a job, tell its progress, read the
 * configuration again. */
#include <string.h>

#include "api/conn.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/jw.h"
#include "base/text.h"

enum { PROGRESS_TEXT_MAX = 255 };

int
m_control_cancel(struct call *c, void *args)
{
	const struct args_cancel *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	int r = call_id(c, a->id);

	if (r == 0 && a->cause)
		r = call_text(c, "cause", a->cause, CALL_CAUSE_MAX);
	if (r == 0)
		r = engine_cancel(c->engine, c->who, (uint64_t)a->id, a->cause, a->now, &job,
				  &c->refusal);
	if (r == 0)
		call_reply_job(c, job);
	return r;
}

static int
extend_when(struct call *c, const struct args_extend *a, int64_t *ret_by, int64_t *ret_to)
{
	int r = 0;

	if (a->has_by == (a->to != NULL))
		return call_invalid(c, "by_usec", "give either by_usec or to");
	if (a->has_by && a->by_usec <= 0)
		return call_invalid(c, "by_usec", "must be greater than 0");
	if (a->to)
		r = call_time(c, "to", a->to, ret_to);
	if (r == 0 && a->to && *ret_to == 0)
		return call_invalid(c, "to", "is not in the future");
	*ret_by = a->has_by ? a->by_usec : 0;
	return r;
}

int
m_control_extend(struct call *c, void *args)
{
	const struct args_extend *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	int64_t by = 0, to = 0;
	int r = call_id(c, a->id);

	if (r == 0)
		r = extend_when(c, a, &by, &to);
	if (r == 0)
		r = engine_extend(c->engine, c->who, (uint64_t)a->id, by, to, &job, &c->refusal);
	if (r == 0)
		call_reply_job(c, job);
	return r;
}

static int
check_progress(struct call *c, const struct args_progress *a)
{
	if (!a->has_percent && !a->text)
		return call_invalid(c, "percent", "give percent, text or both");
	if (a->has_percent && !(a->percent >= 0 && a->percent <= 100))
		return call_invalid(c, "percent", "must be within 0 and 100");
	return a->text ? call_text(c, "text", a->text, PROGRESS_TEXT_MAX) : 0;
}

int
m_control_progress(struct call *c, void *args)
{
	const struct args_progress *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	int r = call_id(c, a->id);

	if (r == 0)
		r = check_progress(c, a);
	if (r == 0)
		r = engine_progress(c->engine, c->who, (uint64_t)a->id, a->has_percent, a->percent,
				    a->text, &job, &c->refusal);
	if (r == 0)
		call_reply_job(c, job);
	return r;
}

int
m_control_signal(struct call *c, void *args)
{
	const struct args_signal *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	int signo = 0, r = call_id(c, a->id);

	if (r == 0 && text_signal(a->signal, &signo) < 0)
		r = call_invalid(c, "signal", "no such signal");
	if (r == 0)
		r = engine_signal(c->engine, c->who, (uint64_t)a->id, signo, a->tree, &job,
				  &c->refusal);
	if (r == 0)
		call_reply_job(c, job);
	return r;
}

static void
put_change(void *arg, const char *section, const char *key, const char *old_value,
	   const char *new_value, const char *acts)
{
	struct jw *j = arg;

	jw_obj_open(j, NULL);
	jw_str(j, "section", section);
	jw_str(j, "key", key);
	jw_str(j, "old", old_value);
	jw_str(j, "new", new_value);
	jw_str(j, "acts", acts);
	jw_obj_close(j);
}

int
m_control_reload(struct call *c, void *args)
{
	const struct args_reload *a = args;
	struct jw j;
	int r;

	varlink_reply_open(&j, &c->conn->out);
	jw_arr_open(&j, "changes");
	r = c->api->reload(c->api->arg, a->dry_run, put_change, &j, &c->refusal);
	jw_arr_close(&j);
	varlink_reply_close(&j, false);
	return r; /* what was written is cut off if it failed */
}
