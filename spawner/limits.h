/* limits.h - what a job's class asks of the kernel: of its cgroup, of its processes; and what was
 * used in the end, as the cgroup knows it.
 *
 * Nothing here refuses a job: what cannot be had is a bit in a mask (SPEC_LIMIT_*), which goes into
 * the job's record. As systemd does it: a limit that may not be raised so far is raised as far as
 * it may be. */
#ifndef CTX_SPAWNER_LIMITS_H
#define CTX_SPAWNER_LIMITS_H

#include <stdint.h>

struct result;
struct spec;

/* Give the cgroups below PARENT_FD the controllers that limits need. Which of memory_max, cpu_max,
 * pids_max, io_weight the kernel enforces there, as SPEC_LIMIT_* bits; says in the log what not. */
uint32_t limits_enable(int parent_fd);
/* Set what S asks of the new cgroup CGROUP_FD (-1: there is none), whose parent has ENABLED.
 * Returns what could not be had. */
uint32_t limits_cgroup(int cgroup_fd, uint32_t enabled, const struct spec *s);
/* Resource limits and nice value of the calling process, before it gives up its rights. Safe after
 * vfork. Returns what could not be had as it was asked. */
uint32_t limits_process(const struct spec *s);
/* Fill what CGROUP_FD tells of a tree that is over; what it does not tell stays as it is in R. */
void limits_usage(int cgroup_fd, struct result *r);

#endif
