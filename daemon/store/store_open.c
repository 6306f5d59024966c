/* store_open.c - opening: what lies there is judged (store_judge.c), what does not is made, what is
 * older is brought to this version (store_create.c). Nothing is written before the judgement is
 * over. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_opening.h"

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

/* ---- what is said when it cannot be opened */

int
store_open_refused(struct store_opening *o, const char *why)
{
	return ctx_err_set(o->e, STORE_OPEN_REFUSED, -EUCLEAN,
			   "%s/" STORE_FILE
			   " %s; nothing was changed: ctxd --recover-db saves what can be read, or "
			   "put back a backup",
			   o->dir, why);
}

int
store_open_failed(struct store_opening *o, int r, const char *what)
{
	return ctx_err_set(o->e, STORE_OPEN_FAILED, r, "%s/" STORE_FILE ": %s: %s", o->dir, what,
			   r == -EBUSY ? "another program has it locked" : strerror(-r));
}

/* For a result of SQLite: what says that the content is bad is a refusal. */
int
store_open_sql_failed(struct store_opening *o, int rc, const char *what)
{
	char why[120];
	int r = store_db_errno(o->s->db, rc);

	if (r != -EUCLEAN)
		return store_open_failed(o, r, what);
	(void)snprintf(why, sizeof(why), "is damaged (%s)", sqlite3_errmsg(o->s->db));
	return store_open_refused(o, why);
}

/* ---- opening */

static int
connect_rw(struct store_opening *o, uint32_t version)
{
	struct store *s = o->s;
	int rc;

	rc = sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return store_open_sql_failed(o, rc, "cannot open it");
	(void)sqlite3_extended_result_codes(s->db, 1);
	(void)sqlite3_busy_timeout(s->db, OPEN_BUSY_MS);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	(void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	rc = store_db_exec(s, settings);
	if (rc != SQLITE_OK)
		return store_open_sql_failed(o, rc, "cannot set it up");
	if (version < store_create_version()) {
		rc = store_db_exec(s, "BEGIN IMMEDIATE");
		if (rc == SQLITE_OK)
			rc = store_create_migrate(s, version, store_create_version());
		if (rc == SQLITE_OK)
			rc = store_db_exec(s, "COMMIT");
		if (rc != SQLITE_OK)
			return store_open_sql_failed(
				o, rc, "cannot bring it to the schema of this version");
	}
	return 0;
}

static int
ready(struct store_opening *o)
{
	struct store *s = o->s;
	int r;

	r = store_meta_read(s);
	if (r == 0)
		r = store_db_prepare(s);
	if (r < 0)
		return store_open_failed(o, r, "cannot be used");
	/* From here on nothing waits for a lock: the loop comes first. */
	(void)sqlite3_busy_timeout(s->db, 0);
	return 0;
}

static int
open_all(struct store_opening *o)
{
	struct store_file f = {.user_version = store_create_version()};
	int r;

	r = store_judge_dir(o);
	if (r == 0)
		r = store_judge(o, &f);
	if (r == STORE_FILE_ABSENT) {
		f.user_version = store_create_version();
		r = store_create(o);
	}
	if (r == 0)
		r = connect_rw(o, f.user_version);
	return r == 0 ? ready(o) : r;
}

int
store_open(const char *dir, struct store **ret, struct ctx_err *e)
{
	_close_ int dirfd = -1;
	struct store_opening o = {.dir = dir, .e = e};
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
	r = s && s->path && s->wal_path ? open_all(&o)
					: store_open_failed(&o, -ENOMEM, "cannot open it");
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

/* ---- for store_recover.c */

int
store_open_judge(struct store *s, const char *dir, int dirfd, struct ctx_err *e)
{
	struct store_opening o = {.dir = dir, .dirfd = dirfd, .s = s, .e = e};
	struct store_file f;
	int r = store_judge_dir(&o);

	return r == 0 ? store_judge(&o, &f) : r;
}

int
store_open_aside(struct store *s, const char *dir, int dirfd, uint32_t version, struct ctx_err *e)
{
	struct store_opening o = {.dir = dir, .dirfd = dirfd, .s = s, .e = e};

	return store_create_aside(&o, version);
}
