/* cgroup.h - a cgroup v2 for each attempt, where there is a delegated one. Kills and proves
 * emptiness; sets no limits: limits.h. */
#ifndef CTX_SPAWNER_CGROUP_H
#define CTX_SPAWNER_CGROUP_H

#include <stdbool.h>
#include <sys/types.h>

/* Open PATH as the parent of the jobs' cgroups: fd, or -errno (-EMEDIUMTYPE: not a cgroup v2). */
int cgroup_open_parent(const char *path);
/* New cgroup NAME, fd of its directory or -errno. A left-over empty one of that name is replaced.
 */
int cgroup_make(int parent_fd, const char *name);
/* fd, -ENOENT, or -errno. */
int cgroup_open(int parent_fd, const char *name);
/* For the process that writes "0" to it: fd or -errno. */
int cgroup_open_procs(int cgroup_fd);
/* SIGKILL to all in it and below it, atomically where the kernel can. 0 or -errno. */
int cgroup_kill(int cgroup_fd);
/* Is PID in it or below it? */
bool cgroup_has(int cgroup_fd, pid_t pid);
/* For cgroup_populated: fd, -ENOENT (it is gone), or -errno. */
int cgroup_open_events(int cgroup_fd);
/* 1: a living process is in it or below it; 0: none, or it is gone; -errno. */
int cgroup_populated(int events_fd);
/* Remove NAME and what was made below it. 0 (also if there is none), -EBUSY, or -errno. */
int cgroup_remove(int parent_fd, const char *name);

#endif
