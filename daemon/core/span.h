/* span.h - an attempt of a job, or a scope, that has ended as a span of its trace: what is kept in
 * the outbox until it is exported. Facts only; what they are called at a collector is the
 * exporter's. */
#ifndef CTXD_CORE_SPAN_H
#define CTXD_CORE_SPAN_H

#include <stdbool.h>

#include "core/job.h"

struct buf;

/* Does the requester want spans? As the sampled flag of its trace says. */
bool span_wanted(const struct job *j);
/* The type Span of io.ctxd, appended to OUT as JSON. LINK: the context from which J derives without
 * being of its trace; NULL: none. */
void span_write(const struct job *j, const struct trace_context *link, struct buf *out);

#endif
