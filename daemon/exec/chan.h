/* chan.h - a SOCK_SEQPACKET connection on the loop that carries frames (record/frame.h). Used for
 * the spawner and for each monitor. Sends at once when it can, else keeps a short queue; reads
 * whole frames; reports the end once. Callbacks may close the channel (chan_close), never free the
 * memory it lives in: see chan_busy. */
#ifndef CTXD_EXEC_CHAN_H
#define CTXD_EXEC_CHAN_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct chan;
struct frame_head;

struct chan_ops {
	void (*on_frame)(struct chan *c, const struct frame_head *h);
	void (*on_end)(struct chan *c);  /* the other side is gone; already closed */
	void (*settled)(struct chan *c); /* the outermost callback is over: now the memory may go */
};

struct chan {
	uint32_t magic;
	int fd;    /* -1: closed */
	bool busy; /* inside a callback */
	struct ev_loop *loop;
	const struct chan_ops *ops;
	ev_io rd, wr;
	struct list out; /* of struct chan_out */
	size_t n_out;
};

void chan_init(struct chan *c, struct ev_loop *loop, const struct chan_ops *ops);
void chan_open(struct chan *c, int fd); /* takes FD */
void chan_close(struct chan *c);        /* legal always; what is queued is dropped */
/* 0, -ENOTCONN, -ENOBUFS (queue full), -ENOMEM, or -errno. FDS stay the caller's (duplicated when
 * queued). */
int chan_send(struct chan *c, const void *frame, size_t size, const int *fds, size_t n);

#endif
