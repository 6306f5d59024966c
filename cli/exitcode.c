/* exitcode.c - the exit codes of ctxctl, from one table. */
#include "cli/exitcode.h"
#include "base/mem.h"

const struct exitcode_row exitcode_table[] = {
#define EXITCODE(id, number, who, text) {text, EXITCODE_##id, EXITCODE_OF_##who},
#include "cli/exitcode.def"
#undef EXITCODE
};
const size_t exitcode_n = ARRAY_SIZE(exitcode_table);

enum exitcode
exitcode_of_failure(enum ctxd_error code, bool as_job)
{
	if (as_job)
		return EXITCODE_OURS;
	switch (code) {
	case CTXD_E_NONE:
		return EXITCODE_OK;
	case CTXD_E_UNREACHABLE:
	case CTXD_E_LOST:
	case CTXD_E_TIMEOUT:
		return EXITCODE_UNREACHABLE;
	case CTXD_E_NO_SUCH_JOB:
		return EXITCODE_NO_SUCH_JOB;
	case CTXD_E_NOT_PERMITTED:
		return EXITCODE_NOT_PERMITTED;
	case CTXD_E_INVALID_ARGUMENT:
		return EXITCODE_USAGE;
	case CTXD_E_KEY_CONFLICT:
		return EXITCODE_CONFLICT;
	case CTXD_E_QUEUE_FULL:
	case CTXD_E_STORAGE_UNAVAILABLE:
	case CTXD_E_DRAINING:
	case CTXD_E_NOT_READY:
		return EXITCODE_REFUSED;
	case CTXD_E_PROTOCOL:
	case CTXD_E_MEMORY:
	case CTXD_E_ALREADY_ENDED:
	case CTXD_E_UNKNOWN_METHOD:
	case CTXD_E_REMOTE:
		return EXITCODE_FAILED;
	}
	return EXITCODE_FAILED;
}
