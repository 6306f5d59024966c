/* store_judge.c - may the database that lies there be opened? Nothing is written, and a refused one
 * stays as it is to the byte.
 *
 * The judgement has to be bounded (a million rows must be ready in half a second), so it does not
 * read every page. What is checked, and why that:
 *  - without SQLite (store_file.c): magic, whose it is, its version, also where the newest header
 * lies in the WAL; that every page of the last commit is there: finds a cut or padded file of any
 * size, closed or not;
 *  - on a read-only connection: the schema can be read, the rows of meta and state_count are all
 * there and make sense, and ids have not run past what was handed out: finds a file whose first
 * pages or whose newest ones are broken;
 *  - PRAGMA quick_check, if the database was not closed and is small: after a crash a broken disk
 * shows first, and small is what can be read in a moment. What is broken elsewhere shows as
 * -EUCLEAN when it is touched. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_opening.h"

#define QUICK_CHECK_MAX (16 << 20) /* bytes; some 50 ms */

/* Not ours to mend. */
static int
refused_whole(struct store_opening *o, const char *why)
{
	return ctx_err_set(o->e, STORE_OPEN_REFUSED, -EUCLEAN,
			   "%s/" STORE_FILE " %s; nothing was changed: to start with an empty one "
			   "move it away, with " STORE_FILE "-wal",
			   o->dir, why);
}

/* File systems whose locks or shared memory cannot be relied on between machines. FUSE is allowed:
 * it cannot be seen what is behind it, and many a local file system is FUSE. */
static const char *
network_file_system(unsigned long type)
{
	switch (type) {
	case NFS_SUPER_MAGIC:
		return "NFS";
	case SMB_SUPER_MAGIC:
	case SMB2_SUPER_MAGIC:
	case CIFS_SUPER_MAGIC:
		return "SMB";
	case CODA_SUPER_MAGIC:
		return "Coda";
	case AFS_SUPER_MAGIC:
	case AFS_FS_MAGIC:
		return "AFS";
	case V9FS_MAGIC:
		return "9P";
	default:
		return NULL;
	}
}

int
store_judge_dir(struct store_opening *o)
{
	struct statfs fs;
	struct stat st;
	const char *net;

	if (fstat(o->dirfd, &st) < 0 || fstatfs(o->dirfd, &fs) < 0)
		return store_open_failed(o, -errno, "cannot look at the directory");
	if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & S_IWOTH)
		return ctx_err_set(o->e, STORE_OPEN_FAILED, -EPERM,
				   "%s %s: give it to uid %u with mode 0700", o->dir,
				   st.st_mode & S_IWOTH ? "can be written by everyone"
							: "belongs to someone else",
				   (unsigned)geteuid());
	net = network_file_system((unsigned long)(unsigned)fs.f_type);
	if (net)
		return ctx_err_set(
			o->e, STORE_OPEN_REFUSED, -ENOTSUP,
			"%s is on a network file system (%s), where the database is not safe: "
			"use a directory on a local disk",
			o->dir, net);
	return 0;
}

/* ---- the database */

static int
query_int(struct store *s, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st = NULL;
	int rc;

	rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		*ret = sqlite3_column_int64(st, 0);
		rc = SQLITE_OK;
	} else if (rc == SQLITE_DONE) {
		rc = SQLITE_CORRUPT;
	}
	(void)sqlite3_finalize(st);
	return rc;
}

static int
quick_check(struct store_opening *o)
{
	sqlite3_stmt *st = NULL;
	char why[160] = "";
	int rc;

	rc = sqlite3_prepare_v2(o->s->db, "PRAGMA quick_check(1)", -1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(st, 0), "ok") != 0)
		(void)snprintf(why, sizeof(why), "is damaged (%.100s)",
			       (const char *)sqlite3_column_text(st, 0));
	(void)sqlite3_finalize(st);
	for (char *p = why; *p; p++)
		if (*p == '\n')
			*p = ' ';
	if (*why)
		return store_open_refused(o, why);
	return rc == SQLITE_ROW ? 0 : store_open_sql_failed(o, rc, "cannot check it");
}

