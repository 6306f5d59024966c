/* idle.h - an answer that comes when nothing runs any more: of Drain, of Shutdown. Or as soon as
 * somebody resumes: then nobody knows when that would be. */
#ifndef CTXD_API_IDLE_H
#define CTXD_API_IDLE_H

#include <stdint.h>

struct call;
struct conn;
struct engine;
struct idle;

/* Writes the answer to CONN; N as given to idle_wait. */
typedef void (*idle_reply_fn)(struct engine *g, struct conn *conn, uint64_t n);

/* For C, which is of METHOD (static); nothing happens yet, so that what the call does can come
 * after all that can fail. NULL: no memory. */
struct idle *idle_new(struct call *c, const char *method, idle_reply_fn reply);
struct idle *idle_free(struct idle *w); /* one that does not wait; NULL is fine; returns NULL */
/* W becomes the operation of its connection. */
void idle_wait(struct idle *w, uint64_t n);

#endif
