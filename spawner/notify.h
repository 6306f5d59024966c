/* notify.h - what the job says of itself: the datagrams of sd_notify(3) that come to its notify
 * socket, and who is told of it. */
#ifndef CTX_SPAWNER_NOTIFY_H
#define CTX_SPAWNER_NOTIFY_H

struct monitor;

/* Take in what came, at a bounded rate: monitor.rest_ns says when to come again. Before anything is
 * reaped, so that whoever spoke and ended still has its pid. */
void notify_read(struct monitor *m);
/* The main process has ended and is not reaped: all that waits, as far as a queue can be long. */
void notify_read_last(struct monitor *m);
/* monitor.tell_ns has come: what was held back. */
void notify_tell(struct monitor *m);
/* Nobody is left who could say anything. What was held back is told. */
void notify_end(struct monitor *m);

#endif
