/* store_recover.c - a damaged ctxd.db and its WAL become a new one; see store_recover.h. Here is
 * the order of it, and what is decided: whose it is, whether anything is wrong, what is assumed.
 * The copy that is read is store_copy.c's, the reading store_salvage.c's, the new one
 * store_rebuild.c's, the names store_swap.c's. */
#include "store/store_recover.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_copy.h"
#include "store/store_db.h"
#include "store/store_salvage.h"
#include "store/store_swap.h"

enum { HEADER = 100, PAGES_MAX = 1 << 26 };

struct recover {
	const char *dir;
	int dirfd;
	const struct store_recover_options *o;
	struct ctx_err *e;
	struct store *to;               /* the new one */
	sqlite3 *from;                  /* the copy of the old one */
	uint32_t version;               /* of the schema of the old one */
	uint32_t pages;                 /* that it should have; 0: not known */
	bool headless;                  /* its first page cannot be what it should be */
	char saved_as[STORE_SWAP_NAME]; /* name of the old file */
};

static int
failed(struct recover *v, int r, const char *what)
{
	return ctx_err_set(v->e, STORE_OPEN_FAILED, r, "%s/" STORE_FILE ": %s: %s; it is unchanged",
			   v->dir, what, strerror(-r));
}

static int
refused(struct recover *v, const char *why)
{
	return ctx_err_set(v->e, STORE_OPEN_REFUSED, -EUCLEAN,
			   "%s/" STORE_FILE " %s; nothing was changed", v->dir, why);
}

static uint32_t
be32(const uint8_t *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return be32toh(x);
}

/* ---- whose is it? */

/* A header of which one or two bytes are wrong is still ours if the rest of it says so; zeros are
 * what a lost page is. */
static int
judge_header(struct recover *v, const uint8_t *h, uint64_t bytes)
{
	char why[120];
	uint32_t version = be32(h + 60);

	v->version = store_create_version();
	v->headless = true;
	if (store_copy_is_zero(h, HEADER))
		return 0;
	if (be32(h + 68) != STORE_APPLICATION_ID)
		return refused(v, memcmp(h, "SQLite format 3", 16) == 0
					  ? "belongs to another program"
					  : "is not a database of ctxd");
	if (version > v->version) {
		(void)snprintf(why, sizeof(why),
			       "is of a newer version (schema %u, this ctxd knows %u): use that "
			       "version",
			       version, v->version);
		return refused(v, why);
	}
	if (version > 0)
		v->version = version;
	v->headless = memcmp(h, "SQLite format 3", 16) != 0;
	v->pages = be32(h + 28);
	if (v->pages > PAGES_MAX || v->pages > bytes / STORE_COPY_PAGE * 16 + 65536)
		v->pages = 0;
	return 0;
}

static int
look(struct recover *v)
{
	uint8_t h[HEADER] = {0};
	struct stat st, wal = {0};
	ssize_t r;
	_close_ int fd =
		openat(v->dirfd, STORE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && errno == ELOOP)
		return refused(v, "is not a regular file");
	if (fd < 0 && errno != ENOENT)
		return failed(v, -errno, "cannot open it");
	(void)fstatat(v->dirfd, STORE_FILE "-wal", &wal, AT_SYMLINK_NOFOLLOW);
	if (fd < 0 && wal.st_size == 0)
		return refused(v, "is not there");
	if (fd < 0)
		return judge_header(v, h, 0);
	if (fstat(fd, &st) < 0)
		return failed(v, -errno, "cannot read it");
	if (!S_ISREG(st.st_mode))
		return refused(v, "is not a regular file");
	r = file_read_full(fd, h, sizeof(h));
	if (r < 0)
		return failed(v, r, "cannot read it");
	if (st.st_size == 0 && wal.st_size == 0)
		return refused(v, "is empty: there is nothing to recover");
	return judge_header(v, h, (uint64_t)st.st_size);
}

/* ---- is anything wrong with it? */

