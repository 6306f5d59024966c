/* test_store.c - store/store.h: rows and what belongs to them, the queue, retention. */
#include "base/text.h"
#include "store_fixture.h"

static void
same_str(const char *what, const char *a, const char *b)
{
	if ((a == NULL) != (b == NULL) || (a && strcmp(a, b) != 0)) {
		tap_failed++;
		printf("# %s: \"%s\" and \"%s\"\n", what, a ? a : "(null)", b ? b : "(null)");
	}
}

static void
same_job(const struct job *a, const struct job *b)
{
#define SAME(f) (a->f == b->f ? (void)0 : (void)(tap_failed++, printf("# differs: %s\n", #f)))
#define SAME_STR(f) same_str(#f, a->f, b->f)
	SAME(id), SAME(kind), SAME(state), SAME(uid), SAME(submitted_by), SAME(gid), SAME(n_groups),
		SAME(umask);
	SAME(inherit), SAME(priority), SAME(timeout_requested_us), SAME(deadline_requested_us);
	SAME(timeout_us), SAME(deadline_rule), SAME(deadline_us), SAME(deadline_boot_ns);
	SAME(grace_us), SAME(stop_signal), SAME(attempt), SAME(requeues), SAME(seq), SAME(pid);
	SAME(cancel_attempt), SAME(cancel_now), SAME(submitted_us), SAME(started_us),
		SAME(ended_us);
	SAME(has_exit_code), SAME(exit_code), SAME(signal), SAME(has_leftovers), SAME(leftovers);
	SAME(survivors_possible), SAME(cause_code), SAME(known_by), SAME(exec_errno);
	SAME(out_bytes), SAME(out_dropped), SAME(has_usage), SAME(user_us), SAME(system_us);
	SAME(has_memory_peak), SAME(memory_peak_bytes), SAME(has_io), SAME(io_read_bytes);
	SAME(io_write_bytes), SAME(unenforced), SAME(stop.asked_us), SAME(stop.has_uid);
	SAME(stop.uid), SAME(stop.pid), SAME(stop.parent), SAME(stop.term_us), SAME(stop.kill_us);
	SAME(stop.main_ended_us), SAME(stop.has_counts), SAME(stop.term_processes);
	SAME(stop.kill_processes);
	SAME(max_rss_bytes), SAME(resolution_by), SAME(resolution_at_us), SAME(argv.n);
	SAME(argv.size);
	SAME_STR(name), SAME_STR(class_name), SAME_STR(key), SAME_STR(user), SAME_STR(home);
	SAME_STR(shell), SAME_STR(cwd), SAME_STR(cause), SAME_STR(resolution_as);
	SAME_STR(resolution_note);
	SAME(parent), SAME(bound), SAME(inherited_us), SAME(has_parent_span), SAME(trace.flags);
	SAME(warn_us), SAME(warn_signal), SAME(watchdog_us), SAME(split_output), SAME(has_stdin);
	SAME(stdin_bytes), SAME(stdin_hash), SAME(progress_us), SAME(has_percent), SAME(percent);
	SAME(ready_us), SAME(err_bytes), SAME(err_dropped), SAME(values.n), SAME(values.size);
	SAME_STR(tracestate), SAME_STR(baggage), SAME_STR(progress_text);
	ok(memcmp(a->trace.trace_id, b->trace.trace_id, sizeof(a->trace.trace_id)) == 0);
	ok(memcmp(a->trace.span_id, b->trace.span_id, sizeof(a->trace.span_id)) == 0);
	ok(memcmp(a->parent_span, b->parent_span, sizeof(a->parent_span)) == 0);
	if (a->values.size == b->values.size)
		ok(a->values.size == 0 ||
		   memcmp(a->values.data, b->values.data, a->values.size) == 0);
	ok(memcmp(a->boot, b->boot, sizeof(a->boot)) == 0);
	if (a->argv.size == b->argv.size)
		ok(a->argv.size == 0 || memcmp(a->argv.data, b->argv.data, a->argv.size) == 0);
	for (size_t i = 0; i < a->n_groups && i < b->n_groups; i++)
		ok(a->groups[i] == b->groups[i]);
}

