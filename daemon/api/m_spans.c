/* m_spans.c - the outbox of spans for who exports them: a page is taken, sent on, forgotten.
 * Nothing is sent unasked, so a reader who stops costs nothing. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "api/conn.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/jw.h"
#include "base/mem.h"

#define SPANS_MAGIC UINT32_C(0x73706e73)

enum {
	SPANS_DEFAULT = 500,
	SPANS_MAX = 1000,
	PAGE_BYTES = 512 << 10, /* no other one is begun beyond this */
	SPANS_STOP = 1000,      /* our own answer to the walk */
};

struct spans_op {
	struct op op;
	uint32_t magic;
	struct engine *engine;
	struct engine_listener listener;
	uint64_t after;
	size_t max, n;
	bool wait;
	struct buf page;
	struct jw j;
};

static int
span_row(void *arg, uint64_t seq, const char *text, size_t n)
{
	struct spans_op *v = arg;

	jw_obj_open(&v->j, NULL);
	jw_int(&v->j, "seq", (int64_t)seq);
	jw_raw(&v->j, "span", text, n);
	jw_obj_close(&v->j);
	v->n++;
	if (v->page.failed)
		return v->page.failed;
	return buf_len(&v->page) >= PAGE_BYTES ? SPANS_STOP : 0;
}

static int
spans_step(struct op *op, struct refusal *r)
{
	struct spans_op *v = container_of(op, struct spans_op, op);
	uint64_t waiting, dropped;
	struct jw j;
	int e;

	(void)r;
	CHECK_MAGIC(v, SPANS_MAGIC);
	buf_clear(&v->page);
	v->n = 0;
	jw_init(&v->j, &v->page);
	jw_arr_open(&v->j, NULL);
	e = engine_spans(v->engine, v->after, v->max, span_row, v);
	if (e != 0 && e != SPANS_STOP)
		return e;
	if (v->n == 0 && v->wait)
		return OP_WAIT;
	jw_arr_close(&v->j);
	if (v->page.failed)
		return v->page.failed;
	engine_outbox(v->engine, &waiting, &dropped);
	varlink_reply_open(&j, &op->conn->out);
	jw_raw(&j, "spans", buf_head(&v->page), buf_len(&v->page));
	jw_int(&j, "waiting", (int64_t)waiting);
	jw_int(&j, "dropped", (int64_t)dropped);
	varlink_reply_close(&j, false);
	return OP_DONE;
}

static void
spans_on_change(struct engine_listener *l)
{
	conn_op_ready(&container_of(l, struct spans_op, listener)->op);
}

static void
spans_drop(struct op *op, bool gone)
{
	struct spans_op *v = container_of(op, struct spans_op, op);

	(void)gone;
	engine_listener_remove(&v->listener);
	buf_done(&v->page);
	v->magic = 0;
	free(v);
}

static const struct op_type spans_type = {"io.ctxd.Spans", spans_step, spans_drop};

int
m_spans_spans(struct call *c, void *args)
{
	const struct args_spans *a = args;
	struct spans_op *v;

	if (a->has_after && a->after < 0)
		return call_invalid(c, "after", "must not be negative");
	if (a->has_limit && (a->limit <= 0 || a->limit > SPANS_MAX))
		return call_invalid(c, "limit", "must be within 1 and %d", SPANS_MAX);
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->magic = SPANS_MAGIC;
	v->op.type = &spans_type;
	v->engine = c->engine;
	v->after = (uint64_t)a->after;
	v->max = a->has_limit ? (size_t)a->limit : SPANS_DEFAULT;
	v->wait = a->wait;
	v->listener.on_change = spans_on_change;
	list_init(&v->listener.link);
	if (v->wait)
		engine_listener_add(c->engine, &v->listener);
	conn_op_start(c->conn, &v->op, true);
	return 0;
}

int
m_spans_forget(struct call *c, void *args)
{
	const struct args_forget *a = args;
	uint64_t waiting, dropped;
	struct jw j;
	int r;

	if (a->seq <= 0)
		return call_invalid(c, "seq", "must be greater than 0");
	r = engine_spans_forget(c->engine, (uint64_t)a->seq);
	if (r != 0)
		return r;
	engine_outbox(c->engine, &waiting, &dropped);
	varlink_reply_open(&j, &c->conn->out);
	jw_int(&j, "waiting", (int64_t)waiting);
	varlink_reply_close(&j, false);
	return 0;
}
