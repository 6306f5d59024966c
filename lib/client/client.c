/* client.c - the connection: connect, send, wait, receive. What goes wrong is said by failure.c.
 *
 * The socket does not block; each wait is a poll against one point in time. While a send waits,
 * replies are read: a server that waits for us to read before it reads on would never meet us
 * otherwise. After the connection has ended, what had arrived before is still delivered: a server
 * that refuses a message answers, and closes without having read it all. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/text.h"
#include "client/client.h"
#include "client/failure.h"
#include "client/path.h"
#include "client/rows.h"
#include "varlink/varlink.h"

#define REPLY_MAX ((size_t)256 << 20)
#define READ_SIZE ((size_t)256 << 10)

enum {
	TIMEOUT_MS = 30 * 1000,
	CONNECT_PAUSE_MAX_MS = 50,
	RESET_READS = 3, /* ECONNRESET comes before what is still to read, once */
};

struct ctxd_client {
	int fd;
	int timeout_ms; /* -1: none */
	struct buf in;
	size_t scanned; /* of `in`, by varlink_next */
	struct buf out; /* queued, not sent yet */
	char *path;     /* owned */
	bool ended;     /* the other side has closed; `in` may still hold replies */
	bool useless;   /* a send or a call was given up half-way */
};

struct limit {
	bool none;
	struct mono at;
};

static struct limit
limit_in(int timeout_ms)
{
	if (timeout_ms < 0)
		return (struct limit){.none = true};
	return (struct limit){.at = mono_add(mono_now(), (struct dur){timeout_ms * NSEC_PER_MSEC})};
}

/* For poll: -1 without limit, 0 when it has passed; rounded up, not to spin in the last
 * millisecond. */
static int
limit_ms(const struct limit *l)
{
	int64_t ns;

	if (l->none)
		return -1;
	ns = mono_diff(l->at, mono_now()).ns;
	return ns > 0 ? (int)((ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC) : 0;
}

/* 0, -ETIMEDOUT, -errno. EVENTS 0 waits for nothing but the limit, at most MAX_MS. */
static int
wait_for(int fd, short events, const struct limit *l, short *ret_events)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int ms = limit_ms(l), n = poll(&p, 1, ms);

		if (n > 0) {
			*ret_events = p.revents;
			return 0;
		}
		if (n == 0 && ms == 0)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* The kernel tells nobody when a full backlog has room again (but to a blocking connect, which
 * knows no limit): ask again, ever more rarely. fd or -errno. */
static int
connect_again(const char *path, const struct limit *l)
{
	int pause = 1;

	for (;;) {
		int fd, left = limit_ms(l);

		if (left == 0)
			return -EAGAIN;
		(void)poll(NULL, 0, left > 0 && left < pause ? left : pause);
		fd = sock_connect(path, SOCK_STREAM);
		if (fd != -EAGAIN)
			return fd;
		pause = pause < CONNECT_PAUSE_MAX_MS ? pause * 2 : pause;
	}
}

/* FD: a connection, -EAGAIN, or another error. PATH is taken over in each case. */
static int
client_new(int fd, char *path, struct ctxd_client **ret, struct ctxd_failure *f)
{
	struct ctxd_client *c;
	int r;

	if (fd == -EAGAIN) {
		struct limit l = limit_in(TIMEOUT_MS);

		fd = connect_again(path, &l);
	}
	if (fd < 0) {
		r = failure_connect(f, path, fd);
		free(path);
		return r;
	}
	c = calloc(1, sizeof(*c));
	if (!c) {
		(void)close(fd);
		free(path);
		return failure_errno(f, -ENOMEM);
	}
	c->fd = fd;
	c->timeout_ms = TIMEOUT_MS;
	c->path = path;
	buf_init(&c->in, REPLY_MAX + READ_SIZE);
	*ret = c;
	return 0;
}

int
ctxd_open(const char *path, struct ctxd_client **ret, struct ctxd_failure *f)
{
	char *copy = strdup(path);

	failure_none(f);
	if (!copy)
		return failure_errno(f, -ENOMEM);
	return client_new(sock_connect(copy, SOCK_STREAM), copy, ret, f);
}

int
ctxd_open_default(const char *explicit_path, char mode, struct ctxd_client **ret,
		  struct ctxd_failure *f)
{
	char *path = NULL;
	int fd, r;

	failure_none(f);
	r = path_search(explicit_path, mode, &path, &fd);
	if (r < 0)
		return failure_errno(f, r);
	if (fd == -ENOTCONN)
		fd = sock_connect(path, SOCK_STREAM);
	return client_new(fd, path, ret, f);
}

int
ctxd_open_fd(int fd, const char *name, struct ctxd_client **ret, struct ctxd_failure *f)
{
	char *copy = strdup(name);

	failure_none(f);
	if (copy)
		return client_new(fd, copy, ret, f);
	(void)close(fd);
	return failure_errno(f, -ENOMEM);
}

struct ctxd_client *
ctxd_close(struct ctxd_client *c)
{
	if (!c)
		return NULL;
	(void)close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c->path);
	free(c);
	return NULL;
}