static void
same_as_stored(struct store *s, const struct job *j)
{
	_cleanup_(job_freep) struct job *got = NULL;

	need(store_job_get(s, j->id, &got) == 0);
	same_job(got, j);
}

static struct job *
job_full(void)
{
	struct job *j = job_like("batch", 4000000001U, JOB_QUEUED);

	need(job_set(&j->name, "näme") == 0 && job_set(&j->key, "the key") == 0 &&
	     job_set(&j->user, "alice") == 0 && job_set(&j->home, "/home/alice") == 0 &&
	     job_set(&j->shell, "/bin/zsh") == 0 && job_set(&j->cwd, "/srv/a b") == 0 &&
	     strv_add(&j->argv, "") == 0 && strv_add(&j->argv, "it's") == 0 &&
	     strv_add(&j->argv, "two\nlines") == 0);
	j->gid = 4294967294U;
	j->groups = calloc(3, sizeof(*j->groups));
	need(j->groups);
	j->groups[0] = 1;
	j->groups[1] = 4294967295U;
	j->n_groups = 3;
	j->umask = 027;
	need(strv_add(&j->values, "a=") == 0 && strv_add(&j->values, "b=x=\xc3\xa4 y") == 0 &&
	     job_set(&j->tracestate, "v=1,w=2") == 0 && job_set(&j->baggage, "k=v;p") == 0);
	memset(j->trace.trace_id, 0xf1, sizeof(j->trace.trace_id));
	memset(j->trace.span_id, 0xf2, sizeof(j->trace.span_id));
	j->trace.flags = 0xff;
	j->has_parent_span = true;
	memset(j->parent_span, 0xf3, sizeof(j->parent_span));
	j->parent = INT64_MAX;
	j->inherited_us = T0 + 77;
	j->bound = true;
	j->warn_us = 5000000;
	j->warn_signal = 10;
	j->watchdog_us = 6000000;
	j->split_output = j->has_stdin = true;
	j->stdin_bytes = 1ULL << 40;
	j->stdin_hash = UINT64_MAX - 1;
	j->inherit = INHERIT_VALUES | INHERIT_CANCEL;
	j->priority = -1000000;
	j->timeout_requested_us = INT64_MAX;
	j->deadline_requested_us = T0 + 5;
	j->timeout_us = 7;
	j->deadline_rule = RULE_ABSOLUTE;
	j->deadline_us = T0 + 5;
	j->grace_us = 9;
	j->stop_signal = 64;
	return j;
}

/* Another value in each mutable field. */
static void
job_change(struct job *j, enum job_state to)
{
	j->state = to;
	j->priority = 1000000;
	j->bound = false;
	j->progress_us = T0 + 4;
	j->has_percent = true;
	j->percent = 33.3;
	need(job_set(&j->progress_text, "a third") == 0);
	j->ready_us = T0 + 3;
	j->err_bytes = 1ULL << 41;
	j->err_dropped = 1ULL << 42;
	j->timeout_us = 70;
	j->deadline_rule = RULE_EXTENDED;
	j->deadline_us = T0 + 70;
	j->deadline_boot_ns = INT64_MAX;
	j->grace_us = 90;
	j->stop_signal = 2;
	j->attempt = 4000000000U;
	j->requeues = 3;
	j->seq = 1ULL << 62;
	memset(j->boot, 0xab, sizeof(j->boot));
	j->pid = 4194304;
	j->cancel_attempt = 4000000000U;
	j->cancel_now = true;
	j->started_us = T0 + 1;
	j->ended_us = T0 + 2;
	j->has_exit_code = j->has_leftovers = j->has_usage = j->survivors_possible = true;
	j->exit_code = 255;
	j->signal = 9;
	j->leftovers = 12;
	j->cause_code = CAUSE_REBOOT;
	need(job_set(&j->cause, "because") == 0);
	j->known_by = KNOWN_BY_RECOVERY;
	j->exec_errno = 13;
	j->out_bytes = 1ULL << 60;
	j->out_dropped = 1ULL << 50;
	j->user_us = 1, j->system_us = 2, j->max_rss_bytes = 3;
	j->has_memory_peak = j->has_io = true;
	j->memory_peak_bytes = 4, j->io_read_bytes = 5, j->io_write_bytes = 6;
	j->unenforced = JOB_LIMIT_MEMORY_MAX | JOB_LIMIT_DATA;
	j->stop = (struct job_stop){.asked_us = T0 + 4,
				    .has_uid = true,
				    .uid = 4000000003U,
				    .pid = 4194303,
				    .parent = 1ULL << 61,
				    .term_us = T0 + 5,
				    .kill_us = T0 + 6,
				    .main_ended_us = T0 + 7,
				    .has_counts = true,
				    .term_processes = 8,
				    .kill_processes = 9};
	need(job_set(&j->resolution_as, "failed") == 0 && job_set(&j->resolution_note, "n") == 0);
	j->resolution_by = 4000000002U;
	j->resolution_at_us = T0 + 3;
}

