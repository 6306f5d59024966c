/* store_create.c - a new database; the schema of an older one is brought to this version.
 *
 * A new one is made under another name and renamed when it is whole: an empty ctxd.db is never
 * ours. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_opening.h"

static const char *const migrations[] = {
#define SCHEMA(version, sql) [version] = (sql),
#include "store/schema.def"
#undef SCHEMA
};

uint32_t
store_create_version(void)
{
	return (uint32_t)(ARRAY_SIZE(migrations) - 1);
}

int
store_create_migrate(struct store *s, uint32_t from, uint32_t to)
{
	char sql[64];
	int rc = SQLITE_OK;

	for (uint32_t v = from + 1; v <= to && rc == SQLITE_OK; v++)
		rc = store_db_exec(s, migrations[v]);
	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %u", to);
	return rc == SQLITE_OK ? store_db_exec(s, sql) : rc;
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
	rc = store_db_exec(s, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA "
			      "synchronous = FULL;"
			      "BEGIN IMMEDIATE");
	if (rc == SQLITE_OK)
		rc = store_db_exec(s, sql);
	if (rc == SQLITE_OK)
		rc = store_create_migrate(s, 0, version);
	if (rc == SQLITE_OK)
		rc = insert_meta(s);
	return rc == SQLITE_OK ? store_db_exec(s, "COMMIT") : rc;
}

static void
remove_new(int dirfd)
{
	(void)unlinkat(dirfd, STORE_NEW_FILE, 0);
	(void)unlinkat(dirfd, STORE_NEW_FILE "-wal", 0);
	(void)unlinkat(dirfd, STORE_NEW_FILE "-shm", 0);
	(void)unlinkat(dirfd, STORE_NEW_FILE "-journal", 0);
}

int
store_create_aside(struct store_opening *o, uint32_t version)
{
	_free_ char *path = text_format("%s/" STORE_NEW_FILE, o->dir);
	_close_ int fd = -1;
	struct stat st;
	int rc, r;

	if (!path)
		return store_open_failed(o, -ENOMEM, "cannot create it");
	remove_new(o->dirfd); /* of a run that died here */
	/* Made by us, so that there is no moment in which others may read it; SQLite gives its side
	 * files the same mode. */
	fd = openat(o->dirfd, STORE_NEW_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	if (fd < 0 || fchmod(fd, 0600) < 0)
		return store_open_failed(o, -errno, "cannot create it");
	(void)close(take_fd(fd)); /* before SQLite locks it */
	rc = sqlite3_open_v2(path, &o->s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc == SQLITE_OK)
		rc = fill_new(o->s, version);
	r = rc == SQLITE_OK
		    ? 0
		    : store_open_failed(o, store_db_errno(o->s->db, rc), "cannot create it");
	rc = sqlite3_close(o->s->db); /* writes the WAL back and removes it */
	o->s->db = NULL;
	if (r == 0 && (rc != SQLITE_OK || fstatat(o->dirfd, STORE_NEW_FILE "-wal", &st, 0) == 0))
		r = store_open_failed(o, -ENOSPC, "cannot finish it");
	return r;
}

int
store_create(struct store_opening *o)
{
	int r;

	r = store_create_aside(o, store_create_version());
	if (r == 0 &&
	    renameat2(o->dirfd, STORE_NEW_FILE, o->dirfd, STORE_FILE, RENAME_NOREPLACE) < 0)
		r = store_open_failed(o, -errno, "cannot name it");
	if (r == 0 && fsync(o->dirfd) < 0)
		r = store_open_failed(o, -errno, "cannot be sure of its name");
	if (r < 0)
		remove_new(o->dirfd);
	return r;
}
