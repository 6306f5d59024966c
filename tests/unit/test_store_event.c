/* test_store_event.c - history for readers: windows against a model, positions that only grow. */
#include "store_fixture.h"

enum { N_JOBS = 30, N_EDGES = 400 };

struct seen {
	struct store_event v[N_EDGES + 1];
	size_t n, in_call, stop_at;
};

static int
see(void *arg, const struct store_event *ev)
{
	struct seen *x = arg;

	x->in_call++;
	x->v[x->n < N_EDGES ? x->n++ : N_EDGES] = *ev;
	return x->n == x->stop_at ? 7 : 0;
}

static void
add_edge(struct store *s, uint64_t job, int64_t at_us)
{
	struct store_edge e = {.job = job,
			       .attempt = 2,
			       .at_us = at_us,
			       .from = JOB_RUNNING,
			       .to = JOB_CANCELED,
			       .cause_code = CAUSE_PARENT,
			       .by_uid = -1};

	need(store_history_add(s, &e) == 0);
}

static void
one_edge(struct store *s, uint64_t job)
{
	need(store_begin(s, "t") == 0);
	add_edge(s, job, T0);
	need(store_commit(s) == 0);
}

static uint64_t
last_of(struct store *s)
{
	uint64_t edge = 999;

	is_int(store_events_last(s, &edge), 0);
	return edge;
}

static int
take_text(void *arg, const struct store_event *ev)
{
	(void)snprintf(arg, 100, "%llu %llu/%u %lld %d>%d %d %s %lld %u %d",
		       (unsigned long long)ev->edge, (unsigned long long)ev->e.job, ev->e.attempt,
		       (long long)(ev->e.at_us - T0), ev->e.from, (int)ev->e.to,
		       (int)ev->e.cause_code, ev->e.cause ? ev->e.cause : "-",
		       (long long)ev->e.by_uid, ev->uid, (int)ev->kind);
	return 0;
}

TEST(an_event)
{
	struct store_event_filter f = {0};
	struct store_edge e = {.job = 1,
			       .attempt = 4000000000U,
			       .at_us = T0 + 5,
			       .to = JOB_OPEN,
			       .cause_code = CAUSE_REQUESTED,
			       .cause = "why",
			       .by_uid = 4294967295U};
	char text[100] = "";
	struct store *s;
	struct job *j;
	uint64_t next = 9;

	dir_new();
	s = store_must_open();
	is_int(last_of(s), 0);
	is_int(store_events(s, &f, take_text, text, &next), 0);
	is_int(next, 0);
	is_str(text, "");
	j = job_like("default", 4000000001U, JOB_OPEN);
	j->kind = JOB_KIND_SCOPE;
	need(store_begin(s, "t") == 0);
	put(s, j);
	need(store_history_add(s, &e) == 0 && store_commit(s) == 0);
	is_int(store_events(s, &f, take_text, text, &next), 0);
	is_str(text, "1 1/4000000000 5 0>4 5 why 4294967295 4000000001 2");
	one_edge(s, 1);
	f.after = 1;
	is_int(store_events(s, &f, take_text, text, &next), 0);
	is_str(text, "2 1/2 0 2>7 7 - -1 4000000001 2");
	is_int(last_of(s), 2);
	store_close(s);
}

/* ---- against a model */

static struct store_event model[N_EDGES + 1]; /* by edge; edge 0: deleted */

static void
model_fill(struct store *s)
{
	need(store_begin(s, "t") == 0);
	for (int i = 0; i < N_JOBS; i++)
		put(s, job_like("default", (uint32_t)rnd(3), JOB_CANCELED));
	for (uint64_t i = 1; i <= N_EDGES; i++) {
		uint64_t job = 1 + rnd(N_JOBS);
		int64_t at = T0 + (int64_t)i + (int64_t)rnd(50); /* clocks go back at times */
		_cleanup_(job_freep) struct job *j = NULL;

		add_edge(s, job, at);
		need(store_job_get(s, job, &j) == 0);
		model[i] =
			(struct store_event){.edge = i, .e.job = job, .e.at_us = at, .uid = j->uid};
	}
	for (uint64_t id = 1; id <= 3; id++) { /* pruned */
		need(store_job_delete(s, id) == 0);
		for (uint64_t i = 1; i <= N_EDGES; i++)
			if (model[i].e.job == id)
				model[i].edge = 0;
	}
	need(store_commit(s) == 0);
}

static bool
model_match(const struct store_event *ev, const struct store_event_filter *f)
{
	return ev->edge > f->after && ev->e.at_us >= f->since_us &&
	       (f->job == 0 || ev->e.job == f->job) && (!f->has_uid || ev->uid == f->uid);
}

