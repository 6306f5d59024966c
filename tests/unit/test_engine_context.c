/* test_engine_context.c - what a new context takes from its parent: engine/context.c against a real
 * store, each rule of the matrix. */
#include "core/context.h"
#include "core/policy.h"
#include "engine/impl.h"
#include "engine/tree.h"
#include "store_fixture.h"

#define SEC INT64_C(1000000)
#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define PARENT "00-" TRACE "-" SPAN "-01"
#define ALL (INHERIT_VALUES | INHERIT_TRACE | INHERIT_DEADLINE | INHERIT_CANCEL)
#define SLACK                                                                                      \
	(5 * SEC) /* between two looks at a clock, on a machine that has other things to do        \
		   */

enum { OWNER = 1000, OTHER = 1001 };

static struct engine eng;
static const struct requester owner = {.uid = OWNER, .gid = OWNER},
			      other = {.uid = OTHER, .gid = OTHER}, root = {0};

static void
setup(void)
{
	dir_new();
	eng = (struct engine){.system_mode = true, .store = store_must_open(), .boot = "this boot"};
	eng.policy = policy_new();
	need(eng.policy);
}

static void
teardown(void)
{
	eng.store = store_close(eng.store);
	eng.policy = policy_free(eng.policy);
}

/* A parent with values, a trace, a tracestate, a baggage, and SECONDS to go. */
static struct job *
parent_in(enum job_state state, int64_t seconds)
{
	struct job *p = job_like("default", OWNER, state);
	struct mono end = mono_add(mono_now(), dur_sec(seconds));
	const char *why;

	need(strv_add(&p->values, "app=web") == 0 && strv_add(&p->values, "req=r1") == 0);
	need(trace_parse(PARENT, &p->trace, &why) == 0);
	need(job_set(&p->tracestate, "v=1") == 0 && job_set(&p->baggage, "b=2") == 0);
	memcpy(p->boot, eng.boot, sizeof(p->boot));
	p->deadline_us = T0; /* for display only: the clock may have been set */
	p->deadline_boot_ns = end.ns;
	if (state == JOB_OPEN)
		p->kind = JOB_KIND_SCOPE;
	if (state == JOB_QUEUED)
		p->deadline_boot_ns = p->deadline_us = 0;
	return p;
}

static uint64_t
stored(struct job *p)
{
	uint64_t id;

	need(store_begin(eng.store, __func__) == 0);
	id = put(eng.store, p);
	need(store_commit(eng.store) == 0);
	return id;
}

struct derived {
	struct job *j;
	struct notices n;
	struct refusal r;
	int e;
};

static struct derived
derive(const struct requester *who, const struct context_args *a)
{
	struct derived d = {.j = job_like("default", who->uid, JOB_QUEUED)};

	d.e = context_derive(&eng, who, a, d.j, &d.n, &d.r);
	return d;
}

/* As most do: the owner, INHERIT from PARENT, nothing of one's own. */
static struct derived
child(uint64_t parent, uint32_t inherit)
{
	struct context_args a = {.parent = parent, .has_inherit = true, .inherit = inherit};

	return derive(&owner, &a);
}

static void
done(struct derived *d)
{
	d->j = job_free(d->j);
}

static const char *
trace_of(const struct job *j)
{
	static char text[TRACE_ID_TEXT];

	return trace_id_format(j->trace.trace_id, text);
}

static const char *
parent_span_of(const struct job *j)
{
	static char text[TRACE_SPAN_TEXT];

	return j->has_parent_span ? trace_span_format(j->parent_span, text) : NULL;
}

static const char *
values_of(const struct job *j)
{
	static char text[1000];
	size_t len = 0;

	text[0] = '\0';
	for (const char *s = strv_first(&j->values); s; s = strv_next(&j->values, s))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? " " : "", s);
	return text;
}

static bool
noted(const struct derived *d, const char *words)
{
	for (size_t i = 0; i < d->n.n; i++)
		if (strstr(d->n.text[i], words))
			return true;
	for (size_t i = 0; i < d->n.n; i++)
		printf("# notice: %s\n", d->n.text[i]);
	return false;
}

/* ---- nobody above */

TEST(without_a_parent)
{
	static const struct context_args rows[] = {
		{0}, {.has_inherit = true}, {.has_inherit = true, .inherit = ALL}};

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct derived d = derive(&owner, &rows[i]);

		is_int(d.e, 0);
		is_int(d.j->parent, 0);
		/* as asked: taken from the client, who brings it along */
		is_int(d.j->inherit, i == 0 ? INHERIT_VALUES | INHERIT_TRACE : i == 1 ? 0 : ALL);
		is_int(d.j->inherited_us, 0);
		is_int(d.j->values.n, 0);
		is_int(d.j->trace.flags, TRACE_SAMPLED | TRACE_RANDOM);
		ok(!d.j->has_parent_span && !d.j->tracestate && !d.j->baggage);
		/* T0 in milliseconds */
		ok(memcmp(d.j->trace.trace_id, "\x01\x8b\xcf\xe5\x68\x00", 6) == 0);
		is_int(d.n.n, 0);
		done(&d);
	}
	teardown();
}

