/* store_open.c - opening: judge what lies there, create what does not, migrate what is older.
 *
 * Nothing is written before the judgement is over, and a refused database stays as it is to the
 * byte. The judgement has to be bounded (a million rows must be ready in half a second), so it does
 * not read every page. What is checked, and why that:
 *  - without SQLite (store_file.c): magic, whose it is, its version, also where the newest header
 * lies in the WAL; that every page of the last commit is there: finds a cut or padded file of any
 * size, closed or not;
 *  - on a read-only connection: the schema can be read, the rows of meta and state_count are all
 * there and make sense, and ids have not run past what was handed out: finds a file whose first
 * pages or whose newest ones are broken;
 *  - PRAGMA quick_check, if the database was not closed and is small: after a crash a broken disk
 * shows first, and small is what can be read in a moment. What is broken elsewhere shows as
 * -EUCLEAN when it is touched.
 *
 * A new database is made under another name and renamed when it is whole: an empty ctxd.db is never
 * ours. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_db.h"

static const char *const migrations[] = {
#define SCHEMA(version, sql) [version] = (sql),
#include "store/schema.def"
#undef SCHEMA
};
#define SCHEMA_VERSION ((uint32_t)(ARRAY_SIZE(migrations) - 1))

#define NEW_FILE STORE_NEW_FILE
#define QUICK_CHECK_MAX (16 << 20) /* bytes; some 50 ms */
#define OPEN_BUSY_MS 2000          /* while opening there is no loop to hold up */

/* WAL and FULL: what is committed survives a power cut. A checkpoint is part of a commit, after so
 * many pages: small enough to be over in a moment, large enough to come seldom. Deleted
 * environments are overwritten where that costs no more writing. */
static const char settings[] = "PRAGMA journal_mode = WAL;"
			       "PRAGMA synchronous = FULL;"
			       "PRAGMA locking_mode = NORMAL;"
			       "PRAGMA wal_autocheckpoint = 1000;"
			       "PRAGMA journal_size_limit = 8388608;"
			       "PRAGMA cache_size = -512;"
			       "PRAGMA mmap_size = 0;"
			       "PRAGMA temp_store = MEMORY;"
			       "PRAGMA secure_delete = FAST;"
			       "PRAGMA trusted_schema = OFF;"
			       "PRAGMA foreign_keys = OFF;"
			       "PRAGMA recursive_triggers = OFF;";

struct opening {
	const char *dir;
	int dirfd;
	struct store *s;
	struct ctx_err *e;
};

static int
refused(struct opening *o, const char *why)
{
	return ctx_err_set(o->e, STORE_OPEN_REFUSED, -EUCLEAN,
			   "%s/" STORE_FILE
			   " %s; nothing was changed: ctxd --recover-db saves what can be read, or "
			   "put back a backup",
			   o->dir, why);
}

/* Not ours to mend. */
static int
refused_whole(struct opening *o, const char *why)
{
	return ctx_err_set(o->e, STORE_OPEN_REFUSED, -EUCLEAN,
			   "%s/" STORE_FILE " %s; nothing was changed: to start with an empty one "
			   "move it away, with " STORE_FILE "-wal",
			   o->dir, why);
}

static int
failed(struct opening *o, int r, const char *what)
{
	return ctx_err_set(o->e, STORE_OPEN_FAILED, r, "%s/" STORE_FILE ": %s: %s", o->dir, what,
			   r == -EBUSY ? "another program has it locked" : strerror(-r));
}

/* For a result of SQLite: what says that the content is bad is a refusal. */
static int
sql_failed(struct opening *o, int rc, const char *what)
{
	char why[120];
	int r = store_db_errno(o->s->db, rc);

	if (r != -EUCLEAN)
		return failed(o, r, what);
	(void)snprintf(why, sizeof(why), "is damaged (%s)", sqlite3_errmsg(o->s->db));
	return refused(o, why);
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

static int
check_dir(struct opening *o)
{
	struct statfs fs;
	struct stat st;
	const char *net;

	if (fstat(o->dirfd, &st) < 0 || fstatfs(o->dirfd, &fs) < 0)
		return failed(o, -errno, "cannot look at the directory");
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

/* ---- judging what is there */

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
quick_check(struct opening *o)
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
		return refused(o, why);
	return rc == SQLITE_ROW ? 0 : sql_failed(o, rc, "cannot check it");
}

static int
inspect_rows(struct opening *o, const struct store_file *f)
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
		return sql_failed(o, rc, "cannot read it");
	r = store_meta_read(o->s);
	if (r == -EUCLEAN || r == -EIO)
		return refused(o, "is damaged (meta)");
	if (r < 0)
		return failed(o, r, "cannot read it");
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		rc = query_int(o->s, checks[i].sql, &ok);
		if (rc == SQLITE_ERROR) /* a table is not there */
			return refused(o, "is damaged (schema)");
		if (rc != SQLITE_OK)
			return sql_failed(o, rc, "cannot read it");
		if (!ok)
			return refused(o, checks[i].why);
	}
	return f->wal && f->bytes <= QUICK_CHECK_MAX ? quick_check(o) : 0;
}

