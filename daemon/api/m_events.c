/* m_events.c - the history of jobs as a stream: a page, all of it, or with `follow` also what
 * comes.
 *
 * Nothing is queued for a reader: it is told that there is more (engine_listener) and reads on from
 * where it stands when its connection has room, so that one who does not read costs a page at most.
 * Progress is no history. The job is looked at whenever something changed, and told when what it
 * says is not what was told last; what came and went in between is not. */
#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/conn.h"
#include "api/heard.h"
#include "api/jobjson.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/mem.h"

#define EVENTS_MAGIC UINT32_C(0x65766e74)

enum {
	PAGE_ROWS = 500,          /* of a reply with more */
	PAGE_BYTES = 192 << 10,   /* a page is not begun another row beyond this */
	PAGE_ROWS_DEFAULT = 1000, /* of the one reply without more */
	PAGE_ROWS_MAX = 100000,
	ROWS_PER_STEP = 5000, /* examined in one go */
	ROWS_PER_LOOK = 64,   /* the same once the end was reached: others' are examined again */
	LOOK_EVERY_MS = 250,
	EVENTS_STOP = 1000, /* our own answer to the walk */
};

struct events_op {
	struct op op;
	uint32_t magic;
	struct engine *engine;
	struct engine_listener listener;
	/* after: where the walk goes on. One job is walked from its beginning, so that its state is
	 * known; what was not asked for is passed over. */
	struct store_event_filter filter;
	uint64_t skip_edge;
	int64_t skip_us;
	bool more, follow, progress;
	bool limited;
	uint64_t left; /* events still wanted, if limited */
	bool over;     /* the job of the filter has ended, as far as was read */
	struct heard heard;
	struct ev_loop *loop;
	ev_timer timer;  /* until the next look at all that run */
	int64_t look_ns; /* mono: not before */
	bool due;        /* something changed since the last look */
	bool walking;    /* a look goes on in the next step */
	struct buf page;
	struct jw j;
	uint32_t rows; /* in the page */
	uint32_t rows_max;
	size_t bytes_max;
	bool full;
};

static void
page_open(struct events_op *v)
{
	buf_clear(&v->page);
	jw_init(&v->j, &v->page);
	jw_arr_open(&v->j, NULL);
	v->rows = 0;
	v->full = false;
}

static void
page_row(struct events_op *v)
{
	v->rows++;
	if (v->limited)
		v->left--;
	v->full = v->rows == v->rows_max || (v->limited && v->left == 0) ||
		  buf_len(&v->page) >= v->bytes_max;
}

static void
page_send(struct events_op *v, uint64_t next, bool continues)
{
	struct jw j;

	jw_arr_close(&v->j);
	varlink_reply_open(&j, &v->op.conn->out);
	jw_raw(&j, "events", buf_head(&v->page), buf_len(&v->page));
	if (next)
		jw_int(&j, "next", (int64_t)next);
	else
		jw_null(&j, "next");
	varlink_reply_close(&j, continues);
	page_open(v);
}

static void
put_state(struct jw *j, const char *key, int state)
{
	jw_str(j, key, state ? job_state_name((enum job_state)state) : NULL);
}

/* As it was written, if the file was not changed since by others. */
static void
put_stop(struct jw *j, const char *text)
{
	json_t *o = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

	if (o)
		jw_raw(j, "stop", text, strlen(text));
	else
		jw_null(j, "stop");
	json_decref(o);
}

static void
put_event(struct jw *j, const struct store_event *ev)
{
	jw_obj_open(j, NULL);
	jw_int(j, "edge", (int64_t)ev->edge);
	jw_int(j, "id", (int64_t)ev->e.job);
	jw_str(j, "kind", jobjson_kind(ev->kind));
	jw_int(j, "uid", ev->uid);
	jw_int(j, "attempt", ev->e.attempt);
	jw_time(j, "at", ev->e.at_us);
	put_state(j, "from", ev->e.from);
	put_state(j, "to", (int)ev->e.to);
	jw_str(j, "cause", ev->e.cause);
	jw_str(j, "cause_code", job_cause_name(ev->e.cause_code));
	if (ev->e.by_uid >= 0)
		jw_int(j, "by", ev->e.by_uid);
	else
		jw_null(j, "by");
	put_stop(j, ev->e.stop);
	jw_null(j, "progress");
	jw_obj_close(j);
}

