/* action.h - the one place where a monitor's state changes. */
#ifndef CTX_SPAWNER_ACTION_H
#define CTX_SPAWNER_ACTION_H

#include "spawner/monitor_state.h"

/* EVENT happened; D may be NULL where nothing comes with it. Does not return when the monitor is
 * done. */
void action_step(struct monitor *m, enum event e, const struct detail *d);
/* The state of the job as ctxd has it, for lines of the log. */
const char *action_state(const struct monitor *m);

#endif
