/* metrics.c - what was counted, and how much there is to do now, for who watches from outside. */
#include <string.h>

#include "base/err.h"
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

int
engine_class_load(struct engine *g, const char *class_name, struct engine_class_load *ret)
{
	const struct lane_class *c = lanes_class(&g->lanes, class_name);
	int r;

	*ret = (struct engine_class_load){0};
	if (!c)
		return 0;
	ret->queued = c->queued;
	ret->running = c->running;
	if (c->queued == 0)
		return 0;
	r = store_queue_oldest(g->store, class_name, &ret->oldest_us);
	return r < 0 ? err_pass(r) : 0;
}
