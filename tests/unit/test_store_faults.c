/* test_store_faults.c - the store beside other programs, on a full disk, with writes that fail,
 * killed. */
#include <sys/mount.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "store_fixture.h"

/* ---- other programs at the same file */

TEST(readers_outside_see_what_is_committed)
{
	struct store_edge e = {.job = 1, .attempt = 1, .at_us = T0 + 123456, .to = JOB_QUEUED};
	struct store *s;
	sqlite3 *db;
	struct job *j;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	j = job_like("default", 1000, JOB_INTERRUPTED);
	j->cause_code = CAUSE_MONITOR_LOST;
	need(strv_add(&j->argv, "a b") == 0);
	put(s, j);
	need(store_history_add(s, &e) == 0);
	e = (struct store_edge){.job = 1,
				.attempt = 1,
				.at_us = T0 + 1000001,
				.from = JOB_RUNNING,
				.to = JOB_INTERRUPTED,
				.cause_code = CAUSE_MONITOR_LOST,
				.by_uid = -1};
	need(store_history_add(s, &e) == 0);
	db = outside(SQLITE_OPEN_READONLY);
	is_int(sql_int(db, "SELECT count(*) FROM job"), 0);
	need(store_commit(s) == 0);
	is_int(sql_int(db, "SELECT count(*) FROM job_history"), 2);
	is_str(outside_text(
		       "SELECT at || ' ' || to_state || ' ' || by_uid FROM job_history LIMIT 1"),
	       "2023-11-14T22:13:20.123456Z queued 0");
	is_str(outside_text(
		       "SELECT at || ' ' || from_state || ' ' || to_state || ' ' || cause_code ||"
		       " ' ' || (by_uid IS NULL) || ' ' || command FROM job_history"
		       " WHERE from_state IS NOT NULL"),
	       "2023-11-14T22:13:21.000001Z running interrupted monitor_lost 1 true 'a b'");
	is_str(outside_text("SELECT id || ' ' || cause_code || ' ' || submitted_at || ' ' ||"
			    " (started_at IS NULL) FROM half_processed"),
	       "1 monitor_lost 2023-11-14T22:13:20.000000Z 1");
	/* A reader in the middle of its transaction is in nobody's way. */
	need(sqlite3_exec(db, "BEGIN; SELECT * FROM job", NULL, NULL, NULL) == SQLITE_OK);
	for (int i = 0; i < 5; i++)
		put_one(s, "default", 1, JOB_QUEUED);
	is_int(sql_int(db, "SELECT count(*) FROM job"), 1);
	need(sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK);
	is_int(sql_int(db, "SELECT count(*) FROM job"), 6);
	(void)sqlite3_close(db);
	store_close(s);
}

TEST(views_with_contexts)
{
	struct store_edge e = {.job = 1, .attempt = 1, .at_us = T0, .to = JOB_OPEN, .by_uid = 7};
	struct store *s;
	struct job *j;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	j = job_like("default", 7, JOB_CLOSED);
	j->kind = JOB_KIND_SCOPE;
	put(s, j);
	need(store_history_add(s, &e) == 0);
	e.from = JOB_OPEN;
	e.to = JOB_CLOSED;
	need(store_history_add(s, &e) == 0);
	/* The last that was told of a job which nobody knows the end of; of another nothing was. */
	j = job_like("default", 7, JOB_INTERRUPTED);
	j->has_percent = true;
	j->percent = 12.5;
	need(job_set(&j->progress_text, "row 1000 of 8000") == 0);
	j->progress_us = T0 + 123456;
	put(s, j);
	put(s, job_like("default", 7, JOB_INTERRUPTED));
	j = job_like("default", 7, JOB_INTERRUPTED);
	need(job_set(&j->resolution_as, "failed") == 0);
	put(s, j);
	need(store_commit(s) == 0);
	is_str(outside_text("SELECT group_concat(coalesce(from_state, '-') || '>' || to_state)"
			    " FROM job_history"),
	       "->open,open>closed");
	is_str(outside_text("SELECT group_concat(id) FROM half_processed"), "2,3");
	is_str(outside_text("SELECT progress_percent || ' ' || progress_text || ' ' || progress_at"
			    " FROM half_processed WHERE id = 2"),
	       "12.5 row 1000 of 8000 2023-11-14T22:13:20.123456Z");
	is_int(outside_int("SELECT (progress_percent IS NULL) + (progress_text IS NULL) +"
			   " (progress_at IS NULL) FROM half_processed WHERE id = 3"),
	       3);
	store_close(s);
}

