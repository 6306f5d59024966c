/* monitor_state.h - what the parts of a monitor share: monitor.c (start, loop), action.c (what is
 * done in which state), alarm.c (when), link.c (ctxd: who is told, who may ask), notify.c (the job:
 * what it says). */
#ifndef CTX_SPAWNER_MONITOR_STATE_H
#define CTX_SPAWNER_MONITOR_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strv.h"
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
	E_WATCHDOG, /* no sign of life for too long */
	E_WARN,     /* the deadline is near */
	E_SIGNAL,   /* asked for by ctxd */
	N_EVENTS
};
/* What came with an event. */
struct detail {
	enum stop_cause cause;
	int64_t deadline_ns;
	bool by_job; /* it moves its deadline itself */
	int signo;
	bool tree; /* the signal is for all, not for the main process */
};

enum { UNTOLD_PROGRESS = 1, UNTOLD_EXTENDED = 2 };

struct monitor {
	enum state state;
	enum monitor_phase phase; /* the last one before the end */
	pid_t main;               /* 0: none, or reaped */
	uid_t owner;
	int dir, ctl, notify, signals, timer, result_fd, progress_fd; /* -1: none */
	int cgroup, cgroup_events;                                    /* the same */
	int links[LINKS_MAX]; /* connections, oldest first; -1: free */
	struct output out[2];
	int64_t started_ns, deadline_ns;              /* CLOCK_BOOTTIME, as all times here */
	int64_t limit_ns;                             /* the job may not move its deadline beyond */
	int64_t grace_ns, warn_ns, watchdog_ns;       /* spans; the last two 0: none asked for */
	int64_t alarm_ns;                             /* deadline or end of the grace; 0: not */
	int64_t warn_at_ns, watchdog_at_ns;           /* 0: not */
	int64_t warned_ns;                            /* the last time */
	int64_t output_ns, tick_ns, rest_ns, tell_ns; /* when to look next; 0: not */
	int64_t accept_ns;                            /* no connections until then; 0: now */
	int64_t share_ns;                             /* since when share_used is counted */
	int64_t told_ns;     /* when ctxd was last told what the job said */
	int64_t extended_us; /* wall: when the job last moved its deadline */
	int64_t tick_every_ns;
	int stop_signal, warn_signal;
	uint32_t untold;     /* UNTOLD_* */
	uint32_t share_used; /* notifications taken in */
	uint32_t refused;    /* of these, from elsewhere */
	struct strv about;   /* for lines of the log, see record/about.h */
	struct result result;
	struct progress progress; /* at_us 0: it has said nothing */
};

#endif
