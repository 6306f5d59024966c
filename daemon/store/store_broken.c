/* store_broken.c - rows of the table job that no version of this program wrote: a bit that turned,
 * a hand that was in the database. Such a row is found when it is read. It is never written over;
 * what walks over many rows goes past it, and what asks which job is next does not see it, so that
 * it stands in nobody's way. It is remembered until the database is closed. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "store/store_db.h"

struct broken {
	struct map_node node; /* in store->broken, by id */
};

bool
store_broken(const struct store *s, uint64_t id)
{
	return map_find(&s->broken, id) != NULL;
}

size_t
store_n_broken(const struct store *s)
{
	return s->broken.n;
}

void
store_broken_add(struct store *s, uint64_t id, const char *what)
{
	struct broken *b;

	if (store_broken(s, id))
		return;
	log_err("job %ju: its row in the database is malformed (%s): it is left as it is, and does "
		"not count; continuing with the others",
		(uintmax_t)id, what);
	b = calloc(1, sizeof(*b));
	if (!b || map_insert(&s->broken, id, &b->node) < 0)
		free(b); /* it is found again */
}

/* is_broken(ID), for WHERE: in memory, and asked of few rows, for it comes behind what an index
 * answers. */
static void
is_broken(sqlite3_context *c, int n, sqlite3_value **v)
{
	const struct store *s = sqlite3_user_data(c);

	(void)n;
	sqlite3_result_int(c, store_broken(s, (uint64_t)sqlite3_value_int64(v[0])));
}

int
store_broken_init(struct store *s)
{
	int rc = sqlite3_create_function(s->db, "is_broken", 1, SQLITE_UTF8, s, is_broken, NULL,
					 NULL);

	return rc == SQLITE_OK ? 0 : store_db_fail(s, rc, "is_broken");
}

void
store_broken_done(struct store *s)
{
	struct map_node *n;

	while ((n = map_next(&s->broken, NULL))) {
		map_remove(&s->broken, n);
		free(container_of(n, struct broken, node));
	}
	map_done(&s->broken);
}
