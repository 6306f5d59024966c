/* m_wait.c - waiting for the end of jobs.
 *
 * The engine tells an end after its commit; the job is then read again when it is the reply's turn,
 * so that a thousand ends cost a thousand flags and not a thousand copies. */
#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/conn.h"
#include "api/jobjson.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/jw.h"
#include "base/mem.h"
#include "core/policy.h"

#define WAIT_MAGIC UINT32_C(0x77616974)

enum { IDS_MAX = 1000, REPLIES_PER_STEP = 50 };

struct wait_op;

struct wait_job {
	struct engine_watch watch;
	struct wait_op *wait;
	bool ended;
	bool told;
};

struct wait_op {
	struct op op;
	uint32_t magic;
	struct engine *engine;
	struct ev_loop *loop;
	ev_timer timer;
	bool any, more, timed_out;
	size_t n, n_ended, n_told;
	struct wait_job job[]; /* n */
};

static void
job_ended(struct wait_job *w)
{
	w->ended = true;
	w->wait->n_ended++;
}

static bool
over(const struct wait_op *w)
{
	return w->timed_out || w->n_ended == w->n || (w->any && w->n_ended > 0);
}

static void
wait_on_end(struct engine_watch *watch, const struct job *job)
{
	struct wait_job *w = container_of(watch, struct wait_job, watch);

	(void)job;
	job_ended(w);
	if (w->wait->more || over(w->wait))
		conn_op_ready(&w->wait->op);
}

static void
wait_on_timeout(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct wait_op *w = container_of(t, struct wait_op, timer);

	(void)loop, (void)revents;
	CHECK_MAGIC(w, WAIT_MAGIC);
	w->timed_out = true;
	conn_op_ready(&w->op);
}

static int
put_job(struct wait_op *w, struct jw *j, size_t i, struct refusal *r)
{
	_cleanup_(job_freep) struct job *job = NULL;
	int e = engine_get(w->engine, conn_who(w->op.conn), w->job[i].watch.job, &job, r);

	if (e != 0)
		return e;
	jobjson_job(j, NULL, job);
	if (buf_len(&w->op.conn->out) > API_OUT_FACTOR / 2 * api_max_message(w->op.conn->api))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "ids",
				   "the answer is larger than a reply may be; use more");
	return 0;
}

/* One reply with all that have ended, or at the time limit with all. */
static int
reply_all(struct wait_op *w, struct refusal *r)
{
	struct jw j;
	int e = 0;

	varlink_reply_open(&j, &w->op.conn->out);
	jw_arr_open(&j, "jobs");
	for (size_t i = 0; i < w->n && e == 0; i++)
		if (w->job[i].ended || w->timed_out)
			e = put_job(w, &j, i, r);
	jw_arr_close(&j);
	varlink_reply_close(&j, false);
	return e ? e : OP_DONE;
}

static int
reply_one(struct wait_op *w, size_t i, bool last, struct refusal *r)
{
	struct jw j;
	int e;

	varlink_reply_open(&j, &w->op.conn->out);
	jw_arr_open(&j, "jobs");
	e = put_job(w, &j, i, r);
	jw_arr_close(&j);
	varlink_reply_close(&j, !last);
	w->job[i].told = true;
	w->n_told++;
	return e;
}

/* With more, at the time limit: those that have not ended, in the last reply. */
static int
reply_rest(struct wait_op *w, struct refusal *r)
{
	struct jw j;
	int e = 0;

	varlink_reply_open(&j, &w->op.conn->out);
	jw_arr_open(&j, "jobs");
	for (size_t i = 0; i < w->n && e == 0; i++)
		if (!w->job[i].told)
			e = put_job(w, &j, i, r);
	jw_arr_close(&j);
	varlink_reply_close(&j, false);
	return e ? e : OP_DONE;
}

