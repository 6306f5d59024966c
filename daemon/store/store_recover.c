/* store_recover.c - a damaged ctxd.db and its WAL become a new one; see store_recover.h.
 *
 * SQLite works on a copy. It is padded to its full length where it was cut, and where the schema
 * cannot be read, the pages of the schema of a new, empty database are put in their place: tables
 * are made in the same order there, so their roots lie on the same pages.
 *
 * The names change in this order, each step synced. A state in between is refused by store_open
 * ("is missing, but its WAL is there") and finished here:
 *   ctxd.db.new, closed and synced, becomes ctxd.db.recovered     nothing else has changed yet
 *   ctxd.db, ctxd.db-wal get a second name, ctxd.db.damaged-…     the same
 *   ctxd.db-wal becomes one without content, which SQLite ignores (made if there was none)
 *   ... but before that ctxd.db goes: a database is never seen without its own WAL
 *   ctxd.db.recovered becomes ctxd.db; the empty WAL goes */
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
#include "store/store_db.h"
#include "store/store_salvage.h"

#define WORK_FILE STORE_FILE ".work"
#define DONE_FILE STORE_FILE ".recovered"
#define WAL_FILE STORE_FILE "-wal"
#define NO_WAL STORE_FILE ".no-wal"

enum { HEADER = 100, PAGE = 4096, PAGES_MAX = 1 << 26 };

struct recover {
	const char *dir;
	int dirfd;
	const struct store_recover_options *o;
	struct ctx_err *e;
	struct store *to;  /* the new one */
	sqlite3 *from;     /* the copy of the old one */
	uint32_t version;  /* of the schema of the old one */
	uint32_t pages;    /* that it should have; 0: not known */
	bool headless;     /* its first page cannot be what it should be */
	char saved_as[64]; /* name of the old file */
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

static void
put_be32(uint8_t *p, uint32_t x)
{
	x = htobe32(x);
	memcpy(p, &x, sizeof(x));
}

/* ---- whose is it? */

static bool
all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* A header of which one or two bytes are wrong is still ours if the rest of it says so; zeros are
 * what a lost page is. */
static int
judge_header(struct recover *v, const uint8_t *h, uint64_t bytes)
{
	char why[120];
	uint32_t version = be32(h + 60);

	v->version = store_create_version();
	v->headless = true;
	if (all_zero(h, HEADER))
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
	if (v->pages > PAGES_MAX || v->pages > bytes / PAGE * 16 + 65536)
		v->pages = 0;
	return 0;
}

static int
look(struct recover *v)
{
	uint8_t h[HEADER] = {0};
	struct stat st, wal = {0};
	_close_ int fd =
		openat(v->dirfd, STORE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 && errno != ENOENT)
		return failed(v, -errno, "cannot open it");
	(void)fstatat(v->dirfd, WAL_FILE, &wal, AT_SYMLINK_NOFOLLOW);
	if (fd < 0 && wal.st_size == 0)
		return refused(v, "is not there");
	if (fd < 0)
		return judge_header(v, h, 0);
	if (fstat(fd, &st) < 0 || file_read_full(fd, h, sizeof(h)) < 0)
		return failed(v, -errno, "cannot read it");
	if (!S_ISREG(st.st_mode))
		return refused(v, "is not a regular file");
	if (st.st_size == 0 && wal.st_size == 0)
		return refused(v, "is empty: there is nothing to recover");
	return judge_header(v, h, (uint64_t)st.st_size);
}

/* ---- the copy SQLite works on */

static void
remove_work(struct recover *v)
{
	static const char *const names[] = {
		WORK_FILE,      WORK_FILE "-wal",      WORK_FILE "-shm",      NO_WAL,
		STORE_NEW_FILE, STORE_NEW_FILE "-wal", STORE_NEW_FILE "-shm",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		(void)unlinkat(v->dirfd, names[i], 0);
}

/* A page that is all zeros, or that the disk cannot give, holds nothing; SQLite would see zeros
 * where the end of a long value lies on it, which cannot be told from a value. So such pages are
 * filled with what no value has (store_salvage.c looks for it). */
static void
mark_lost(uint8_t *page)
{
	if (all_zero(page, PAGE))
		memset(page, SALVAGE_LOST, PAGE);
}

/* The page at AT; what the disk cannot give is zeros. The first one stays as it is: who finds no
 * database in it has to find nothing. */
static int
copy_db_page(int in, int out, off_t at)
{
	uint8_t page[PAGE];
	ssize_t n = in < 0 ? 0 : pread(in, page, sizeof(page), at);

	if (n < 0 && errno != EIO)
		return -errno;
	if (n < 0)
		n = 0;
	memset(page + n, n > 0 && at > 0 ? SALVAGE_LOST : 0, sizeof(page) - (size_t)n);
	if (at > 0)
		mark_lost(page);
	return file_write_full(out, page, sizeof(page));
}

/* As many pages as there are, or should be. */
static int
copy_db(int in, int out, uint64_t pages)
{
	struct stat st = {0};
	int r = 0;

	if (in >= 0 && fstat(in, &st) < 0)
		return -errno;
	for (off_t at = 0; r == 0 && (at < st.st_size || (uint64_t)at < pages * PAGE); at += PAGE)
		r = copy_db_page(in, out, at);
	return r;
}

/* It ends where it cannot be read: SQLite takes the commits before that. */
static int
copy_wal(int in, int out)
{
	uint8_t part[PAGE];
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = read(in, part, sizeof(part))) > 0)
		r = file_write_full(out, part, (size_t)n);
	return r;
}

