/* store_db.c - statements and errors: what every file of the store needs from SQLite. */
#include "store/store_db.h"

#include <assert.h>
#include <errno.h>

#include "base/err.h"
#include "base/mem.h"

static const char *const *const tables[] = {
	store_sql,        store_job_sql,     store_env_sql,   store_history_sql,
	store_event_sql,  store_context_sql, store_queue_sql, store_wait_sql,
	store_outbox_sql, store_forward_sql, store_old_sql,   store_list_sql,
};

static const char *
query_text(enum store_query q)
{
	for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
		if (tables[i][q])
			return tables[i][q];
	assert_not_reached("every query has a text");
}

static int
prepare(struct store *s, enum store_query q)
{
	int rc = sqlite3_prepare_v3(s->db, query_text(q), -1, SQLITE_PREPARE_PERSISTENT,
				    &s->stmts[q], NULL);

	return rc == SQLITE_OK ? 0 : store_db_fail(s, rc, query_text(q));
}

/* The statements of lists are wide and most are never used: they are prepared when first wanted. */
int
store_db_prepare(struct store *s)
{
	int r = store_broken_init(s);

	if (r < 0)
		return r;
	for (unsigned q = 0; q < Q_LIST; q++) {
		r = prepare(s, (enum store_query)q);
		if (r < 0)
			return r;
	}
	return 0;
}

void
store_db_finalize(struct store *s)
{
	for (unsigned q = 0; q < Q_N; q++) {
		(void)sqlite3_finalize(s->stmts[q]);
		s->stmts[q] = NULL;
	}
	store_broken_done(s);
}

sqlite3_stmt *
store_db_stmt(struct store *s, enum store_query q, int *ret_r)
{
	if (!s->stmts[q]) {
		*ret_r = prepare(s, q);
		if (*ret_r < 0)
			return NULL;
	}
	assert(!sqlite3_stmt_busy(s->stmts[q]));
	return s->stmts[q];
}

sqlite3_stmt *
store_db_write_stmt(struct store *s, enum store_query q, int *ret_r)
{
	if (s->poisoned) {
		*ret_r = -ECANCELED;
		return NULL;
	}
	assert(s->txn);
	return store_db_stmt(s, q, ret_r);
}

int
store_db_row(struct store *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : store_db_fail(s, rc, sqlite3_sql(st));
}

int
store_db_ask(struct store *s, enum store_query q, int64_t *ret)
{
	_reset_ sqlite3_stmt *st;
	int r = 0;

	st = store_db_stmt(s, q, &r);
	if (!st)
		return r;
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	*ret = sqlite3_column_int64(st, 0);
	return 0;
}

int
store_db_ids(struct store *s, sqlite3_stmt *st, int last, uint64_t *ids, size_t max, size_t *ret_n)
{
	size_t n = 0;
	int r = 0;

	(void)sqlite3_bind_int64(st, last, max > INT32_MAX ? INT32_MAX : (sqlite3_int64)max);
	while (n < max && (r = store_db_row(s, st)) > 0)
		ids[n++] = (uint64_t)sqlite3_column_int64(st, 0);
	if (r < 0)
		return r;
	*ret_n = n;
	return 0;
}

int
store_db_ids_from(struct store *s, enum store_query q, int64_t from, uint64_t *ids, size_t max,
		  size_t *ret_n)
{
	_reset_ sqlite3_stmt *st;
	int r = 0;

	st = store_db_stmt(s, q, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, from);
	return store_db_ids(s, st, 2, ids, max, ret_n);
}

int
store_db_run(struct store *s, sqlite3_stmt *st)
{
	int rc = sqlite3_step(st), r = 0;

	assert(rc != SQLITE_ROW);
	if (rc != SQLITE_DONE) {
		r = store_db_fail(s, rc, sqlite3_sql(st));
		/* Even where SQLite took back only this statement: what its caller had written
		 * before belongs together with it. */
		s->poisoned = s->poisoned || s->txn;
	}
	(void)sqlite3_reset(st);
	return r;
}

/* What the operating system said, for the codes that stand for any failed system call. */
static int
system_errno(sqlite3 *db)
{
	int error = db ? sqlite3_system_errno(db) : 0;

	if (error == ENOSPC || error == EDQUOT)
		return -ENOSPC;
	return error == ENOMEM ? -ENOMEM : -EIO;
}

int
store_db_errno(sqlite3 *db, int rc)
{
	switch (rc & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CONSTRAINT:
		return rc == SQLITE_CONSTRAINT_UNIQUE ? -EEXIST : -EIO;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
	case SQLITE_FORMAT:
	case SQLITE_SCHEMA:
		return -EUCLEAN;
	case SQLITE_IOERR:
		if (rc == SQLITE_IOERR_NOMEM)
			return -ENOMEM;
		return system_errno(db);
	default:
		return system_errno(db);
	}
}

int
store_db_exec(struct store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL);
}

int
store_db_fail(struct store *s, int rc, const char *what)
{
	int r = store_db_errno(s->db, rc);

	if (s->txn && sqlite3_get_autocommit(s->db))
		s->poisoned = true;
	if (r == -EBUSY)
		return r;
	return err_raise(r, "database: %s (%d) in: %s", sqlite3_errmsg(s->db),
			 sqlite3_extended_errcode(s->db), what);
}
