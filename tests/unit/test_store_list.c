/* test_store_list.c - walks over the store against a model, counts against counting, and a long
 * queue. */
#include <time.h>

#include "base/clock.h"
#include "store_fixture.h"

/* ---- lists, against a model */

enum { N_MODEL = 400 };
static struct job *model[N_MODEL + 1]; /* by id; NULL: deleted */

static bool
model_has(const struct job *j, const struct strv *values)
{
	const char *eq, *has;
	char name[8];

	for (const char *v = values ? strv_first(values) : NULL; v; v = strv_next(values, v)) {
		eq = strchr(v, '=');
		(void)snprintf(name, sizeof(name), "%.*s", (int)(eq ? eq - v : 7), v);
		has = eq ? strv_env_get(&j->values, name) : NULL;
		if (!has || strcmp(has, eq + 1) != 0)
			return false;
	}
	return true;
}

static bool
model_match(const struct job *j, const struct store_filter *f)
{
	if (f->parent && j->parent != f->parent)
		return false;
	if (f->trace_id && memcmp(j->trace.trace_id, f->trace_id, 16) != 0)
		return false;
	if (!model_has(j, f->values) || (f->key && f->key[0] == '~'))
		return false;
	return (f->states == 0 || f->states & 1u << j->state) &&
	       (!f->has_uid || j->uid == f->uid) &&
	       (!f->class_name || strcmp(f->class_name, j->class_name) == 0) &&
	       (!f->name || (j->name && strcmp(f->name, j->name) == 0)) &&
	       (!f->key || (j->key && strcmp(f->key, j->key) == 0)) &&
	       (!f->half_processed || job_half_processed(j)) && j->submitted_us >= f->since_us;
}

/* Trace ids and values out of a few, so that each finds some. */
static void
model_context(struct job *j, uint64_t id)
{
	char text[16];

	j->trace.trace_id[0] = (uint8_t)(1 + rnd(3));
	if (rnd(2))
		j->parent = 1 + rnd(5);
	for (char name = 'a'; name < 'e'; name++) {
		(void)snprintf(text, sizeof(text), "%c=%d", name, (int)rnd(3));
		if (rnd(2))
			need(strv_add(&j->values, text) == 0);
	}
	/* A key is unique for its user; some are of several users, some are hidden. */
	(void)snprintf(text, sizeof(text), "%sk%d", rnd(4) ? "" : "~", (int)(id / 3));
	j->uid = (uint32_t)(id % 3);
	if (rnd(2))
		need(job_set(&j->key, text) == 0);
	if (j->state == JOB_OPEN || j->state == JOB_CLOSED) {
		j->kind = JOB_KIND_SCOPE;
		strv_done(&j->argv);
	}
}

static void
model_fill(struct store *s)
{
	char text[8];

	need(store_begin(s, "t") == 0);
	for (uint64_t id = 1; id <= N_MODEL; id++) {
		struct job *j =
			job_like(rnd(3) ? "a" : "b", 0, (enum job_state)(1 + rnd(JOB_STATE_MAX)));

		j->submitted_us = T0 + (int64_t)rnd(1000);
		(void)snprintf(text, sizeof(text), "n%d", (int)rnd(3));
		if (rnd(2))
			need(job_set(&j->name, text) == 0);
		model_context(j, id);
		if (j->state == JOB_INTERRUPTED && rnd(2))
			need(job_set(&j->resolution_as, "failed") == 0);
		need(store_job_insert(s, j, NULL) == 0 && j->id == id);
		model[id] = j;
	}
	for (uint64_t id = 1; id <= N_MODEL; id++)
		if (rnd(5) == 0) {
			need(store_job_delete(s, id) == 0);
			model[id] = job_free(model[id]);
		}
	need(store_commit(s) == 0);
}

static void
model_drop(void)
{
	for (uint64_t id = 1; id <= N_MODEL; id++)
		model[id] = job_free(model[id]);
}

struct walk {
	uint64_t ids[N_MODEL + 1];
	size_t n, in_call;
};

static int
walk_job(void *arg, const struct job *j)
{
	struct walk *w = arg;

	w->in_call++;
	w->ids[w->n < N_MODEL ? w->n++ : N_MODEL] = j->id;
	return 0;
}

/* What a filter of contexts borrows. */
static struct strv wanted;

