/* errors.c - refusals on the wire and in the log. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/errors.h"
#include "base/buf.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/text.h"
#include "engine/engine.h"
#include "varlink/varlink.h"

static const char *const names[] = {
	[REFUSAL_NO_SUCH_JOB] = "io.ctxd.NoSuchJob",
	[REFUSAL_NOT_PERMITTED] = "io.ctxd.NotPermitted",
	[REFUSAL_INVALID_ARGUMENT] = "io.ctxd.InvalidArgument",
	[REFUSAL_KEY_CONFLICT] = "io.ctxd.KeyConflict",
	[REFUSAL_QUEUE_FULL] = "io.ctxd.QueueFull",
	[REFUSAL_STORAGE_UNAVAILABLE] = "io.ctxd.StorageUnavailable",
	[REFUSAL_ALREADY_ENDED] = "io.ctxd.AlreadyEnded",
	[REFUSAL_DRAINING] = "io.ctxd.Draining",
	[REFUSAL_NOT_READY] = "io.ctxd.NotReady",
};

static const char *
full_name(const struct refusal *r)
{
	assert((unsigned)r->kind < ARRAY_SIZE(names) && names[r->kind]);
	return names[r->kind];
}

void
errors_write(struct buf *out, const struct refusal *r)
{
	struct jw j;

	varlink_error_open(&j, out, full_name(r));
	switch (r->kind) {
	case REFUSAL_NO_SUCH_JOB:
		jw_int(&j, "id", (int64_t)r->id);
		break;
	case REFUSAL_INVALID_ARGUMENT:
		jw_str(&j, "field", r->field);
		jw_str(&j, "reason", r->reason);
		break;
	case REFUSAL_KEY_CONFLICT:
		jw_str(&j, "key", r->field);
		jw_int(&j, "id", (int64_t)r->id);
		break;
	case REFUSAL_QUEUE_FULL:
		jw_int(&j, "limit", (int64_t)r->limit);
		break;
	case REFUSAL_ALREADY_ENDED:
		jw_int(&j, "id", (int64_t)r->id);
		jw_str(&j, "state", job_state_name(r->state));
		break;
	case REFUSAL_NOT_PERMITTED:
	case REFUSAL_STORAGE_UNAVAILABLE:
	case REFUSAL_NOT_READY:
		jw_str(&j, "reason", r->reason);
		break;
	case REFUSAL_DRAINING:
		break;
	}
	varlink_error_close(&j);
}

const char *
errors_name(const struct refusal *r)
{
	return full_name(r) + strlen("io.ctxd.");
}

const char *
errors_text(const struct refusal *r, char *dst, size_t size)
{
	char plain[sizeof(r->field) + sizeof(r->reason) + 4];

	switch (r->kind) {
	case REFUSAL_NO_SUCH_JOB:
	case REFUSAL_KEY_CONFLICT:
	case REFUSAL_ALREADY_ENDED:
		(void)snprintf(plain, sizeof(plain), "job %" PRIu64, r->id);
		break;
	case REFUSAL_QUEUE_FULL:
		(void)snprintf(plain, sizeof(plain), "limit %" PRIu64, r->limit);
		break;
	case REFUSAL_INVALID_ARGUMENT:
		(void)snprintf(plain, sizeof(plain), "%s: %s", r->field, r->reason);
		break;
	case REFUSAL_NOT_PERMITTED:
	case REFUSAL_STORAGE_UNAVAILABLE:
	case REFUSAL_NOT_READY:
	case REFUSAL_DRAINING:
		(void)snprintf(plain, sizeof(plain), "%s", r->reason);
		break;
	}
	return text_escape(plain, dst, size);
}