int
ctxd_fd(const struct ctxd_client *c)
{
	return c->fd;
}

const char *
ctxd_path(const struct ctxd_client *c)
{
	return c->path;
}

void
ctxd_set_timeout(struct ctxd_client *c, int ms)
{
	c->timeout_ms = ms < 0 ? -1 : ms;
}

/* recv, but for what means nothing: EINTR, and the ECONNRESET that comes before what is still to
 * read. Bytes, 0 at the end, -EAGAIN, -errno. */
static ssize_t
receive_bytes(int fd, char *p, size_t size)
{
	for (int resets = 0; resets < RESET_READS;) {
		ssize_t n = recv(fd, p, size, MSG_DONTWAIT);

		if (n >= 0)
			return n;
		if (errno == ECONNRESET)
			resets++;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/* One read. 0 (something came, or the end: see `ended`), -EAGAIN, -errno. */
static int
read_some(struct ctxd_client *c)
{
	char *p = buf_reserve(&c->in, READ_SIZE);
	ssize_t n;

	if (!p)
		return c->in.failed;
	n = receive_bytes(c->fd, p, READ_SIZE);
	if (n < 0)
		return (int)n;
	buf_wrote(&c->in, (size_t)n);
	c->ended = n == 0;
	return 0;
}

static bool
reply_buffered(struct ctxd_client *c)
{
	const char *msg;
	size_t len;

	return varlink_next(&c->in, REPLY_MAX, &c->scanned, &msg, &len) != VARLINK_E_NONE;
}

/* The other side closed while we were sending. If it has answered, that says why: not our failure
 * yet. */
static int
send_refused(struct ctxd_client *c, struct ctxd_failure *f)
{
	while (!c->ended && !reply_buffered(c))
		if (read_some(c) < 0)
			break;
	c->ended = true;
	return reply_buffered(c) ? 0 : failure_lost(f, c->path);
}

/* The socket is full: wait until it is not, taking in what comes meanwhile. 0 or -1. */
static int
send_wait(struct ctxd_client *c, const struct limit *l, struct ctxd_failure *f)
{
	bool listen = !c->ended && buf_len(&c->in) < REPLY_MAX;
	short events = 0;
	int r = wait_for(c->fd, listen ? POLLIN | POLLOUT : POLLOUT, l, &events);

	if (r == 0 && listen && (events & POLLIN))
		r = read_some(c);
	if (r == 0 || r == -EAGAIN)
		return 0;
	c->useless = true;
	return r == -ETIMEDOUT ? failure_timeout(f, c->path, c->timeout_ms) : failure_errno(f, r);
}

/* What is queued, as far as the socket takes it. 0, -EAGAIN, or -1 with F. */
static int
send_queued(struct ctxd_client *c, struct ctxd_failure *f)
{
	while (buf_len(&c->out) > 0) {
		ssize_t n = send(c->fd, buf_head(&c->out), buf_len(&c->out),
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n >= 0) {
			buf_consume(&c->out, (size_t)n);
		} else if (errno == EAGAIN) {
			return -EAGAIN;
		} else if (errno == EPIPE || errno == ECONNRESET) {
			c->useless = true;
			buf_clear(&c->out);
			return send_refused(c, f);
		} else if (errno != EINTR) {
			c->useless = true;
			return failure_errno(f, -errno);
		}
	}
	buf_shrink(&c->out, READ_SIZE);
	return 0;
}

/* All of it, waiting for the socket. 0 or -1. */
static int
send_all(struct ctxd_client *c, struct ctxd_failure *f)
{
	struct limit l = limit_in(c->timeout_ms);
	int r;

	while ((r = send_queued(c, f)) == -EAGAIN)
		if (send_wait(c, &l, f) < 0)
			return -1;
	return r;
}

static int
call_encode(struct buf *out, const char *method, json_t *params, unsigned flags)
{
	_free_ char *full =
		text_format("%s%s", strchr(method, '.') ? "" : CTXD_INTERFACE ".", method);

	if (!full)
		return -ENOMEM;
	return varlink_call_write(out, full, params, flags & CTXD_CALL_MORE ? VARLINK_MORE : 0);
}

/* Encode behind what is queued. PARAMS is stolen. 0 or -1. */
static int
enqueue(struct ctxd_client *c, const char *method, json_t *params, unsigned flags,
	struct ctxd_failure *f)
{
	size_t mark = buf_len(&c->out);
	int r;

	failure_none(f);
	if (c->useless || c->ended) {
		json_decref(params);
		return failure_lost(f, c->path);
	}
	r = call_encode(&c->out, method, params, flags);
	json_decref(params);
	if (r == 0)
		return 0;
	c->out.end = c->out.start + mark; /* nothing of it goes out */
	c->out.failed = 0;
	return failure_errno(f, r);
}

int
ctxd_send(struct ctxd_client *c, const char *method, json_t *params, unsigned flags,
	  struct ctxd_failure *f)
{
	return enqueue(c, method, params, flags, f) < 0 ? -1 : send_all(c, f);
}

int
ctxd_queue(struct ctxd_client *c, const char *method, json_t *params, unsigned flags,
	   struct ctxd_failure *f)
{
	return enqueue(c, method, params, flags, f) < 0 ? -1 : ctxd_flush(c, f);
}

int
ctxd_flush(struct ctxd_client *c, struct ctxd_failure *f)
{
	int r;

	failure_none(f);
	r = send_queued(c, f);
	return r == -EAGAIN ? 0 : r;
}

short
ctxd_events(const struct ctxd_client *c)
{
	return (short)(buf_len(&c->out) > 0 ? POLLIN | POLLOUT : POLLIN);
}

/* What the caller of a receive wants: a tree, or rows. */
struct wanted {
	json_t **tree;
	const struct rows_want *rows;
	bool *continues; /* may be NULL */
};

static int
take_tree(struct ctxd_client *c, const char *msg, size_t len, const struct wanted *w,
	  struct ctxd_failure *f)
{
	struct varlink_reply reply;
	const char *why = NULL;
	int r = varlink_reply_parse(&reply, msg, len, &why);

	if (r != 0) {
		c->useless = true;
		return r < 0 ? failure_errno(f, r) : failure_protocol(f, c->path, why);
	}
	if (reply.error) {
		r = failure_remote(f, c->path, reply.error, reply.params);
	} else if (w->tree) {
		*w->tree = json_incref(reply.params);
		if (w->continues)
			*w->continues = reply.continues;
	} else {
		c->useless = true;
		r = failure_protocol(f, c->path, "not the reply that was asked for");
	}
	varlink_reply_done(&reply);
	return r;
}

static int
take_rows(struct ctxd_client *c, char *msg, size_t len, const struct wanted *w,
	  struct ctxd_failure *f)
{
	const char *why = NULL;
	bool continues = false;
	int r = rows_read(msg, len, w->rows, &continues, &why);

	if (r == ROWS_E_ERROR)
		return take_tree(c, msg, len, w, f);
	if (r < 0)
		return failure_errno(f, r);
	if (r > 0) {
		c->useless = true;
		return failure_protocol(f, c->path, why);
	}
	if (w->continues)
		*w->continues = continues;
	return 0;
}

/* What is buffered already: 0, -1 with F, or 1 when it is not a whole reply yet. */
static int
take_buffered(struct ctxd_client *c, const struct wanted *w, struct ctxd_failure *f)
{
	const char *msg;
	size_t len;
	int r = varlink_next(&c->in, REPLY_MAX, &c->scanned, &msg, &len);

	if (r == VARLINK_E_TOO_BIG) {
		c->useless = c->ended = true;
		return failure_protocol(f, c->path, "a reply of more than 256 MiB");
	}
	if (r != 0)
		return c->ended ? failure_lost(f, c->path) : 1;
	if (w->rows)
		r = take_rows(c, c->in.data + c->in.start, len, w, f);
	else
		r = take_tree(c, msg, len, w, f);
	buf_consume(&c->in, len + 1);
	c->scanned = 0;
	if (buf_len(&c->in) == 0)
		buf_shrink(&c->in, READ_SIZE);
	return r;
}

static int
take_or_read(struct ctxd_client *c, const struct wanted *w, struct ctxd_failure *f)
{
	int r;

	failure_none(f);
	r = take_buffered(c, w, f);
	if (r <= 0)
		return r;
	r = read_some(c);
	if (r == -EAGAIN)
		return 1;
	if (r < 0)
		return failure_errno(f, r);
	return take_buffered(c, w, f);
}

static int
take_waiting(struct ctxd_client *c, const struct wanted *w, struct ctxd_failure *f)
{
	struct limit l = limit_in(c->timeout_ms);

	for (;;) {
		short events;
		int r = take_or_read(c, w, f);

		if (r <= 0)
			return r;
		r = wait_for(c->fd, POLLIN, &l, &events);
		if (r == -ETIMEDOUT)
			return failure_timeout(f, c->path, c->timeout_ms);
		if (r < 0)
			return failure_errno(f, r);
	}
}

int
ctxd_poll(struct ctxd_client *c, json_t **ret, bool *ret_continues, struct ctxd_failure *f)
{
	struct wanted w = {.tree = ret, .continues = ret_continues};

	return take_or_read(c, &w, f);
}

int
ctxd_receive(struct ctxd_client *c, json_t **ret, bool *ret_continues, struct ctxd_failure *f)
{
	struct wanted w = {.tree = ret, .continues = ret_continues};

	return take_waiting(c, &w, f);
}

int
ctxd_receive_rows(struct ctxd_client *c, const char *list, const char *const *columns, size_t n,
		  ctxd_row_fn fn, void *arg, bool *ret_continues, struct ctxd_failure *f)
{
	struct rows_want rows = {list, columns, n, fn, arg};
	struct wanted w = {.rows = &rows, .continues = ret_continues};

	return take_waiting(c, &w, f);
}

int
ctxd_call(struct ctxd_client *c, const char *method, json_t *params, json_t **ret,
	  struct ctxd_failure *f)
{
	struct ctxd_failure own;

	if (!f)
		f = &own;
	if (ctxd_send(c, method, params, 0, f) < 0)
		return -1;
	if (ctxd_receive(c, ret, NULL, f) < 0) {
		if (f->code == CTXD_E_TIMEOUT)
			c->useless = true; /* its reply would be taken for that of the next call */
		return -1;
	}
	return 0;
}