static struct store_event_filter
filter_random(void)
{
	struct store_event_filter f = {0};

	if (rnd(3) == 0)
		f.after = rnd(N_EDGES + 10);
	if (rnd(3) == 0)
		f.since_us = T0 + (int64_t)rnd(N_EDGES + 60);
	if (rnd(3) == 0)
		f.job = 1 + rnd(N_JOBS + 1);
	if (rnd(2)) {
		f.has_uid = true;
		f.uid = (uint32_t)rnd(4);
	}
	if (rnd(2))
		f.limit = 1 + (uint32_t)rnd(30);
	if (rnd(2))
		f.budget = 1 + (uint32_t)rnd(60);
	return f;
}

static void
walk_and_compare(struct store *s, struct store_event_filter f)
{
	const struct store_event_filter asked = f;
	static struct seen x;
	uint64_t next;
	size_t k = 0;
	int calls = 0;

	x = (struct seen){0};
	do {
		next = 999999;
		x.in_call = 0;
		need(store_events(s, &f, see, &x, &next) == 0);
		ok(f.limit == 0 || x.in_call <= f.limit);
		ok(f.budget == 0 || x.in_call <= f.budget);
		f.after = next;
		need(++calls <= 2 * N_EDGES);
	} while (next != 0);
	for (uint64_t i = 1; i <= N_EDGES; i++)
		if (model_match(&model[i], &asked)) {
			ok(k < x.n && x.v[k].edge == i && x.v[k].e.job == model[i].e.job &&
			   x.v[k].uid == model[i].uid);
			k++;
		}
	is_int(x.n, k);
}

TEST(walks_agree_with_a_model)
{
	struct store *s;

	dir_new();
	s = store_must_open();
	model_fill(s);
	for (int i = 0; i < 1500; i++)
		walk_and_compare(s, filter_random());
	walk_and_compare(s, (struct store_event_filter){0});
	walk_and_compare(s, (struct store_event_filter){.after = UINT64_MAX});
	walk_and_compare(s, (struct store_event_filter){.job = UINT64_MAX});
	store_close(s);
}

TEST(a_reader_can_stop)
{
	struct seen x = {.stop_at = 1};
	struct store_event_filter f = {0};
	struct store *s;
	uint64_t next = 77;

	dir_new();
	s = store_must_open();
	put_one(s, "default", 1, JOB_RUNNING);
	one_edge(s, 1);
	one_edge(s, 1);
	is_int(store_events(s, &f, see, &x, &next), 7);
	is_int(next, 77);
	is_int(x.n, 1);
	is_int(store_events(s, &f, see, &x, &next), 0); /* usable afterwards */
	is_int(next, 0);
	is_int(x.n, 3);
	store_close(s);
}

/* ---- positions */

static size_t
events_after(struct store *s, uint64_t after)
{
	struct store_event_filter f = {.after = after};
	static struct seen x;
	uint64_t next;

	x = (struct seen){0};
	need(store_events(s, &f, see, &x, &next) == 0 && next == 0);
	return x.n;
}

TEST(nothing_is_shown_before_its_commit)
{
	struct store_event_filter f = {.budget = 100}, of = {.job = 1, .budget = 1};
	struct seen x = {0};
	struct store *s;
	uint64_t next = 9;

	dir_new();
	s = store_must_open();
	put_one(s, "default", 1, JOB_RUNNING);
	need(store_begin(s, "t") == 0);
	add_edge(s, 1, T0);
	is_int(events_after(s, 0), 0);
	is_int(last_of(s), 0);
	need(store_events(s, &f, see, &x, &next) == 0);
	is_int(next, 0);
	need(store_events(s, &of, see, &x, &next) == 0);
	is_int(next, 0);
	is_int(x.n, 0);
	store_rollback(s);
	one_edge(s, 1); /* the number is free again: nobody has seen it */
	is_int(last_of(s), 1);
	is_int(events_after(s, 0), 1);
	store_close(s);
}

/* A reader waits at a position; that history is pruned must not let what is new hide behind it. */
TEST(positions_are_never_given_twice)
{
	struct store *s;

	dir_new();
	s = store_must_open();
	for (int i = 0; i < 3; i++)
		put_one(s, "default", 1, JOB_FAILED);
	one_edge(s, 1);
	one_edge(s, 2);
	one_edge(s, 1);
	need(store_begin(s, "t") == 0);
	need(store_job_delete(s, 1) == 0);
	store_rollback(s);
	is_int(events_after(s, 0), 3);
	need(store_begin(s, "t") == 0);
	need(store_job_delete(s, 1) == 0 && store_job_delete(s, 2) == 0);
	need(store_commit(s) == 0);
	is_int(events_after(s, 0), 0);
	is_int(last_of(s), 3);
	store_close(s);
	s = store_must_open(); /* nothing but the database remembers */
	is_int(last_of(s), 3);
	one_edge(s, 3);
	is_int(last_of(s), 4);
	is_int(events_after(s, 3), 1);
	store_close(s);
	s = store_must_open();
	is_int(last_of(s), 4);
	store_close(s);
}
