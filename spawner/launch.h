/* launch.h - SPAWN: from a frame with descriptors to a running monitor. */
#ifndef CTX_SPAWNER_LAUNCH_H
#define CTX_SPAWNER_LAUNCH_H

#include <stddef.h>
#include <sys/types.h>

#include "record/frame.h"

struct spawner;

/* FDS: N_FDS of them, FRAME_SPAWN_FDS in the frame's order if all is well; they stay the caller's.
 * Pid of the monitor, or -errno and RET_STEP. What broke after the directory was in place leaves it
 * there, as evidence. What came of it is noted in the log, with the reason. */
pid_t launch_spawn(struct spawner *s, const struct frame_spawn *f, const int *fds, size_t n_fds,
		   enum spawn_step *ret_step);

#endif
