/* children.h - who lives below the spawner: monitors, by attempt, and what a killed monitor left
 * behind.
 *
 * Whatever is our child and no monitor comes from a monitor that died at work (a set-user-ID
 * program has no parent-death signal), and is killed. */
#ifndef CTX_SPAWNER_CHILDREN_H
#define CTX_SPAWNER_CHILDREN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct spawner;
struct strv;

/* Room for one more, so that children_add after a fork cannot fail. 0 or -ENOMEM. */
int children_reserve(struct spawner *s);
/* ABOUT becomes the table's (see record/about.h). */
void children_add(struct spawner *s, uint64_t id, uint32_t attempt, pid_t pid, struct strv *about);
/* Fields for lines about the attempt; NULL when its monitor was not forked here. */
const struct strv *children_about(const struct spawner *s, uint64_t id, uint32_t attempt);
/* Was its monitor forked here, and is it reaped? */
bool children_is_over(const struct spawner *s, uint64_t id, uint32_t attempt);
void children_forget(struct spawner *s, uint64_t id, uint32_t attempt);
bool children_any(const struct spawner *s); /* a monitor or an orphan lives */

/* On SIGCHLD. */
void children_reap(struct spawner *s);
/* Kill all that is left of the attempt. Answered by conn_swept to connection CONN, perhaps later. 0
 * or -ENOMEM. */
int children_sweep(struct spawner *s, uint64_t conn, uint64_t id, uint32_t attempt);
/* When children.tick_ns has passed. */
void children_tick(struct spawner *s);

#endif
