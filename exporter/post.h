/* post.h - one HTTP POST after another to one place. Everything of HTTP and TLS is libcurl's. */
#ifndef CTX_EXPORTER_POST_H
#define CTX_EXPORTER_POST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct post;
struct settings;

enum post_result {
	POST_TAKEN,   /* 2xx */
	POST_LATER,   /* try again: not reached, busy, or not set up right yet */
	POST_REFUSED, /* this very request is not wanted, and never will be */
	POST_STOPPED, /* STOP was set */
};
struct post_answer {
	struct buf body;        /* owned; at most POST_BODY_MAX bytes of it */
	int64_t retry_after_ms; /* asked for; 0: not */
	char why[256];          /* for POST_LATER and POST_REFUSED; escaped */
};
enum { POST_BODY_MAX = 65536 };

/* S is borrowed, as is STOP, which another thread may set. NULL: said in the log. */
struct post *post_new(const struct settings *s, const atomic_bool *stop);
struct post *post_free(struct post *p);
enum post_result post_send(struct post *p, const char *data, size_t n, struct post_answer *ret);
void post_answer_done(struct post_answer *a);

#endif
