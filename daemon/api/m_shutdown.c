/* m_shutdown.c - the machine goes down: answered when nothing runs any more. */
#include <errno.h>
#include <stdlib.h>

#include "api/conn.h"
#include "api/methods.h"
#include "base/jw.h"
#include "base/mem.h"
#include "core/policy.h"

#define SHUTDOWN_MAGIC UINT32_C(0x73687574)

struct shutdown_op {
	struct op op;
	uint32_t magic;
	struct engine *engine;
	struct engine_listener listener;
	uint64_t stopped;
};

static int
shutdown_step(struct op *op, struct refusal *r)
{
	struct shutdown_op *s = container_of(op, struct shutdown_op, op);
	struct jw j;

	(void)r;
	CHECK_MAGIC(s, SHUTDOWN_MAGIC);
	if (engine_running(s->engine) > 0)
		return OP_WAIT;
	varlink_reply_open(&j, &op->conn->out);
	jw_int(&j, "stopped", (int64_t)s->stopped);
	varlink_reply_close(&j, false);
	return OP_DONE;
}

static void
shutdown_drop(struct op *op, bool gone)
{
	struct shutdown_op *s = container_of(op, struct shutdown_op, op);

	(void)gone;
	engine_listener_remove(&s->listener);
	s->magic = 0;
	free(s);
}

static void
shutdown_on_change(struct engine_listener *l)
{
	conn_op_ready(&container_of(l, struct shutdown_op, listener)->op);
}

static const struct op_type shutdown_type = {"io.ctxd.Shutdown", shutdown_step, shutdown_drop};

int
m_shutdown_shutdown(struct call *c, void *args)
{
	const struct args_shutdown *a = args;
	struct shutdown_op *s;
	int r;

	if (a->has_within && (a->within_usec < 1000 || a->within_usec > DUR_MAX_US))
		return call_invalid(c, "within_usec", "must be within 1 ms and ten years");
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	*s = (struct shutdown_op){.op = {.type = &shutdown_type, .conn = c->conn},
				  .magic = SHUTDOWN_MAGIC,
				  .engine = c->engine,
				  .listener.on_change = shutdown_on_change};
	r = engine_shutdown(c->engine, c->who, a->has_within ? a->within_usec : 0, &s->stopped);
	if (r < 0) {
		free(s);
		return r;
	}
	list_init(&s->listener.link);
	engine_listener_add(c->engine, &s->listener);
	conn_op_start(c->conn, &s->op, true);
	return 0;
}
