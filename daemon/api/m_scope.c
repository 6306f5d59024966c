/* m_scope.c - contexts without a command: made and closed. */
#include <stdlib.h>
#include <string.h>

#include "api/conn.h"
#include "api/jobjson.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/jw.h"
#include "base/mem.h"

int
m_scope_scope(struct call *c, void *args)
{
	const struct args_scope *a = args;
	struct scope_args s = {
		.name = a->name, .class_name = a->class_name, .timeout_us = a->timeout_usec};
	_cleanup_(job_freep) struct job *job = NULL;
	struct notices n = {.n = 0};
	struct jw j;
	int r = call_labels(c, a->name, a->class_name);

	if (r == 0)
		r = call_timeout(c, a->has_timeout, a->timeout_usec);
	if (r == 0)
		r = call_latest(c, a->deadline_at, &s.deadline_us);
	if (r == 0)
		r = call_context(c, &a->context, &s.context);
	if (r == 0)
		r = engine_scope(c->engine, c->who, &s, &job, &n, &c->refusal);
	if (r != 0)
		return r;
	varlink_reply_open(&j, &c->conn->out);
	jobjson_job(&j, "job", job);
	call_put_notices(&j, &n);
	varlink_reply_close(&j, false);
	return 0;
}

static void
reply_close(struct call *c, const struct job *job, const struct engine_ids *reached)
{
	struct jw j;

	varlink_reply_open(&j, &c->conn->out);
	jobjson_job(&j, "job", job);
	jw_arr_open(&j, "reached");
	for (size_t i = 0; i < reached->n; i++)
		jw_int(&j, NULL, (int64_t)reached->v[i]);
	jw_arr_close(&j);
	varlink_reply_close(&j, false);
}

int
m_scope_close(struct call *c, void *args)
{
	const struct args_cancel *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	struct engine_ids reached = {.n = 0};
	int r = call_id(c, a->id);

	if (r == 0 && a->cause)
		r = call_text(c, "cause", a->cause, CALL_CAUSE_MAX);
	if (r == 0)
		r = engine_close(c->engine, c->who, (uint64_t)a->id, a->cause, a->now, &job,
				 &reached, &c->refusal);
	if (r == 0)
		reply_close(c, job, &reached);
	free(reached.v);
	return r;
}
