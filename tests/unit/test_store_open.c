/* test_store_open.c - creating and opening: who may read it, and that a database that is refused
 * stays as it is to the byte, with nothing left beside it. */
#include "store_fixture.h"

TEST(creates)
{
	uint8_t uuid[16], zero[16] = {0};
	struct store *s;
	struct stat st;

	dir_new();
	s = store_must_open();
	memcpy(uuid, store_uuid(s), 16);
	ok(memcmp(uuid, zero, 16) != 0);
	is_int(store_seq_last(s), 0);
	ok(store_size(s) > 4096);
	need(store_begin(s, "t") == 0);
	put(s, job_like("default", 1, JOB_QUEUED));
	need(store_commit(s) == 0);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = {"ctxd.db", "ctxd.db-wal", "ctxd.db-shm"};

		need(stat(path_of(names[i]), &st) == 0);
		is_int(st.st_mode & 07777, 0600);
	}
	ok(store_close(s) == NULL);
	ok(store_close(NULL) == NULL);
	is_int(file_size("ctxd.db-wal"), -1);
	is_int(file_size("ctxd.db.new"), -1);
	is_int(outside_int("PRAGMA application_id"), 0x63747844);
	is_int(outside_int("PRAGMA user_version"), 1);
	s = store_must_open();
	ok(memcmp(uuid, store_uuid(s), 16) == 0);
	store_close(s);
}

TEST(creates_private_files_whatever_the_umask)
{
	mode_t old;
	struct store *s;
	struct stat st;

	dir_new();
	old = umask(0);
	s = store_must_open();
	(void)umask(old);
	need(stat(path_of("ctxd.db"), &st) == 0);
	is_int(st.st_mode & 07777, 0600);
	store_close(s);
	dir_new();
	old = umask(0777);
	s = store_must_open();
	(void)umask(old);
	need(stat(path_of("ctxd.db"), &st) == 0);
	is_int(st.st_mode & 07777, 0600);
	store_close(s);
}

TEST(a_creation_that_died_is_no_obstacle)
{
	struct store *s;

	dir_new();
	file_put("ctxd.db.new", 0, "half", 4);
	file_put("ctxd.db.new-wal", 0, "half", 4);
	s = store_must_open();
	store_close(s);
	is_int(file_size("ctxd.db.new"), -1);
	is_int(file_size("ctxd.db.new-wal"), -1);
}

/* ---- older schemas: data/store-N.db was written by the version that had schema N, and is never
 * made anew once that version was released */

static struct job *
kept_job(void)
{
	struct job *j = job_like("default", 1000, JOB_RUNNING);

	need(job_set(&j->name, "kept") == 0 && job_set(&j->key, "its key") == 0 &&
	     strv_add(&j->argv, "it's") == 0 && strv_add(&j->values, "request=42") == 0 &&
	     strv_add(&j->values, "tenant=acme") == 0 && job_set(&j->baggage, "a=b") == 0);
	j->groups = calloc(2, sizeof(*j->groups));
	need(j->groups);
	j->groups[1] = 27;
	j->n_groups = 2;
	j->parent = 4;
	j->inherit = INHERIT_VALUES | INHERIT_TRACE;
	memset(j->trace.trace_id, 0xa1, sizeof(j->trace.trace_id));
	memset(j->trace.span_id, 0xa2, sizeof(j->trace.span_id));
	j->has_exit_code = true;
	j->exit_code = 5;
	j->has_percent = true;
	j->percent = 33.5;
	j->progress_us = T0 + 1;
	return j;
}

/* CTX_KEEP_STORE=FILE test_store_open writes a database of the schema of today there, to be kept as
 * data/store-N.db: a job or scope in each state, and a last one that was deleted. */
