/* buf.h - growing byte buffer with a hard bound, read at the front, written at the back. */
#ifndef CTX_BASE_BUF_H
#define CTX_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* Zero-initialised = empty and unbounded. Bytes [start, end) are content. A failed append sets
 * `failed` and changes nothing else, so that a chain of appends needs one check at the end: all
 * appends after it fail too, until buf_clear or buf_done. */
struct buf {
	char *data;   /* owned; NULL while nothing was ever stored */
	size_t start; /* bytes consumed */
	size_t end;   /* bytes written */
	size_t cap;
	size_t max; /* content may never exceed this many bytes; 0: unbounded */
	int failed; /* 0, or the negative errno of the first failed append: -ENOMEM or -ENOBUFS
		       (bound) */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b); /* frees; B is empty and usable again */
static inline size_t
buf_len(const struct buf *b)
{
	return b->end - b->start;
}
/* Never NULL. Valid until the next append. */
static inline const char *
buf_head(const struct buf *b)
{
	return b->data ? b->data + b->start : "";
}
/* Room for N more bytes at the returned place, or NULL (failed is set). Commit with buf_wrote. */
char *buf_reserve(struct buf *b, size_t n);
void buf_wrote(struct buf *b, size_t n);
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b);
int buf_put(struct buf *b, const void *p, size_t n); /* 0 or b->failed */
int buf_puts(struct buf *b, const char *s);
int buf_putc(struct buf *b, char c);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Give memory beyond CAP bytes back when empty: a connection that once had a huge message must not
 * keep it. */
void buf_shrink(struct buf *b, size_t cap);

#endif