/* ---- each bit of the set, for a parent in each state */

static void
check_bits(uint64_t id, uint32_t inherit, bool over, bool has_deadline, int64_t deadline_us)
{
	struct derived d = child(id, inherit);
	const struct job *j = d.j;

	is_int(d.e, 0);
	is_int(j->parent, id);
	is_int(j->inherit, inherit);
	is_str(values_of(j), inherit & INHERIT_VALUES ? "app=web req=r1" : "");
	if (inherit & INHERIT_TRACE) {
		is_str(trace_of(j), TRACE);
		is_str(parent_span_of(j), SPAN);
		is_int(j->trace.flags, 1);
	} else {
		ok(strcmp(trace_of(j), TRACE) != 0);
		is_str(parent_span_of(j), NULL);
	}
	ok(memcmp(j->trace.span_id, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8) != 0);
	is_str(j->tracestate, inherit & INHERIT_TRACE ? "v=1" : NULL);
	is_str(j->baggage, inherit & INHERIT_TRACE ? "b=2" : NULL);
	if (inherit & INHERIT_DEADLINE && has_deadline) {
		ok(j->inherited_us > deadline_us - SLACK && j->inherited_us < deadline_us + SLACK);
		is_int(j->deadline_us, j->inherited_us);
	} else {
		is_int(j->inherited_us, 0);
		is_int(j->deadline_us, 0);
	}
	is_int(d.n.n, over && inherit & INHERIT_DEADLINE); /* who asks for it is told */
	done(&d);
}

TEST(matrix)
{
	static const enum job_state states[] = {
		JOB_QUEUED, JOB_RUNNING,  JOB_STOPPING,          JOB_OPEN,        JOB_SUCCEEDED,
		JOB_FAILED, JOB_CANCELED, JOB_DEADLINE_EXCEEDED, JOB_INTERRUPTED, JOB_CLOSED,
	};

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		bool over = job_state_ended(states[i]) || states[i] == JOB_STOPPING;
		uint64_t id = stored(parent_in(states[i], 1000));
		int64_t end = wall_to_usec(wall_now()) + 1000 * SEC;

		for (uint32_t bits = 0; bits <= ALL; bits++) {
			if (!(bits & INHERIT_CANCEL) || !over) {
				check_bits(id, bits, over,
					   states[i] == JOB_RUNNING || states[i] == JOB_OPEN, end);
				continue;
			}
			struct derived d = child(id, bits);

			is_int(d.e, ENGINE_E_REFUSED);
			is_int(d.r.kind, REFUSAL_ALREADY_ENDED);
			is_int(d.r.id, id);
			is_str(job_state_name(d.r.state), job_state_name(states[i]));
			done(&d);
		}
	}
	teardown();
}

/* Nothing said: detached, with values and trace. */
TEST(default_set)
{
	struct context_args a = {0};
	struct derived d;

	setup();
	a.parent = stored(parent_in(JOB_RUNNING, 1000));
	d = derive(&owner, &a);
	is_int(d.e, 0);
	is_int(d.j->inherit, INHERIT_VALUES | INHERIT_TRACE);
	is_str(values_of(d.j), "app=web req=r1");
	is_int(d.j->inherited_us, 0);
	done(&d);
	teardown();
}

/* ---- deadlines */

TEST(deadline_of_a_queued_parent)
{
	static const struct {
		int64_t asked, inherited, want;
	} rows[] = {{0, 0, 0}, {100, 0, 100}, {0, 100, 100}, {100, 50, 50}, {50, 100, 50}};

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct job *p = parent_in(JOB_QUEUED, 0);
		struct derived d;

		p->deadline_requested_us = rows[i].asked ? T0 + rows[i].asked * SEC : 0;
		p->inherited_us = rows[i].inherited ? T0 + rows[i].inherited * SEC : 0;
		d = child(stored(p), INHERIT_DEADLINE);
		is_int(d.e, 0);
		is_int(d.j->inherited_us, rows[i].want ? T0 + rows[i].want * SEC : 0);
		done(&d);
	}
	teardown();
}

/* Its monotonic moment says nothing now: the wall clock's does. */
TEST(deadline_of_a_parent_of_an_earlier_boot)
{
	struct job *p;
	struct derived d;

	setup();
	p = parent_in(JOB_RUNNING, 1000);
	p->boot[0] ^= 1;
	p->deadline_us = T0 + 77 * SEC;
	d = child(stored(p), INHERIT_DEADLINE);
	is_int(d.e, 0);
	is_int(d.j->inherited_us, T0 + 77 * SEC);
	done(&d);
	teardown();
}