static void
write_for_keeping(const char *file)
{
	_cleanup_(strv_done) struct strv env = {0};
	struct store_edge e = {.attempt = 1, .at_us = T0, .to = JOB_QUEUED};
	struct store *s;
	struct job *j;
	uint64_t seq;

	dir_new();
	s = store_must_open();
	need(strv_add(&env, "PATH=/bin") == 0 && store_begin(s, "t") == 0);
	for (int i = 1; i <= JOB_STATE_MAX + 1; i++) {
		j = i == JOB_FAILED ? kept_job()
				    : job_like("default", 1,
					       i > JOB_STATE_MAX ? JOB_QUEUED : (enum job_state)i);
		if (i == JOB_OPEN || i == JOB_CLOSED)
			j->kind = JOB_KIND_SCOPE;
		need(store_job_insert(s, j, &env) == 0);
		e.job = j->id;
		need(store_history_add(s, &e) == 0);
		(void)job_free(j);
	}
	for (int i = 0; i < 7; i++)
		need(store_seq_next(s, &seq) == 0);
	end_job(s, JOB_FAILED, JOB_FAILED, T0 + 9);
	need(store_job_delete(s, JOB_STATE_MAX + 1) == 0);
	need(store_commit(s) == 0);
	store_close(s);
	need(rename(path_of("ctxd.db"), file) == 0);
}

static void
keep_copy(const char *name)
{
	char buf[4096], path[256];
	ssize_t n;
	int in, out;

	(void)snprintf(path, sizeof(path), "%.*s/data/%s", (int)(strrchr(__FILE__, '/') - __FILE__),
		       __FILE__, name);
	if (getenv("CTX_KEEP_STORE"))
		write_for_keeping(getenv("CTX_KEEP_STORE"));
	dir_new();
	in = open(path, O_RDONLY);
	out = open(path_of("ctxd.db"), O_WRONLY | O_CREAT | O_EXCL, 0600);
	need(in >= 0 && out >= 0);
	while ((n = read(in, buf, sizeof(buf))) > 0)
		need(write(out, buf, (size_t)n) == n);
	(void)close(in);
	(void)close(out);
}

static int
take_only(void *arg, const struct job *j)
{
	struct job **ret = arg;

	ok(!*ret);
	*ret = job_copy(j);
	return *ret ? 0 : -ENOMEM;
}

static void
kept_is_whole(struct store *s)
{
	_cleanup_(strv_done) struct strv env = {0}, values = {0};
	_cleanup_(job_freep) struct job *j = NULL;
	struct store_filter f = {.values = &values};
	uint64_t id;

	/* Found by what is kept beside it. */
	need(strv_add(&values, "tenant=acme") == 0);
	need(store_list(s, &f, take_only, &j, &id) == 0 && j);
	is_int(j->id, JOB_FAILED);
	is_int(store_job_by_key(s, 1000, "its key", &id), 0);
	is_int(id, j->id);
	is_int(store_env_get(s, 1, &env), 0);
	is_str(strv_env_get(&env, "PATH"), "/bin");
	is_int(j->state, JOB_FAILED);
	is_str(j->name, "kept");
	is_str(j->class_name, "default");
	is_int(j->argv.n, 2);
	is_int(j->groups[1], 27);
	is_int(j->exit_code, 5);
	is_int(j->parent, JOB_OPEN);
	is_int(j->values.n, 2);
	is_str(strv_env_get(&j->values, "request"), "42");
	is_str(j->baggage, "a=b");
	is_int(j->trace.trace_id[15], 0xa1);
	ok(j->has_percent && j->percent > 33.4 && j->percent < 33.6);
}

#define WHOLE_SCHEMA                                                                               \
	"SELECT group_concat(hex(sql)) FROM (SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"  \
	" ORDER BY type, name)"

TEST(opens_schema_1)
{
	_free_ char *fresh = NULL;
	struct store_counts c;
	struct store *s;
	uint64_t edge;

	dir_new();
	s = store_must_open();
	store_close(s);
	fresh = strdup(outside_text(WHOLE_SCHEMA));
	need(fresh && strlen(fresh) > 10000);
	keep_copy("store-1.db");
	s = store_must_open();
	need(store_counts(s, &c) == 0);
	for (int i = 1; i <= JOB_STATE_MAX; i++)
		is_int(c.by_state[i], 1);
	is_int(store_seq_last(s), 7);
	/* The newest of each was deleted, and is not given again. */
	is_int(store_events_last(s, &edge), 0);
	is_int(edge, JOB_STATE_MAX + 1);
	is_int(put_one(s, "default", 1, JOB_QUEUED), JOB_STATE_MAX + 2);
	kept_is_whole(s);
	counts_are_real(s);
	store_close(s);
	/* However a database came to the schema of today, it is the same one: no shipped migration
	 * was edited. */
	is_str(outside_text(WHOLE_SCHEMA), fresh);
}

