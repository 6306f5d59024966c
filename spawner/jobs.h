/* jobs.h - the spawner's side of the run directory: whose it is, building and removing the
 * directory of an attempt. */
#ifndef CTX_SPAWNER_JOBS_H
#define CTX_SPAWNER_JOBS_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct spawner;

/* Of the directory of an attempt; a monitor takes them all. -1: not open. */
struct jobs_fds {
	int dir;
	int ctl;    /* listening */
	int notify; /* datagrams; the job's user may send */
};

enum { JOBS_E_FOREIGN = 1, JOBS_E_EXISTS };

/* Open jobs/, making it and what is missing in it. 0; JOBS_E_FOREIGN with the owner's uuid in
 * RET_UUID; or -errno. */
int jobs_claim(struct spawner *s, const uint8_t uuid[16], uint64_t last_seq, uint8_t ret_uuid[16]);
/* The directory with `fresh`, a bound, listening `ctl` and a bound `notify` that belongs to UID,
 * visible as a whole or not at all. 0, JOBS_E_EXISTS, -errno. */
int jobs_build(struct spawner *s, uint64_t id, uint32_t attempt, uid_t uid, struct jobs_fds *ret);
void jobs_fds_close(struct jobs_fds *f);
/* What has not started shall never start: `fresh` becomes `swept`, or the monitor has been faster.
 * 0, also when there is no `fresh`; or -errno: it may still start. */
int jobs_bar(struct spawner *s, uint64_t id, uint32_t attempt);
/* Raise `seen`, never lower it. */
int jobs_raise_seen(struct spawner *s, uint64_t seq);
/* Take the directory away, if there is one. KEEP: its monitor is known to be gone, so it may serve
 * again. 0 or -errno. */
int jobs_remove(struct spawner *s, uint64_t id, uint32_t attempt, bool keep);

/* Walk over the job directories; what was being built or removed by an earlier spawner is cleared
 * away. */
int jobs_list_open(struct spawner *s, DIR **ret);
/* 1 and the next one, 0 at the end. */
int jobs_list_next(struct spawner *s, DIR *d, uint64_t *ret_id, uint32_t *ret_attempt);

#endif
