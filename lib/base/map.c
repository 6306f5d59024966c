/* map.c - intrusive hash map. Chained; the slot is the top bits of a multiplicative hash, so that
 * halving the table joins neighbouring slots and keeps the order of iteration: removing while
 * iterating is safe although the map may shrink. */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/map.h"

enum { MAP_MIN = 16 };

void
map_done(struct map *m)
{
	free(m->slots);
	*m = (struct map){0};
}

static size_t
slot_of(uint64_t key, size_t n_slots)
{
	return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >>
			(64 - __builtin_ctzll((unsigned long long)n_slots)));
}

/* The place that points, or would point, to KEY's node. */
static struct map_node **
place(const struct map *m, uint64_t key)
{
	struct map_node **p = &m->slots[slot_of(key, m->n_slots)];

	while (*p && (*p)->key != key)
		p = &(*p)->next;
	return p;
}

static int
resize(struct map *m, size_t n_slots)
{
	struct map_node **slots = calloc(n_slots, sizeof(struct map_node *));

	if (!slots)
		return -ENOMEM;
	for (size_t i = 0; i < m->n_slots; i++) {
		struct map_node *n = m->slots[i], *next;

		for (; n; n = next) {
			struct map_node **p = &slots[slot_of(n->key, n_slots)];

			next = n->next;
			n->next = NULL;
			while (*p)
				p = &(*p)->next;
			*p = n;
		}
	}
	free(m->slots);
	m->slots = slots;
	m->n_slots = n_slots;
	return 0;
}

struct map_node *
map_find(const struct map *m, uint64_t key)
{
	return m->n ? *place(m, key) : NULL;
}

int
map_insert(struct map *m, uint64_t key, struct map_node *n)
{
	struct map_node **p;

	if (m->n_slots == 0 && resize(m, MAP_MIN) < 0)
		return -ENOMEM;
	p = place(m, key);
	if (*p)
		return -EEXIST;
	/* Without memory for a larger table the old one goes on, only slower. */
	if (m->n >= m->n_slots && resize(m, m->n_slots * 2) == 0)
		p = place(m, key);
	n->key = key;
	n->next = NULL;
	*p = n;
	m->n++;
	return 0;
}

void
map_remove(struct map *m, struct map_node *n)
{
	struct map_node **p;

	assert(m->n > 0);
	p = place(m, n->key);
	assert(*p == n);
	*p = n->next;
	n->next = NULL;
	m->n--;
	if (m->n_slots > MAP_MIN && m->n < m->n_slots / 8)
		(void)resize(m, m->n_slots / 2);
}

struct map_node *
map_next(const struct map *m, const struct map_node *n)
{
	size_t i = 0;

	if (n) {
		if (n->next)
			return n->next;
		i = slot_of(n->key, m->n_slots) + 1;
	}
	for (; i < m->n_slots; i++)
		if (m->slots[i])
			return m->slots[i];
	return NULL;
}
