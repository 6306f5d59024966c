/* journal_export.c - entries of the journal as text, see journal_export.h. A field is NAME=VALUE
 * and a line end, or NAME, a line end, the length of the value in 64 bits of little endian, the
 * value, and a line end. An empty line ends the entry. */
#include "exec/journal_export.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { NUMBER_MAX = 20 };

struct field {
	const char *name, *value;
	size_t name_n, n;
};

/* As journal_export_next. */
static long
next_field(const char *p, size_t size, struct field *ret)
{
	const char *end = memchr(p, '\n', size), *eq;
	uint64_t n;

	if (!end)
		return 0;
	eq = memchr(p, '=', (size_t)(end - p));
	*ret = (struct field){.name = p, .name_n = (size_t)((eq ? eq : end) - p)};
	if (eq) {
		ret->value = eq + 1;
		ret->n = (size_t)(end - eq - 1);
		return end + 1 - p;
	}
	if (size - (size_t)(end + 1 - p) < sizeof(n))
		return 0;
	memcpy(&n, end + 1, sizeof(n));
	n = le64toh(n);
	ret->value = end + 1 + sizeof(n);
	size -= (size_t)(ret->value - p);
	if (n >= size)
		return n > SIZE_MAX / 4 ? -EPROTO : 0;
	ret->n = (size_t)n;
	return ret->value[n] == '\n' ? ret->value + n + 1 - p : -EPROTO;
}

static bool
number(const struct field *f, uint64_t *ret)
{
	*ret = 0;
	for (size_t i = 0; i < f->n; i++) {
		if (f->value[i] < '0' || f->value[i] > '9' || i == NUMBER_MAX - 1)
			return false;
		*ret = *ret * 10 + (uint64_t)(f->value[i] - '0');
	}
	return f->n > 0;
}

static bool
is(const struct field *f, const char *name)
{
	return f->name_n == strlen(name) && memcmp(f->name, name, f->name_n) == 0;
}

static void
take(const struct field *f, struct journal_line *l)
{
	uint64_t v;

	if (is(f, "MESSAGE")) {
		l->message = f->value;
		l->n = f->n;
	} else if (is(f, "CTX_OFFSET")) {
		l->has_offset = number(f, &l->offset);
	} else if (is(f, "CTX_ROUND")) {
		l->round = number(f, &v) && v < UINT32_MAX ? (uint32_t)v : UINT32_MAX;
	} else if (is(f, "CTX_NO_NEWLINE")) {
		l->newline = false;
	} else if (is(f, "__CURSOR")) {
		l->cursor = f->value;
		l->cursor_n = f->n;
	}
}

long
journal_export_next(const char *p, size_t n, struct journal_line *ret)
{
	size_t at = 0;

	*ret = (struct journal_line){.newline = true};
	while (at < n) {
		struct field f;
		long used;

		if (p[at] == '\n')
			return (long)at + 1;
		used = next_field(p + at, n - at, &f);
		if (used <= 0)
			return used;
		take(&f, ret);
		at += (size_t)used;
	}
	return 0;
}
