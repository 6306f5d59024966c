/* trace.c - see trace.h. */
#include "trace/trace.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

int
trace_new(int64_t now_us, struct trace_context *ret)
{
	(void)now_us;
	if (getrandom(ret->trace_id, sizeof(ret->trace_id), 0) != sizeof(ret->trace_id))
		return -errno;
	ret->flags = TRACE_SAMPLED | TRACE_RANDOM;
	return trace_new_span(ret->span_id);
}
int
trace_new_span(uint8_t ret[static 8])
{
	return getrandom(ret, 8, 0) == 8 ? 0 : -errno;
}