static const char *const side_files[] = {STORE_FILE "-wal", STORE_FILE "-shm",
					 STORE_FILE "-journal"};

/* Look through a read-only connection. It needs a WAL index, which is scratch memory without
 * content: one that is there is made anew, one that was not goes again on refusal. */
static int
inspect(struct opening *o, const struct store_file *f)
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
		r = sql_failed(o, rc, "cannot open it");
	}
	(void)sqlite3_close(o->s->db);
	o->s->db = NULL;
	for (size_t i = 0; r < 0 && i < ARRAY_SIZE(side_files); i++)
		if (!had[i])
			(void)unlinkat(o->dirfd, side_files[i], 0);
	return r;
}

/* 0 it is ours and whole, STORE_FILE_ABSENT, or negative errno. */
static int
judge(struct opening *o, struct store_file *ret)
{
	const char *why;
	char text[120];
	int r;

	r = store_file_look(o->dirfd, ret, &why);
	if (r == STORE_FILE_BAD)
		return refused(o, why);
	if (r < 0)
		return failed(o, r, "cannot read it");
	if (r == STORE_FILE_ABSENT)
		return r;
	if (ret->application_id != STORE_APPLICATION_ID)
		return refused_whole(o, "belongs to another program");
	if (ret->user_version > SCHEMA_VERSION) {
		(void)snprintf(text, sizeof(text),
			       "is of a newer version (schema %u, this ctxd knows %u): install "
			       "that version",
			       ret->user_version, SCHEMA_VERSION);
		return refused_whole(o, text);
	}
	if (ret->user_version == 0)
		return refused(o, "is damaged (no schema)");
	return inspect(o, ret);
}

/* ---- making and migrating */

