/* conn.h - a connection from ctxd to the spawner: its frames, its answers, its place in the order
 * of connections. */
#ifndef CTX_SPAWNER_CONN_H
#define CTX_SPAWNER_CONN_H

#include <stdbool.h>
#include <stdint.h>

struct conn;
struct spawner;

/* Take over FD as the newest connection. */
void conn_add(struct spawner *s, int fd);
/* Read and act on a bounded number of frames. True when nothing is left to read (or C is closed).
 */
bool conn_read(struct spawner *s, struct conn *c);
/* Go on with an answer that did not fit. */
void conn_write(struct spawner *s, struct conn *c);
/* WELCOME whoever has waited long enough. */
void conn_welcome(struct spawner *s);
/* Take closed ones out of the table. */
void conn_settle(struct spawner *s);
/* Answer to SWEEP, if connection SERIAL is still there. */
void conn_swept(struct spawner *s, uint64_t serial, uint64_t id, uint32_t attempt, uint32_t flags,
		uint32_t killed);

#endif
