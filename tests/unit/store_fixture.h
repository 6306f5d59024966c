/* store_fixture.h - what the tests of the store share: a directory that goes away by itself, the
 * file seen from outside with SQLite itself, jobs, random numbers. */
#ifndef CTX_TESTS_STORE_FIXTURE_H
#define CTX_TESTS_STORE_FIXTURE_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "rnd.h"
#include "store/store.h"
#include "tap.h"

#define UNUSED __attribute__((unused))
#define T0 INT64_C(1700000000000000)

/* ---- places and files */

static char dir[64];

UNUSED static void
dir_remove(void)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		(void)closedir(d);
	(void)rmdir(dir);
	dir[0] = '\0';
}

UNUSED static void
dir_new(void)
{
	if (dir[0])
		dir_remove();
	else
		(void)atexit(dir_remove);
	strcpy(dir, "/tmp/test_store.XXXXXX");
	need(mkdtemp(dir));
}

UNUSED static char *
path_of(const char *name)
{
	static char buf[4][128];
	static unsigned i;

	i = (i + 1) % ARRAY_SIZE(buf);
	(void)snprintf(buf[i], sizeof(buf[i]), "%s/%s", dir, name);
	return buf[i];
}

UNUSED static struct store *
store_must_open(void)
{
	struct ctx_err e = {0};
	struct store *s = NULL;

	if (store_open(dir, &s, &e) < 0)
		printf("# %s\n", e.text);
	need(s);
	return s;
}

/* Names and contents of all that is in the directory, in one number. Of the WAL index only the
 * name: it is scratch memory of whoever looks, made anew by the next one. */
UNUSED static uint64_t
dir_sum(void)
{
	uint64_t sum = 0, one;
	unsigned char buf[65536];
	struct dirent *e;
	DIR *d = opendir(dir);
	ssize_t n;
	int fd;

	need(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		one = 1469598103934665603ULL;
		for (const char *p = e->d_name; *p; p++)
			one = (one ^ (unsigned char)*p) * 1099511628211ULL;
		fd = strcmp(e->d_name, "ctxd.db-shm") == 0
			     ? -1
			     : openat(dirfd(d), e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
		while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
			for (ssize_t i = 0; i < n; i++)
				one = (one ^ buf[i]) * 1099511628211ULL;
		if (fd >= 0)
			(void)close(fd);
		sum += one; /* in any order */
	}
	(void)closedir(d);
	return sum;
}

UNUSED static int64_t
file_size(const char *name)
{
	struct stat st;

	return stat(path_of(name), &st) < 0 ? -1 : st.st_size;
}

UNUSED static void
file_put(const char *name, int64_t offset, const void *p, size_t n)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT, 0600);

	need(fd >= 0 && pwrite(fd, p, n, offset) == (ssize_t)n);
	(void)close(fd);
}

/* ---- the outside: plain SQLite */

UNUSED static sqlite3 *
outside(int flags)
{
	sqlite3 *db = NULL;

	need(sqlite3_open_v2(path_of("ctxd.db"), &db, flags, NULL) == SQLITE_OK);
	return db;
}

UNUSED static int64_t
sql_int(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t v = INT64_MIN;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) != SQLITE_OK)
		printf("# %s\n", sqlite3_errmsg(db));
	if (st && sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return v;
}

UNUSED static int64_t
outside_int(const char *sql)
{
	sqlite3 *db = outside(SQLITE_OPEN_READONLY);
	int64_t v = sql_int(db, sql);

	(void)sqlite3_close(db);
	return v;
}

UNUSED static char *
outside_text(const char *sql)
{
	static char text[65536];
	sqlite3 *db = outside(SQLITE_OPEN_READONLY);
	sqlite3_stmt *st = NULL;

	text[0] = '\0';
	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		(void)snprintf(text, sizeof(text), "%s", (const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	(void)sqlite3_close(db);
	return text;
}

/* End this process as it would be ended from outside: nothing is put in order. What failed in it
 * goes to FD. */
UNUSED static void
die(int fd)
{
	char failed = tap_failed != 0;

	(void)fflush(stdout);
	(void)!write(fd, &failed, 1);
	(void)kill(getpid(), SIGKILL);
	_exit(1);
}

/* Run FN in a child that is then killed. 0: nothing failed in it. */
UNUSED static int
in_child(void (*fn)(void *), void *arg)
{
	int status, p[2];
	char failed = 2;
	pid_t pid;

	(void)fflush(stdout);
	need(pipe(p) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		if (setjmp(tap_out) == 0) /* a need() must not run the tests that follow */
			fn(arg);
		die(p[1]);
	}
	(void)close(p[1]);
	if (read(p[0], &failed, 1) != 1)
		failed = 2;
	(void)close(p[0]);
	need(waitpid(pid, &status, 0) == pid);
	return failed;
}

/* ---- jobs */

UNUSED static struct job *
job_like(const char *class_name, uint32_t uid, enum job_state state)
{
	struct job *j = job_new();

	need(j && job_set(&j->class_name, class_name) == 0 && job_set(&j->cwd, "/") == 0 &&
	     strv_add(&j->argv, "true") == 0);
	j->uid = j->gid = uid;
	j->state = state;
	j->submitted_us = T0;
	if (job_state_ended(state))
		j->ended_us = T0 + 1000;
	return j;
}

UNUSED static uint64_t
put(struct store *s, struct job *j)
{
	uint64_t id;

	need(store_job_insert(s, j, NULL) == 0);
	id = j->id;
	(void)job_free(j);
	return id;
}

UNUSED static uint64_t
put_one(struct store *s, const char *class_name, uint32_t uid, enum job_state state)
{
	uint64_t id;

	need(store_begin(s, __func__) == 0);
	id = put(s, job_like(class_name, uid, state));
	need(store_commit(s) == 0);
	return id;
}

UNUSED static void
end_job(struct store *s, uint64_t id, enum job_state to, int64_t at)
{
	_cleanup_(job_freep) struct job *j = NULL;
	enum job_state from;

	need(store_job_get(s, id, &j) == 0);
	from = j->state;
	j->state = to;
	j->ended_us = at;
	need(store_job_update(s, j, from) == 0);
}

UNUSED static int
count_job(void *arg, const struct job *j)
{
	(void)j;
	++*(long *)arg;
	return 0;
}

UNUSED static void
counts_are_real(struct store *s)
{
	struct store_counts c;
	char sql[160];

	need(store_counts(s, &c) == 0);
	for (int i = 1; i <= JOB_STATE_MAX; i++) {
		(void)snprintf(sql, sizeof(sql),
			       "SELECT count(*) FROM job WHERE state = %d AND (kind = 1 OR state "
			       "IN (4, 10))",
			       i);
		is_int(c.by_state[i], outside_int(sql));
	}
	is_int(c.half_processed,
	       outside_int("SELECT count(*) FROM job WHERE state = 9 AND resolution_as IS NULL"));
	is_int(c.half_processed, outside_int("SELECT count(*) FROM half_processed"));
}

UNUSED static void
die_in_transaction(void *arg)
{
	struct store *s = store_must_open();
	uint64_t seq;

	(void)arg;
	for (int i = 0; i < 100; i++)
		put_one(s, "default", 1, JOB_QUEUED);
	need(store_begin(s, "t") == 0);
	need(store_seq_next(s, &seq) == 0);
	put(s, job_like("default", 1, JOB_QUEUED));
	need(store_commit(s) == 0);
	need(store_begin(s, "t") == 0);
	put(s, job_like("default", 1, JOB_QUEUED));
}

#endif
