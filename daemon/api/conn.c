/* conn.c - one connection, see conn.h.
 *
 * Bytes come in through conn_read, are executed by conn_run (calls; both conn_in.c) and conn_step
 * (the op), and leave through conn_flush (conn_out.c); conn_settle, the only place that closes
 * because of what happened, decides what to watch for next. Who is called from effects (on_commit,
 * conn_op_ready) only writes, and leaves everything else to the again list.
 *
 * A peer that has closed is noticed even while a call waits: reading goes on up to API_READ_AHEAD
 * bytes; where nothing more is read, a timer looks for the hang-up. A half-closed peer (printf … |
 * nc -N) is served to the end. */
#include <ev.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/conn.h"
#include "api/errors.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/mem.h"

#define CONN_TICK 1.0

static struct ev_loop *
loop_of(const struct conn *c)
{
	return c->api->loop;
}

static size_t
backlog(const struct conn *c)
{
	return buf_len(&c->out);
}

void
conn_shut(struct conn *c)
{
	c->closing = true;
}

/* ---- the op */

void
conn_op_start(struct conn *c, struct op *op, bool ready)
{
	assert(!c->op);
	op->conn = c;
	c->op = op;
	c->op_touched = true;
	c->op_ready = ready;
	if (ready)
		api_again(c->api, c);
}

void
conn_op_ready(struct op *op)
{
	struct conn *c = op->conn;

	assert(c->op == op);
	c->op_ready = true;
	api_again(c->api, c);
}

void
conn_op_drop(struct conn *c, bool gone)
{
	struct op *op = take_ptr(c->op);

	c->op_ready = false;
	if (op)
		op->type->drop(op, gone);
}

/* The op is ready and little is unsent: let it go on. */
static void
conn_step(struct conn *c)
{
	const char *method = c->op->type->method;
	size_t mark = buf_len(&c->out);
	struct refusal ref = {0};
	int r;

	c->op_ready = false;
	c->op_touched = true;
	conn_hold(c);
	r = c->op->type->step(c->op, &ref);
	if (r == OP_WAIT)
		return;
	if (r == OP_AGAIN) {
		conn_op_ready(c->op);
		return;
	}
	if (r != OP_DONE) {
		conn_rewind(c, mark);
		if (r != OP_REFUSED)
			refusal_from_errno(&ref, r);
		errors_write(&c->out, &ref);
		conn_refused(c, method, &ref);
	}
	conn_op_drop(c, false);
	c->op_touched = false;
	conn_final(c);
}

/* ---- settling */

static bool
conn_over(const struct conn *c)
{
	if (c->broken)
		return true;
	if (c->op && c->eof && c->hup)
		return true;
	if (backlog(c) > 0 || c->fx_queued)
		return false;
	return c->closing || (c->eof && c->pause == CONN_IDLE);
}

static void
io_set(struct conn *c, ev_io *w, bool on)
{
	if (on && !ev_is_active(w))
		ev_io_start(loop_of(c), w);
	else if (!on && ev_is_active(w))
		ev_io_stop(loop_of(c), w);
}

static void
conn_settle(struct conn *c)
{
	struct api *a = c->api;
	bool in = conn_wants_input(c);

	if (conn_over(c)) {
		conn_close(c, true);
		return;
	}
	io_set(c, &c->rd, in);
	io_set(c, &c->wr, c->sendable > 0);
	if (c->sendable > 0 || !in) {
		if (!ev_is_active(&c->tick))
			ev_timer_again(a->loop, &c->tick);
	} else {
		ev_timer_stop(a->loop, &c->tick);
	}
	buf_shrink(&c->in, 0);
	buf_shrink(&c->out, 0);
	conn_account(c);
}

void
conn_on_again(struct conn *c)
{
	CHECK_MAGIC(c, CONN_MAGIC);
	if (!c->broken && c->op && c->op_ready && backlog(c) <= API_OUT_LOW)
		conn_step(c);
	if (!c->op)
		conn_run(c);
	conn_settle(c);
}

static void
conn_on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct conn *c = container_of(w, struct conn, rd);
	struct api *a = c->api;

	(void)loop, (void)revents;
	CHECK_MAGIC(c, CONN_MAGIC);
	conn_read(c);
	conn_settle(c); /* c may be gone */
	api_check(a);
}

