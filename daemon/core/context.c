/* context.c - the values of a context, see context.h. */
#include "core/context.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/text.h"

/* Names are ASCII whatever the locale says. */
static bool
letter(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

bool
context_name_valid(const char *name, size_t n)
{
	if (n == 0 || n > CONTEXT_NAME_MAX || !(letter(name[0]) || name[0] == '_'))
		return false;
	for (size_t i = 1; i < n; i++)
		if (!letter(name[i]) && !digit(name[i]) &&
		    (name[i] == '\0' || !strchr("_.-", name[i])))
			return false;
	return true;
}

int
context_value_check(const char *pair, struct ctx_err *e)
{
	size_t n = strcspn(pair, "="), bad_at;
	char shown[CONTEXT_NAME_MAX + 8];

	if (!context_name_valid(pair, n)) {
		_free_ char *name = strndup(pair, n);

		return ctx_err_set(
			e, 0, -EINVAL,
			"\"%s\" is no name of a value: 1 to %d of A-Z a-z 0-9 _ . -, the "
			"first a letter or _",
			name ? text_escape(name, shown, sizeof(shown)) : "?", CONTEXT_NAME_MAX);
	}
	if (pair[n] != '=')
		return ctx_err_set(e, 0, -EINVAL, "the value %s has no text: NAME=VALUE is needed",
				   pair);
	if (!text_utf8_valid(pair + n + 1, strlen(pair + n + 1), &bad_at))
		return ctx_err_set(e, 0, -EINVAL, "the value %.*s is not UTF-8 at byte %zu", (int)n,
				   pair, bad_at);
	return 0;
}

const char *
context_env_name(const char *name, size_t n, char buf[static CONTEXT_ENV_NAME])
{
	char *to = mempcpy(buf, CONTEXT_ENV_PREFIX, sizeof(CONTEXT_ENV_PREFIX) - 1);

	for (size_t i = 0; i < n && i < CONTEXT_NAME_MAX; i++) {
		if (name[i] >= 'a' && name[i] <= 'z')
			*to++ = (char)(name[i] - 'a' + 'A');
		else
			*to++ = letter(name[i]) || digit(name[i]) ? name[i] : '_';
	}
	*to = '\0';
	return buf;
}

/* ---- bringing them together */

struct value {
	const char *pair; /* borrowed */
	size_t name;      /* bytes of its name */
	bool own;
};
struct values {
	struct value v[2 * CONTEXT_VALUES_MAX]; /* all of both sides, before the limits */
	size_t n;
};

static int
by_name(const void *a, const void *b)
{
	const struct value *x = a, *y = b;
	int r = memcmp(x->pair, y->pair, x->name < y->name ? x->name : y->name);

	return r ? r : (x->name > y->name) - (x->name < y->name);
}

static struct value *
find(struct values *all, const struct value *key)
{
	for (size_t i = 0; i < all->n; i++)
		if (by_name(&all->v[i], key) == 0)
			return &all->v[i];
	return NULL;
}

static int
too_many(struct ctx_err *e)
{
	return ctx_err_set(e, 0, -EINVAL, "more than %d values, inherited ones included",
			   CONTEXT_VALUES_MAX);
}

static int
take_inherited(struct values *all, const struct strv *inherited, struct ctx_err *e)
{
	if (inherited->n > CONTEXT_VALUES_MAX)
		return too_many(e);
	for (const char *s = strv_first(inherited); s; s = strv_next(inherited, s))
		all->v[all->n++] = (struct value){s, strcspn(s, "="), false};
	return 0;
}

static int
take_own(struct values *all, const struct strv *own, struct ctx_err *e)
{
	if (own->n > CONTEXT_VALUES_MAX)
		return too_many(e);
	for (const char *s = strv_first(own); s; s = strv_next(own, s)) {
		struct value v = {s, strcspn(s, "="), true}, *old;
		int r = context_value_check(s, e);

		if (r < 0)
			return r;
		old = find(all, &v);
		if (old && old->own)
			return ctx_err_set(e, 0, -EINVAL, "the value %.*s is given twice",
					   (int)v.name, s);
		if (old)
			*old = v;
		else
			all->v[all->n++] = v;
	}
	return 0;
}

static int
check_sizes(const struct values *all, struct ctx_err *e)
{
	size_t bytes = 0;

	if (all->n > CONTEXT_VALUES_MAX)
		return too_many(e);
	for (size_t i = 0; i < all->n; i++)
		bytes += strlen(all->v[i].pair) - 1; /* without the "=" */
	if (bytes > CONTEXT_VALUES_BYTES)
		return ctx_err_set(e, 0, -EINVAL,
				   "the values have %zu bytes, inherited ones and names included; "
				   "%d is the most",
				   bytes, CONTEXT_VALUES_BYTES);
	return 0;
}

/* A job sees each value as a variable: none may hide another. */
static int
check_variables(const struct values *all, struct ctx_err *e)
{
	char one[CONTEXT_ENV_NAME], other[CONTEXT_ENV_NAME];

	for (size_t i = 0; i < all->n; i++) {
		const struct value *a = &all->v[i];

		(void)context_env_name(a->pair, a->name, one);
		for (size_t k = i + 1; k < all->n; k++) {
			const struct value *b = &all->v[k];

			if (strcmp(one, context_env_name(b->pair, b->name, other)) == 0)
				return ctx_err_set(e, 0, -EINVAL,
						   "the values %.*s and %.*s would both be the "
						   "variable %s",
						   (int)a->name, a->pair, (int)b->name, b->pair,
						   one);
		}
	}
	return 0;
}

int
context_values_merge(const struct strv *inherited, const struct strv *own, struct strv *ret,
		     struct ctx_err *e)
{
	_cleanup_(strv_done) struct strv v = {0};
	struct values all;
	int r = 0;

	all.n = 0;
	if (inherited)
		r = take_inherited(&all, inherited, e);
	if (r == 0 && own)
		r = take_own(&all, own, e);
	if (r == 0)
		r = check_sizes(&all, e);
	if (r == 0)
		r = check_variables(&all, e);
	if (r < 0)
		return r;
	qsort(all.v, all.n, sizeof(all.v[0]), by_name);
	for (size_t i = 0; i < all.n; i++) {
		r = strv_add(&v, all.v[i].pair);
		if (r < 0)
			return r;
	}
	*ret = v;
	v = (struct strv){0};
	return 0;
}