TEST(every_field_comes_back)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct store *s;

	dir_new();
	s = store_must_open();
	j = job_full();
	need(store_begin(s, "t") == 0);
	need(store_job_insert(s, j, NULL) == 0);
	is_int(j->id, 1);
	same_as_stored(s, j); /* inside of the transaction */
	need(store_commit(s) == 0);
	same_as_stored(s, j);
	job_change(j, JOB_RUNNING);
	need(store_begin(s, "t") == 0);
	is_int(store_job_update(s, j, JOB_QUEUED), 0);
	need(store_commit(s) == 0);
	same_as_stored(s, j);
	store_close(s);
	s = store_must_open();
	same_as_stored(s, j);
	store_close(s);
	is_str(outside_text("SELECT command FROM job"), "true '' 'it'\\''s' 'two\nlines'");
}

TEST(a_bare_job_comes_back)
{
	_cleanup_(job_freep) struct job *j = job_new();
	struct store *s;

	dir_new();
	s = store_must_open();
	need(j && job_set(&j->class_name, "default") == 0);
	j->state = JOB_QUEUED;
	need(store_begin(s, "t") == 0 && store_job_insert(s, j, NULL) == 0);
	need(store_commit(s) == 0);
	same_as_stored(s, j);
	store_close(s);
}

TEST(zero_is_not_nothing)
{
	_cleanup_(job_freep) struct job *j = job_like("default", 1, JOB_QUEUED);
	struct store *s;

	dir_new();
	s = store_must_open();
	j->has_stdin = j->has_percent = j->has_parent_span = true;
	need(store_begin(s, "t") == 0 && store_job_insert(s, j, NULL) == 0);
	need(store_commit(s) == 0);
	same_as_stored(s, j);
	store_close(s);
}

/* What no version of this program wrote is refused row by row, and nothing beyond the row is read.
 */