static void
put_progress(struct jw *j, const struct job *job)
{
	jw_obj_open(j, NULL);
	jw_null(j, "edge");
	jw_int(j, "id", (int64_t)job->id);
	jw_str(j, "kind", jobjson_kind(job->kind));
	jw_int(j, "uid", job->uid);
	jw_int(j, "attempt", job->attempt);
	jw_time(j, "at", job->progress_us);
	jw_null(j, "from");
	jw_null(j, "to");
	jw_null(j, "cause");
	jw_null(j, "cause_code");
	jw_null(j, "by");
	jw_null(j, "stop");
	jobjson_progress(j, job);
	jw_obj_close(j);
}

static int
event_row(void *arg, const struct store_event *ev)
{
	struct events_op *v = arg;

	v->filter.after = ev->edge;
	v->over = job_state_ended(ev->e.to);
	if (ev->edge <= v->skip_edge || ev->e.at_us < v->skip_us)
		return 0;
	put_event(&v->j, ev);
	page_row(v);
	if (v->page.failed)
		return v->page.failed;
	return v->full ? EVENTS_STOP : 0;
}

static int
progress_row(void *arg, const struct job *job)
{
	struct events_op *v = arg;

	put_progress(&v->j, job);
	page_row(v);
	if (v->page.failed)
		return v->page.failed;
	return v->full ? EVENTS_STOP : 0;
}

static int
look_at_one(struct events_op *v, struct refusal *r)
{
	_cleanup_(job_freep) struct job *job = NULL;
	int e = engine_get(v->engine, conn_who(v->op.conn), v->filter.job, &job, r);

	if (e != 0)
		return e;
	e = heard_new(&v->heard, job);
	return e > 0 ? progress_row(v, job) : e;
}

/* A walk over all that run is not free: at most some of them a second. */
static int
look_at_all(struct events_op *v, struct refusal *r)
{
	int64_t wait = v->look_ns - mono_now().ns;
	int e;

	if (wait > 0) {
		if (!ev_is_active(&v->timer)) {
			ev_timer_set(&v->timer, (double)wait / 1e9, 0.);
			ev_timer_start(v->loop, &v->timer);
		}
		return 0;
	}
	e = heard_walk(&v->heard, v->engine, conn_who(v->op.conn), progress_row, v, r);
	if (e == 0) {
		v->due = false;
		v->look_ns = mono_now().ns + LOOK_EVERY_MS * NSEC_PER_MSEC;
	}
	v->walking = e == HEARD_E_AGAIN;
	return v->walking ? 0 : e;
}

/* What jobs say of themselves and was not told yet. */
static int
look_at_progress(struct events_op *v, struct refusal *r)
{
	if (!v->progress || !v->due)
		return 0;
	if (!v->filter.job)
		return look_at_all(v, r);
	v->due = false;
	return look_at_one(v, r);
}

/* A page is as full as it gets; NEXT is where the walk goes on, 0 at its end. */
static int
events_go_on(struct events_op *v, uint64_t next)
{
	bool end = next == 0 && !v->full, done = v->limited && v->left == 0;

	if (!v->more)
		done = done || end || v->full;
	else if (!v->follow || (v->filter.job && v->over))
		done = done || end;
	if (done) {
		page_send(v, next, false);
		return OP_DONE;
	}
	if (next)
		v->filter.after = next;
	if (v->full || (end && v->rows > 0))
		page_send(v, next, true);
	if (!end || v->walking)
		return OP_AGAIN;
	v->filter.budget = ROWS_PER_LOOK;
	return OP_WAIT;
}

static int
events_step(struct op *op, struct refusal *r)
{
	struct events_op *v = container_of(op, struct events_op, op);
	uint64_t next = 0;
	int e;

	CHECK_MAGIC(v, EVENTS_MAGIC);
	e = look_at_progress(v, r);
	if (e == 0 && !v->full)
		e = engine_events(v->engine, conn_who(op->conn), &v->filter, event_row, v, &next,
				  r);
	if (v->full)
		next = v->filter.after; /* stopped by us: whether more is there is not known */
	else if (e != 0)
		return e;
	if (v->page.failed)
		return v->page.failed;
	return events_go_on(v, next);
}

