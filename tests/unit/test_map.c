/* test_map.c - base/map.h: insert, find, remove against an array; growth, shrinking, iteration with
 * removal. */
#include <errno.h>

#include "base/map.h"
#include "rnd.h"
#include "tap.h"

enum { N = 3000 };

struct thing {
	struct map_node node;
	bool in, seen;
};

static struct thing things[N];
static struct thing *
thing_of(struct map_node *n)
{
	return (struct thing *)(void *)n; /* its first member */
}

TEST(empty)
{
	struct map m = {0};

	ok(map_find(&m, 0) == NULL);
	ok(map_next(&m, NULL) == NULL);
	map_done(&m);
	map_done(&m);
}

TEST(insert_find_remove)
{
	struct map m = {0};
	struct map_node a, b, c;

	is_int(map_insert(&m, 0, &a), 0);
	is_int(map_insert(&m, UINT64_MAX, &b), 0);
	is_int(map_insert(&m, 0, &c), -EEXIST);
	ok(map_find(&m, 0) == &a && map_find(&m, UINT64_MAX) == &b && !map_find(&m, 1));
	is_int(m.n, 2);
	map_remove(&m, &a);
	ok(!map_find(&m, 0));
	is_int(map_insert(&m, 0, &c), 0);
	ok(map_find(&m, 0) == &c);
	map_remove(&m, &b);
	map_remove(&m, &c);
	is_int(m.n, 0);
	ok(map_next(&m, NULL) == NULL);
	map_done(&m);
}

static void
fill(struct map *m, uint64_t stride)
{
	memset(things, 0, sizeof(things));
	for (uint64_t i = 0; i < N; i++)
		need(map_insert(m, i * stride, &things[i].node) == 0);
}

TEST(grows_and_shrinks)
{
	static const uint64_t strides[] = {1, 16, 1ULL << 32, 0x9E3779B97F4A7C15ULL, 1ULL << 40};

	for (size_t k = 0; k < sizeof(strides) / sizeof(strides[0]); k++) {
		struct map m = {0};

		fill(&m, strides[k]);
		is_int(m.n, N);
		ok(m.n_slots >= N / 2 && m.n_slots <= (size_t)4 * N);
		for (uint64_t i = 0; i < N; i++)
			need(map_find(&m, i * strides[k]) == &things[i].node);
		for (uint64_t i = 0; i < N; i++)
			map_remove(&m, &things[i].node);
		ok(m.n_slots <= 32);
		map_done(&m);
	}
}

TEST(iteration_sees_each_once)
{
	struct map m = {0};
	size_t n = 0;

	fill(&m, 7);
	for (struct map_node *it = map_next(&m, NULL); it; it = map_next(&m, it)) {
		ok(!thing_of(it)->seen);
		thing_of(it)->seen = true;
		n++;
	}
	is_int(n, N);
	map_done(&m);
}

/* Removal on the way shrinks the table several times; still each is seen exactly once. */
TEST(iteration_with_removal)
{
	for (int keep_each = 0; keep_each < 300; keep_each += 99) {
		struct map m = {0};
		struct map_node *it, *next;
		size_t n = 0, kept = 0;

		fill(&m, 3);
		for (it = map_next(&m, NULL); it; it = next, n++) {
			next = map_next(&m, it);
			need(!thing_of(it)->seen);
			thing_of(it)->seen = true;
			if (keep_each && n % (size_t)keep_each == 0)
				kept++;
			else
				map_remove(&m, it);
		}
		is_int(n, N);
		is_int(m.n, kept);
		map_done(&m);
	}
}

TEST(random_against_an_array)
{
	struct map m = {0};
	size_t in = 0;

	memset(things, 0, sizeof(things));
	for (int i = 0; i < 100000; i++) {
		/* Phases of filling and of emptying. */
		uint64_t k = rnd(UINT64_MAX) % N,
			 want_in = rnd(UINT64_MAX) % 100 < (i / 20000 % 2 ? 10 : 90);

		need(map_find(&m, k * 11) == (things[k].in ? &things[k].node : NULL));
		if (things[k].in && !want_in) {
			map_remove(&m, &things[k].node);
			things[k].in = false;
			in--;
		} else if (!things[k].in && want_in) {
			need(map_insert(&m, k * 11, &things[k].node) == 0);
			things[k].in = true;
			in++;
		} else if (things[k].in) {
			struct map_node other;

			need(map_insert(&m, k * 11, &other) == -EEXIST);
		}
		need(m.n == in);
	}
	map_done(&m);
}