TEST(malformed_rows)
{
	static const struct {
		const char *set, *ok;
	} bad[] = {
		{"trace_id = zeroblob(15)", "trace_id = zeroblob(16)"},
		{"trace_id = zeroblob(0)", "trace_id = zeroblob(16)"},
		{"span_id = zeroblob(9)", "span_id = zeroblob(8)"},
		{"parent_span = zeroblob(7)", "parent_span = NULL"},
		{"parent_span = zeroblob(0)", "parent_span = NULL"},
		{"boot = zeroblob(17)", "boot = NULL"},
		{"gids = zeroblob(5)", "gids = zeroblob(8)"},
		{"ctx_values = x'613d31'", "ctx_values = x'613d3100'"},
		{"argv = x'61'", "argv = x'6100'"},
		{"state = 0", "state = 1"},
		{"state = 11", "state = 1"},
		{"kind = 0", "kind = 2"},
		{"kind = 3", "kind = 1"},
	};
	char sql[100];
	struct store *s;
	sqlite3 *db;

	dir_new();
	s = store_must_open();
	put_one(s, "default", 1, JOB_QUEUED);
	db = outside(SQLITE_OPEN_READWRITE);
	/* The counts are of no interest, but must not go below zero. */
	need(sqlite3_exec(db, "UPDATE state_count SET n = 100", NULL, NULL, NULL) == SQLITE_OK);
	for (size_t i = 0; i < ARRAY_SIZE(bad) * 2; i++) {
		_cleanup_(job_freep) struct job *j = NULL;
		const char *set = i % 2 ? bad[i / 2].ok : bad[i / 2].set;

		(void)snprintf(sql, sizeof(sql), "UPDATE job SET %s", set);
		need(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
		printf("# %s\n", set);
		is_int(store_job_get(s, 1, &j), i % 2 ? 0 : -EUCLEAN);
	}
	(void)sqlite3_close(db);
	store_close(s);
}

TEST(command_text_is_cut_between_characters)
{
	struct job *j;
	struct store *s;
	char big[1000];

	dir_new();
	s = store_must_open();
	memset(big, 'x', sizeof(big));
	big[193] = '\0';
	j = job_like("default", 1, JOB_QUEUED);
	need(strv_add(&j->argv, big) == 0 && strv_add(&j->argv, "\xc3\xa4\xc3\xa4") == 0);
	need(store_begin(s, "t") == 0);
	put(s, j);
	memset(big, 'y', sizeof(big));
	big[999] = '\0';
	j = job_like("default", 1, JOB_QUEUED);
	need(strv_add(&j->argv, big) == 0 && strv_add(&j->argv, big) == 0);
	put(s, j);
	need(store_commit(s) == 0);
	store_close(s);
	ok(outside_int("SELECT length(CAST(command AS BLOB)) FROM job WHERE id = 1") <= 200);
	ok(text_utf8_valid(outside_text("SELECT command FROM job WHERE id = 1"),
			   strlen(outside_text("SELECT command FROM job WHERE id = 1")), NULL));
	is_int(outside_int("SELECT length(command) FROM job WHERE id = 2"), 200);
}

TEST(stale_and_unknown)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct store *s;

	dir_new();
	s = store_must_open();
	is_int(store_job_get(s, 1, &j), STORE_E_NOT_FOUND);
	is_int(store_job_get(s, 0, &j), STORE_E_NOT_FOUND);
	is_int(store_job_get(s, UINT64_MAX, &j), STORE_E_NOT_FOUND);
	ok(j == NULL);
	need(put_one(s, "default", 1, JOB_QUEUED) == 1);
	need(store_job_get(s, 1, &j) == 0);
	need(store_begin(s, "t") == 0);
	j->state = JOB_SUCCEEDED;
	is_int(store_job_update(s, j, JOB_RUNNING), STORE_E_STALE);
	j->id = 77;
	is_int(store_job_update(s, j, JOB_QUEUED), STORE_E_STALE);
	ok(!store_poisoned(s));
	need(store_commit(s) == 0);
	j = job_free(j);
	need(store_job_get(s, 1, &j) == 0);
	is_int(j->state, JOB_QUEUED);
	store_close(s);
}

TEST(rollback_and_the_spawn_sequence)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct store *s;
	uint64_t seq;

	dir_new();
	s = store_must_open();
	store_rollback(s); /* legal always */
	need(store_begin(s, "t") == 0);
	ok(store_in_txn(s));
	need(store_seq_next(s, &seq) == 0 && seq == 1);
	need(store_seq_next(s, &seq) == 0 && seq == 2);
	put(s, job_like("default", 1, JOB_QUEUED));
	store_rollback(s);
	ok(!store_in_txn(s));
	is_int(store_seq_last(s), 0);
	is_int(store_job_get(s, 1, &j), STORE_E_NOT_FOUND);
	need(store_begin(s, "t") == 0);
	need(store_seq_next(s, &seq) == 0 && seq == 1);
	need(store_commit(s) == 0);
	is_int(store_seq_last(s), 1);
	need(store_begin(s, "t") == 0 && store_seq_next(s, &seq) == 0 && seq == 2);
	store_close(s); /* rolls back */
	s = store_must_open();
	is_int(store_seq_last(s), 1);
	store_close(s);
}