/* With more: a reply for each that has ended, at most some at a time. */
static int
reply_each(struct wait_op *w, struct refusal *r)
{
	int e, n = 0;

	for (size_t i = 0; i < w->n && w->n_told < w->n_ended; i++) {
		bool last = w->any || w->n_told + 1 == w->n;

		if (!w->job[i].ended || w->job[i].told)
			continue;
		if (n++ == REPLIES_PER_STEP || buf_len(&w->op.conn->out) > API_OUT_LOW)
			return OP_AGAIN;
		e = reply_one(w, i, last, r);
		if (e != 0)
			return e;
		if (last)
			return OP_DONE;
	}
	return w->timed_out ? reply_rest(w, r) : OP_WAIT;
}

static int
wait_step(struct op *op, struct refusal *r)
{
	struct wait_op *w = container_of(op, struct wait_op, op);

	CHECK_MAGIC(w, WAIT_MAGIC);
	if (w->more)
		return reply_each(w, r);
	return over(w) ? reply_all(w, r) : OP_WAIT;
}

static void
wait_free(struct wait_op *w)
{
	ev_timer_stop(w->loop, &w->timer);
	for (size_t i = 0; i < w->n; i++)
		engine_watch_remove(w->engine, &w->job[i].watch);
	w->magic = 0;
	free(w);
}

static void
wait_freep(struct wait_op **w)
{
	if (*w)
		wait_free(*w);
}

static void
wait_drop(struct op *op, bool gone)
{
	(void)gone;
	wait_free(container_of(op, struct wait_op, op));
}

static const struct op_type wait_type = {"io.ctxd.Wait", wait_step, wait_drop};

/* ---- the method */

static int
check_args(struct call *c, const struct args_wait *a)
{
	if (a->ids.n == 0)
		return call_invalid(c, "ids", "no job is given");
	if (a->ids.n > IDS_MAX)
		return call_invalid(c, "ids", "more than %d jobs", IDS_MAX);
	if (a->has_timeout && (a->timeout_usec <= 0 || a->timeout_usec > DUR_MAX_US))
		return call_invalid(c, "timeout_usec",
				    "must be greater than 0 and at most ten years");
	return 0;
}

static bool
has_id(const struct wait_op *w, uint64_t id)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->job[i].watch.job == id)
			return true;
	return false;
}

/* The job must be there and the caller's; one that has not ended is watched. */
static int
add_job(struct call *c, struct wait_op *w, int64_t id)
{
	_cleanup_(job_freep) struct job *job = NULL;
	struct wait_job *new = &w->job[w->n];
	int r = call_id(c, id);

	if (r != 0 || has_id(w, (uint64_t)id))
		return r;
	r = engine_get(c->engine, c->who, (uint64_t)id, &job, &c->refusal);
	if (r != 0)
		return r;
	list_init(&new->watch.link);
	new->watch.job = (uint64_t)id;
	new->watch.on_end = wait_on_end;
	new->wait = w;
	w->n++;
	if (!job_state_ended(job->state))
		return engine_watch_add(c->engine, &new->watch);
	job_ended(new);
	return 0;
}

static struct wait_op *
wait_new(struct call *c, const struct args_wait *a)
{
	struct wait_op *w = calloc(1, sizeof(*w) + a->ids.n * sizeof(w->job[0]));

	if (!w)
		return NULL;
	w->magic = WAIT_MAGIC;
	w->op.type = &wait_type;
	w->engine = c->engine;
	w->loop = c->api->loop;
	w->any = a->any;
	w->more = c->more;
	ev_init(&w->timer, wait_on_timeout);
	return w;
}

int
m_wait_wait(struct call *c, void *args)
{
	const struct args_wait *a = args;
	_cleanup_(wait_freep) struct wait_op *w = NULL;
	int r = check_args(c, a);

	if (r != 0)
		return r;
	w = wait_new(c, a);
	if (!w)
		return -ENOMEM;
	for (size_t i = 0; i < a->ids.n && r == 0; i++)
		r = add_job(c, w, a->ids.v[i]);
	if (r != 0)
		return r;
	if (a->has_timeout) {
		ev_timer_set(&w->timer, (double)a->timeout_usec / 1e6, 0.);
		ev_timer_start(c->api->loop, &w->timer);
	}
	conn_op_start(c->conn, &w->op, over(w) || (w->more && w->n_ended > 0));
	(void)take_ptr(w);
	return 0;
}