static bool
query_is(sqlite3 *db, const char *sql, const char *want)
{
	sqlite3_stmt *st = NULL;
	const char *text;
	bool is = false;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 0);
		is = text && strcmp(text, want) == 0;
	}
	(void)sqlite3_finalize(st);
	return is;
}

/* Are the tables that matter described as in the new one? What is damaged may still be text. */
static bool
schema_readable(struct recover *v)
{
	static const char sql[] =
		"SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_schema WHERE type ="
		" 'table' AND name IN ('meta', 'job', 'history', 'job_env', 'forward', 'outbox',"
		" 'queue_control') ORDER BY name)";
	sqlite3_stmt *st = NULL;
	const char *want;
	bool is = false;

	if (sqlite3_prepare_v2(v->to->db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW) {
		want = (const char *)sqlite3_column_text(st, 0);
		is = want && query_is(v->from, sql, want);
	}
	(void)sqlite3_finalize(st);
	return is;
}

/* Would ctxd open it? Looking leaves nothing behind. */
static bool
acceptable(struct recover *v)
{
	static const char *const side[] = {STORE_FILE "-wal", STORE_FILE "-shm"};
	struct store s = {.path = v->to->path};
	struct ctx_err e;
	struct stat st;
	bool had[ARRAY_SIZE(side)], good;

	for (size_t i = 0; i < ARRAY_SIZE(side); i++)
		had[i] = fstatat(v->dirfd, side[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
	good = !v->headless && store_open_judge(&s, v->dir, v->dirfd, &e) == 0;
	for (size_t i = 0; i < ARRAY_SIZE(side); i++)
		if (!had[i])
			(void)unlinkat(v->dirfd, side[i], 0);
	return good;
}

/* Is anything wrong at all? */
static bool
whole(struct recover *v)
{
	return acceptable(v) && query_is(v->from, "PRAGMA integrity_check(1)", "ok") &&
	       query_is(v->from,
			"SELECT count(*) FROM state_count AS c WHERE n <> (SELECT count(*) FROM "
			"job AS j"
			" WHERE CASE c.state WHEN 0 THEN j.state = 9 AND j.resolution_as IS NULL"
			" ELSE j.state = c.state AND (j.kind = 1 OR j.state IN (4, 10)) END)",
			"0");
}

/* ---- the new one */

static int
open_new(struct recover *v)
{
	_free_ char *path = text_format("%s/" STORE_NEW_FILE, v->dir);
	int rc;

	if (!path)
		return failed(v, -ENOMEM, "cannot recover it");
	rc = sqlite3_open_v2(path, &v->to->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(v->to->db, "PRAGMA synchronous = NORMAL", NULL, NULL, NULL);
	(void)sqlite3_extended_result_codes(v->to->db, 1);
	return rc == SQLITE_OK ? 0 : failed(v, -EIO, "cannot open the new one");
}

/* All of it is on disk in one file when this returns 0. */
static int
complete_new(struct recover *v)
{
	struct stat st;
	int r;
	bool good = query_is(v->to->db, "PRAGMA integrity_check(1)", "ok");

	store_db_finalize(v->to);
	if (sqlite3_close(v->to->db) != SQLITE_OK)
		return failed(v, -EBUSY, "cannot close the new one");
	v->to->db = NULL;
	if (!good || fstatat(v->dirfd, STORE_NEW_FILE "-wal", &st, 0) == 0)
		return failed(v, -EIO, "cannot complete the new one");
	r = store_swap_complete(v->dirfd);
	return r < 0 ? failed(v, r, "cannot sync the new one") : 0;
}

static void
close_copy(struct recover *v)
{
	(void)sqlite3_close(v->from);
	v->from = NULL;
}

/* The inner pages of its tables that are lost, as far as they can be made anew. */
static int
mend(struct recover *v)
{
	char line[96];
	uint32_t pages = 0;
	int r = 0;

	(void)sqlite3_exec(v->from, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL);
	close_copy(v);
	r = store_copy_mend(v->dirfd, &pages);
	if (r == 0)
		r = store_copy_open(v->dir, &v->from);
	if (r < 0)
		return failed(v, r, "cannot mend its copy");
	(void)snprintf(line, sizeof(line), "%" PRIu32 " pages that lead to others were made anew",
		       pages);
	if (pages > 0)
		v->o->say(v->o->arg, line);
	return 0;
}

static int
rebuild(struct recover *v)
{
	int r = store_open_aside(v->to, v->dir, v->dirfd, v->version, v->e);

	if (r == 0)
		r = open_new(v);
	if (r == 0)
		r = mend(v);
	if (r < 0)
		return r;
	if (!schema_readable(v)) {
		v->o->say(v->o->arg, "the schema cannot be read: the usual one is assumed");
		close_copy(v);
		r = store_copy_graft(v->dirfd, v->to->db);
		if (r == 0)
			r = store_copy_open(v->dir, &v->from);
		if (r < 0)
			return failed(v, r, "cannot put a schema into its copy");
	}
	r = store_rebuild(v->to, v->from, v->version, v->o);
	if (r == STORE_REBUILD_NOTHING)
		return refused(v, "is damaged, and nothing of it can be read: put back a backup");
	if (r < 0)
		return failed(v, r, "cannot write the new one");
	return complete_new(v);
}

/* ---- all of it */

static void
remove_work(const struct recover *v)
{
	static const char *const names[] = {STORE_NEW_FILE, STORE_NEW_FILE "-wal",
					    STORE_NEW_FILE "-shm"};

	store_copy_remove(v->dirfd);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(v->dirfd, names[i], 0);
}

static int
recover_files(struct recover *v)
{
	int r = store_copy_make(v->dirfd, v->pages);

	if (r == 0)
		r = store_copy_open(v->dir, &v->from);
	if (r < 0)
		return failed(v, r, "cannot copy it");
	if (whole(v))
		return STORE_RECOVER_WHOLE;
	r = rebuild(v);
	if (r < 0)
		return r;
	r = store_swap_keep(v->dirfd, v->o->now_us, v->saved_as);
	if (r == 0)
		r = store_swap(v->dirfd);
	return r < 0 ? ctx_err_set(v->e, STORE_OPEN_FAILED, r,
				   "%s: cannot put the new database in place: %s; run ctxd "
				   "--recover-db again",
				   v->dir, strerror(-r))
		     : 0;
}

static int
recover(struct recover *v)
{
	char line[128];
	int r;

	if (store_swap_half_done(v->dirfd)) {
		r = store_swap_finish(v->dirfd);
		v->o->say(v->o->arg, "an earlier recovery is finished");
		return r < 0 ? failed(v, r, "cannot finish an earlier recovery") : 0;
	}
	store_swap_tidy(v->dirfd);
	r = look(v);
	if (r < 0)
		return r;
	remove_work(v);
	r = recover_files(v);
	close_copy(v);
	if (r == 0) {
		(void)snprintf(line, sizeof(line), "the damaged database is kept as %s",
			       v->saved_as);
		v->o->say(v->o->arg, line);
	}
	return r;
}

int
store_recover(const char *dir, const struct store_recover_options *o, struct ctx_err *e)
{
	_close_ int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct recover v = {.dir = dir, .dirfd = dirfd, .o = o, .e = e};
	int r;

	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	if (dirfd < 0)
		return ctx_err_set(e, STORE_OPEN_FAILED, -errno, "cannot open directory %s: %s",
				   dir, strerror(errno));
	v.to = calloc(1, sizeof(*v.to));
	if (v.to) {
		v.to->path = text_format("%s/" STORE_FILE, dir);
		v.to->wal_path = text_format("%s/" STORE_FILE "-wal", dir);
	}
	r = v.to && v.to->path && v.to->wal_path ? recover(&v) : failed(&v, -ENOMEM, "recovery");
	(void)store_close(v.to);
	remove_work(&v);
	return r;
}