/* ---- refusals: nothing is changed, nothing is left behind */

static void
refused_as(const char *says)
{
	struct ctx_err e = {0};
	struct store *s = NULL;
	uint64_t before = dir_sum();

	ok(store_open(dir, &s, &e) < 0);
	ok(s == NULL);
	is_int(e.code, STORE_OPEN_REFUSED);
	if (!strstr(e.text, says) || !strstr(e.text, "nothing was changed")) {
		tap_failed++;
		printf("# says: %s\n", e.text);
	}
	ok(dir_sum() == before);
	if (s)
		store_close(s);
}

enum {
	SOME = 300,
	FEW = 20,
	PAGE = 4096
}; /* some: enough for a checkpoint on the way; few: all in the WAL */

/* ARG: how many, as int. */
static void
jobs_then_die(void *arg)
{
	struct store *s = store_must_open();

	for (int i = 0; i < *(int *)arg; i++)
		put_one(s, "default", 1, JOB_QUEUED);
}

static void
jobs_then_close(int n)
{
	struct store *s = store_must_open();

	need(store_begin(s, __func__) == 0);
	for (int i = 0; i < n; i++)
		put(s, job_like("default", 1, JOB_QUEUED));
	need(store_commit(s) == 0);
	store_close(s);
}

TEST(refuses_what_is_no_database)
{
	dir_new();
	file_put("ctxd.db", 0, "", 0);
	refused_as("is empty");
	file_put("ctxd.db", 0, "hello", 5);
	refused_as("is not an SQLite database");
	file_put("ctxd.db", 5000, "hello", 5);
	refused_as("is not an SQLite database");
	dir_new();
	need(mkfifo(path_of("ctxd.db"), 0600) == 0);
	refused_as("is not a regular file");
	dir_new();
	file_put("other", 0, "x", 1);
	need(symlink("other", path_of("ctxd.db")) == 0);
	refused_as("is not a regular file");
	dir_new();
	file_put("ctxd.db-wal", 0, "something", 9);
	refused_as("is missing");
}

TEST(refuses_databases_of_others)
{
	sqlite3 *db;

	dir_new();
	db = outside(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
	need(sqlite3_exec(db, "CREATE TABLE job(x)", NULL, NULL, NULL) == SQLITE_OK);
	(void)sqlite3_close(db);
	refused_as("another program");
	db = outside(SQLITE_OPEN_READWRITE);
	need(sqlite3_exec(db, "PRAGMA application_id = 7; PRAGMA journal_mode = WAL", NULL, NULL,
			  NULL) == SQLITE_OK);
	(void)sqlite3_close(db);
	refused_as("another program");
}

static void
newer_in_wal(void *arg)
{
	sqlite3 *db = outside(SQLITE_OPEN_READWRITE);

	(void)arg;
	ok(sqlite3_exec(db, "PRAGMA user_version = 1000", NULL, NULL, NULL) == SQLITE_OK);
}

TEST(refuses_newer_ones)
{
	struct store *s;

	dir_new();
	s = store_must_open();
	store_close(s);
	is_int(in_child(newer_in_wal, NULL), 0); /* only the WAL knows */
	ok(file_size("ctxd.db-wal") > 0);
	refused_as("newer version (schema 1000");
	is_int(outside_int("PRAGMA user_version"), 1000);
	{
		sqlite3 *db = outside(SQLITE_OPEN_READWRITE);

		need(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) ==
		     SQLITE_OK);
		(void)sqlite3_close(db);
	}
	is_int(file_size("ctxd.db-wal"), -1);
	refused_as("newer version (schema 1000");
}

TEST(refuses_a_cut_file)
{
	int64_t size;

	dir_new();
	jobs_then_close(SOME);
	size = file_size("ctxd.db");
	need(truncate(path_of("ctxd.db"), size / 2) == 0);
	refused_as("cut");
	need(truncate(path_of("ctxd.db"), size / 2 / 4096 * 4096) == 0);
	refused_as("cut");
	need(truncate(path_of("ctxd.db"), 50) == 0);
	refused_as("is not an SQLite database");
	dir_new();
	jobs_then_close(SOME);
	size = file_size("ctxd.db");
	need(truncate(path_of("ctxd.db"), size - 1) == 0);
	refused_as("cut");
	need(truncate(path_of("ctxd.db"), size + 4096) == 0);
	refused_as("longer");
}