TEST(own_absolute_and_inherited_deadline)
{
	struct context_args a = {.has_inherit = true, .inherit = INHERIT_DEADLINE};
	struct refusal r;
	struct notices n = {0};
	struct job *p;

	setup();
	p = parent_in(JOB_QUEUED, 0);
	p->deadline_requested_us = T0 + 100 * SEC;
	a.parent = stored(p);
	for (int64_t own = 50; own <= 150; own += 100) {
		_cleanup_(job_freep) struct job *j = job_like("default", OWNER, JOB_QUEUED);

		j->deadline_requested_us = j->deadline_us = T0 + own * SEC;
		is_int(context_derive(&eng, &owner, &a, j, &n, &r), 0);
		is_int(j->inherited_us, T0 + 100 * SEC);
		is_int(j->deadline_us, T0 + (own < 100 ? own : 100) * SEC);
	}
	teardown();
}

static uint64_t
below(uint64_t parent, int64_t inherited_us)
{
	struct job *j = parent_in(JOB_QUEUED, 0);

	j->parent = parent;
	j->inherited_us = inherited_us;
	return stored(j);
}

static uint64_t
origin(uint64_t id)
{
	_cleanup_(job_freep) struct job *j = NULL;

	need(store_job_get(eng.store, id, &j) == 0);
	return context_deadline_origin(&eng, j);
}

/* The deadline of 1 goes down to 4 through the readings of two clocks; 5 has one of its own, of
 * which 6 is told. */
TEST(where_a_deadline_began)
{
	uint64_t id[9];

	setup();
	id[1] = below(0, 0);
	id[2] = below(id[1], T0 + 100 * SEC);
	id[3] = below(id[2], T0 + 100 * SEC + 30);
	id[4] = below(id[3], T0 + 100 * SEC - 20);
	id[5] = below(id[4], T0 + 100 * SEC);
	id[6] = below(id[5], T0 + 60 * SEC);
	id[7] = below(999, T0 + 60 * SEC);
	id[8] = below(id[2], T0 + 200 * SEC); /* the clock was set in between */
	is_int(origin(id[1]), 0);
	is_int(origin(id[2]), id[1]);
	is_int(origin(id[4]), id[1]);
	is_int(origin(id[5]), id[1]);
	is_int(origin(id[6]), id[5]);
	is_int(origin(id[7]), 999); /* forgotten, but named */
	is_int(origin(id[8]), id[2]);
	teardown();
}

TEST(where_a_deadline_began_far_above)
{
	uint64_t top, id;

	setup();
	top = id = below(0, 0);
	for (int i = 0; i < 2000; i++)
		id = below(id, T0 + 100 * SEC);
	is_int(origin(id), top);
	teardown();
}

/* ---- values */

TEST(values_of_both)
{
	struct context_args a = {.has_inherit = true, .inherit = INHERIT_VALUES};
	struct derived d;

	setup();
	need(strv_add(&a.values, "req=r2") == 0 && strv_add(&a.values, "Z=") == 0);
	a.parent = stored(parent_in(JOB_RUNNING, 1000));
	d = derive(&owner, &a);
	is_int(d.e, 0);
	is_str(values_of(d.j), "Z= app=web req=r2");
	done(&d);
	a.inherit = 0;
	d = derive(&owner, &a);
	is_str(values_of(d.j), "Z= req=r2");
	done(&d);
	a.parent = 0;
	d = derive(&owner, &a);
	is_str(values_of(d.j), "Z= req=r2");
	done(&d);
	strv_done(&a.values);
	teardown();
}

TEST(values_refused)
{
	struct context_args a = {.has_inherit = true, .inherit = INHERIT_VALUES};
	struct derived d;

	setup();
	need(strv_add(&a.values, "APP=1") == 0);
	a.parent = stored(parent_in(JOB_SUCCEEDED, 0));
	d = derive(&owner, &a);
	is_int(d.e, ENGINE_E_REFUSED);
	is_int(d.r.kind, REFUSAL_INVALID_ARGUMENT);
	is_str(d.r.field, "values");
	is_str(d.r.reason,
	       "the values app and APP would both be the variable " CONTEXT_ENV_PREFIX "APP");
	done(&d);
	strv_done(&a.values);
	teardown();
}

/* ---- traces */

#define ASKED "0af7651916cd43dd8448eb211c80319c"
#define ASKED_SPAN "b7ad6b7169203331"