static void
filter_context(struct store_filter *f)
{
	static const uint8_t traces[4][16] = {{1}, {2}, {3}, {9}};
	static char key[16];
	char text[16];

	if (rnd(6) == 0)
		f->trace_id = traces[rnd(4)];
	if (rnd(6) == 0)
		f->parent = 1 + rnd(6);
	if (rnd(4) == 0) {
		(void)snprintf(key, sizeof(key), "%sk%d", rnd(4) ? "" : "~", (int)rnd(N_MODEL / 3));
		f->key = key;
	}
	strv_done(&wanted);
	wanted = (struct strv){0};
	if (rnd(3) == 0)
		for (int i = (int)rnd(4); i > 0; i--) {
			(void)snprintf(text, sizeof(text), "%c=%d", 'a' + (char)rnd(5),
				       (int)rnd(3));
			if (rnd(20) == 0)
				text[1] = '\0'; /* no pair at all */
			need(strv_add(&wanted, text) == 0);
		}
	f->values = rnd(4) ? &wanted : NULL;
}

static struct store_filter
filter_random(void)
{
	struct store_filter f = {.last = rnd(2)};

	if (rnd(2))
		f.states = (uint32_t)rnd(4) ? (uint32_t)rnd(2048) & ~1u : 1u << (1 + rnd(4));
	if (rnd(3) == 0)
		f.class_name = rnd(2) ? "a" : "zz";
	if (rnd(4) == 0)
		f.name = rnd(2) ? "n1" : "n2";
	filter_context(&f);
	if (rnd(2)) {
		f.has_uid = true;
		f.uid = (uint32_t)rnd(4);
	}
	f.half_processed = rnd(5) == 0;
	if (rnd(4) == 0)
		f.since_us = T0 + 500;
	if (rnd(2))
		f.budget = 1 + (uint32_t)rnd(60);
	if (rnd(2))
		f.limit = 1 + (uint32_t)rnd(30);
	return f;
}

/* Walk to the end in as many calls as it takes, and compare with looking at every job. */
static void
walk_and_compare(struct store *s, struct store_filter f)
{
	struct walk w = {0};
	uint64_t next, from = f.after;
	size_t k = 0;
	int calls = 0;

	do {
		next = 999999;
		w.in_call = 0;
		need(store_list(s, &f, walk_job, &w, &next) == 0);
		ok(f.limit == 0 || w.in_call <= f.limit);
		ok(f.budget == 0 || w.in_call <= f.budget);
		f.after = next;
		need(++calls <= 2 * N_MODEL);
	} while (next != 0);
	for (uint64_t i = 1; i <= N_MODEL; i++) {
		uint64_t id = f.last ? N_MODEL + 1 - i : i;

		if (!model[id] || !model_match(model[id], &f) ||
		    (from != 0 && (f.last ? id >= from : id <= from)))
			continue;
		ok(k < w.n && w.ids[k] == id);
		k++;
	}
	is_int(w.n, k);
}

TEST(lists_agree_with_a_model)
{
	struct store *s;

	dir_new();
	s = store_must_open();
	model_fill(s);
	for (int i = 0; i < 4000; i++) {
		struct store_filter f = filter_random();

		if (rnd(3) == 0)
			f.after = 1 + rnd(N_MODEL);
		walk_and_compare(s, f);
	}
	walk_and_compare(s, (struct store_filter){0});
	walk_and_compare(s, (struct store_filter){.parent = UINT64_MAX});
	strv_done(&wanted);
	model_drop();
	store_close(s);
}

static int
list_inside(void *arg, const struct job *j)
{
	_cleanup_(job_freep) struct job *other = NULL;

	is_int(store_job_get(arg, j->id, &other), 0);
	return 0;
}

static int
stop_at_once(void *arg, const struct job *j)
{
	(void)arg;
	return (int)j->id + 100;
}

