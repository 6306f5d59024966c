/* m_queue.c - steering the queue, for administrators: one job of it, a class, all. */
#include <errno.h>

#include "api/conn.h"
#include "api/idle.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/jw.h"

typedef int (*queue_fn)(struct engine *g, const struct requester *who, uint64_t id,
			struct job **ret, struct refusal *r);

static int
one_job(struct call *c, const struct args_id *a, queue_fn fn)
{
	_cleanup_(job_freep) struct job *job = NULL;
	int r = call_id(c, a->id);

	if (r == 0)
		r = fn(c->engine, c->who, (uint64_t)a->id, &job, &c->refusal);
	if (r == 0)
		call_reply_job(c, job);
	return r;
}

int
m_queue_hold(struct call *c, void *args)
{
	return one_job(c, args, engine_hold);
}

int
m_queue_release(struct call *c, void *args)
{
	return one_job(c, args, engine_release);
}

int
m_queue_reprioritize(struct call *c, void *args)
{
	const struct args_priority *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	int r = call_id(c, a->id);

	if (r == 0 && (a->priority < INT32_MIN || a->priority > INT32_MAX))
		return call_invalid(c, "priority", "out of range");
	if (r == 0)
		r = engine_reprioritize(c->engine, c->who, (uint64_t)a->id, (int32_t)a->priority,
					&job, &c->refusal);
	if (r == 0)
		call_reply_job(c, job);
	return r;
}

/* ---- all, or a class */

static void
reply_queue(struct engine *g, struct conn *conn, uint64_t n)
{
	struct jw j;

	(void)n;
	varlink_reply_open(&j, &conn->out);
	call_put_queue(&j, g, false);
	jw_int(&j, "running", (int64_t)engine_running(g));
	varlink_reply_close(&j, false);
}

int
m_queue_pause(struct call *c, void *args)
{
	const struct args_class *a = args;
	int r = engine_pause(c->engine, c->who, a->class_name, &c->refusal);

	if (r == 0)
		reply_queue(c->engine, c->conn, 0);
	return r;
}

int
m_queue_resume(struct call *c, void *args)
{
	const struct args_class *a = args;
	int r = engine_resume(c->engine, c->who, a->class_name, &c->refusal);

	if (r == 0)
		reply_queue(c->engine, c->conn, 0);
	return r;
}

int
m_queue_drain(struct call *c, void *args)
{
	const struct args_drain *a = args;
	struct idle *w = a->wait ? idle_new(c, "io.ctxd.Drain", reply_queue) : NULL;
	int r;

	if (a->wait && !w)
		return -ENOMEM;
	r = engine_drain(c->engine, c->who);
	if (r < 0)
		(void)idle_free(w);
	else if (w)
		idle_wait(w, 0);
	else
		reply_queue(c->engine, c->conn, 0);
	return r;
}
