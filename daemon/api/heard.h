/* heard.h - what running jobs say of themselves, for one reader of all of them: which of it he has
 * not been told. One entry a running job that has said anything. */
#ifndef CTXD_API_HEARD_H
#define CTXD_API_HEARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "engine/engine.h"

struct heard {
	struct map jobs; /* of struct heard_job, by id */
	uint64_t after;  /* where the walk goes on; 0: at its beginning */
	uint32_t walk;   /* number of this walk */
};

/* Nonzero stops the walk and is returned; the job counts as told. */
typedef int (*heard_fn)(void *arg, const struct job *job);

/* Go on with a walk over the jobs that WHO may see: FN for each whose progress is not as it was
 * told. 0: the walk is complete; HEARD_E_AGAIN: go on with another call; what FN gave; or negative
 * errno. */
enum { HEARD_E_AGAIN = 2000 };
int heard_walk(struct heard *h, struct engine *g, const struct requester *who, heard_fn fn,
	       void *arg, struct refusal *r);
/* Is what JOB says new? Then it counts as told: 1. 0; or -ENOMEM. */
int heard_new(struct heard *h, const struct job *job);
void heard_done(struct heard *h);

#endif