static void
env_of(struct store *s, uint64_t id, int want)
{
	_cleanup_(strv_done) struct strv got = {0};

	is_int(store_env_get(s, id, &got), want);
	if (want == 0)
		is_str(strv_env_get(&got, "SECRET"), "x y");
}

static uint64_t
put_env(struct store *s)
{
	_cleanup_(job_freep) struct job *j = job_like("default", 1, JOB_RUNNING);
	_cleanup_(strv_done) struct strv env = {0};

	need(strv_add(&env, "PATH=/bin") == 0 && strv_add(&env, "SECRET=x y") == 0);
	need(store_job_insert(s, j, &env) == 0);
	return j->id;
}

TEST(environments)
{
	_cleanup_(strv_done) struct strv got = {0}, none = {0};
	_cleanup_(job_freep) struct job *j = job_like("default", 1, JOB_QUEUED);
	struct store *s;
	uint64_t ids[10] = {0};
	size_t n = 77;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	for (int i = 1; i <= 5; i++)
		is_int(put_env(s), i);
	need(store_job_insert(s, j, &none) == 0);
	need(store_env_drop(s, 1) == 0);
	need(store_env_drop(s, 1) == 0);  /* twice is nothing */
	end_job(s, 2, JOB_SUCCEEDED, T0); /* succeeding drops it */
	end_job(s, 3, JOB_FAILED, T0 + 10);
	end_job(s, 4, JOB_INTERRUPTED, T0 + 20);
	need(store_commit(s) == 0);
	env_of(s, 1, STORE_E_NOT_FOUND);
	env_of(s, 2, STORE_E_NOT_FOUND);
	env_of(s, 3, 0);
	env_of(s, 4, 0);
	env_of(s, 99, STORE_E_NOT_FOUND);
	is_int(store_env_get(s, 6, &got), 0);
	is_int(got.n, 0);
	need(store_begin(s, "t") == 0);
	need(store_env_expire(s, T0 + 10, ids, 10, &n) == 0);
	is_int(n, 0);
	need(store_env_expire(s, T0 + 1000, ids, 1, &n) == 0);
	is_int(n, 1);
	is_int(ids[0], 3);
	env_of(s, 3, STORE_E_NOT_FOUND); /* the oldest first */
	env_of(s, 4, 0);
	need(store_env_expire(s, T0 + 1000, ids, 10, &n) == 0);
	is_int(n, 1);
	env_of(s, 5, 0); /* runs */
	need(store_commit(s) == 0);
	store_close(s);
}

struct edges {
	struct store_edge v[8];
	char cause[8][16];
	int n, stop_at;
};

static int
take_edge(void *arg, const struct store_edge *e)
{
	struct edges *x = arg;

	x->v[x->n] = *e;
	(void)snprintf(x->cause[x->n], sizeof(x->cause[0]), "%s", e->cause ? e->cause : "(null)");
	return ++x->n == x->stop_at ? 5 : 0;
}

TEST(history)
{
	struct store_edge e = {
		.job = 7, .attempt = 1, .at_us = T0, .to = JOB_QUEUED, .by_uid = 1000};
	struct edges x = {0};
	struct store *s;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	need(store_history_add(s, &e) == 0);
	e.job = 8;
	need(store_history_add(s, &e) == 0);
	e = (struct store_edge){.job = 7,
				.attempt = 4000000000U,
				.at_us = T0 - 1, /* a clock that went back changes no order */
				.from = JOB_QUEUED,
				.to = JOB_CANCELED,
				.cause_code = CAUSE_REQUESTED,
				.cause = "why",
				.by_uid = -1};
	need(store_history_add(s, &e) == 0);
	need(store_commit(s) == 0);
	is_int(store_history_each(s, 7, take_edge, &x), 0);
	need(x.n == 2);
	is_int(x.v[0].by_uid, 1000);
	is_int(x.v[0].from, 0);
	is_str(x.cause[0], "(null)");
	is_int(x.v[1].by_uid, -1);
	is_int(x.v[1].attempt, 4000000000U);
	is_int(x.v[1].from, JOB_QUEUED);
	is_int(x.v[1].to, JOB_CANCELED);
	is_int(x.v[1].cause_code, CAUSE_REQUESTED);
	is_int(x.v[1].at_us, T0 - 1);
	is_str(x.cause[1], "why");
	x = (struct edges){.stop_at = 1};
	is_int(store_history_each(s, 7, take_edge, &x), 5);
	is_int(x.n, 1);
	is_int(store_history_each(s, 99, take_edge, &x), 0);
	is_int(x.n, 1);
	store_close(s);
}

