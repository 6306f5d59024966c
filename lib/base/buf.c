/* buf.c - growing byte buffer with a hard bound.
 *
 * Consumed space at the front is reused once it is at least as large as what would have to be
 * moved, so that a queue which never runs empty still costs a constant per byte. The block may
 * therefore be up to twice the bound. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

enum { BUF_FIRST = 256, BUF_PRINT = 512 };

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_done(struct buf *b)
{
	free(b->data);
	buf_init(b, b->max);
}

void
buf_clear(struct buf *b)
{
	b->start = b->end = 0;
	b->failed = 0;
}

static char *
fail(struct buf *b, int r)
{
	b->failed = r;
	return NULL;
}

static size_t
next_cap(const struct buf *b, size_t need)
{
	size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap * 2;

	if (b->max && b->cap < b->max && cap > b->max)
		cap = b->max;
	return cap < need ? need : cap;
}

/* Make room for N bytes after the content, which fits the bound. */
static int
make_room(struct buf *b, size_t n)
{
	size_t len = buf_len(b), cap;
	char *p;

	if (b->start >= len && b->cap - len >= n && b->data) {
		if (len)
			memcpy(b->data, b->data + b->start, len);
		b->start = 0;
		b->end = len;
		return 0;
	}
	cap = next_cap(b, len + n);
	if (b->start == 0 || !b->data) {
		p = realloc(b->data, cap);
		if (!p)
			return -ENOMEM;
	} else {
		p = malloc(cap);
		if (!p)
			return -ENOMEM;
		memcpy(p, b->data + b->start, len);
		free(b->data);
		b->start = 0;
		b->end = len;
	}
	b->data = p;
	b->cap = cap;
	return 0;
}

char *
buf_reserve(struct buf *b, size_t n)
{
	size_t len = buf_len(b);
	int r;

	if (b->failed)
		return NULL;
	if (b->max && n > b->max - len)
		return fail(b, -ENOBUFS);
	if (n > SIZE_MAX / 4 - len)
		return fail(b, -ENOMEM);
	if (n > b->cap - b->end || !b->data) {
		r = make_room(b, n);
		if (r < 0)
			return fail(b, r);
	}
	return b->data + b->end;
}

void
buf_wrote(struct buf *b, size_t n)
{
	b->end += n;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n >= buf_len(b))
		b->start = b->end = 0;
	else
		b->start += n;
}

int
buf_put(struct buf *b, const void *p, size_t n)
{
	char *to = buf_reserve(b, n);

	if (!to)
		return b->failed;
	if (n)
		memcpy(to, p, n);
	b->end += n;
	return 0;
}

int
buf_puts(struct buf *b, const char *s)
{
	return buf_put(b, s, strlen(s));
}

int
buf_putc(struct buf *b, char c)
{
	char *to = buf_reserve(b, 1);

	if (!to)
		return b->failed;
	*to = c;
	b->end++;
	return 0;
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	char small[BUF_PRINT], *large = NULL;
	va_list ap;
	int n, r;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(small))
		return buf_put(b, small, (size_t)n);
	va_start(ap, fmt);
	n = vasprintf(&large, fmt, ap);
	va_end(ap);
	if (n < 0) {
		if (!b->failed)
			b->failed = -ENOMEM;
		return b->failed;
	}
	r = buf_put(b, large, (size_t)n);
	free(large);
	return r;
}

void
buf_shrink(struct buf *b, size_t cap)
{
	char *p;

	if (buf_len(b) || b->cap <= cap)
		return;
	b->start = b->end = 0;
	if (cap == 0) {
		free(b->data);
		b->data = NULL;
		b->cap = 0;
		return;
	}
	p = realloc(b->data, cap);
	if (p) {
		b->data = p;
		b->cap = cap;
	}
}
