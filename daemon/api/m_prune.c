/* m_prune.c - removing records that are over: a call that may go on for many iterations, for each
 * does a bounded part of it. */
#include <errno.h>
#include <stdlib.h>

#include "api/conn.h"
#include "api/methods.h"
#include "base/clock.h"
#include "base/jw.h"
#include "core/policy.h"

enum { IDS_MAX = 1000 };

struct prune_op {
	struct op op;
	struct engine *engine;
	struct engine_prune prune;
	uint64_t ids[]; /* prune.n_ids */
};

static int
prune_step(struct op *op, struct refusal *r)
{
	struct prune_op *p = container_of(op, struct prune_op, op);
	bool over = false;
	struct jw j;
	int e = engine_prune_step(p->engine, conn_who(op->conn), &p->prune, &over);

	(void)r;
	if (e < 0)
		return e;
	if (!over)
		return OP_AGAIN;
	varlink_reply_open(&j, &op->conn->out);
	jw_int(&j, "pruned", (int64_t)p->prune.pruned);
	varlink_reply_close(&j, false);
	return OP_DONE;
}

static void
prune_drop(struct op *op, bool gone)
{
	(void)gone;
	free(container_of(op, struct prune_op, op));
}

static const struct op_type prune_type = {"io.ctxd.Prune", prune_step, prune_drop};

static int
check_args(struct call *c, const struct args_prune *a)
{
	int r = 0;

	if (a->has_ids == a->has_older)
		return call_invalid(c, "ids", "give either ids or older_usec");
	if (a->has_older && (a->older_usec <= 0 || a->older_usec > DUR_MAX_US))
		return call_invalid(c, "older_usec",
				    "must be greater than 0 and at most ten years");
	if (a->has_ids && a->ids.n == 0)
		return call_invalid(c, "ids", "no job is given");
	if (a->ids.n > IDS_MAX)
		return call_invalid(c, "ids", "more than %d jobs", IDS_MAX);
	for (size_t i = 0; i < a->ids.n && r == 0; i++)
		r = call_id(c, a->ids.v[i]);
	return r;
}

int
m_prune_prune(struct call *c, void *args)
{
	const struct args_prune *a = args;
	_free_ struct prune_op *p = NULL;
	int r = check_args(c, a);

	if (r != 0)
		return r;
	p = calloc(1, sizeof(*p) + a->ids.n * sizeof(p->ids[0]));
	if (!p)
		return -ENOMEM;
	p->op = (struct op){.type = &prune_type, .conn = c->conn};
	p->engine = c->engine;
	for (size_t i = 0; i < a->ids.n; i++)
		p->ids[i] = (uint64_t)a->ids.v[i];
	p->prune.ids = a->has_ids ? p->ids : NULL;
	p->prune.n_ids = a->ids.n;
	p->prune.before_us = wall_to_usec(wall_now()) - a->older_usec;
	r = engine_prune_check(c->engine, c->who, &p->prune, &c->refusal);
	if (r == 0)
		conn_op_start(c->conn, &take_ptr(p)->op, true);
	return r;
}