static int
show_lane(void *arg, const struct store_lane *lane)
{
	char *text = arg;

	(void)sprintf(text + strlen(text), "%s/%u=%llu ", lane->class_name, lane->uid,
		      (unsigned long long)lane->n);
	return 0;
}

static void
head_is(struct store *s, const char *class_name, uint32_t uid, uint64_t id, int32_t priority)
{
	uint64_t got = 0;
	int32_t p = 0;

	is_int(store_lane_head(s, class_name, uid, &got, &p), id ? 0 : STORE_E_NOT_FOUND);
	is_int(got, id);
	is_int(p, priority);
}

TEST(queue)
{
	struct store *s;
	struct job *j;
	char text[200] = "";
	static const int32_t priorities[] = {0, 5, 5, -3, INT32_MAX};

	dir_new();
	s = store_must_open();
	head_is(s, "a", 1, 0, 0);
	need(store_begin(s, "t") == 0);
	for (int i = 0; i < 5; i++) {
		j = job_like("a", 1, i == 4 ? JOB_RUNNING : JOB_QUEUED);
		j->priority = priorities[i];
		put(s, j);
	}
	put(s, job_like("a", 2, JOB_QUEUED));
	put(s, job_like("b", 4294967295U, JOB_QUEUED));
	put(s, job_like("b", 1, JOB_FAILED));
	need(store_commit(s) == 0);
	need(store_lanes_each(s, show_lane, text) == 0);
	is_str(text, "a/1=4 a/2=1 b/4294967295=1 ");
	head_is(s, "a", 1, 2, 5);
	head_is(s, "a", 2, 6, 0);
	head_is(s, "b", 4294967295U, 7, 0);
	head_is(s, "b", 1, 0, 0);
	need(store_begin(s, "t") == 0);
	end_job(s, 2, JOB_CANCELED, T0);
	head_is(s, "a", 1, 3, 5);
	end_job(s, 3, JOB_CANCELED, T0);
	head_is(s, "a", 1, 1, 0);
	end_job(s, 1, JOB_CANCELED, T0);
	head_is(s, "a", 1, 4, -3);
	store_rollback(s);
	head_is(s, "a", 1, 2, 5);
	store_close(s);
}

TEST(queue_deadlines)
{
	static const int64_t at[] = {0, 50, 30, 30, 90, 10};
	struct store *s;
	struct job *j;
	uint64_t ids[4];
	int64_t us = 7;
	size_t n = 9;

	dir_new();
	s = store_must_open();
	is_int(store_queue_next_deadline(s, &us), STORE_E_NOT_FOUND);
	is_int(us, 7);
	need(store_begin(s, "t") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		j = job_like("a", 1, i == 5 ? JOB_RUNNING : JOB_QUEUED);
		j->deadline_us = at[i] ? T0 + at[i] : 0;
		put(s, j);
	}
	need(store_commit(s) == 0);
	is_int(store_queue_next_deadline(s, &us), 0);
	is_int(us, T0 + 30);
	is_int(store_queue_overdue(s, T0 + 29, ids, 4, &n), 0);
	is_int(n, 0);
	is_int(store_queue_overdue(s, T0 + 50, ids, 4, &n), 0);
	need(n == 3);
	ok(ids[0] == 3 && ids[1] == 4 && ids[2] == 2);
	is_int(store_queue_overdue(s, T0 + 5000, ids, 2, &n), 0);
	is_int(n, 2);
	is_int(store_queue_overdue(s, T0 + 5000, ids, 0, &n), 0);
	is_int(n, 0);
	store_close(s);
}

