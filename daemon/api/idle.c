/* idle.c - an answer that comes when nothing runs any more, see idle.h. */
#include "api/idle.h"

#include <stdlib.h>

#include "api/conn.h"
#include "api/methods.h"
#include "base/mem.h"

#define IDLE_MAGIC UINT32_C(0x69646c65)

struct idle {
	struct op op;
	uint32_t magic;
	struct op_type type;
	struct engine *engine;
	struct engine_listener listener;
	idle_reply_fn reply;
	uint64_t n;
};

static int
idle_step(struct op *op, struct refusal *r)
{
	struct idle *w = container_of(op, struct idle, op);

	(void)r;
	CHECK_MAGIC(w, IDLE_MAGIC);
	if (engine_running(w->engine) > 0 && engine_drains(w->engine))
		return OP_WAIT;
	w->reply(w->engine, op->conn, w->n);
	return OP_DONE;
}

struct idle *
idle_free(struct idle *w)
{
	if (!w)
		return NULL;
	CHECK_MAGIC(w, IDLE_MAGIC);
	w->magic = 0;
	free(w);
	return NULL;
}

static void
idle_drop(struct op *op, bool gone)
{
	struct idle *w = container_of(op, struct idle, op);

	(void)gone;
	engine_listener_remove(&w->listener);
	(void)idle_free(w);
}

static void
idle_on_change(struct engine_listener *l)
{
	conn_op_ready(&container_of(l, struct idle, listener)->op);
}

struct idle *
idle_new(struct call *c, const char *method, idle_reply_fn reply)
{
	struct idle *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	*w = (struct idle){.op = {.type = &w->type, .conn = c->conn},
			   .magic = IDLE_MAGIC,
			   .type = {method, idle_step, idle_drop},
			   .engine = c->engine,
			   .listener.on_change = idle_on_change,
			   .reply = reply};
	list_init(&w->listener.link);
	return w;
}

void
idle_wait(struct idle *w, uint64_t n)
{
	CHECK_MAGIC(w, IDLE_MAGIC);
	w->n = n;
	engine_listener_add(w->engine, &w->listener);
	conn_op_start(w->op.conn, &w->op, true);
}
