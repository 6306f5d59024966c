/* account.c - a small cache of accounts, see account.h.
 *
 * An answer is uid, gid, groups (numbers with spaces between), name, home and shell, each ended by
 * a NUL; one empty string alone: there is no such user. Anything else counts as silence. */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "api/account.h"
#include "api/lookup.h"
#include "api/user.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"

enum {
	KEEP_SEC = 60,       /* short: whoever was just added to a group, or locked out, counts */
	KEEP_FAILED_SEC = 5, /* long enough to be told to who waits */
	GROUPS_MAX = 65536,
	ANSWER_MAX = 1 << 20,
	PARTS = 6,
};

enum entry_state { ENTRY_ASKED, ENTRY_KNOWN, ENTRY_UNKNOWN, ENTRY_SILENT };

struct entry {
	struct list link; /* in the table, used last at the end */
	struct account_table *table;
	char text[ACCOUNT_NAME_MAX + 1];
	enum entry_state state;
	struct mono valid_until;
	struct account account;
	struct lookup *lookup; /* owned; NULL unless ASKED */
	struct list waiters;
};

struct account_table {
	struct lookup_table *lookups; /* borrowed */
	struct list entries;
	size_t n;
};

static void
account_clear(struct account *a)
{
	free(a->groups);
	free(a->name);
	free(a->home);
	free(a->shell);
	*a = (struct account){0};
}

static void
entry_free(struct entry *e)
{
	if (e->lookup)
		lookup_forget(take_ptr(e->lookup));
	list_unlink(&e->waiters); /* nobody is told */
	list_unlink(&e->link);
	e->table->n--;
	account_clear(&e->account);
	free(e);
}

/* ---- the answer */

static int
split(const struct buf *b, const char *ret[PARTS])
{
	const char *p = buf_head(b), *end = p + buf_len(b);

	for (int i = 0; i < PARTS; i++) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));

		if (!nul || !text_utf8_valid(p, (size_t)(nul - p), NULL))
			return -EPROTO;
		ret[i] = p;
		p = nul + 1;
	}
	return p == end ? 0 : -EPROTO;
}

static int
number(const char *s, uint32_t *ret)
{
	uint64_t v;

	if (text_u64(s, &v) < 0 || v >= UINT32_MAX)
		return -EPROTO;
	*ret = (uint32_t)v;
	return 0;
}

static int
groups(const char *s, struct account *a)
{
	size_t n = 1;
	char one[16];

	for (const char *p = s; *p; p++)
		n += *p == ' ';
	if (n > GROUPS_MAX)
		return -EPROTO;
	a->groups = calloc(n, sizeof(*a->groups));
	if (!a->groups)
		return -ENOMEM;
	for (; *s; s += *s == ' ') {
		size_t len = strcspn(s, " ");

		if (len >= sizeof(one))
			return -EPROTO;
		memcpy(one, s, len);
		one[len] = '\0';
		if (number(one, &a->groups[a->n_groups++]) < 0)
			return -EPROTO;
		s += len;
	}
	return 0;
}

static int
text(char **field, const char *s)
{
	if (!*s)
		return 0;
	*field = strdup(s);
	return *field ? 0 : -ENOMEM;
}

static int
parse(const struct buf *answer, struct account *a)
{
	const char *part[PARTS];
	int r = split(answer, part);

	r = r ? r : number(part[0], &a->uid);
	r = r ? r : number(part[1], &a->gid);
	r = r ? r : groups(part[2], a);
	r = r ? r : text(&a->name, part[3]);
	r = r ? r : text(&a->home, part[4]);
	return r ? r : text(&a->shell, part[5]);
}

static enum entry_state
judge(const struct buf *answer, struct account *a)
{
	if (!answer)
		return ENTRY_SILENT;
	if (buf_len(answer) == 1 && *buf_head(answer) == '\0')
		return ENTRY_UNKNOWN;
	if (parse(answer, a) == 0)
		return ENTRY_KNOWN;
	account_clear(a);
	return ENTRY_SILENT;
}

static void
entry_on_answer(void *arg, const struct buf *answer)
{
	struct list now = LIST_INIT(now), *l;
	struct entry *e = arg;

	e->lookup = NULL;
	e->state = judge(answer, &e->account);
	e->valid_until =
		mono_add(mono_now(), dur_sec(e->state == ENTRY_KNOWN ? KEEP_SEC : KEEP_FAILED_SEC));
	list_splice(&now, &e->waiters);
	while ((l = list_pop(&now))) {
		struct user_wait *w = list_entry(l, struct user_wait, link);

		w->on_ready(w);
	}
}

/* ---- the table */

static struct entry *
find(struct account_table *t, const char *name)
{
	list_for_each (it, &t->entries) {
		struct entry *e = list_entry(it, struct entry, link);

		if (strcmp(e->text, name) == 0)
			return e;
	}
	return NULL;
}

/* Room for one more: the one not asked for longest goes. False: all are being asked about. */
static bool
make_room(struct account_table *t)
{
	if (t->n < ACCOUNT_CACHE_MAX)
		return true;
	list_for_each (it, &t->entries) {
		struct entry *e = list_entry(it, struct entry, link);

		if (e->state == ENTRY_ASKED)
			continue;
		entry_free(e);
		return true;
	}
	return false;
}

static struct entry *
entry_new(struct account_table *t, const char *name)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->table = t;
	memcpy(e->text, name, strlen(name) + 1);
	e->state = ENTRY_SILENT;
	list_init(&e->waiters);
	list_append(&t->entries, &e->link);
	t->n++;
	return e;
}

static int
ask(struct entry *e)
{
	account_clear(&e->account);
	e->lookup = lookup_new(e->table->lookups, LOOKUP_ACCOUNT, e->text, ANSWER_MAX,
			       entry_on_answer, e);
	if (!e->lookup)
		return -ENOMEM;
	e->state = ENTRY_ASKED;
	return 0;
}

int
account_find(struct account_table *t, const char *name, struct user_wait *w,
	     const struct account **ret)
{
	struct entry *e = find(t, name);

	assert(strlen(name) <= ACCOUNT_NAME_MAX);
	if (!e) {
		e = make_room(t) ? entry_new(t, name) : NULL;
		if (!e)
			return -ENOMEM;
	}
	list_unlink(&e->link);
	list_append(&t->entries, &e->link);
	if (e->state != ENTRY_ASKED && e->valid_until.ns <= mono_now().ns && ask(e) < 0) {
		entry_free(e);
		return -ENOMEM;
	}
	switch (e->state) {
	case ENTRY_ASKED:
		list_append(&e->waiters, &w->link);
		return ACCOUNT_E_LATER;
	case ENTRY_KNOWN:
		*ret = &e->account;
		return 0;
	case ENTRY_UNKNOWN:
		return ACCOUNT_E_UNKNOWN;
	case ENTRY_SILENT:
		break;
	}
	return ACCOUNT_E_SILENT;
}

int
account_table_new(struct lookup_table *lookups, struct account_table **ret)
{
	struct account_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	t->lookups = lookups;
	list_init(&t->entries);
	*ret = t;
	return 0;
}

struct account_table *
account_table_free(struct account_table *t)
{
	if (!t)
		return NULL;
	list_for_each_safe (it, &t->entries)
		entry_free(list_entry(it, struct entry, link));
	free(t);
	return NULL;
}
