/* context.c - what a new context takes from its parent and what it brings: values, trace, deadline,
 * cancellation. Nothing is written here: the row is the caller's. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/err.h"
#include "core/context.h"
#include "core/deadline.h"
#include "engine/impl.h"
#include "engine/submit.h"
#include "engine/tree.h"

/* A deadline that was handed down is the same moment up to the readings of two clocks. */
#define ORIGIN_SLACK_US INT64_C(1000000)
/* Two readings of two clocks are apart by less, unless somebody set one. */
#define CLOCK_SET_US INT64_C(50000)

/* In Go's words: its Done channel is closed. Nothing can hang below it any more. */
static bool
over(const struct job *j)
{
	return job_state_ended(j->state) || j->state == JOB_STOPPING;
}

static int
find_parent(struct engine *g, const struct requester *who, uint64_t id, uint32_t inherit,
	    struct job **ret, struct refusal *r)
{
	_cleanup_(job_freep) struct job *p = NULL;
	int e = engine_fetch(g, who, id, &p, r);

	if (e != 0)
		return e;
	assert(p);
	if (inherit & INHERIT_CANCEL && over(p)) {
		r->id = id;
		r->state = p->state;
		return refusal_set(r, REFUSAL_ALREADY_ENDED, NULL,
				   "nothing can be attached to a context that is over");
	}
	*ret = take_ptr(p);
	return 0;
}

/* ---- deadline */

/* The parent's deadline by the wall clock of now; 0: it has none to give. As long as the clock was
 * not set it is the moment that the parent's record shows, and never a microsecond later. */
static int64_t
deadline_of(const struct engine *g, const struct job *p)
{
	int64_t now_us, later;

	if (over(p))
		return 0;
	if (p->state == JOB_QUEUED)
		return deadline_latest(p);
	if (p->deadline_boot_ns <= 0 || memcmp(p->boot, g->boot, sizeof(p->boot)) != 0)
		return p->deadline_us; /* of an earlier boot, and not put right yet */
	now_us = wall_to_usec(
		wall_add(wall_now(), mono_diff((struct mono){p->deadline_boot_ns}, mono_now())));
	later = now_us - p->deadline_us;
	return later > 0 && later < CLOCK_SET_US ? p->deadline_us : now_us;
}

uint64_t
context_deadline_origin(struct engine *g, const struct job *j)
{
	uint64_t origin = j->parent;

	if (j->inherited_us <= 0 || j->parent == 0)
		return 0;
	if (store_deadline_origin(g->store, j->parent, j->inherited_us, ORIGIN_SLACK_US, &origin) <
	    0)
		return j->parent;
	return origin;
}

/* ---- trace */

/* One text of the requester's goes into FIELD in its normal form; what is wrong is dropped, and
 * the requester told. */
static int
take_text(int (*parse)(const char *s, char **ret, const char **ret_why), const char *name,
	  const char *s, char **field, struct notices *n)
{
	const char *why = NULL;
	int r = parse(s, field, &why);

	if (r != -EINVAL)
		return r;
	notice_add(n, "%s: left out, %s", name, why);
	return 0;
}

static int
follow(struct job *j, const struct trace_context *t)
{
	j->trace = *t;
	memcpy(j->parent_span, t->span_id, sizeof(j->parent_span));
	j->has_parent_span = true;
	return trace_new_span(j->trace.span_id);
}

/* A trace of one's own, or the one asked for, or the parent's (P, which may be NULL). A tracestate
 * belongs to its traceparent, and goes where that goes. */
static int
take_trace(const struct context_args *a, const struct job *p, struct job *j, struct notices *n)
{
	struct trace_context asked;
	const char *why = NULL;
	int r;

	if (a->traceparent && trace_parse(a->traceparent, &asked, &why) == 0) {
		r = follow(j, &asked);
		if (r == 0 && a->tracestate)
			r = take_text(trace_state_parse, "tracestate", a->tracestate,
				      &j->tracestate, n);
		return r;
	}
	if (a->traceparent)
		notice_add(n, "traceparent: %s; a new trace is started", why);
	else if (a->tracestate)
		notice_add(n, "tracestate: left out, it means nothing without a traceparent");
	if (p && !a->traceparent) {
		r = follow(j, &p->trace);
		return r ? r : job_set(&j->tracestate, p->tracestate);
	}
	return trace_new(j->submitted_us > 0 ? j->submitted_us : wall_to_usec(wall_now()),
			 &j->trace);
}

static int
take_baggage(const struct context_args *a, const struct job *p, struct job *j, struct notices *n)
{
	if (a->baggage)
		return take_text(trace_baggage_parse, "baggage", a->baggage, &j->baggage, n);
	return p ? job_set(&j->baggage, p->baggage) : 0;
}

/* ---- all of it */

static int
take_values(const struct context_args *a, const struct job *p, struct job *j, struct refusal *r)
{
	struct ctx_err e = {0};
	int x = context_values_merge(p ? &p->values : NULL, &a->values, &j->values, &e);

	if (x == -EINVAL)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "values", "%s", e.text);
	return x < 0 ? err_raise(x, "take in values") : 0;
}

int
context_derive(struct engine *g, const struct requester *who, const struct context_args *a,
	       struct job *j, struct notices *n, struct refusal *r)
{
	uint32_t inherit = a->has_inherit ? a->inherit : INHERIT_VALUES | INHERIT_TRACE;
	_cleanup_(job_freep) struct job *p = NULL;
	const struct job *traced;
	int e;

	if (a->parent != 0) {
		e = find_parent(g, who, a->parent, inherit, &p, r);
		if (e != 0)
			return e;
	}
	j->parent = a->parent;
	j->inherit =
		inherit; /* as asked; without a parent it is the client from whom it was taken */
	e = take_values(a, inherit & INHERIT_VALUES ? p : NULL, j, r);
	if (e != 0)
		return e;
	traced = inherit & INHERIT_TRACE ? p : NULL;
	e = take_trace(a, traced, j, n);
	if (e == 0)
		e = take_baggage(a, traced, j, n);
	if (e < 0)
		return err_raise(e, "take in a trace");
	if (p && inherit & INHERIT_DEADLINE)
		j->inherited_us = deadline_of(g, p);
	if (p && inherit & INHERIT_DEADLINE && over(p))
		notice_add(n, "deadline: none is inherited, as %" PRIu64 " is over already", p->id);
	j->deadline_us = deadline_latest(j); /* until it starts */
	return 0;
}
