/* check.c - does what memory holds agree with the database? Asked after every commit when
 * CTXD_CHECK=1, always in the tests. A disagreement is a bug of ours: abort, the core says where.
 */
#include <inttypes.h>

#include "base/log.h"
#include "engine/impl.h"

static void
agree(const char *what, uint64_t memory, uint64_t database)
{
	if (memory == database)
		return;
	log_err("internal check: %s: %" PRIu64 " in memory, %" PRIu64 " in the database", what,
		memory, database);
	abort();
}

static uint64_t
sum_queued(const struct lanes *l)
{
	uint64_t n = 0;

	for (struct list *it = l->lanes.next; it != &l->lanes; it = it->next)
		n += list_entry(it, struct lane, link)->queued;
	return n;
}

static uint64_t
sum_running(const struct list *shares)
{
	uint64_t n = 0;

	for (struct list *it = shares->next; it != shares; it = it->next)
		n += list_entry(it, struct share, link)->running;
	return n;
}

void
engine_check(struct engine *g)
{
	struct store_counts c;
	uint64_t running;

	/* A malformed row counts in the database alone. */
	if (!g->started || store_n_broken(g->store) > 0 || store_counts(g->store, &c) != 0)
		return;
	running = c.by_state[JOB_RUNNING] + c.by_state[JOB_STOPPING];
	agree("queued jobs", g->lanes.queued + g->lanes.delayed, c.by_state[JOB_QUEUED]);
	agree("queued jobs, by lane", sum_queued(&g->lanes), g->lanes.queued);
	agree("queued jobs that wait for a time", sum_running(&g->lanes.delayed_users),
	      g->lanes.delayed);
	agree("running jobs", g->lanes.running, running);
	agree("running jobs, by class", sum_running(&g->lanes.classes), running);
	agree("running jobs, by user", sum_running(&g->lanes.users), running);
	agree("jobs looked after", g->live.n, running);
	tree_check(g);
}
