/* ties.h - how many connections each bound job is tied to: it ends when the last of them does. */
#ifndef CTXD_API_TIES_H
#define CTXD_API_TIES_H

#include <stdbool.h>
#include <stdint.h>

struct api;

int ties_add(struct api *a, uint64_t id); /* 0 or -ENOMEM */
/* One that was added. True: it was the last of this job. */
bool ties_remove(struct api *a, uint64_t id);

#endif
