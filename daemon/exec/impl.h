/* impl.h - what the files of daemon/exec share. */
#ifndef CTXD_EXEC_IMPL_H
#define CTXD_EXEC_IMPL_H

#include "base/map.h"
#include "exec/exec.h"
#include "exec/spawner_link.h"

struct exec {
	struct ev_loop *loop;
	struct exec_ops ops;
	void *arg;
	int dir_fd;  /* runtime directory */
	int null_fd; /* /dev/null, for reading */
	struct spawner_link spawner;
	uint64_t (*last_seq)(void *arg);
	struct map links; /* of struct monitor_link, by id */
};

/* ": %s" of the attempt, for the log. */
void exec_note(struct exec *x, enum log_level l, uint64_t id, uint32_t attempt, const char *fmt,
	       ...) __attribute__((format(printf, 5, 6)));

#endif
