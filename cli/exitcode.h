/* exitcode.h - the exit codes of ctxctl, from one table. */
#ifndef CTX_CLI_EXITCODE_H
#define CTX_CLI_EXITCODE_H

#include <stdbool.h>
#include <stddef.h>

#include "client/client.h"

enum exitcode {
#define EXITCODE(id, number, who, text) EXITCODE_##id = (number),
#include "cli/exitcode.def"
#undef EXITCODE
};
enum exitcode_who { EXITCODE_OF_ALL, EXITCODE_OF_OTHER, EXITCODE_OF_JOB };

struct exitcode_row {
	const char *text;
	enum exitcode code;
	enum exitcode_who who;
};
extern const struct exitcode_row exitcode_table[];
extern const size_t exitcode_n;

/* What a failed call makes of this program. AS_JOB: by a command that otherwise exits as a job did.
 */
enum exitcode exitcode_of_failure(enum ctxd_error code, bool as_job);

#endif
