/* about.h - what ctx-spawner and a monitor know of a job beyond its number, for their lines of the
 * log: the same fields that ctxd gives its own. Taken from what is in every spec. */
#ifndef CTX_RECORD_ABOUT_H
#define CTX_RECORD_ABOUT_H

#include "base/log.h"
#include "base/strv.h"

struct spec;

enum { ABOUT_FIELDS = 80 }; /* more are left out */

/* CTX_UID, CTX_CLASS, CTX_NAME, CTX_TRACE_ID and CTX_VALUE_*, each as its name and then its value,
 * into RET, which is empty before: the caller's. Nothing where no journal would keep it. A name
 * that is none, or of no such field, is left out: the spec was written by somebody with fewer
 * rights. 0, or -ENOMEM and RET is empty. */
int about_take(struct strv *ret, const struct spec *s);
/* A line that begins with job=ID.ATTEMPT or job ID.ATTEMPT, as log_* of base/log.h. STATE: the
 * job's, as ctxd has it; NULL: not known. ABOUT may be empty, or NULL. */
void about_log(enum log_level l, const struct strv *about, const char *state, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
