/* m_queue.c - steering the queue, for administrators: one job of it, a class, all. */
#include <errno.h>
#include <stdlib.h>

#include "api/conn.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/jw.h"
#include "base/mem.h"

#define DRAIN_MAGIC UINT32_C(0x6472616e)

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
reply_queue(struct engine *g, struct conn *conn)
{
	struct jw j;

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
		reply_queue(c->engine, c->conn);
	return r;
}

int
m_queue_resume(struct call *c, void *args)
{
	const struct args_class *a = args;
	int r = engine_resume(c->engine, c->who, a->class_name, &c->refusal);

	if (r == 0)
		reply_queue(c->engine, c->conn);
	return r;
}

struct drain_op {
	struct op op;
	uint32_t magic;
	struct engine *engine;
	struct engine_listener listener;
};

static int
drain_step(struct op *op, struct refusal *r)
{
	struct drain_op *d = container_of(op, struct drain_op, op);

	(void)r;
	CHECK_MAGIC(d, DRAIN_MAGIC);
	if (engine_running(d->engine) > 0)
		return OP_WAIT;
	reply_queue(d->engine, op->conn);
	return OP_DONE;
}

static void
drain_drop(struct op *op, bool gone)
{
	struct drain_op *d = container_of(op, struct drain_op, op);

	(void)gone;
	engine_listener_remove(&d->listener);
	d->magic = 0;
	free(d);
}

static void
drain_on_change(struct engine_listener *l)
{
	conn_op_ready(&container_of(l, struct drain_op, listener)->op);
}

static const struct op_type drain_type = {"io.ctxd.Drain", drain_step, drain_drop};

int
m_queue_drain(struct call *c, void *args)
{
	const struct args_drain *a = args;
	struct drain_op *d;
	int r = engine_drain(c->engine, c->who);

	if (r < 0)
		return r;
	if (!a->wait) {
		reply_queue(c->engine, c->conn);
		return 0;
	}
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	*d = (struct drain_op){.op = {.type = &drain_type, .conn = c->conn},
			       .magic = DRAIN_MAGIC,
			       .engine = c->engine,
			       .listener.on_change = drain_on_change};
	list_init(&d->listener.link);
	engine_listener_add(c->engine, &d->listener);
	conn_op_start(c->conn, &d->op, true);
	return 0;
}
