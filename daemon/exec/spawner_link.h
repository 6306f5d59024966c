/* spawner_link.h - the one connection to ctx-spawner: connecting, starting it where that is ours to
 * do, WELCOME, CLAIM, and the frames that follow. Private to daemon/exec.
 *
 * A spawner of an older version than ours does for what it has started, but starts nothing more: it
 * could not read what to start. It is for its service manager to replace it, and for us where
 * starting it is. */
#ifndef CTXD_EXEC_SPAWNER_LINK_H
#define CTXD_EXEC_SPAWNER_LINK_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "exec/chan.h"

enum spawner_link_state { SPL_DOWN = 1, SPL_CONNECTED, SPL_CLAIMING, SPL_UP };

struct frame_spawned;
struct spawner_link_ops {
	void (*on_frame)(void *arg,
			 const struct frame_head *h); /* DIRS and all that comes when up */
	void (*on_up)(void *arg, uint64_t seen);
	void (*on_down)(void *arg); /* only after on_up or a DIRS */
	uint64_t (*last_seq)(void *arg);
};

struct spawner_link {
	struct chan chan;
	enum spawner_link_state state;
	uint32_t flags; /* WELCOME_*; WELCOME_CGROUP as of the last job */
	pid_t pid;
	ev_timer retry;
	double delay;      /* seconds until the next try */
	bool said;         /* the trouble was logged already */
	bool started;      /* the one that was connected last, or is, was started by us */
	char *runtime_dir; /* owned */
	char *program;     /* owned; NULL: not ours to start */
	uint64_t nofile;   /* RLIMIT_NOFILE (soft) for it; 0: ours */
	uint8_t uuid[16];
	struct spawner_link_ops ops;
	void *arg;
};

int spawner_link_init(struct spawner_link *l, struct ev_loop *loop, const char *runtime_dir,
		      const char *program, const uint8_t uuid[16],
		      const struct spawner_link_ops *ops, void *arg);
void spawner_link_done(struct spawner_link *l);
void spawner_link_start(struct spawner_link *l);
/* Is it of an older version, which cannot read our specs? */
bool spawner_link_is_old(const struct spawner_link *l);
/* What it says of a job that it has started. */
/* True: this job got no cgroup, other than those before it. */
bool spawner_link_spawned(struct spawner_link *l, const struct frame_spawned *f);
/* -ENOTCONN unless claiming or up. */
int
spawner_link_send(struct spawner_link *l, const void *frame, size_t size, const int *fds, size_t n);

#endif