TEST(names_in_the_views_are_those_of_the_program)
{
	char sql[100];
	struct store *s;

	dir_new();
	s = store_must_open();
	store_close(s);
	for (int i = 1; i <= JOB_STATE_MAX; i++) {
		(void)snprintf(sql, sizeof(sql), "SELECT name FROM state_count WHERE state = %d",
			       i);
		is_str(outside_text(sql), job_state_name((enum job_state)i));
	}
	for (int i = 1; job_cause_name((enum cause_code)i); i++) {
		(void)snprintf(sql, sizeof(sql),
			       "SELECT name FROM cause_name WHERE cause_code = %d", i);
		is_str(outside_text(sql), job_cause_name((enum cause_code)i));
	}
	is_int(outside_int("SELECT count(*) FROM sqlite_schema WHERE type = 'view' AND sql LIKE "
			   "'%job_env%'"),
	       0);
}

struct locker {
	int ready[2], release[2];
};

static void
hold_lock(void *arg)
{
	struct locker *l = arg;
	sqlite3 *db = outside(SQLITE_OPEN_READWRITE);
	char c;

	(void)close(l->release[1]);
	ok(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) == SQLITE_OK);
	ok(write(l->ready[1], "x", 1) == 1);
	ok(read(l->release[0], &c, 1) == 0); /* until the other end closes */
	(void)sqlite3_close(db);
}

TEST(a_lock_of_another_process_is_busy_at_once)
{
	struct locker l;
	struct store *s;
	struct mono t;
	bool at_once = false;
	pid_t pid;
	int status;
	char c;

	dir_new();
	s = store_must_open();
	put_one(s, "default", 1, JOB_QUEUED);
	need(pipe(l.ready) == 0 && pipe(l.release) == 0);
	(void)fflush(stdout);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		if (setjmp(tap_out) == 0)
			hold_lock(&l);
		die(l.ready[1]);
	}
	(void)close(l.ready[1]);
	(void)close(l.release[0]);
	need(read(l.ready[0], &c, 1) == 1);
	/* At once: who waits for the lock does so each time. */
	for (int i = 0; i < 20 && !at_once; i++) {
		t = mono_now();
		is_int(store_begin(s, "t"), -EBUSY);
		at_once = mono_diff(mono_now(), t).ns < 100 * NSEC_PER_MSEC;
	}
	ok(at_once);
	ok(!store_in_txn(s) && !store_poisoned(s));
	counts_are_real(s); /* reading goes on */
	(void)close(l.release[1]);
	ok(read(l.ready[0], &c, 1) == 1 && c == 0); /* nothing failed there */
	need(waitpid(pid, &status, 0) == pid);
	(void)close(l.ready[0]);
	put_one(s, "default", 1, JOB_QUEUED);
	store_close(s);
}

/* ---- errors in the middle */

/* Insert until it fails; the error. The store is then poisoned, and works again after a rollback.
 */
static int
fill_until_failure(struct store *s)
{
	char big[2000];
	int r = 0, i;

	memset(big, 'x', sizeof(big));
	big[sizeof(big) - 1] = '\0';
	for (i = 0; r == 0 && i < 100000; i++) {
		_cleanup_(job_freep) struct job *j = job_like("default", 1, JOB_QUEUED);

		need(strv_add(&j->argv, big) == 0);
		r = store_in_txn(s) ? 0 : store_begin(s, "fill");
		if (r == 0)
			r = store_job_insert(s, j, NULL);
		if (r == 0 && i % 64 == 63)
			r = store_commit(s);
	}
	return r;
}

static void
poisoned_until_rollback(struct store *s)
{
	_cleanup_(job_freep) struct job *j = job_like("default", 1, JOB_QUEUED);
	struct store_edge e = {.job = 1, .to = JOB_QUEUED};
	uint64_t seq;
	long n = 0;

	if (!store_poisoned(s)) /* the commit itself failed: rolled back already */
		return;
	is_int(store_begin(s, "t"), -ECANCELED);
	is_int(store_job_insert(s, j, NULL), -ECANCELED);
	is_int(store_job_update(s, j, JOB_QUEUED), -ECANCELED);
	is_int(store_history_add(s, &e), -ECANCELED);
	is_int(store_env_drop(s, 1), -ECANCELED);
	is_int(store_job_delete(s, 1), -ECANCELED);
	is_int(store_seq_next(s, &seq), -ECANCELED);
	is_int(store_commit(s), -ECANCELED);
	is_int(store_live_each(s, count_job, &n), 0); /* reading is allowed */
	store_rollback(s);
	ok(!store_poisoned(s) && !store_in_txn(s));
}

