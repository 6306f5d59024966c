/* map.h - intrusive hash map from uint64 to objects. Grows by itself; shrinks when mostly empty. */
#ifndef CTX_BASE_MAP_H
#define CTX_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next; /* owned by the map */
	uint64_t key;
};

/* Zero-initialised = empty. */
struct map {
	struct map_node **slots; /* owned */
	size_t n_slots;          /* power of two, or 0 */
	size_t n;
};

void map_done(struct map *m); /* forgets all nodes, frees the table */
struct map_node *map_find(const struct map *m, uint64_t key);
/* 0, -ENOMEM, or -EEXIST when KEY is present. */
int map_insert(struct map *m, uint64_t key, struct map_node *n);
void map_remove(struct map *m, struct map_node *n); /* N must be in M */
/* Iteration: NULL to start. To remove a node on the way, fetch its successor first; nothing may be
 * inserted meanwhile. */
struct map_node *map_next(const struct map *m, const struct map_node *n);

#endif
