/* ties.c - see ties.h. Two clients may have submitted the same key: neither may take the job away
 * from the other by going. */
#include <errno.h>
#include <stdlib.h>

#include "api/server.h"
#include "api/ties.h"
#include "base/mem.h"

struct tie {
	struct map_node node; /* in api->ties, by id */
	uint32_t n;
};

static struct tie *
find(const struct api *a, uint64_t id)
{
	struct map_node *n = map_find(&a->ties, id);

	return n ? container_of(n, struct tie, node) : NULL;
}

int
ties_add(struct api *a, uint64_t id)
{
	struct tie *t = find(a, id);

	if (!t) {
		t = calloc(1, sizeof(*t));
		if (!t)
			return -ENOMEM;
		if (map_insert(&a->ties, id, &t->node) < 0) {
			free(t);
			return -ENOMEM;
		}
	}
	t->n++;
	return 0;
}

bool
ties_remove(struct api *a, uint64_t id)
{
	struct tie *t = find(a, id);

	assert(t);
	if (--t->n > 0)
		return false;
	map_remove(&a->ties, &t->node);
	free(t);
	return true;
}
