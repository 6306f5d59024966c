/* spare.h - directories of jobs that are over, kept a moment for the next job.
 *
 * On a disk file system, making and removing a directory with its files costs more than half of
 * what starting a process costs, and gets dearer under load; renaming costs next to nothing. A
 * spare one lies aside (jobs/.new.*), holds `fresh` and the space for a result, and nothing else.
 * Only the directory of a monitor that is known to be gone becomes one. */
#ifndef CTX_SPAWNER_SPARE_H
#define CTX_SPAWNER_SPARE_H

#include <stdbool.h>
#include <stdint.h>

#include "record/rundir.h"

struct spawner;

enum { SPARE_MAX = 16, SPARE_NAME = RUNDIR_NAME + sizeof(RUNDIR_ASIDE) };
struct spare {
	uint64_t id; /* whose directory it was */
	uint32_t attempt;
};

/* The name that the directory of an attempt has while it lies aside. BUF of SPARE_NAME; returns
 * BUF. */
const char *spare_name(uint64_t id, uint32_t attempt, char *buf);
/* One of them, now the caller's; its name is put into BUF. False: there is none. */
bool spare_take(struct spawner *s, char *buf);
/* Make a spare one of what lies aside under the attempt's name. False: it is not fit, the caller
 * removes it. */
bool spare_put(struct spawner *s, uint64_t id, uint32_t attempt);
/* Remove the directory NAME below jobs/. A monitor that cannot write its result may put a file into
 * it meanwhile: so more than one try. 0 or -errno. */
int spare_remove(struct spawner *s, const char *name);
/* Remove all. When spare_until_ns has passed: nothing stays when nothing goes on. */
void spare_drop(struct spawner *s);

#endif
