/* conn_out.c - what leaves a connection: nothing before the iteration's commit, nothing untrue
 * after a failed one.
 *
 * All of this may run from effects: it only writes, and leaves everything else to the again list.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/audit.h"
#include "api/conn.h"
#include "api/errors.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/mem.h"

enum { LOG_BURST = 10, SEND_MAX = 1 << 20 };

void
conn_account(struct conn *c)
{
	size_t now = c->in.cap + c->out.cap;

	c->user->bytes = c->user->bytes - c->accounted + now;
	c->accounted = now;
}

int
conn_flush(struct conn *c)
{
	while (c->sendable > 0) {
		size_t n = c->sendable < SEND_MAX ? c->sendable : SEND_MAX;
		ssize_t sent = send(c->fd, buf_head(&c->out), n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? 0 : -errno;
		buf_consume(&c->out, (size_t)sent);
		c->sendable -= (size_t)sent;
		c->progress_ns = mono_now().ns;
	}
	return 0;
}

/* The iteration was not committed: none of what it wrote is true. */
static void
conn_fail_held(struct conn *c, int error)
{
	struct refusal r = {0};
	bool op = c->op && c->op_touched;

	conn_rewind(c, c->sendable);
	refusal_from_errno(&r, error);
	if (op) {
		conn_op_drop(c, false);
		c->held_finals++;
	}
	for (uint32_t i = 0; i < c->held_finals; i++)
		errors_write(&c->out, &r);
	if (c->held_finals > 0)
		conn_log_refused(c, "(all of this moment)", errors_name(&r), r.reason);
}

void
conn_free(struct conn *c)
{
	sock_peer_done(&c->peer);
	buf_done(&c->in);
	buf_done(&c->out);
	c->magic = 0;
	free(c);
}

/* Something that waited for the output to shrink, or for an op that the failed commit took away. */
static bool
conn_unfinished(const struct conn *c)
{
	return c->op_ready || c->pause == CONN_BACKLOG || (c->pause == CONN_OP && !c->op);
}

/* Closed before the commit; nothing of the server may be touched. When the server is being stopped
 * the socket is still there: what is true after all is told as a last word. */
static void
conn_bury(struct conn *c, int result)
{
	if (c->fd >= 0) {
		c->sendable = result == 0 && !c->out.failed ? buf_len(&c->out) : c->sendable;
		(void)conn_flush(c);
		(void)close(c->fd);
	}
	conn_free(c);
}

void
conn_on_commit(struct effect *fx, int result)
{
	struct conn *c = container_of(fx, struct conn, fx);

	CHECK_MAGIC(c, CONN_MAGIC);
	c->fx_queued = false;
	if (c->dead) {
		conn_bury(c, result);
		return;
	}
	if (result < 0)
		conn_fail_held(c, result);
	c->held_finals = 0;
	c->op_touched = false;
	if (c->sendable == 0)
		c->progress_ns = mono_now().ns;
	c->sendable = buf_len(&c->out);
	if (c->out.failed)
		conn_log_refused(c, "connection", "closed", "the answer is too large");
	if (c->out.failed || conn_flush(c) < 0)
		c->broken = true;
	buf_shrink(&c->out, 0);
	conn_account(c);
	if (c->broken || c->closing || c->eof || c->sendable > 0 || conn_unfinished(c))
		api_again(c->api, c);
}

void
conn_hold(struct conn *c)
{
	if (c->fx_queued)
		return;
	c->fx_queued = true;
	engine_defer(c->api->engine, &c->fx);
}

void
conn_final(struct conn *c)
{
	c->held_finals++;
}

void
conn_rewind(struct conn *c, size_t mark)
{
	assert(mark >= c->sendable && mark <= buf_len(&c->out));
	c->out.end = c->out.start + mark;
}

/* JOB: the one that it is about; 0: none that there is. */
static void
say_refused(struct conn *c, uint64_t job, const char *method, const char *error, const char *reason)
{
	if (log_rate_ok(&c->user->rate, LOG_BURST))
		engine_log_about(c->api->engine, LOG_LVL_INFO, job,
				 "refused uid=%u pid=%d %s: %s%s%s", c->peer.uid, (int)c->peer.pid,
				 method, error, reason && *reason ? ": " : "",
				 reason ? reason : "");
}

void
conn_log_refused(struct conn *c, const char *method, const char *error, const char *reason)
{
	say_refused(c, 0, method, error, reason);
}

void
conn_refused(struct conn *c, const char *method, const struct refusal *r)
{
	char text[320];

	if (audit_concerns(r))
		audit_refused(c->api->audit, c->peer.uid, (int)c->peer.pid, method, r);
	else
		say_refused(c, r->kind == REFUSAL_NO_SUCH_JOB ? 0 : r->id, method, errors_name(r),
			    errors_text(r, text, sizeof(text)));
}
