/* strv.c - packed string vector. The block is exactly as large as its content: vectors are built
 * once and kept. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/strv.h"

void
strv_done(struct strv *v)
{
	free(v->data);
	*v = (struct strv){0};
}

/* Offset of S in V's block, or SIZE_MAX when it is elsewhere. */
static size_t
offset_in(const struct strv *v, const char *s)
{
	uintptr_t base = (uintptr_t)v->data, at = (uintptr_t)s;

	return v->size && at >= base && at - base < v->size ? at - base : SIZE_MAX;
}

/* Enlarge the block by EXTRA bytes; *A and *B, which may point into it, are kept valid. */
static int
grow(struct strv *v, size_t extra, const char **a, const char **b)
{
	size_t at_a = offset_in(v, *a), at_b = offset_in(v, *b);
	char *p;

	if (extra > SIZE_MAX / 2 - v->size)
		return -ENOMEM;
	p = realloc(v->data, v->size + extra);
	if (!p)
		return -ENOMEM;
	if (at_a != SIZE_MAX)
		*a = p + at_a;
	if (at_b != SIZE_MAX)
		*b = p + at_b;
	v->data = p;
	return 0;
}

int
strv_add(struct strv *v, const char *s)
{
	const char *none = NULL;
	size_t n = strlen(s) + 1;
	int r = grow(v, n, &s, &none);

	if (r < 0)
		return r;
	memcpy(v->data + v->size, s, n);
	v->size += n;
	v->n++;
	return 0;
}

int
strv_add_pair(struct strv *v, const char *name, const char *value)
{
	size_t nn = strlen(name), nv = strlen(value) + 1;
	char *to;
	int r = grow(v, nn + 1 + nv, &name, &value);

	if (r < 0)
		return r;
	to = v->data + v->size;
	to = mempcpy(to, name, nn);
	*to++ = '=';
	memcpy(to, value, nv);
	v->size += nn + 1 + nv;
	v->n++;
	return 0;
}

int
strv_copy(struct strv *ret, const struct strv *v)
{
	char *p = NULL;

	if (v->size) {
		p = malloc(v->size);
		if (!p)
			return -ENOMEM;
		memcpy(p, v->data, v->size);
	}
	*ret = (struct strv){.data = p, .size = v->size, .n = v->n};
	return 0;
}

int
strv_from_bytes(struct strv *ret, const void *data, size_t size)
{
	const char *p = data, *end;
	size_t n = 0;
	char *copy;

	if (size == 0) {
		*ret = (struct strv){0};
		return 0;
	}
	if (!p || p[size - 1] != '\0')
		return -EINVAL;
	for (end = p + size; p < end; p += strlen(p) + 1)
		n++;
	copy = malloc(size);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, size);
	*ret = (struct strv){.data = copy, .size = size, .n = n};
	return 0;
}

const char *
strv_first(const struct strv *v)
{
	return v->n ? v->data : NULL;
}

const char *
strv_next(const struct strv *v, const char *s)
{
	s += strlen(s) + 1;
	return s < v->data + v->size ? s : NULL;
}

static const char *
pair_value(const char *pair, const char *name, size_t n)
{
	return strncmp(pair, name, n) == 0 && pair[n] == '=' ? pair + n + 1 : NULL;
}

const char *
strv_env_get(const struct strv *v, const char *name)
{
	size_t n = strlen(name);
	const char *found = NULL;

	for (const char *s = strv_first(v); s; s = strv_next(v, s)) {
		const char *value = pair_value(s, name, n);

		if (value)
			found = value;
	}
	return found;
}

/* Drop every NAME=… that starts before byte END. */
static void
env_drop(struct strv *v, const char *name, size_t n, size_t end)
{
	size_t from = 0, to = 0, count = 0;

	while (from < v->size) {
		size_t len = strlen(v->data + from) + 1;

		if (from >= end || !pair_value(v->data + from, name, n)) {
			memmove(v->data + to, v->data + from, len);
			to += len;
			count++;
		}
		from += len;
	}
	v->size = to;
	v->n = count;
	if (to == 0)
		strv_done(v);
}

int
strv_env_set(struct strv *v, const char *name, const char *value)
{
	size_t n = strlen(name), end = v->size;
	int r;

	if (n == 0 || memchr(name, '=', n))
		return -EINVAL;
	if (value) {
		r = strv_add_pair(v, name, value);
		if (r < 0)
			return r;
	}
	if (strv_env_get(v, name))
		env_drop(v, name, n, end);
	return 0;
}

char **
strv_pointers(const struct strv *v)
{
	char **p = calloc(v->n + 1, sizeof(*p));
	char *s = v->data;

	if (!p)
		return NULL;
	for (size_t i = 0; i < v->n; i++) {
		p[i] = s;
		s += strlen(s) + 1;
	}
	return p;
}
