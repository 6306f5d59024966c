/* conn_in.c - what comes in on a connection: bytes, and the calls in them, in turn. See conn.c. */
#include <errno.h>
#include <ev.h>
#include <poll.h>
#include <sys/socket.h>

#include "api/conn.h"
#include "api/dispatch.h"
#include "api/errors.h"
#include "api/server.h"
#include "base/mem.h"
#include "varlink/varlink.h"

/* Bytes that the buffers of all connections of a uid may hold. */
static size_t
user_most(const struct conn *c)
{
	return API_USER_FACTOR * api_max_message(c->api);
}

/* Answer without being asked, or instead of what was asked, and close. */
static void
conn_refuse(struct conn *c, const struct refusal *r)
{
	errors_write(&c->out, r);
	conn_final(c);
	conn_hold(c);
	conn_shut(c);
	conn_refused(c, "connection", r);
}

static void
conn_too_big(struct conn *c)
{
	struct refusal r = {0};

	(void)refusal_set(&r, REFUSAL_INVALID_ARGUMENT, "message",
			  "longer than max_message, which is %zu bytes", api_max_message(c->api));
	conn_refuse(c, &r);
}

static void
conn_garbage(struct conn *c, const char *why)
{
	conn_log_refused(c, "connection", "no Varlink call", why);
	conn_shut(c);
}

/* The peer is someone whom this daemon does not serve, or whose buffers are full: say so in place
 * of an answer. True if so. */
static bool
conn_unserved(struct conn *c)
{
	struct refusal r = {0};

	if (c->stranger)
		(void)refusal_set(&r, REFUSAL_NOT_PERMITTED, NULL, "this ctxd serves uid %u only",
				  c->api->own_uid);
	else if (c->user->bytes > user_most(c))
		(void)refusal_set(&r, REFUSAL_NOT_READY, NULL,
				  "uid %u leaves too many bytes unread or unfinished (limit %zu)",
				  c->peer.uid, user_most(c));
	else
		return false;
	conn_refuse(c, &r);
	return true;
}

/* Execute the next complete call. True if there was one. */
static bool
conn_call(struct conn *c)
{
	const char *msg, *why = "out of memory";
	size_t len;
	int r = varlink_next(&c->in, api_max_message(c->api), &c->scanned, &msg, &len);

	if (r == VARLINK_E_TOO_BIG)
		conn_too_big(c);
	if (r != 0)
		return false;
	if (conn_unserved(c))
		return false;
	/* Before the engine's effects: the answer leaves ahead of the work it causes. */
	conn_hold(c);
	r = dispatch_call(c, msg, len, &why);
	if (r == DISPATCH_E_LATER) /* conn_serve sees that names are waited for */
		return true;
	buf_consume(&c->in, len + 1);
	c->scanned = 0;
	if (r != 0)
		conn_garbage(c, why);
	if (c->out.failed)
		c->broken = true;
	return r == 0;
}

/* Others wait: this iteration has served calls for long enough. Looked at every few calls. */
static bool
turn_over(const struct conn *c, int n)
{
	return n == API_CALLS_PER_WAKE || (n > 0 && n % API_CALLS_PER_LOOK == 0 &&
					   ev_time() - ev_now(c->api->loop) > API_TURN_SEC);
}

static enum conn_pause
conn_serve(struct conn *c)
{
	for (int n = 0;; n++) {
		if (c->closing || c->broken)
			return CONN_IDLE;
		if (!list_empty(&c->names.link))
			return CONN_NAMES;
		if (c->op)
			return CONN_OP;
		if (buf_len(&c->out) > API_OUT_LOW)
			return CONN_BACKLOG;
		if (turn_over(c, n))
			return CONN_YIELD;
		if (!conn_call(c))
			return CONN_IDLE;
	}
}

void
conn_run(struct conn *c)
{
	c->pause = conn_serve(c);
	if (c->pause == CONN_YIELD)
		api_again(c->api, c);
}

/* How much unread input is kept. */
static size_t
in_limit(const struct conn *c)
{
	return c->pause == CONN_IDLE ? api_max_message(c->api) + 1 : API_READ_AHEAD;
}

bool
conn_wants_input(const struct conn *c)
{
	return !c->eof && !c->closing && !c->broken && buf_len(&c->in) < in_limit(c);
}

bool
conn_hung_up(const struct conn *c)
{
	struct pollfd p = {.fd = c->fd};

	return poll(&p, 1, 0) > 0 && p.revents & (POLLHUP | POLLERR);
}

static void
conn_eof(struct conn *c)
{
	c->eof = true;
	c->hup = conn_hung_up(c);
}

/* Read what is there, at most a share. */
void
conn_read(struct conn *c)
{
	for (size_t all = 0; all < API_BYTES_PER_WAKE && conn_wants_input(c);) {
		ssize_t n = recv(c->fd, c->api->scratch, API_SCRATCH, MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n <= 0) {
			conn_eof(c);
			return;
		}
		if (buf_put(&c->in, c->api->scratch, (size_t)n) < 0) {
			c->broken = true;
			return;
		}
		conn_account(c);
		all += (size_t)n;
		conn_run(c);
		if (c->pause == CONN_IDLE && buf_len(&c->in) > 0 && !c->closing && conn_unserved(c))
			return;
		if (n < API_SCRATCH)
			return;
	}
}
