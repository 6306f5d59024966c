/* monitor.h - one process a job: starts it, holds its deadline, stops its tree, writes how it
 * ended. */
#ifndef CTX_SPAWNER_MONITOR_H
#define CTX_SPAWNER_MONITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct spec;
struct strv;

/* What the spawner prepared. Descriptors are all above 2 and all different; the monitor keeps these
 * and closes the rest. */
struct launch {
	struct spec *spec;
	const struct strv
		*about; /* the spawner's: of it the child keeps the memory that it shares */
	int dir_fd;     /* its run directory */
	int ctl_fd;     /* listening */
	int notify_fd;
	int link_fd; /* first connection to ctxd */
	int in_fd, out_fd, err_fd;
	int cgroup_fd;       /* directory; -1: none */
	uint32_t unenforced; /* SPEC_LIMIT_* bits: asked of it, and not to be had */
	uid_t owner;         /* may talk to us, besides root and ourselves */
	bool system;         /* jobs run as other uids */
	bool reset_oom;
};

enum { /* exit status of a monitor; anything else: it died and may have left processes */
       MONITOR_EXIT_EMPTY = 0,  /* nothing is left of the tree */
       MONITOR_EXIT_UNUSED = 1, /* nothing was ever executed */
};

/* In the forked child. All signals are blocked, all dispositions default. */
_Noreturn void monitor_run(const struct launch *l);

#endif
