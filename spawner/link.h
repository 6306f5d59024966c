/* link.h - a monitor's connections: what it tells, and what it is asked. A frame that is malformed
 * or not for this attempt costs the connection it came on; so does not reading. */
#ifndef CTX_SPAWNER_LINK_H
#define CTX_SPAWNER_LINK_H

#include <stdint.h>

struct monitor;

/* FD: one of monitor.links; becomes -1 when it is closed. */
void link_hello(struct monitor *m, int *fd); /* and what the job said last, if it said anything */
void link_accept(struct monitor *m);         /* a connection to ctl */
void link_read(struct monitor *m, int *fd);  /* acts on a bounded number of frames */
void link_progress(struct monitor *m);       /* to all, what the job said last */
/* To all, that the command was not started, and why (errno). */
void link_unused(struct monitor *m, int error);
void link_extended(struct monitor *m);                /* to all, that it moved its deadline */
void link_stopping(struct monitor *m, int64_t at_us); /* to all */
void link_end(struct monitor *m); /* to all; waits a bounded time for those whose buffer is full */

#endif