TEST(a_trace_that_was_asked_for)
{
	struct context_args a = {.has_inherit = true,
				 .inherit = ALL,
				 .traceparent = "00-" ASKED "-" ASKED_SPAN "-02",
				 .tracestate = " x=1 ,, y=2",
				 .baggage = "k = v"};
	struct derived d;

	setup();
	for (int i = 0; i < 2; i++) {
		char span[TRACE_SPAN_TEXT];

		d = derive(&owner, &a);
		is_int(d.e, 0);
		is_str(trace_of(d.j), ASKED);
		is_str(parent_span_of(d.j), ASKED_SPAN);
		ok(strcmp(trace_span_format(d.j->trace.span_id, span), ASKED_SPAN) != 0);
		is_int(d.j->trace.flags, TRACE_RANDOM);
		is_str(d.j->tracestate, "x=1,y=2");
		is_str(d.j->baggage, "k=v");
		is_int(d.n.n, 0);
		done(&d);
		a.parent = stored(parent_in(JOB_RUNNING, 1000)); /* it comes second */
	}
	a.tracestate = a.baggage = NULL;
	d = derive(&owner, &a);
	is_str(d.j->tracestate, NULL); /* the parent's is of another trace */
	is_str(d.j->baggage, "b=2");
	done(&d);
	a.inherit = 0;
	d = derive(&owner, &a);
	is_str(trace_of(d.j), ASKED);
	is_str(d.j->baggage, NULL);
	done(&d);
	teardown();
}

TEST(a_trace_that_is_none)
{
	struct context_args a = {.has_inherit = true,
				 .inherit = ALL,
				 .traceparent = "00-" ASKED "-" ASKED_SPAN "-2",
				 .tracestate = "x=1",
				 .baggage = "k=v"};
	struct derived d;

	setup();
	for (int i = 0; i < 2; i++) {
		d = derive(&owner, &a);
		is_int(d.e, 0);
		ok(strcmp(trace_of(d.j), ASKED) != 0 && strcmp(trace_of(d.j), TRACE) != 0);
		is_str(parent_span_of(d.j), NULL);
		is_int(d.j->trace.flags, TRACE_SAMPLED | TRACE_RANDOM);
		is_str(d.j->tracestate, NULL);
		is_str(d.j->baggage, "k=v"); /* is no part of it */
		is_int(d.n.n, 1);
		ok(noted(&d, "traceparent: it is shorter than 55 characters; a new trace is "
			     "started"));
		done(&d);
		a.parent = stored(parent_in(JOB_RUNNING, 1000));
	}
	teardown();
}

TEST(lists_that_are_dropped)
{
	struct context_args a = {.has_inherit = true,
				 .inherit = INHERIT_TRACE,
				 .traceparent = "00-" ASKED "-" ASKED_SPAN "-01",
				 .tracestate = "x=1,x=2",
				 .baggage = "k"};
	struct derived d;

	setup();
	a.parent = stored(parent_in(JOB_RUNNING, 1000));
	d = derive(&owner, &a);
	is_int(d.e, 0);
	is_str(trace_of(d.j), ASKED);
	is_str(d.j->tracestate, NULL);
	is_str(d.j->baggage, NULL);
	is_int(d.n.n, 2);
	ok(noted(&d, "tracestate: left out, a key comes twice"));
	ok(noted(&d, "baggage: left out, a member has no \"=\""));
	done(&d);
	/* a tracestate of no trace */
	a.traceparent = NULL;
	a.tracestate = "x=1";
	a.baggage = "k=v";
	d = derive(&owner, &a);
	is_str(trace_of(d.j), TRACE);
	is_str(d.j->tracestate, "v=1");
	is_str(d.j->baggage, "k=v");
	is_int(d.n.n, 1);
	ok(noted(&d, "tracestate: left out, it means nothing without a traceparent"));
	done(&d);
	teardown();
}

/* ---- rights */

TEST(whose_parent)
{
	struct context_args a = {.has_inherit = true, .inherit = ALL};
	struct derived d;

	setup();
	a.parent = stored(parent_in(JOB_RUNNING, 1000));
	d = derive(&other, &a);
	is_int(d.e, ENGINE_E_REFUSED);
	is_int(d.r.kind, REFUSAL_NOT_PERMITTED);
	done(&d);
	a.inherit = 0; /* not even by name */
	d = derive(&other, &a);
	is_int(d.e, ENGINE_E_REFUSED);
	is_int(d.r.kind, REFUSAL_NOT_PERMITTED);
	done(&d);
	a.inherit = ALL;
	d = derive(&root, &a);
	is_int(d.e, 0);
	is_int(d.j->uid, 0); /* still the requester's own */
	is_str(values_of(d.j), "app=web req=r1");
	done(&d);
	a.parent = 4711;
	d = derive(&owner, &a);
	is_int(d.e, ENGINE_E_REFUSED);
	is_int(d.r.kind, REFUSAL_NO_SUCH_JOB);
	is_int(d.r.id, 4711);
	done(&d);
	teardown();
}
