/* monitor_link.h - the connection to one monitor, from the spawn or made later through its ctl
 * socket. Private to exec.
 *
 * NEW: connection of the spawn frame, or one to ctl; no HELLO yet. LIVE: HELLO came. LOOKING: no
 * connection; the next try is on the timer. DONE: END came, the rest is silence. Only ECONNREFUSED
 * and ENOENT from ctl mean that nobody listens. */
#ifndef CTXD_EXEC_MONITOR_LINK_H
#define CTXD_EXEC_MONITOR_LINK_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "exec/chan.h"

enum monitor_link_state { ML_NEW = 1, ML_LIVE, ML_LOOKING, ML_DONE, ML_DROPPED };

struct exec;

struct monitor_link {
	struct map_node node; /* in exec->links, by id */
	struct chan chan;
	enum monitor_link_state state;
	uint64_t id;
	uint32_t attempt;
	ev_timer timer; /* LOOKING: when to connect */
	double delay;
	struct exec *exec; /* not owned */
};

/* A link that is looking (FD < 0) or has the connection FD (taken). NULL on ENOMEM (FD is closed).
 */
struct monitor_link *monitor_link_new(struct exec *x, uint64_t id, uint32_t attempt, int fd);
void monitor_link_drop(
	struct monitor_link *l); /* unlinks itself; frees at once or after the running callback */
void monitor_link_look(struct monitor_link *l); /* from ML_LOOKING: try soon */

#endif