static int
inspect_rows(struct store_opening *o, const struct store_file *f)
{
	static const struct {
		const char *sql, *why;
	} checks[] = {
		{"SELECT count(*) = 11 AND min(n) >= 0 FROM state_count", "is damaged (counts)"},
		{"SELECT coalesce((SELECT max(id) FROM job), 0) <=" /* */
		 " coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'job'), 0)",
		 "is damaged (ids)"},
	};
	int64_t ok = 0;
	int rc, r;

	/* Reading anything reads the schema first. */
	rc = query_int(o->s, "SELECT count(*) FROM sqlite_schema", &ok);
	if (rc != SQLITE_OK)
		return store_open_sql_failed(o, rc, "cannot read it");
	r = store_meta_read(o->s);
	if (r == -EUCLEAN || r == -EIO)
		return store_open_refused(o, "is damaged (meta)");
	if (r < 0)
		return store_open_failed(o, r, "cannot read it");
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		rc = query_int(o->s, checks[i].sql, &ok);
		if (rc == SQLITE_ERROR) /* a table is not there */
			return store_open_refused(o, "is damaged (schema)");
		if (rc != SQLITE_OK)
			return store_open_sql_failed(o, rc, "cannot read it");
		if (!ok)
			return store_open_refused(o, checks[i].why);
	}
	return f->wal && f->bytes <= QUICK_CHECK_MAX ? quick_check(o) : 0;
}

static const char *const side_files[] = {STORE_FILE "-wal", STORE_FILE "-shm",
					 STORE_FILE "-journal"};

/* Look through a read-only connection. It needs a WAL index, which is scratch memory without
 * content: one that is there is made anew, one that was not goes again on refusal. */
static int
inspect(struct store_opening *o, const struct store_file *f)
{
	bool had[ARRAY_SIZE(side_files)];
	struct stat st;
	int rc, r;

	for (size_t i = 0; i < ARRAY_SIZE(side_files); i++)
		had[i] = fstatat(o->dirfd, side_files[i], &st, AT_SYMLINK_NOFOLLOW) == 0;
	rc = sqlite3_open_v2(o->s->path, &o->s->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
			     NULL);
	if (rc == SQLITE_OK) {
		(void)sqlite3_busy_timeout(o->s->db, OPEN_BUSY_MS);
		(void)sqlite3_extended_result_codes(o->s->db, 1);
		r = inspect_rows(o, f);
	} else {
		r = store_open_sql_failed(o, rc, "cannot open it");
	}
	(void)sqlite3_close(o->s->db);
	o->s->db = NULL;
	for (size_t i = 0; r < 0 && i < ARRAY_SIZE(side_files); i++)
		if (!had[i])
			(void)unlinkat(o->dirfd, side_files[i], 0);
	return r;
}

int
store_judge(struct store_opening *o, struct store_file *ret)
{
	const char *why;
	char text[120];
	int r;

	r = store_file_look(o->dirfd, ret, &why);
	if (r == STORE_FILE_BAD)
		return store_open_refused(o, why);
	if (r == STORE_FILE_ALIEN)
		return refused_whole(o, why);
	if (r < 0)
		return store_open_failed(o, r, "cannot read it");
	if (r == STORE_FILE_ABSENT)
		return r;
	if (ret->application_id != STORE_APPLICATION_ID)
		return refused_whole(o, "belongs to another program");
	if (ret->user_version > store_create_version()) {
		(void)snprintf(text, sizeof(text),
			       "is of a newer version (schema %u, this ctxd knows %u): install "
			       "that version",
			       ret->user_version, store_create_version());
		return refused_whole(o, text);
	}
	if (ret->user_version == 0)
		return store_open_refused(o, "is damaged (no schema)");
	return inspect(o, ret);
}
