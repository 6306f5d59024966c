/* check.c - does what memory holds agree with the database? Asked after every commit when
 * CTXD_CHECK=1, always in the tests. A disagreement is a bug of ours: abort, the core says where.
 */
#include <inttypes.h>

#include "base/log.h"
#include "engine/impl.h"
#include "engine/tree.h"

static void
agree(const char *what, uint64_t memory, uint64_t database)
{
	if (memory == database)
		return;
	log_err("internal check: %s: %" PRIu64 " in memory, %" PRIu64 " in the database", what,
		memory, database);
	abort();
}

void
engine_check(struct engine *g)
{
	struct store_counts c;
	uint64_t running;

	/* A malformed row counts in the database alone. */
	if (!g->started || g->lanes_wrong || store_n_broken(g->store) > 0 ||
	    store_counts(g->store, &c) != 0)
		return;
	running = c.by_state[JOB_RUNNING] + c.by_state[JOB_STOPPING];
	agree("queued jobs", g->lanes.queued + g->lanes.delayed, c.by_state[JOB_QUEUED]);
	agree("running jobs", g->lanes.running, running);
	lanes_check(&g->lanes);
	agree("jobs looked after", g->live.n, running);
	tree_check(g);
}
