/* confine.h - what the spawner and its monitors give up of their rights.
 *
 * A job must find none of it: whoever runs it may run sudo in it. So the bounding set is never
 * touched, the spawner has no filter, no namespace and no PR_SET_NO_NEW_PRIVS, and a monitor takes
 * these upon itself only when its job has been executed. */
#ifndef CTX_SPAWNER_CONFINE_H
#define CTX_SPAWNER_CONFINE_H

#include <stdbool.h>

/* Once, before the first frame. SYSTEM: keep only the capabilities that starting jobs takes;
 * ROOT_JOBS: those of root among them. Says what cannot be had here. 0 or -errno. */
int confine_spawner(bool system, bool root_jobs);
/* In a monitor whose job runs: no capability but to signal it, no new privileges, no system call
 * but what it needs, no file but below /proc, DIR, and CGROUP (-1: none), where /proc is for
 * reading. What fails is said; the job runs on. */
void confine_monitor(int dir, int cgroup);
/* Has the caller no capability at all? Safe after vfork. */
bool confine_is_bare(void);

#endif
