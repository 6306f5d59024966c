/* user.c - per-uid accounting and the names of uids, see user.h.
 *
 * One lookup a uid at most. An answer is three strings, each ended by NUL; anything else means "not
 * known", which is kept for a shorter time. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/lookup.h"
#include "api/user.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

enum {
	KEEP_SEC = 600,
	KEEP_FAILED_SEC = 30,
	ANSWER_MAX = 4096,
};

struct user_table {
	struct lookup_table *lookups; /* borrowed */
	struct map map;
	struct list idle; /* unreferenced entries, least recently used first */
	size_t n_idle;
};

static void
user_free(struct user *u)
{
	free(u->name);
	free(u->home);
	free(u->shell);
	free(u);
}

/* ---- the answer */

/* Three strings exactly, of valid UTF-8. */
static int
answer_split(const struct buf *b, const char *ret[3])
{
	const char *p = buf_head(b), *end = p + buf_len(b);

	for (int i = 0; i < 3; i++) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));

		if (!nul || !text_utf8_valid(p, (size_t)(nul - p), NULL))
			return -EPROTO;
		ret[i] = p;
		p = nul + 1;
	}
	return p == end ? 0 : -EPROTO;
}

static int
user_set(char **field, const char *s)
{
	char *copy = s && *s ? strdup(s) : NULL;

	if (s && *s && !copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* ANSWER NULL: not known. */
static void
user_answer(struct user *u, const struct buf *answer)
{
	const char *s[3] = {NULL, NULL, NULL};
	bool known = answer && answer_split(answer, s) == 0;

	if (!known)
		s[0] = s[1] = s[2] = NULL;
	if (user_set(&u->name, s[0]) < 0 || user_set(&u->home, s[1]) < 0 ||
	    user_set(&u->shell, s[2]) < 0)
		known = false;
	u->valid_until = mono_add(mono_now(), dur_sec(known ? KEEP_SEC : KEEP_FAILED_SEC));
}

static void
user_tell(struct user *u)
{
	struct list now = LIST_INIT(now), *l;

	list_splice(&now, &u->waiters);
	while ((l = list_pop(&now))) {
		struct user_wait *w = list_entry(l, struct user_wait, link);

		w->on_ready(w);
	}
}

static void
user_on_answer(void *arg, const struct buf *answer)
{
	struct user *u = arg;

	u->lookup = NULL;
	user_answer(u, answer);
	user_tell(u);
	(void)user_put(u);
}

static struct lookup *
user_ask(struct user *u)
{
	char number[16];
	struct lookup *l;

	(void)snprintf(number, sizeof(number), "%u", u->uid);
	l = lookup_new(u->table->lookups, LOOKUP_UID, number, ANSWER_MAX, user_on_answer, u);
	if (l)
		u->refs++;
	return l;
}

/* ---- the table */

int
user_table_new(struct lookup_table *lookups, struct user_table **ret)
{
	struct user_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->lookups = lookups;
	list_init(&t->idle);
	*ret = t;
	return 0;
}

static void
table_drop(struct user_table *t, struct user *u)
{
	list_unlink(&u->idle);
	t->n_idle--;
	map_remove(&t->map, &u->node);
	user_free(u);
}

/* From the beginning after each: letting go of one may drop another. */
static void
lookups_drop(struct user_table *t)
{
	struct map_node *n = map_next(&t->map, NULL);

	while (n) {
		struct user *u = container_of(n, struct user, node);

		if (u->lookup) {
			lookup_forget(take_ptr(u->lookup));
			(void)user_put(u);
			n = NULL;
		}
		n = map_next(&t->map, n);
	}
}

struct user_table *
user_table_free(struct user_table *t)
{
	if (!t)
		return NULL;
	lookups_drop(t);
	while (!list_empty(&t->idle))
		table_drop(t, list_entry(t->idle.next, struct user, idle));
	assert(t->map.n == 0);
	map_done(&t->map);
	free(t);
	return NULL;
}

size_t
user_table_size(const struct user_table *t)
{
	return t->map.n;
}

static struct user *
user_new(struct user_table *t, uint32_t uid)
{
	struct user *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->table = t;
	u->uid = uid;
	list_init(&u->idle);
	list_init(&u->waiters);
	if (map_insert(&t->map, uid, &u->node) < 0) {
		free(u);
		return NULL;
	}
	return u;
}

struct user *
user_get(struct user_table *t, uint32_t uid)
{
	struct map_node *n = map_find(&t->map, uid);
	struct user *u = n ? container_of(n, struct user, node) : user_new(t, uid);

	if (!u)
		return NULL;
	if (!list_empty(&u->idle)) {
		list_unlink(&u->idle);
		t->n_idle--;
	}
	u->refs++;
	return u;
}

struct user *
user_put(struct user *u)
{
	struct user_table *t;

	if (!u)
		return NULL;
	t = u->table;
	assert(u->refs > 0);
	if (--u->refs > 0)
		return NULL;
	assert(u->n_conns == 0 && u->bytes == 0);
	list_append(&t->idle, &u->idle);
	t->n_idle++;
	if (t->n_idle > USER_CACHE_MAX)
		table_drop(t, list_entry(t->idle.next, struct user, idle));
	return NULL;
}

bool
user_names(struct user *u, struct user_wait *w)
{
	if (u->valid_until.ns > mono_now().ns)
		return true;
	if (!u->lookup) {
		u->lookup = user_ask(u);
		if (!u->lookup)
			return true; /* no memory: go on without names, ask next time */
	}
	list_append(&u->waiters, &w->link);
	return false;
}