static int
take_id(void *arg, const struct job *j)
{
	char *text = arg;

	(void)sprintf(text + strlen(text), "%llu ", (unsigned long long)j->id);
	return 0;
}

static int
stop_at_once(void *arg, const struct job *j)
{
	(void)arg;
	return (int)j->id + 100;
}

TEST(live)
{
	struct store *s;
	char text[100] = "";

	dir_new();
	s = store_must_open();
	for (int i = 1; i <= JOB_STATE_MAX; i++)
		need(put_one(s, "a", 1, (enum job_state)i) == (uint64_t)i);
	need(put_one(s, "a", 1, JOB_RUNNING) == 11);
	is_int(store_live_each(s, take_id, text), 0);
	is_str(text, "2 3 11 ");
	is_int(store_live_each(s, stop_at_once, NULL), 102);
	text[0] = '\0';
	is_int(store_live_each(s, take_id, text), 0); /* usable after an early stop */
	is_str(text, "2 3 11 ");
	store_close(s);
}

TEST(ids_are_never_reused)
{
	struct edges x = {0};
	struct store *s;
	struct store_edge e = {.job = 2, .attempt = 1, .at_us = T0, .to = JOB_FAILED};

	dir_new();
	s = store_must_open();
	put_one(s, "a", 1, JOB_FAILED);
	need(store_begin(s, "t") == 0);
	is_int(put_env(s), 2);
	need(store_history_add(s, &e) == 0 && store_commit(s) == 0);
	need(store_begin(s, "t") == 0);
	need(store_job_delete(s, 2) == 0);
	need(store_job_delete(s, 2) == 0); /* gone already */
	need(store_commit(s) == 0);
	env_of(s, 2, STORE_E_NOT_FOUND);
	is_int(store_history_each(s, 2, take_edge, &x), 0);
	is_int(x.n, 0);
	is_int(put_one(s, "a", 1, JOB_QUEUED), 3);
	need(store_begin(s, "t") == 0 && store_job_delete(s, 3) == 0 && store_commit(s) == 0);
	store_close(s);
	s = store_must_open();
	is_int(put_one(s, "a", 1, JOB_QUEUED), 4);
	store_close(s);
}

TEST(delayed)
{
	static const int64_t at[] = {0, 50, 30, 900, 20};
	struct store *s;
	struct job *j;
	char text[200] = "";
	uint64_t ids[4];
	int64_t us = 7;
	size_t n = 9;

	dir_new();
	s = store_must_open();
	is_int(store_delayed_next(s, &us), STORE_E_NOT_FOUND);
	is_int(us, 7);
	need(store_begin(s, "t") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(at); i++) {
		j = job_like("a", i < 2 ? 1 : 2, JOB_QUEUED);
		j->not_before_us = at[i] ? T0 + at[i] : 0;
		j->seq = 1; /* it was tried already: nobody asked for the time */
		j->retries = 3;
		j->retried = 2;
		j->backoff_us = 17;
		j->has_last_percent = true;
		j->last_percent = 12.5;
		j->seen_us = 5;
		need(job_set(&j->last_text, "so far") == 0);
		put(s, j);
	}
	need(store_commit(s) == 0);
	need(store_lanes_each(s, show_lane, text) == 0);
	is_str(text, "a/1=1 "); /* the others are in no lane */
	text[0] = '\0';
	need(store_blocked_each(s, show_lane, text) == 0);
	is_str(text, "/1=1 /2=3 ");
	head_is(s, "a", 2, 0, 0);
	need(store_delayed_next(s, &us) == 0);
	is_int(us, T0 + 20);
	need(store_delayed_due(s, T0 + 30, 500, ids, 4, &n) == 0);
	is_int(n, 3); /* two whose time has come, one that is too far off */
	need(store_delayed_due(s, T0 + 29, 1000, ids, 4, &n) == 0);
	is_int(n, 1);
	is_int(ids[0], 5);
	need(store_delayed_due(s, T0 + 60, 1000, ids, 2, &n) == 0);
	is_int(n, 2);
	need(store_job_get(s, 5, &j) == 0);
	ok(j->retries == 3 && j->retried == 2 && j->backoff_us == 17 && j->seen_us == 5);
	ok(j->has_last_percent && j->last_percent > 12.4);
	is_str(j->last_text, "so far");
	j = job_free(j);
	store_close(s);
}

