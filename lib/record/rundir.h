/* rundir.h - layout of the run directory, shared by those who write it (spawner, monitor) and who
 * reads it (ctxd).
 *
 *   jobs/uuid            16 raw bytes + newline-free: the database that owns this directory, as 32
 * hex digits jobs/seen            highest spawn sequence acted on, decimal and newline
 *   jobs/<id>.<attempt>/ fresh | started | swept, ctl, notify, progress, result
 *   jobs/.new.<…>        being built, being removed, waiting for reuse, or about to change places
 * with `seen`: never read
 */
#ifndef CTX_RECORD_RUNDIR_H
#define CTX_RECORD_RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record/progress.h"
#include "record/result.h"

#define RUNDIR_JOBS "jobs"
#define RUNDIR_UUID "uuid"
#define RUNDIR_SEEN "seen"
#define RUNDIR_FRESH "fresh"
#define RUNDIR_STARTED "started" /* what the monitor makes of `fresh`, before it executes */
#define RUNDIR_SWEPT "swept"     /* what SWEEP makes of `fresh`: it will never be executed */
#define RUNDIR_CTL "ctl"
#define RUNDIR_NOTIFY "notify" /* datagram socket of the job's user, 0600 */
#define RUNDIR_PROGRESS "progress"
#define RUNDIR_RESULT "result"
#define RUNDIR_RESULT_TMP "result.tmp" /* its space, reserved; never read */
#define RUNDIR_ASIDE ".new." /* prefix of names that are not (or no longer) job directories */

enum { RUNDIR_NAME = 48 };

/* "42.1" into BUF of RUNDIR_NAME; returns BUF. */
const char *rundir_name(uint64_t id, uint32_t attempt, char *buf);
/* Parse exactly such a name (no leading zeros). 0 or -EINVAL. */
int rundir_parse(const char *name, uint64_t *ret_id, uint32_t *ret_attempt);

int rundir_seen_read(int jobs_fd, uint64_t *ret); /* 0, -ENOENT, -EPROTO, -errno */
int rundir_seen_write(int jobs_fd, uint64_t seen);
int rundir_uuid_read(int jobs_fd, uint8_t ret[16]); /* 0, -ENOENT, -EPROTO, -errno */
int rundir_uuid_write(int jobs_fd, const uint8_t uuid[16]);

struct rundir_evidence {
	bool dir;
	bool fresh, started, swept; /* one of them at most */
	bool has_result;
	struct result result; /* valid if has_result */
	bool has_progress;
	struct progress progress; /* valid if has_progress */
};
/* What lies in jobs/<id>.<attempt>: 0 or -errno (nothing concluded). Reads `result` first, then the
 * markers, so a result that appears in between is at worst missed, never contradicted. A malformed
 * result is -EPROTO: then RET is filled without it. A malformed `progress` counts as none: it
 * proves nothing. */
int rundir_look(int jobs_fd, uint64_t id, uint32_t attempt, struct rundir_evidence *ret);

#endif
