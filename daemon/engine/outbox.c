/* outbox.c - spans of what has ended, kept until they are exported.
 *
 * One is written in the transaction of the end that it tells of, so that neither is without the
 * other; nobody waits for a collector. There is room for as many as the configuration says: what
 * comes beyond is dropped and counted, for the oldest are the ones somebody may have begun to take.
 * The numbers in memory run along with the open transaction and are read again when it fails. */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "core/span.h"
#include "engine/impl.h"
#include "engine/tell.h"

enum { FORGET_MAX = 2000, LOG_BURST = 1 };

int
outbox_load(struct engine *g)
{
	return store_outbox_count(g->store, &g->outbox.n, &g->outbox.dropped);
}

/* The context from which J derives without being of its trace. 0, 1: there is none, or it is gone;
 * negative errno. */
static int
find_link(struct engine *g, const struct job *j, struct trace_context *ret)
{
	_cleanup_(job_freep) struct job *parent = NULL;
	int r;

	if (j->parent == 0 || j->inherit & INHERIT_TRACE)
		return 1;
	r = store_job_get(g->store, j->parent, &parent);
	if (r == 0)
		*ret = parent->trace;
	return r;
}

static int
drop(struct engine *g)
{
	int r = store_outbox_drop(g->store);

	if (r == 0)
		g->outbox.dropped++;
	if (log_rate_ok(&g->outbox.rate, LOG_BURST))
		log_warn(
			"the outbox of spans is full (%ju): those of jobs that end now are dropped "
			"and counted, continuing",
			(uintmax_t)g->outbox.n);
	return r;
}

int
outbox_add(struct engine *g, const struct job *j)
{
	_cleanup_(buf_done) struct buf b = {0};
	struct trace_context link;
	int r;

	if (g->policy->outbox == 0 || !span_wanted(j))
		return 0;
	if (g->outbox.n >= (uint64_t)g->policy->outbox)
		return drop(g);
	r = find_link(g, j, &link);
	if (r < 0)
		return r;
	span_write(j, r == 0 ? &link : NULL, &b);
	if (b.failed)
		return err_raise(b.failed, "write the span of a job");
	r = store_outbox_add(g->store, buf_head(&b), buf_len(&b));
	if (r == 0)
		g->outbox.n++;
	return r;
}

/* ---- for who takes them */

bool
engine_is_exporter(const struct engine *g, const struct requester *who)
{
	return engine_is_admin(g, who) ||
	       policy_is_exporter(g->policy, who->uid, who->gid, who->groups, who->n_groups);
}

int
engine_spans(struct engine *g, uint64_t after, size_t max, store_outbox_fn fn, void *arg)
{
	int r = store_outbox_each(g->store, after, max, fn, arg);

	return r < 0 ? err_pass(r) : r;
}

int
engine_spans_forget(struct engine *g, uint64_t upto)
{
	uint64_t n = 0;
	int r = txn_write(g->txn, __func__);

	while (r == 0) {
		r = store_outbox_forget(g->store, upto, FORGET_MAX, &n);
		g->outbox.n -= n < g->outbox.n ? n : g->outbox.n;
		if (r != 0 || n < FORGET_MAX)
			break;
	}
	return r < 0 ? err_pass(r) : 0;
}

void
engine_outbox(const struct engine *g, uint64_t *ret_waiting, uint64_t *ret_dropped)
{
	*ret_waiting = g->outbox.n;
	*ret_dropped = g->outbox.dropped;
}
