/* m_operator.c - what an operator does about a job that did not end well: one more attempt, or a
 * word on what became of it. */
#include "api/methods.h"

enum { NOTE_MAX = 1024 };

int
m_operator_retry(struct call *c, void *args)
{
	const struct args_id *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	int r = call_id(c, a->id);

	if (r == 0)
		r = engine_retry(c->engine, c->who, (uint64_t)a->id, &job, &c->refusal);
	if (r == 0)
		call_reply_job(c, job);
	return r;
}

int
m_operator_resolve(struct call *c, void *args)
{
	const struct args_resolve *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	int r = call_id(c, a->id);

	if (r == 0 && a->note)
		r = call_text(c, "note", a->note, NOTE_MAX);
	if (r == 0)
		r = engine_resolve(c->engine, c->who, (uint64_t)a->id, a->as, a->note, &job,
				   &c->refusal);
	if (r == 0)
		call_reply_job(c, job);
	return r;
}
