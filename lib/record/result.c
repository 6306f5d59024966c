/* result.c - the record of an attempt's end: filling and checking, see result.h. */
#include <errno.h>
#include <string.h>

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

/* 0: none that we know. */
static size_t
size_of(unsigned version)
{
	switch (version) {
	case 1:
		return RESULT_SIZE_1;
	case RESULT_VERSION:
		return sizeof(struct result);
	default:
		return 0;
	}
}

int
result_check(const struct result *r, size_t size, uint64_t id, uint32_t attempt)
{
	size_t whole;

	if (size < RESULT_SIZE_1 || r->magic != RESULT_MAGIC)
		return -EPROTO;
	whole = size_of(r->version);
	if (size != whole || r->size != whole)
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

int
result_take(struct result *ret, const void *p, size_t size, uint64_t id, uint32_t attempt)
{
	*ret = (struct result){0};
	memcpy(ret, p, size < sizeof(*ret) ? size : sizeof(*ret));
	return result_check(ret, size, id, attempt);
}
