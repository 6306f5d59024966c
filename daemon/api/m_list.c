/* m_list.c - List and ListSummaries.
 *
 * A walk over the table goes on page by page as the peer takes them, and in slices of rows
 * examined, so that neither a long list nor a rare match holds the loop. A page is built aside,
 * since a slice may end in the middle of one. */
#include <errno.h>
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

enum {
	PAGE_ROWS = 500,          /* of a reply with more */
	PAGE_BYTES = 192 << 10,   /* a page is not begun another row beyond this */
	PAGE_ROWS_DEFAULT = 1000, /* of the one reply without more */
	PAGE_ROWS_MAX = 100000,
	ROWS_PER_STEP = 5000, /* examined in one go */
	VALUES_MAX = 64,      /* as many as a context can have */
	LIST_STOP = 1000,     /* our own answer to the walk */
};

struct list_op {
	struct op op;
	struct engine *engine;
	struct store_filter filter; /* its strings are owned; after: where the walk goes on */
	struct strv values;         /* owned; what filter.values points to */
	uint8_t trace[16];          /* filter.trace_id */
	bool nothing;               /* can match: no row is looked at */
	void (*put)(struct jw *j, const char *key, const struct job *job);
	bool more;
	bool limited;
	uint64_t left; /* rows still wanted, if limited */
	struct buf page;
	struct jw j;
	uint32_t rows; /* in the page */
	uint32_t rows_max;
	size_t bytes_max;
	bool full;
};

static void
page_open(struct list_op *l)
{
	buf_clear(&l->page);
	jw_init(&l->j, &l->page);
	jw_arr_open(&l->j, NULL);
	l->rows = 0;
	l->full = false;
}

static int
list_row(void *arg, const struct job *job)
{
	struct list_op *l = arg;

	l->put(&l->j, NULL, job);
	l->filter.after = job->id;
	l->rows++;
	if (l->limited)
		l->left--;
	l->full = l->rows == l->rows_max || (l->limited && l->left == 0) ||
		  buf_len(&l->page) >= l->bytes_max;
	if (l->page.failed)
		return l->page.failed;
	return l->full ? LIST_STOP : 0;
}

static void
page_send(struct list_op *l, uint64_t next, bool continues)
{
	struct jw j;

	jw_arr_close(&l->j);
	varlink_reply_open(&j, &l->op.conn->out);
	jw_raw(&j, "jobs", buf_head(&l->page), buf_len(&l->page));
	if (next)
		jw_int(&j, "next", (int64_t)next);
	else
		jw_null(&j, "next");
	varlink_reply_close(&j, continues);
	page_open(l);
}

static int
list_step(struct op *op, struct refusal *r)
{
	struct list_op *l = container_of(op, struct list_op, op);
	uint64_t next = 0;
	bool enough;
	int e;

	l->filter.budget = ROWS_PER_STEP;
	e = l->nothing
		    ? 0
		    : engine_list(l->engine, conn_who(op->conn), &l->filter, list_row, l, &next, r);
	if (l->full)
		next = l->filter.after; /* the walk was stopped by us and knows of no end */
	else if (e != 0)
		return e;
	if (l->page.failed)
		return l->page.failed;
	enough = next == 0 || (l->limited && l->left == 0);
	if (l->more ? enough : enough || l->full) {
		page_send(l, next, false);
		return OP_DONE;
	}
	l->filter.after = next;
	if (l->full)
		page_send(l, next, true);
	return OP_AGAIN;
}

static void
list_free(struct list_op *l)
{
	free((void *)(uintptr_t)l->filter.class_name);
	free((void *)(uintptr_t)l->filter.name);
	free((void *)(uintptr_t)l->filter.key);
	strv_done(&l->values);
	buf_done(&l->page);
	free(l);
}

static void
list_freep(struct list_op **l)
{
	if (*l)
		list_free(*l);
}

static void
list_drop(struct op *op, bool gone)
{
	(void)gone;
	list_free(container_of(op, struct list_op, op));
}

static const struct op_type list_type = {"io.ctxd.List", list_step, list_drop};