TEST(walk_over_what_is_old)
{
	struct store_old_cursor c = {0};
	struct store_old v[8];
	struct store *s;
	bool over;
	size_t n;

	dir_new();
	s = store_must_open();
	for (int i = 1; i <= 6; i++)
		put_one(s, "a", i % 2 ? 1 : 2, JOB_RUNNING);
	need(store_begin(s, "t") == 0);
	for (int i = 1; i <= 6; i++) /* two at the same moment each */
		end_job(s, (uint64_t)i, i == 6 ? JOB_INTERRUPTED : JOB_FAILED, T0 + i / 2 * 10);
	need(store_commit(s) == 0);
	need(store_old_walk(s, T0 + 1000, -1, &c, 100, v, 2, &n, &over) == 0);
	ok(n == 2 && v[0].id == 1 && v[1].id == 2 && !over);
	need(store_old_walk(s, T0 + 1000, -1, &c, 2, v, 8, &n, &over) == 0);
	ok(n == 2 && v[0].id == 3 && v[1].id == 4 && !over);
	need(store_old_walk(s, T0 + 1000, -1, &c, 100, v, 8, &n, &over) == 0);
	ok(n == 1 && v[0].id == 5 && over); /* 6 is half-processed */
	c = (struct store_old_cursor){0};
	need(store_old_walk(s, T0 + 11, 2, &c, 100, v, 8, &n, &over) == 0);
	ok(n == 1 && v[0].id == 2 && over);
	store_close(s);
}

TEST(retention)
{
	struct store_old old[10];
	struct store *s;
	size_t n = 0;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	for (int i = 0; i < 6; i++)
		put(s, job_like("a", 1, JOB_RUNNING));
	end_job(s, 5, JOB_SUCCEEDED, T0 + 1);
	end_job(s, 4, JOB_FAILED, T0 + 2);
	end_job(s, 3, JOB_INTERRUPTED, T0 + 3);
	end_job(s, 2, JOB_CANCELED, T0 + 4);
	need(store_commit(s) == 0);
	is_int(store_old_jobs(s, T0 + 4, old, 10, &n), 0);
	need(n == 2);
	ok(old[0].id == 5 && old[1].id == 4 && old[0].attempt == 1);
	is_int(store_old_jobs(s, T0 + 4, old, 1, &n), 0);
	is_int(n, 1);
	is_int(store_old_outputs(s, T0 + 100, old, 10, &n), 0);
	is_int(n, 4);
	need(store_begin(s, "t") == 0);
	need(store_output_gone(s, 5) == 0 && store_output_gone(s, 3) == 0);
	need(store_commit(s) == 0);
	is_int(store_old_outputs(s, T0 + 100, old, 10, &n), 0);
	need(n == 2);
	ok(old[0].id == 4 && old[1].id == 2);
	/* Resolved by a person: now it may go. */
	need(store_begin(s, "t") == 0);
	{
		_cleanup_(job_freep) struct job *j = NULL;

		need(store_job_get(s, 3, &j) == 0 && job_set(&j->resolution_as, "failed") == 0);
		need(store_job_update(s, j, JOB_INTERRUPTED) == 0);
	}
	need(store_commit(s) == 0);
	is_int(store_old_jobs(s, T0 + 100, old, 10, &n), 0);
	is_int(n, 4);
	counts_are_real(s);
	store_close(s);
}
