/* context.c - see impl.h. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
int
context_derive(struct engine *g, const struct requester *who, const struct context_args *a,
	       struct job *j, struct notices *n, struct refusal *r)
{
	(void)g, (void)who, (void)n, (void)r;
	j->inherit = a->inherit;
	return trace_new(j->submitted_us, &j->trace);
}