/* ---- arguments */

static int
take_states(struct call *c, const struct strv *names, uint32_t *ret)
{
	for (const char *s = strv_first(names); s; s = strv_next(names, s)) {
		enum job_state state;

		if (job_state_parse(s, &state) < 0)
			return call_invalid(c, "states", "there is no such state");
		*ret |= UINT32_C(1) << state;
	}
	return 0;
}

static int
take_numbers(struct call *c, const struct args_list *a, struct list_op *l)
{
	if (a->has_uid && (a->uid < 0 || a->uid >= UINT32_MAX))
		return call_invalid(c, "uid", "no uid");
	if (a->has_after && a->after < 0)
		return call_invalid(c, "after", "must not be negative");
	if (a->has_limit && (a->limit <= 0 || (!c->more && a->limit > PAGE_ROWS_MAX)))
		return call_invalid(c, "limit",
				    "must be greater than 0, and at most %d without more",
				    PAGE_ROWS_MAX);
	if (a->has_parent && a->parent <= 0)
		return call_invalid(c, "parent", "must be greater than 0");
	l->filter.parent = (uint64_t)a->parent;
	l->filter.has_uid = a->has_uid;
	l->filter.uid = (uint32_t)a->uid;
	l->filter.after = (uint64_t)a->after;
	l->filter.half_processed = a->half_processed;
	l->filter.last = a->last;
	l->limited = a->has_limit || !c->more;
	l->left = a->has_limit ? (uint64_t)a->limit : PAGE_ROWS_DEFAULT;
	return 0;
}

static int
take_string(const char *s, const char **ret)
{
	if (!s)
		return 0;
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

static int
take_context(struct call *c, struct args_list *a, struct list_op *l)
{
	if (a->trace && trace_id_parse(a->trace, l->trace) < 0)
		return call_invalid(c, "trace",
				    "must be 32 lower-case hexadecimal digits, not all of them 0");
	if (a->values.n > VALUES_MAX)
		return call_invalid(c, "values", "more than %d", VALUES_MAX);
	l->filter.trace_id = a->trace ? l->trace : NULL;
	l->values = a->values; /* moved: the arguments do not outlive the call */
	a->values = (struct strv){0};
	l->filter.values = l->values.n > 0 ? &l->values : NULL;
	return 0;
}

static int
take_filter(struct call *c, struct args_list *a, struct list_op *l)
{
	int r = take_states(c, &a->states, &l->filter.states);

	if (r == 0)
		r = take_numbers(c, a, l);
	if (r == 0 && a->since)
		r = call_time(c, "since", a->since, &l->filter.since_us);
	if (r == 0)
		r = take_string(a->class_name, &l->filter.class_name);
	if (r == 0)
		r = take_string(a->name, &l->filter.name);
	if (r == 0)
		r = take_string(a->key, &l->filter.key);
	if (r == 0)
		r = take_context(c, a, l);
	l->nothing = a->key && job_key_is_hidden(a->key);
	return r;
}

/* Without `more` the one reply may be as large as what a connection may hold; a page is never cut
 * short of a row. */
static void
set_bounds(struct call *c, struct list_op *l)
{
	l->more = c->more;
	l->rows_max = c->more ? PAGE_ROWS : PAGE_ROWS_MAX;
	l->bytes_max = c->more ? PAGE_BYTES : 2 * api_max_message(c->api);
}

static int
list_start(struct call *c, void *args,
	   void (*put)(struct jw *j, const char *key, const struct job *job))
{
	_cleanup_(list_freep) struct list_op *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->op.type = &list_type;
	l->engine = c->engine;
	l->put = put;
	r = take_filter(c, args, l);
	if (r != 0)
		return r;
	set_bounds(c, l);
	page_open(l);
	conn_op_start(c->conn, &take_ptr(l)->op, true);
	return 0;
}

int
m_list_jobs(struct call *c, void *args)
{
	return list_start(c, args, jobjson_job);
}

int
m_list_summaries(struct call *c, void *args)
{
	return list_start(c, args, jobjson_summary);
}