static void
events_on_change(struct engine_listener *l)
{
	struct events_op *v = container_of(l, struct events_op, listener);

	v->due = true;
	conn_op_ready(&v->op);
}

static void
events_on_timer(struct ev_loop *loop, ev_timer *t, int revents)
{
	struct events_op *v = container_of(t, struct events_op, timer);

	(void)loop, (void)revents;
	CHECK_MAGIC(v, EVENTS_MAGIC);
	conn_op_ready(&v->op);
}

static void
events_free(struct events_op *v)
{
	engine_listener_remove(&v->listener);
	ev_timer_stop(v->loop, &v->timer);
	heard_done(&v->heard);
	buf_done(&v->page);
	v->magic = 0;
	free(v);
}

static void
events_freep(struct events_op **v)
{
	if (*v)
		events_free(*v);
}

static void
events_drop(struct op *op, bool gone)
{
	(void)gone;
	events_free(container_of(op, struct events_op, op));
}

static const struct op_type events_type = {"io.ctxd.Events", events_step, events_drop};

/* ---- arguments */

static int
check_args(struct call *c, const struct args_events *a)
{
	if (a->has_after && a->after < 0)
		return call_invalid(c, "after", "must not be negative");
	if (a->has_limit && (a->limit <= 0 || (!c->more && a->limit > PAGE_ROWS_MAX)))
		return call_invalid(c, "limit",
				    "must be greater than 0, and at most %d without more",
				    PAGE_ROWS_MAX);
	if (a->follow && !c->more)
		return CALL_E_EXPECTED_MORE;
	if (a->progress && !a->follow)
		return call_invalid(c, "progress", "needs follow: it is not kept");
	return 0;
}

/* The job must be there and the caller's. */
static int
take_job(struct call *c, const struct args_events *a, struct events_op *v)
{
	_cleanup_(job_freep) struct job *job = NULL;
	int r;

	if (!a->has_id)
		return 0;
	r = call_id(c, a->id);
	if (r == 0)
		r = engine_get(c->engine, c->who, (uint64_t)a->id, &job, &c->refusal);
	if (r != 0)
		return r;
	v->filter.job = job->id;
	v->skip_edge = v->filter.after;
	v->skip_us = v->filter.since_us;
	v->filter.after = 0;
	v->filter.since_us = 0;
	return 0;
}

static void
set_bounds(struct call *c, const struct args_events *a, struct events_op *v)
{
	v->more = c->more;
	v->follow = a->follow;
	v->progress = a->progress;
	v->limited = a->has_limit || !c->more;
	v->left = a->has_limit ? (uint64_t)a->limit : PAGE_ROWS_DEFAULT;
	v->rows_max = c->more ? PAGE_ROWS : PAGE_ROWS_MAX;
	v->bytes_max = c->more ? PAGE_BYTES : 2 * api_max_message(c->api);
	v->filter.budget = ROWS_PER_STEP;
}

static struct events_op *
events_new(struct call *c)
{
	struct events_op *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->magic = EVENTS_MAGIC;
	v->op.type = &events_type;
	v->engine = c->engine;
	v->loop = c->api->loop;
	v->listener.on_change = events_on_change;
	list_init(&v->listener.link);
	ev_init(&v->timer, events_on_timer);
	v->due = true;
	return v;
}

int
m_events_events(struct call *c, void *args)
{
	const struct args_events *a = args;
	_cleanup_(events_freep) struct events_op *v = NULL;
	int r = check_args(c, a);

	if (r != 0)
		return r;
	v = events_new(c);
	if (!v)
		return -ENOMEM;
	v->filter.after = (uint64_t)a->after;
	if (a->since)
		r = call_time(c, "since", a->since, &v->filter.since_us);
	if (r == 0)
		r = take_job(c, a, v);
	if (r != 0)
		return r;
	set_bounds(c, a, v);
	page_open(v);
	if (v->follow)
		engine_listener_add(c->engine, &v->listener);
	conn_op_start(c->conn, &take_ptr(v)->op, true);
	return 0;
}
