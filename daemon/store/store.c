/* store.c - transactions, the spawn sequence, what is known of the database as a whole.
 *
 * POSIX locks belong to the process: while SQLite has the database open nobody here may open and
 * close the file, because that close would drop SQLite's locks. Sizes are asked with stat. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "store/store_db.h"

const char *const store_sql[Q_N] = {
	[Q_BEGIN] = "BEGIN IMMEDIATE",
	[Q_COMMIT] = "COMMIT",
	[Q_ROLLBACK] = "ROLLBACK",
	[Q_SEQ_SET] = "UPDATE meta SET seq = ?",
};

const uint8_t *
store_uuid(const struct store *s)
{
	return s->uuid;
}

int
store_begin(struct store *s, const char *where)
{
	sqlite3_stmt *st;
	int r;

	(void)where; /* for debuggers: who opened it */
	if (s->poisoned)
		return -ECANCELED;
	assert(!s->txn);
	st = store_db_stmt(s, Q_BEGIN, &r);
	if (!st)
		return r;
	r = store_db_run(s, st);
	s->txn = r == 0;
	s->changes = sqlite3_total_changes(s->db);
	return r;
}

static void
txn_over(struct store *s, bool committed)
{
	if (committed) {
		s->seq_committed = s->seq;
		s->edge_committed = s->edge;
	} else {
		s->seq = s->seq_committed;
		s->edge = s->edge_committed;
	}
	s->txn = s->poisoned = false;
}

void
store_rollback(struct store *s)
{
	if (!s->txn)
		return;
	/* A failed ROLLBACK (it can only fail when there is nothing to roll back, or in a disk
	 * error that the next use of the file repeats) leaves no transaction behind either. */
	if (!sqlite3_get_autocommit(s->db)) {
		(void)sqlite3_step(s->stmts[Q_ROLLBACK]);
		(void)sqlite3_reset(s->stmts[Q_ROLLBACK]);
	}
	txn_over(s, false);
}

static bool
any_statement_active(struct store *s)
{
	for (sqlite3_stmt *st = sqlite3_next_stmt(s->db, NULL); st;
	     st = sqlite3_next_stmt(s->db, st))
		if (sqlite3_stmt_busy(st))
			return true;
	return false;
}

static int
seq_write(struct store *s)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_SEQ_SET, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)s->seq);
	return store_db_run(s, st);
}

int
store_probe(struct store *s)
{
	return seq_write(s);
}

int
store_commit(struct store *s)
{
	int rc, r;

	if (s->poisoned)
		return -ECANCELED;
	assert(s->txn && !any_statement_active(s));
	/* Once a transaction, however many jobs took a number. */
	r = s->seq == s->seq_committed ? 0 : seq_write(s);
	if (r < 0) {
		store_rollback(s);
		return r;
	}
	rc = sqlite3_step(s->stmts[Q_COMMIT]);
	r = rc == SQLITE_DONE ? 0 : store_db_fail(s, rc, "COMMIT");
	(void)sqlite3_reset(s->stmts[Q_COMMIT]);
	if (r == -EBUSY && !sqlite3_get_autocommit(s->db))
		return r;
	if (r < 0)
		store_rollback(s);
	else
		txn_over(s, true);
	return r;
}

bool
store_changed(const struct store *s)
{
	return s->txn && (s->seq != s->seq_committed || sqlite3_total_changes(s->db) != s->changes);
}

bool
store_in_txn(const struct store *s)
{
	return s->txn;
}

bool
store_poisoned(const struct store *s)
{
	return s->poisoned;
}

int64_t
store_wal_size(struct store *s)
{
	struct stat st;

	return stat(s->wal_path, &st) == 0 ? st.st_size : 0;
}

int64_t
store_size(struct store *s)
{
	struct stat st;

	return store_wal_size(s) + (stat(s->path, &st) == 0 ? st.st_size : 0);
}

int
store_seq_next(struct store *s, uint64_t *ret)
{
	if (s->poisoned)
		return -ECANCELED;
	assert(s->txn);
	if (s->seq >= INT64_MAX)
		return err_raise(-EOVERFLOW, "spawn sequence exhausted");
	*ret = ++s->seq;
	return 0;
}

uint64_t
store_seq_last(const struct store *s)
{
	return s->seq;
}

int
store_meta_read(struct store *s)
{
	sqlite3_stmt *st = NULL;
	const void *uuid;
	sqlite3_int64 seq, edge;
	int rc, r = 0;

	rc = sqlite3_prepare_v2(
		s->db,
		"SELECT uuid, seq, max(edge, coalesce((SELECT max(edge) FROM history), 0))"
		" FROM meta",
		-1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW) {
		uuid = sqlite3_column_blob(st, 0);
		seq = sqlite3_column_int64(st, 1);
		edge = sqlite3_column_int64(st, 2);
		if (uuid && sqlite3_column_bytes(st, 0) == sizeof(s->uuid) && seq >= 0 &&
		    edge >= 0) {
			memcpy(s->uuid, uuid, sizeof(s->uuid));
			s->seq = s->seq_committed = (uint64_t)seq;
			s->edge = s->edge_committed = (uint64_t)edge;
		} else {
			r = -EUCLEAN;
		}
	} else {
		r = rc == SQLITE_DONE ? -EUCLEAN : store_db_errno(s->db, rc);
	}
	(void)sqlite3_finalize(st);
	return r;
}
