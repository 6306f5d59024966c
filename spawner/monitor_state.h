/* monitor_state.h - what the three parts of a monitor share: monitor.c (start, loop), action.c
 * (what is done in which state), link.c (who is told, who may ask). */
#ifndef CTX_SPAWNER_MONITOR_STATE_H
#define CTX_SPAWNER_MONITOR_STATE_H

#include <stdint.h>
#include <sys/types.h>

#include "record/frame.h"
#include "record/result.h"
#include "spawner/output.h"

enum { LINKS_MAX = 8 };

enum state { S_RUNNING, S_STOPPING, S_KILLING, S_EMPTYING, S_ENDED, N_STATES };
enum event {
	E_DEADLINE, /* passed */
	E_GRACE,    /* passed */
	E_STOP,     /* asked for by ctxd */
	E_STOP_NOW, /* the same, without grace */
	E_EXTEND,   /* new deadline */
	E_MAIN,     /* the main process has ended, others have not */
	E_EMPTY,    /* nothing is left of the tree */
	E_TICK,     /* look again */
	N_EVENTS
};
/* What came with an event. */
struct detail {
	enum stop_cause cause;
	int64_t deadline_ns;
};

struct monitor {
	enum state state;
	enum monitor_phase phase; /* the last one before the end */
	pid_t main;               /* 0: none, or reaped */
	uid_t owner;
	int dir, ctl, signals, timer, result_fd, cgroup; /* -1: none */
	int links[LINKS_MAX];                            /* connections, oldest first; -1: free */
	struct output out[2];
	int64_t started_ns, deadline_ns, grace_ns; /* CLOCK_BOOTTIME; grace is a span */
	int64_t output_ns, tick_ns;                /* when to look next; 0: not */
	int64_t tick_every_ns;
	int stop_signal;
	struct result result;
};

#endif