static int
open_both(struct recover *v, const char *from, const char *to, int *ret_in, int *ret_out)
{
	*ret_in = openat(v->dirfd, from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_in < 0 && errno != ENOENT)
		return -errno;
	*ret_out = openat(v->dirfd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return *ret_out < 0 ? -errno : 0;
}

static int
copy_files(struct recover *v)
{
	_close_ int db_in = -1, db_out = -1, wal_in = -1, wal_out = -1;
	int r = open_both(v, STORE_FILE, WORK_FILE, &db_in, &db_out);

	if (r == 0)
		r = open_both(v, WAL_FILE, WORK_FILE "-wal", &wal_in, &wal_out);
	if (r == 0)
		r = copy_db(db_in, db_out, v->pages > 0 ? v->pages : 1);
	if (r == 0 && wal_in >= 0)
		r = copy_wal(wal_in, wal_out);
	return r;
}

static int
open_copy(struct recover *v)
{
	_free_ char *path = text_format("%s/" WORK_FILE, v->dir);
	int rc;

	if (!path)
		return -ENOMEM;
	rc = sqlite3_open_v2(path, &v->from, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return -EIO;
	(void)sqlite3_exec(v->from,
			   "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
			   "PRAGMA writable_schema = ON; PRAGMA wal_autocheckpoint = 0;",
			   NULL, NULL, NULL);
	return 0;
}

static void
close_copy(struct recover *v)
{
	(void)sqlite3_close(v->from);
	v->from = NULL;
}

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
		" 'table' AND name IN ('meta', 'job', 'history', 'job_env') ORDER BY name)";
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
	static const char *const side[] = {WAL_FILE, STORE_FILE "-shm"};
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

/* ---- a schema that cannot be read */

static int
copy_page(int in, int out, uint32_t page, uint32_t pages)
{
	uint8_t p[PAGE];

	if (pread(in, p, sizeof(p), (off_t)(page - 1) * PAGE) != sizeof(p))
		return -EIO;
	if (page == 1) {
		put_be32(p + 28, pages);
		put_be32(p + 32, 0); /* no free pages are needed */
		put_be32(p + 36, 0);
		put_be32(p + 92, be32(p + 24)); /* so that the count of pages is believed */
	}
	return pwrite(out, p, sizeof(p), (off_t)(page - 1) * PAGE) == sizeof(p) ? 0 : -EIO;
}

/* Every page of an empty database that is the root of nothing is the schema's. */
static int
graft(struct recover *v)
{
	_close_ int in = openat(v->dirfd, STORE_NEW_FILE, O_RDONLY | O_CLOEXEC);
	_close_ int out = openat(v->dirfd, WORK_FILE, O_RDWR | O_CLOEXEC);
	sqlite3_stmt *st = NULL;
	struct stat was, is;
	int rc, r = 0;

	if (in < 0 || out < 0 || fstat(in, &is) < 0 || fstat(out, &was) < 0)
		return -errno;
	rc = sqlite3_prepare_v2(v->to->db,
				"WITH RECURSIVE p(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM p"
				" WHERE n < ?) SELECT n FROM p WHERE n NOT IN"
				" (SELECT rootpage FROM sqlite_schema WHERE rootpage > 1)",
				-1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, is.st_size / PAGE);
	while (rc == SQLITE_OK && r == 0 && sqlite3_step(st) == SQLITE_ROW)
		r = copy_page(
			in, out, (uint32_t)sqlite3_column_int64(st, 0),
			(uint32_t)((was.st_size > is.st_size ? was.st_size : is.st_size) / PAGE));
	(void)sqlite3_finalize(st);
	return rc == SQLITE_OK ? r : -EIO;
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
	_close_ int fd = -1;
	struct stat st;
	bool good = query_is(v->to->db, "PRAGMA integrity_check(1)", "ok");

	store_db_finalize(v->to);
	if (sqlite3_close(v->to->db) != SQLITE_OK)
		return failed(v, -EBUSY, "cannot close the new one");
	v->to->db = NULL;
	if (!good || fstatat(v->dirfd, STORE_NEW_FILE "-wal", &st, 0) == 0)
		return failed(v, -EIO, "cannot complete the new one");
	fd = openat(v->dirfd, STORE_NEW_FILE, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0 ||
	    renameat(v->dirfd, STORE_NEW_FILE, v->dirfd, DONE_FILE) < 0 || fsync(v->dirfd) < 0)
		return failed(v, -errno, "cannot sync the new one");
	return 0;
}

static int
rebuild(struct recover *v)
{
	int r = store_open_aside(v->to, v->dir, v->dirfd, v->version, v->e);

	if (r == 0)
		r = open_new(v);
	if (r < 0)
		return r;
	if (!schema_readable(v)) {
		v->o->say(v->o->arg, "the schema cannot be read: the usual one is assumed");
		close_copy(v);
		r = graft(v);
		if (r == 0)
			r = open_copy(v);
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

/* ---- names */

static int
keep(struct recover *v)
{
	struct tm tm;
	time_t now = (time_t)(v->o->now_us / 1000000);
	char when[24], wal[80];
	struct stat st;

	if (!gmtime_r(&now, &tm) || strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm) == 0)
		return -EINVAL;
	for (int i = 0;; i++) {
		(void)snprintf(v->saved_as, sizeof(v->saved_as),
			       i > 0 ? STORE_FILE ".damaged-%s.%d" : STORE_FILE ".damaged-%s", when,
			       i);
		(void)snprintf(wal, sizeof(wal), "%s-wal", v->saved_as);
		if (fstatat(v->dirfd, v->saved_as, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		    fstatat(v->dirfd, wal, &st, AT_SYMLINK_NOFOLLOW) < 0)
			break;
	}
	if (linkat(v->dirfd, STORE_FILE, v->dirfd, v->saved_as, 0) < 0 && errno != ENOENT)
		return -errno;
	if (linkat(v->dirfd, WAL_FILE, v->dirfd, wal, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(v->dirfd) < 0 ? -errno : 0;
}

static int
no_wal(struct recover *v, const char *name)
{
	static const uint8_t nothing[32];
	_close_ int fd = openat(v->dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = file_write_full(fd, nothing, sizeof(nothing));
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

/* The last steps; also what a second run does after a death in between. */
static int
put_in_place(struct recover *v)
{
	int r;

	(void)unlinkat(v->dirfd, NO_WAL, 0);
	r = no_wal(v, NO_WAL);
	if (r < 0)
		return r;
	if (renameat(v->dirfd, NO_WAL, v->dirfd, WAL_FILE) < 0 || fsync(v->dirfd) < 0 ||
	    renameat(v->dirfd, DONE_FILE, v->dirfd, STORE_FILE) < 0 || fsync(v->dirfd) < 0 ||
	    unlinkat(v->dirfd, WAL_FILE, 0) < 0 || fsync(v->dirfd) < 0)
		return -errno;
	return 0;
}

static int
swap(struct recover *v)
{
	struct stat st;
	int r = 0;

	if (fstatat(v->dirfd, WAL_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0) {
		(void)unlinkat(v->dirfd, WAL_FILE, 0);
		r = no_wal(v, WAL_FILE);
	}
	if (r == 0 && unlinkat(v->dirfd, STORE_FILE, 0) < 0 && errno != ENOENT)
		r = -errno;
	(void)unlinkat(v->dirfd, STORE_FILE "-shm", 0);
	(void)unlinkat(v->dirfd, STORE_FILE "-journal", 0);
	if (r == 0 && fsync(v->dirfd) < 0)
		r = -errno;
	return r == 0 ? put_in_place(v) : r;
}

/* ---- all of it */

static int
recover_files(struct recover *v)
{
	int r = copy_files(v);

	if (r == 0)
		r = open_copy(v);
	if (r < 0)
		return failed(v, r, "cannot copy it");
	if (whole(v))
		return STORE_RECOVER_WHOLE;
	r = rebuild(v);
	if (r < 0)
		return r;
	r = keep(v);
	if (r == 0)
		r = swap(v);
	return r < 0 ? ctx_err_set(v->e, STORE_OPEN_FAILED, r,
				   "%s: cannot put the new database in place: %s; run ctxd "
				   "--recover-db again",
				   v->dir, strerror(-r))
		     : 0;
}

/* A run that died between its last steps left the new one complete. */
static bool
half_done(struct recover *v)
{
	struct stat st;

	return fstatat(v->dirfd, STORE_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
	       fstatat(v->dirfd, DONE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
recover(struct recover *v)
{
	char line[128];
	int r;

	if (half_done(v)) {
		r = put_in_place(v);
		v->o->say(v->o->arg, "an earlier recovery is finished");
		return r < 0 ? failed(v, r, "cannot finish an earlier recovery") : 0;
	}
	(void)unlinkat(v->dirfd, DONE_FILE, 0);
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
