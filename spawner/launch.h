/* launch.h - SPAWN: from a frame with descriptors to a running monitor. */
#ifndef CTX_SPAWNER_LAUNCH_H
#define CTX_SPAWNER_LAUNCH_H

#include <sys/types.h>

#include "record/frame.h"

struct spawner;

/* FDS: FRAME_SPAWN_FDS of them, in the frame's order; they stay the caller's. Pid of the monitor,
 * or -errno, RET_STEP, and in RET_WHY what was wrong with the request (static; NULL: nothing was).
 * What broke after the directory was in place leaves it there, as evidence. A start is noted in the
 * log. */
pid_t launch_spawn(struct spawner *s, const struct frame_spawn *f, const int *fds,
		   enum spawn_step *ret_step, const char **ret_why);

#endif
