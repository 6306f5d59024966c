/* metrics.c - what was counted, and how much there is to do now, for who watches from outside. */
#include <string.h>

#include "engine/impl.h"

const struct metrics *
engine_metrics(struct engine *g)
{
	(void)metrics_class(&g->metrics, "default");
	for (const struct policy_class *c = g->policy->classes; c; c = c->next)
		(void)metrics_class(&g->metrics, c->name);
	list_for_each (it, &g->lanes.classes)
		(void)metrics_class(&g->metrics, list_entry(it, struct lane_class, link)->name);
	return &g->metrics;
}

int64_t
engine_started_us(const struct engine *g)
{
	return g->started_us;
}

void
engine_class_load(const struct engine *g, const char *class_name, uint64_t *ret_queued,
		  uint64_t *ret_running)
{
	const struct lane_class *c = lanes_class(&g->lanes, class_name);

	*ret_queued = c ? c->queued : 0;
	*ret_running = c ? c->running : 0;
}

int
engine_oldest_queued(struct engine *g, int64_t *ret_us)
{
	int r = store_queue_oldest(g->store, ret_us);

	if (r == STORE_E_NOT_FOUND)
		*ret_us = 0;
	return r < 0 ? r : 0;
}