static int
exec(struct store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

/* Bring the schema from version FROM to version TO, in the open transaction. */
static int
migrate(struct store *s, uint32_t from, uint32_t to)
{
	char sql[64];
	int rc = SQLITE_OK;

	for (uint32_t v = from + 1; v <= to && rc == SQLITE_OK; v++)
		rc = exec(s, migrations[v]);
	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %u", to);
	return rc == SQLITE_OK ? exec(s, sql) : rc;
}

static int
insert_meta(struct store *s)
{
	sqlite3_stmt *st = NULL;
	uint8_t uuid[16];
	int rc;

	if (getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid))
		return SQLITE_IOERR;
	rc = sqlite3_prepare_v2(
		s->db, "INSERT INTO meta(one, uuid, seq, edge, dropped) VALUES(1, ?, 0, 0, 0)", -1,
		&st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(st, 1, uuid, sizeof(uuid), SQLITE_STATIC);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
fill_new(struct store *s, uint32_t version)
{
	char sql[64];
	int rc;

	(void)snprintf(sql, sizeof(sql), "PRAGMA application_id = %u", STORE_APPLICATION_ID);
	rc = exec(s, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA "
		     "synchronous = FULL;"
		     "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK)
		rc = exec(s, sql);
	if (rc == SQLITE_OK)
		rc = migrate(s, 0, version);
	if (rc == SQLITE_OK)
		rc = insert_meta(s);
	return rc == SQLITE_OK ? exec(s, "COMMIT") : rc;
}

static void
remove_new(int dirfd)
{
	(void)unlinkat(dirfd, NEW_FILE, 0);
	(void)unlinkat(dirfd, NEW_FILE "-wal", 0);
	(void)unlinkat(dirfd, NEW_FILE "-shm", 0);
	(void)unlinkat(dirfd, NEW_FILE "-journal", 0);
}

static int
create_aside(struct opening *o, uint32_t version)
{
	_free_ char *path = text_format("%s/" NEW_FILE, o->dir);
	_close_ int fd = -1;
	struct stat st;
	int rc, r;

	if (!path)
		return failed(o, -ENOMEM, "cannot create it");
	remove_new(o->dirfd); /* of a run that died here */
	/* Made by us, so that there is no moment in which others may read it; SQLite gives its side
	 * files the same mode. */
	fd = openat(o->dirfd, NEW_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return failed(o, -errno, "cannot create it");
	(void)close(take_fd(fd)); /* before SQLite locks it */
	rc = sqlite3_open_v2(path, &o->s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = fill_new(o->s, version);
	r = rc == SQLITE_OK ? 0 : failed(o, store_db_errno(o->s->db, rc), "cannot create it");
	rc = sqlite3_close(o->s->db); /* writes the WAL back and removes it */
	o->s->db = NULL;
	if (r == 0 && (rc != SQLITE_OK || fstatat(o->dirfd, NEW_FILE "-wal", &st, 0) == 0))
		r = failed(o, -ENOSPC, "cannot finish it");
	return r;
}

static int
create(struct opening *o)
{
	int r;

	r = create_aside(o, SCHEMA_VERSION);
	if (r == 0 && renameat2(o->dirfd, NEW_FILE, o->dirfd, STORE_FILE, RENAME_NOREPLACE) < 0)
		r = failed(o, -errno, "cannot name it");
	if (r == 0 && fsync(o->dirfd) < 0)
		r = failed(o, -errno, "cannot be sure of its name");
	if (r < 0)
		remove_new(o->dirfd);
	return r;
}

/* ---- for store_recover.c */

uint32_t
store_open_version(void)
{
	return SCHEMA_VERSION;
}

int
store_open_judge(struct store *s, const char *dir, int dirfd, struct ctx_err *e)
{
	struct opening o = {.dir = dir, .dirfd = dirfd, .s = s, .e = e};
	struct store_file f;
	int r = check_dir(&o);

	return r == 0 ? judge(&o, &f) : r;
}

int
store_open_aside(struct store *s, const char *dir, int dirfd, uint32_t version, struct ctx_err *e)
{
	struct opening o = {.dir = dir, .dirfd = dirfd, .s = s, .e = e};

	return create_aside(&o, version);
}

int
store_open_migrate(struct store *s, uint32_t from)
{
	return migrate(s, from, SCHEMA_VERSION);
}

/* ---- opening */

static int
connect_rw(struct opening *o, uint32_t version)
{
	struct store *s = o->s;
	int rc;

	rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return sql_failed(o, rc, "cannot open it");
	(void)sqlite3_extended_result_codes(s->db, 1);
	(void)sqlite3_busy_timeout(s->db, OPEN_BUSY_MS);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	rc = exec(s, settings);
	if (rc != SQLITE_OK)
		return sql_failed(o, rc, "cannot set it up");
	if (version < SCHEMA_VERSION) {
		rc = exec(s, "BEGIN IMMEDIATE");
		if (rc == SQLITE_OK)
			rc = migrate(s, version, SCHEMA_VERSION);
		if (rc == SQLITE_OK)
			rc = exec(s, "COMMIT");
		if (rc != SQLITE_OK)
			return sql_failed(o, rc, "cannot bring it to the schema of this version");
	}
	return 0;
}

static int
ready(struct opening *o)
{
	struct store *s = o->s;
	int r;

	r = store_meta_read(s);
	if (r == 0)
		r = store_db_prepare(s);
	if (r < 0)
		return failed(o, r, "cannot be used");
	/* From here on nothing waits for a lock: the loop comes first. */
	(void)sqlite3_busy_timeout(s->db, 0);
	return 0;
}

static int
open_all(struct opening *o)
{
	struct store_file f = {.user_version = SCHEMA_VERSION};
	int r;

	r = check_dir(o);
	if (r == 0)
		r = judge(o, &f);
	if (r == STORE_FILE_ABSENT) {
		f.user_version = SCHEMA_VERSION;
		r = create(o);
	}
	if (r == 0)
		r = connect_rw(o, f.user_version);
	return r == 0 ? ready(o) : r;
}

int
store_open(const char *dir, struct store **ret, struct ctx_err *e)
{
	_close_ int dirfd = -1;
	struct opening o = {.dir = dir, .e = e};
	struct store *s;
	int r;

	/* One thread: no mutexes, no shared statistics. Refused, harmlessly, from the second
	 * opening on. */
	(void)sqlite3_config(SQLITE_CONFIG_SINGLETHREAD);
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return ctx_err_set(e, STORE_OPEN_FAILED, -errno, "cannot open directory %s: %s",
				   dir, strerror(errno));
	s = calloc(1, sizeof(*s));
	if (s) {
		s->path = text_format("%s/" STORE_FILE, dir);
		s->wal_path = text_format("%s/" STORE_FILE "-wal", dir);
	}
	o.s = s;
	o.dirfd = dirfd;
	r = s && s->path && s->wal_path ? open_all(&o) : failed(&o, -ENOMEM, "cannot open it");
	if (r < 0) {
		(void)store_close(s);
		return r;
	}
	store_wal_reserve(s);
	*ret = s;
	return 0;
}

struct store *
store_close(struct store *s)
{
	if (!s)
		return NULL;
	store_rollback(s);
	store_db_finalize(s);
	(void)sqlite3_close(s->db); /* the last connection checkpoints and removes the WAL */
	free(s->path);
	free(s->wal_path);
	free(s);
	return NULL;
}