TEST(list_edges)
{
	struct store_filter f = {0};
	struct store *s;
	uint64_t next = 5;
	long n = 0;

	dir_new();
	s = store_must_open();
	is_int(store_list(s, &f, count_job, &n, &next), 0);
	is_int(next, 0);
	f.last = true;
	f.budget = 1;
	is_int(store_list(s, &f, count_job, &n, &next), 0);
	is_int(n, 0);
	for (int i = 0; i < 3; i++)
		put_one(s, "a", 1, JOB_FAILED);
	f = (struct store_filter){.limit = 3};
	is_int(store_list(s, &f, count_job, &n, &next), 0);
	is_int(n, 3);
	is_int(next, 3); /* a full page: perhaps there is more */
	f.after = next;
	is_int(store_list(s, &f, count_job, &n, &next), 0);
	is_int(n, 3);
	is_int(next, 0);
	f = (struct store_filter){.after = UINT64_MAX};
	is_int(store_list(s, &f, count_job, &n, &next), 0);
	is_int(n, 3);
	f = (struct store_filter){0};
	is_int(store_list(s, &f, stop_at_once, NULL, &next), 101);
	is_int(store_list(s, &f, list_inside, s, &next), 0);
	store_close(s);
}

static void
random_operation(struct store *s, uint64_t *last)
{
	_cleanup_(job_freep) struct job *j = NULL;
	enum job_state from;
	uint64_t id = 1 + rnd(*last + 1);

	if (rnd(3) == 0) {
		j = job_like("a", 1, (enum job_state)(1 + rnd(JOB_STATE_MAX)));
		j->kind = rnd(3) ? JOB_KIND_JOB : JOB_KIND_SCOPE;
		*last = put(s, take_ptr(j));
		return;
	}
	if (store_job_get(s, id, &j) != 0)
		return;
	if (rnd(4) == 0) {
		need(store_job_delete(s, id) == 0);
		return;
	}
	from = j->state;
	if (rnd(2))
		j->state = (enum job_state)(1 + rnd(JOB_STATE_MAX));
	if (j->state == JOB_INTERRUPTED)
		need(job_set(&j->resolution_as, rnd(2) ? "failed" : NULL) == 0);
	need(store_job_update(s, j, from) == 0);
}

TEST(counts_after_random_operations)
{
	struct store *s;
	uint64_t last = 0;

	dir_new();
	s = store_must_open();
	for (int round = 0; round < 40; round++) {
		uint64_t before = last;

		need(store_begin(s, "t") == 0);
		for (int i = 0; i < 50; i++)
			random_operation(s, &last);
		if (rnd(4) == 0) {
			store_rollback(s);
			last = before;
		} else {
			need(store_commit(s) == 0);
		}
	}
	counts_are_real(s);
	store_close(s);
	is_str(outside_text("PRAGMA integrity_check"), "ok");
}

/* ---- size */

static long
rss_kib(void)
{
	char line[128];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (f)
		(void)fclose(f);
	return kib;
}

/* What we took of the processor: what others did meanwhile does not count. */
static int64_t
cpu_ns(void)
{
	struct timespec t;

	need(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
	return t.tv_sec * NSEC_PER_SEC + t.tv_nsec;
}

TEST(a_long_queue_is_on_disk_not_in_memory)
{
	enum { N = 200000 };
	struct store_counts c;
	struct store *s;
	int64_t t;
	uint64_t id;
	int32_t priority;
	long before;
	size_t n;

	dir_new();
	s = store_must_open();
	put_one(s, "default", 7, JOB_QUEUED);
	before = rss_kib();
	for (int i = 1; i < N; i += 1000) {
		need(store_begin(s, "t") == 0);
		for (int k = i; k < i + 1000 && k < N; k++)
			put(s, job_like("default", (uint32_t)k % 3, JOB_QUEUED));
		need(store_commit(s) == 0);
	}
	printf("# memory: %ld KiB before, %ld KiB with %d queued\n", before, rss_kib(), N);
#ifndef __SANITIZE_ADDRESS__
	if (!getenv("VALGRIND_OPTS"))
		ok(rss_kib() - before < 2048);
#endif
	need(store_counts(s, &c) == 0);
	is_int(c.by_state[JOB_QUEUED], N);
	t = cpu_ns();
	for (int i = 0; i < 100; i++) {
		need(store_lane_head(s, "default", 2, &id, &priority) == 0);
		need(store_queue_overdue(s, INT64_MAX, &id, 1, &n) == 0);
	}
	printf("# head and deadline: %ld us\n", (long)((cpu_ns() - t) / 100000));
	ok(cpu_ns() - t < NSEC_PER_SEC); /* 10 ms each would be a walk */
	store_close(s);
	t = cpu_ns();
	s = store_must_open();
	printf("# open: %ld us\n", (long)((cpu_ns() - t) / 1000));
	ok(cpu_ns() - t < NSEC_PER_SEC / 2);
	store_close(s);
}
