/* result.c - the record of an attempt's end: filling and checking, see result.h. */
#include <errno.h>

#include "record/result.h"

void
result_init(struct result *r, uint64_t id, uint32_t attempt)
{
	*r = (struct result){
		.magic = RESULT_MAGIC,
		.version = RESULT_VERSION,
		.size = sizeof(*r),
		.id = id,
		.attempt = attempt,
	};
}

int
result_check(const struct result *r, size_t size, uint64_t id, uint32_t attempt)
{
	if (size != sizeof(*r) || r->magic != RESULT_MAGIC || r->version != RESULT_VERSION ||
	    r->size != sizeof(*r))
		return -EPROTO;
	if (r->id != id || r->attempt != attempt)
		return -EPROTO;
	/* A status without a command that was executed, or neither of the two, is no end that can
	 * be. */
	if (r->exec_error < 0 || r->stop_cause > STOP_CAUSE_WATCHDOG ||
	    r->exec_step > EXEC_STEP_FORK)
		return -EPROTO;
	return !!(r->flags & RESULT_HAS_STATUS) == (r->exec_error == 0) ? 0 : -EPROTO;
}
