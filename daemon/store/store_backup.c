/* store_backup.c - a consistent copy of the database while it is in use.
 *
 * SQLite's backup starts anew when another connection writes meanwhile, and with the writing
 * connection itself every commit would also write the copy. So it reads through a connection of its
 * own, which holds a snapshot. That connection belongs to this process: SQLite keeps its locks
 * apart, which nobody else could who opened the file. */
#include "store/store_backup.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_db.h"

enum { STEP_PAGES = 64 }; /* a quarter of a megabyte: well below a millisecond */

struct store_backup {
	struct store *store;
	sqlite3 *from, *to;     /* owned; NULL once it is complete */
	sqlite3_backup *backup; /* owned; NULL once it is complete */
	int fd;                 /* owned: the copy; it has no name */
	uint64_t size;          /* of a complete one */
};

static int
failed(sqlite3 *db, int rc, const char *what)
{
	return err_raise(store_db_errno(db, rc), "backup: %s: %s", what, sqlite3_errstr(rc));
}

static int
open_from(struct store_backup *b)
{
	int rc = sqlite3_open_v2(b->store->path, &b->from,
				 SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);

	(void)sqlite3_extended_result_codes(b->from, 1);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(b->from, "BEGIN; SELECT count(*) FROM meta", NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : failed(b->from, rc, "cannot read the database");
}

/* The file loses its name as soon as SQLite has it open. */
static int
open_to(struct store_backup *b)
{
	_free_ char *path = text_format("%s.backup", b->store->path);
	int rc;

	if (!path)
		return err_raise(-ENOMEM, "no memory for a backup");
	(void)unlink(path); /* of a run that died here */
	b->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (b->fd < 0)
		return err_raise(-errno, "make '%s'", path);
	rc = sqlite3_open_v2(path, &b->to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	(void)sqlite3_extended_result_codes(b->to, 1);
	if (rc == SQLITE_OK)
		rc = sqlite3_exec(b->to,
				  "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
				  "PRAGMA cache_size = -256",
				  NULL, NULL, NULL);
	(void)unlink(path);
	return rc == SQLITE_OK ? 0 : failed(b->to, rc, "cannot open the copy");
}

int
store_backup_new(struct store *s, struct store_backup **ret)
{
	struct store_backup *b;
	int r;

	if (s->backing_up)
		return -EBUSY;
	b = calloc(1, sizeof(*b));
	if (!b)
		return err_raise(-ENOMEM, "no memory for a backup");
	b->store = s;
	b->fd = -1;
	s->backing_up = true;
	r = open_from(b);
	if (r == 0)
		r = open_to(b);
	if (r == 0) {
		b->backup = sqlite3_backup_init(b->to, "main", b->from, "main");
		if (!b->backup)
			r = failed(b->to, sqlite3_errcode(b->to), "cannot begin");
	}
	if (r < 0) {
		(void)store_backup_free(b);
		return r;
	}
	*ret = b;
	return 0;
}

static void
let_go(struct store_backup *b)
{
	(void)sqlite3_backup_finish(b->backup);
	(void)sqlite3_close(b->to);
	(void)sqlite3_close(b->from); /* ends the snapshot */
	b->backup = NULL;
	b->to = b->from = NULL;
}

int
store_backup_step(struct store_backup *b, bool *ret_done)
{
	struct stat st;
	int rc;

	assert(b->backup);
	rc = sqlite3_backup_step(b->backup, STEP_PAGES);
	*ret_done = rc == SQLITE_DONE;
	if (rc == SQLITE_OK || rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		return 0;
	if (rc != SQLITE_DONE)
		return failed(b->to, rc, "cannot copy");
	let_go(b);
	if (fstat(b->fd, &st) < 0)
		return err_raise(-errno, "size of a backup");
	b->size = (uint64_t)st.st_size;
	return 0;
}

int
store_backup_fd(const struct store_backup *b, uint64_t *ret_size)
{
	assert(!b->backup);
	*ret_size = b->size;
	return b->fd;
}

struct store_backup *
store_backup_free(struct store_backup *b)
{
	if (!b)
		return NULL;
	let_go(b);
	if (b->fd >= 0)
		(void)close(b->fd);
	b->store->backing_up = false;
	free(b);
	return NULL;
}
