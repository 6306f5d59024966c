/* chan.c - frames over SOCK_SEQPACKET, see chan.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "base/sock.h"
#include "exec/chan.h"
#include "record/frame.h"

enum {
	CHAN_MAGIC = 0x4348414e,
	CHAN_OUT_MAX = 65536, /* queued frames; far above the number of jobs that may run */
	CHAN_READS = 64,      /* frames per wake-up */
};

struct chan_out {
	struct list link;
	size_t size, n;
	int fds[SOCK_MAX_FDS]; /* owned */
	char data[];
};

static void
chan_out_free(struct chan_out *o)
{
	for (size_t i = 0; i < o->n; i++)
		(void)close(o->fds[i]);
	free(o);
}

static void
chan_end(struct chan *c)
{
	chan_close(c);
	c->ops->on_end(c);
}

/* One message. 0 = go on, 1 = nothing more now, -1 = the channel ended. */
static int
chan_read_one(struct chan *c)
{
	_Alignas(uint64_t) char p[FRAME_MAX];
	ssize_t n = sock_recv(c->fd, p, sizeof(p), NULL, NULL);
	int r;

	if (n == -EAGAIN)
		return 1;
	if (n == -ECONNRESET) /* said once, before what is still queued and the end */
		return 0;
	if (n <= 0) {
		chan_end(c);
		return -1;
	}
	r = frame_check(p, (size_t)n);
	if (r == -EPROTONOSUPPORT) /* of a newer version: not for us */
		return 0;
	if (r < 0) {
		(void)err_raise(r, "malformed frame of %zd bytes", n);
		chan_end(c);
		return -1;
	}
	c->ops->on_frame(c, (const struct frame_head *)(const void *)p);
	return c->fd < 0 ? -1 : 0;
}

static void
chan_read(struct chan *c)
{
	for (int i = 0; i < CHAN_READS; i++) {
		if (chan_read_one(c) != 0)
			break;
	}
}

static void
chan_on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct chan *c = container_of(w, struct chan, rd);

	(void)loop, (void)revents;
	CHECK_MAGIC(c, CHAN_MAGIC);
	c->busy = true;
	chan_read(c);
	c->busy = false;
	c->ops->settled(c); /* c may be gone */
}

static void
chan_write(struct chan *c)
{
	while (!list_empty(&c->out)) {
		struct chan_out *o = list_entry(c->out.next, struct chan_out, link);
		int r = sock_send(c->fd, o->data, o->size, o->fds, o->n);

		if (r == -EAGAIN)
			return;
		/* Any other failure shows up as the end of the channel when it is read. */
		list_unlink(&o->link);
		c->n_out--;
		chan_out_free(o);
	}
	ev_io_stop(c->loop, &c->wr);
}

static void
chan_on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct chan *c = container_of(w, struct chan, wr);

	(void)loop, (void)revents;
	CHECK_MAGIC(c, CHAN_MAGIC);
	chan_write(c);
}

void
chan_init(struct chan *c, struct ev_loop *loop, const struct chan_ops *ops)
{
	*c = (struct chan){.magic = CHAN_MAGIC, .fd = -1, .loop = loop, .ops = ops};
	list_init(&c->out);
	ev_init(&c->rd, chan_on_readable);
	ev_init(&c->wr, chan_on_writable);
}

void
chan_open(struct chan *c, int fd)
{
	assert(c->fd < 0);
	c->fd = fd;
	ev_io_set(&c->rd, fd, EV_READ);
	ev_io_set(&c->wr, fd, EV_WRITE);
	ev_io_start(c->loop, &c->rd);
}

void
chan_close(struct chan *c)
{
	struct list *l;

	if (c->fd < 0)
		return;
	ev_io_stop(c->loop, &c->rd);
	ev_io_stop(c->loop, &c->wr);
	(void)close(c->fd);
	c->fd = -1;
	while ((l = list_pop(&c->out)))
		chan_out_free(list_entry(l, struct chan_out, link));
	c->n_out = 0;
}

static int
chan_queue(struct chan *c, const void *frame, size_t size, const int *fds, size_t n)
{
	struct chan_out *o;

	if (c->n_out >= CHAN_OUT_MAX)
		return err_raise(-ENOBUFS, "%zu frames are waiting", c->n_out);
	o = malloc(sizeof(*o) + size);
	if (!o)
		return -ENOMEM;
	*o = (struct chan_out){.size = size};
	memcpy(o->data, frame, size);
	for (; o->n < n; o->n++) {
		o->fds[o->n] = fcntl(fds[o->n], F_DUPFD_CLOEXEC, 3);
		if (o->fds[o->n] < 0) {
			int r = -errno;

			chan_out_free(o);
			return err_raise(r, "duplicate a descriptor for the queue");
		}
	}
	list_append(&c->out, &o->link);
	if (c->n_out++ == 0)
		ev_io_start(c->loop, &c->wr);
	return 0;
}

int
chan_send(struct chan *c, const void *frame, size_t size, const int *fds, size_t n)
{
	int r = -EAGAIN;

	if (c->fd < 0)
		return -ENOTCONN;
	if (n > SOCK_MAX_FDS)
		return err_raise(-EINVAL, "%zu descriptors in a frame", n);
	if (c->n_out == 0)
		r = sock_send(c->fd, frame, size, fds, n);
	if (r == -EAGAIN || r == -ENOBUFS)
		return chan_queue(c, frame, size, fds, n);
	return r;
}