static void
full_disk(void *arg)
{
	struct store_counts before, after;
	struct store *s = store_must_open();
	int fd, r;

	(void)arg;
	put_one(s, "default", 1, JOB_QUEUED);
	r = fill_until_failure(s);
	is_int(r, -ENOSPC);
	poisoned_until_rollback(s);
	need(store_counts(s, &before) == 0);
	/* Space comes back. */
	fd = open(path_of("ballast"), O_RDWR);
	ok(fd >= 0 && ftruncate(fd, 0) == 0);
	(void)close(fd);
	put_one(s, "default", 1, JOB_QUEUED);
	need(store_counts(s, &after) == 0);
	is_int(after.by_state[JOB_QUEUED], before.by_state[JOB_QUEUED] + 1);
	counts_are_real(s);
	store_close(s);
	is_str(outside_text("PRAGMA integrity_check"), "ok");
	s = store_must_open();
	store_close(s);
}

TEST(disk_full_on_a_small_file_system)
{
	char ballast[65536] = {0};
	int fd;

	dir_new();
	if (mount("tmpfs", dir, "tmpfs", 0, "size=3m,mode=0700") < 0) {
		printf("# SKIPPED: a small tmpfs cannot be mounted here (%s): needs root\n",
		       strerror(errno));
		return;
	}
	fd = open(path_of("ballast"), O_CREAT | O_WRONLY, 0600);
	for (int i = 0; fd >= 0 && i < 16; i++)
		ok(write(fd, ballast, sizeof(ballast)) == sizeof(ballast));
	(void)close(fd);
	is_int(in_child(full_disk, NULL), 0);
	(void)umount(dir);
}

static void
failing_writes(void *arg)
{
	struct rlimit l = {.rlim_cur = 2 << 20, .rlim_max = RLIM_INFINITY};
	struct store *s = store_must_open();
	struct rlimit old;

	(void)arg;
	(void)signal(SIGXFSZ, SIG_IGN);
	need(getrlimit(RLIMIT_FSIZE, &old) == 0);
	l.rlim_max = old.rlim_max;
	need(setrlimit(RLIMIT_FSIZE, &l) == 0);
	is_int(fill_until_failure(s), -EIO);
	poisoned_until_rollback(s);
	need(setrlimit(RLIMIT_FSIZE, &old) == 0);
	put_one(s, "default", 1, JOB_QUEUED);
	counts_are_real(s);
	store_close(s);
	is_str(outside_text("PRAGMA integrity_check"), "ok");
}

TEST(writes_that_fail)
{
	dir_new();
	is_int(in_child(failing_writes, NULL), 0);
}

static void
create_without_space(void *arg)
{
	struct ctx_err e = {0};
	struct store *s = NULL;

	(void)arg;
	ok(store_open(dir, &s, &e) < 0);
	is_int(e.code, STORE_OPEN_FAILED);
	is_int(file_size("ctxd.db"), -1);
	is_int(file_size("ctxd.db.new"), -1);
	printf("# %s\n", e.text);
}

TEST(creation_on_a_full_disk_leaves_nothing)
{
	dir_new();
	if (mount("tmpfs", dir, "tmpfs", 0, "size=40k,mode=0700") < 0) {
		printf("# SKIPPED: a small tmpfs cannot be mounted here (%s): needs root\n",
		       strerror(errno));
		return;
	}
	is_int(in_child(create_without_space, NULL), 0);
	(void)umount(dir);
}

TEST(killed_in_a_transaction)
{
	struct store_counts c;
	struct store *s;

	dir_new();
	is_int(in_child(die_in_transaction, NULL), 0);
	ok(file_size("ctxd.db-wal") > 0);
	s = store_must_open();
	need(store_counts(s, &c) == 0);
	is_int(c.by_state[JOB_QUEUED], 101);
	is_int(store_seq_last(s), 1);
	is_int(put_one(s, "default", 1, JOB_QUEUED), 102);
	store_close(s);
}