/* One that was killed: what is missing in the file may be in the WAL, but not all of it. */
TEST(refuses_a_cut_file_with_a_wal)
{
	struct store_counts c;
	struct store *s;
	int64_t size;
	int n = SOME;

	dir_new();
	jobs_then_close(SOME); /* pages in the file … */
	size = file_size("ctxd.db");
	is_int(in_child(die_in_transaction, NULL), 0); /* … and in the WAL */
	need(truncate(path_of("ctxd.db"), size / 2 / 4096 * 4096) == 0);
	refused_as("its WAL does not hold the rest");
	/* All that is missing here was never written to the file: a crash, no damage. */
	dir_new();
	is_int(in_child(jobs_then_die, &n), 0);
	s = store_must_open();
	need(store_counts(s, &c) == 0);
	is_int(c.by_state[JOB_QUEUED], SOME);
	store_close(s);
}

/* Where the frames of the WAL end: behind them lies what an earlier round or the reservation left.
 */
static int64_t
wal_end(void)
{
	uint8_t head[32], frame[24];
	int64_t at = sizeof(head);
	int fd = open(path_of("ctxd.db-wal"), O_RDONLY);

	need(fd >= 0 && pread(fd, head, sizeof(head), 0) == sizeof(head));
	while (pread(fd, frame, sizeof(frame), at) == sizeof(frame) &&
	       memcmp(frame + 8, head + 16, 8) == 0) /* the salts */
		at += (int64_t)sizeof(frame) + PAGE;
	(void)close(fd);
	return at;
}

TEST(a_torn_end_of_the_wal_is_no_damage)
{
	struct store_counts c;
	struct store *s;
	int n = FEW;

	dir_new();
	is_int(in_child(jobs_then_die, &n), 0);
	need(truncate(path_of("ctxd.db-wal"), wal_end() - 100) == 0);
	s = store_must_open();
	need(store_counts(s, &c) == 0);
	is_int(c.by_state[JOB_QUEUED], FEW - 1); /* the last commit was not whole */
	store_close(s);
}

TEST(refuses_damage)
{
	char junk[PAGE];
	struct store *s;
	int64_t pages;

	memset(junk, 0x5a, sizeof(junk));
	dir_new(); /* the first page, behind the header: the schema */
	jobs_then_close(SOME);
	file_put("ctxd.db", 100, junk, 3000);
	refused_as("damaged");
	dir_new(); /* a table is missing */
	s = store_must_open();
	store_close(s);
	{
		sqlite3 *db = outside(SQLITE_OPEN_READWRITE);

		need(sqlite3_exec(db, "DROP TABLE state_count", NULL, NULL, NULL) == SQLITE_OK);
		(void)sqlite3_close(db);
	}
	refused_as("damaged");
	/* Not closed, and small: everything is read. What the WAL holds anew is whole, the rest is
	 * not. */
	dir_new();
	jobs_then_close(10 * SOME);
	pages = file_size("ctxd.db") / PAGE;
	is_int(in_child(die_in_transaction, NULL), 0);
	for (int64_t i = 30; i < pages; i++)
		file_put("ctxd.db", i * PAGE, junk, PAGE);
	refused_as("damaged");
}

TEST(places_that_will_not_do)
{
	struct ctx_err e = {0};
	struct store *s = NULL;

	dir_new();
	is_int(store_open("/nonexistent/x", &s, &e), -ENOENT);
	is_int(e.code, STORE_OPEN_FAILED);
	need(chmod(dir, 0777) == 0);
	is_int(store_open(dir, &s, &e), -EPERM);
	is_int(e.code, STORE_OPEN_FAILED);
	ok(strstr(e.text, "everyone"));
	is_int(file_size("ctxd.db"), -1);
	need(chmod(dir, 0700) == 0);
	s = store_must_open();
	store_close(s);
}