static void
conn_on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct conn *c = container_of(w, struct conn, wr);
	struct api *a = c->api;

	(void)loop, (void)revents;
	CHECK_MAGIC(c, CONN_MAGIC);
	c->broken |= conn_flush(c) < 0;
	if (backlog(c) <= API_OUT_LOW)
		api_again(a, c);
	conn_settle(c); /* c may be gone */
	api_check(a);
}

static bool
conn_stalled(const struct conn *c)
{
	return c->sendable > 0 && mono_now().ns - c->progress_ns > API_STALL_SEC * NSEC_PER_SEC;
}

static void
conn_on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct conn *c = container_of(w, struct conn, tick);
	struct api *a = c->api;

	(void)loop, (void)revents;
	CHECK_MAGIC(c, CONN_MAGIC);
	if (conn_stalled(c)) {
		conn_log_refused(c, "connection", "closed", "the peer does not read its answers");
		c->broken = true;
	}
	if (c->op && conn_hung_up(c))
		c->eof = c->hup = true;
	conn_settle(c); /* c may be gone */
	api_check(a);
}

static void
conn_on_names(struct user_wait *w)
{
	struct conn *c = container_of(w, struct conn, names);

	CHECK_MAGIC(c, CONN_MAGIC);
	api_again(c->api, c);
}

/* ---- life */

static bool
is_stranger(const struct api *a, const struct sock_peer *p)
{
	return !a->system_mode && p->uid != a->own_uid && p->uid != 0;
}

struct conn *
conn_new(struct api *a, int fd, struct sock_peer *peer, struct user *u)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->magic = CONN_MAGIC;
	c->api = a;
	c->fd = fd;
	c->peer = *peer;
	*peer = (struct sock_peer){0};
	c->user = u;
	c->fx.run = conn_on_commit;
	list_init(&c->fx.link);
	list_init(&c->again);
	list_init(&c->names.link);
	c->names.on_ready = conn_on_names;
	c->stranger = is_stranger(a, &c->peer);
	buf_init(&c->out, API_OUT_FACTOR * api_max_message(a));
	ev_io_init(&c->rd, conn_on_readable, fd, EV_READ);
	ev_io_init(&c->wr, conn_on_writable, fd, EV_WRITE);
	ev_init(&c->tick, conn_on_tick);
	c->tick.repeat = CONN_TICK;
	list_append(&a->conns, &c->link);
	a->n_conns++;
	u->n_conns++;
	if (!c->stranger && !user_names(u, &c->names))
		c->pause = CONN_NAMES;
	conn_settle(c);
	/* Most clients have sent their call by now: read it in this turn of the loop. */
	if (ev_is_active(&c->rd))
		ev_feed_event(loop_of(c), &c->rd, EV_READ);
	return c;
}

const struct requester *
conn_who(struct conn *c)
{
	c->who = (struct requester){
		.uid = c->peer.uid,
		.gid = c->peer.gid,
		.groups = c->peer.groups,
		.n_groups = c->peer.n_groups,
		.pid = c->peer.pid,
		.user = c->user->name,
		.home = c->user->home,
		.shell = c->user->shell,
	};
	return &c->who;
}

void
conn_close(struct conn *c, bool gone)
{
	struct api *a = c->api;

	conn_op_drop(c, gone);
	m_spool_forget_all(c);
	ev_io_stop(a->loop, &c->rd);
	ev_io_stop(a->loop, &c->wr);
	ev_timer_stop(a->loop, &c->tick);
	list_unlink(&c->link);
	list_unlink(&c->again);
	list_unlink(&c->names.link);
	a->n_conns--;
	c->user->n_conns--;
	c->user->bytes -= c->accounted;
	c->user = user_put(c->user);
	c->dead = true;
	if (!a->stopping || !c->fx_queued)
		(void)close(take_fd(c->fd));
	if (!a->stopping)
		api_on_closed(a);
	if (!c->fx_queued) /* else conn_bury */
		conn_free(c);
}

void
conn_check(const struct conn *c)
{
	CHECK_MAGIC(c, CONN_MAGIC);
	assert(!c->dead && c->fd >= 0);
	assert(c->sendable <= buf_len(&c->out));
	assert(c->sendable == buf_len(&c->out) || c->fx_queued);
	assert(!c->op || c->op->conn == c);
	assert(c->op || !c->op_ready);
	assert(!c->op || c->op->type->step);
	assert(c->sendable == 0 || c->wr.active || !list_empty(&c->again));
}
