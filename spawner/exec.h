/* exec.h - from a monitor to the job's main process: vfork, change of identity, exec. */
#ifndef CTX_SPAWNER_EXEC_H
#define CTX_SPAWNER_EXEC_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "record/result.h"

struct spec;

struct exec_plan {
	const struct spec *spec;
	char **argv, **envp; /* of the spec */
	int ctl_fd; /* closed before anything else: a kept copy makes a dead monitor look alive */
	int cgroup_procs_fd;       /* -1: no cgroup */
	int in_fd, out_fd, err_fd; /* all above 2 */
	bool switch_user;          /* become spec's uid, gid, groups (system mode) */
	bool reset_oom;            /* oom_score_adj of the spawner is not 0 */
};

struct exec_fault {
	int error; /* errno, positive; 0: the command was executed */
	enum exec_step step;
	uint32_t unenforced; /* SPEC_LIMIT_* bits: of its processes, not to be had as asked */
};

/* The new process has executed the command when this returns, or has ended: then RET says where it
 * broke. Returns its pid, to be waited for in both cases, or -errno (nothing was started, RET is
 * filled as well). All signals must be blocked. */
pid_t exec_start(const struct exec_plan *plan, struct exec_fault *ret);

#endif
