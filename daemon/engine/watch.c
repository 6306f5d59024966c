/* watch.c - who wants to be told when a job ends. */
#include <errno.h>
#include <stdlib.h>

#include "engine/impl.h"
#include "engine/tell.h"

struct watch_group { /* all watches of one job */
	struct map_node node;
	struct list watches;
};

static struct watch_group *
find_group(const struct engine *g, uint64_t job)
{
	struct map_node *n = map_find(&g->watches, job);

	return n ? container_of(n, struct watch_group, node) : NULL;
}

static void
free_group(struct engine *g, struct watch_group *w)
{
	map_remove(&g->watches, &w->node);
	free(w);
}

int
engine_watch_add(struct engine *g, struct engine_watch *w)
{
	struct watch_group *group = find_group(g, w->job);

	if (!group) {
		group = calloc(1, sizeof(*group));
		if (!group || map_insert(&g->watches, w->job, &group->node) < 0) {
			free(group);
			return -ENOMEM;
		}
		list_init(&group->watches);
	}
	list_append(&group->watches, &w->link);
	return 0;
}

void
engine_watch_remove(struct engine *g, struct engine_watch *w)
{
	struct watch_group *group = find_group(g, w->job);

	list_unlink(&w->link);
	if (group && list_empty(&group->watches))
		free_group(g, group);
}

bool
watch_any(const struct engine *g, uint64_t job)
{
	return find_group(g, job) != NULL;
}

void
watch_tell(struct engine *g, const struct job *j)
{
	struct watch_group *group = find_group(g, j->id);
	struct list told = LIST_INIT(told), *it;

	if (!group)
		return;
	list_splice(&told, &group->watches);
	free_group(g, group);
	/* A watch may remove others, or itself be added again, while it is told. */
	while ((it = list_pop(&told))) {
		struct engine_watch *w = list_entry(it, struct engine_watch, link);

		w->on_end(w, j);
	}
}

void
watch_again(struct engine *g, uint64_t job)
{
	struct watch_group *group = find_group(g, job);

	if (!group)
		return;
	list_for_each (it, &group->watches) {
		struct engine_watch *w = list_entry(it, struct engine_watch, link);

		if (w->on_again)
			w->on_again(w);
	}
}

void
watch_done(struct engine *g)
{
	struct map_node *n;

	while ((n = map_next(&g->watches, NULL))) {
		struct watch_group *w = container_of(n, struct watch_group, node);

		while (list_pop(&w->watches))
			continue;
		free_group(g, w);
	}
	map_done(&g->watches);
}
