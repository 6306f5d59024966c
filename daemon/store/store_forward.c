/* store_forward.c - which output goes to the journal, and how far it has come there. */
#include "store/store_db.h"

#define COLUMNS "job, attempt, keep, done, out_at, out_round, err_at, err_round"

const char *const store_forward_sql[Q_N] = {
	[Q_FORWARD_ADD] = "INSERT OR REPLACE INTO forward(" COLUMNS ")"
			  " VALUES(?, ?, ?, 0, 0, 0, 0, 0)",
	[Q_FORWARD_GET] = "SELECT " COLUMNS " FROM forward WHERE job = ? AND attempt = ?",
	[Q_FORWARD_FIRST] = "SELECT " COLUMNS " FROM forward INDEXED BY forward_waiting"
			    " WHERE done = 0 AND job = ? ORDER BY attempt LIMIT 1",
	[Q_FORWARD_JOBS] = "SELECT DISTINCT job FROM forward INDEXED BY forward_waiting"
			   " WHERE done = 0 AND job > ? ORDER BY job LIMIT ?",
	[Q_FORWARD_COUNT] = "SELECT count(*) FROM forward WHERE done = 0",
	[Q_FORWARD_PLACE] = "UPDATE forward SET out_at = ?3, out_round = ?4, err_at = ?5,"
			    " err_round = ?6 WHERE job = ?1 AND attempt = ?2 AND done = 0",
	[Q_FORWARD_DONE] = "UPDATE forward SET done = 1, out_at = ?3, out_round = ?4, err_at = ?5,"
			   " err_round = ?6 WHERE job = ?1 AND attempt = ?2 AND done = 0",
	/* As KEPT of schema.def and Q_OUTPUT_BACK count it. */
	[Q_FORWARD_TAKEN] =
		"UPDATE job SET out_earlier = out_earlier - max(out_bytes - out_dropped, 0)"
		" - max(err_bytes - err_dropped, 0) WHERE id = ?1 AND attempt = ?2"
		" AND output_gone = 0",
	[Q_FORWARD_TAKEN_EARLIER] = "UPDATE job SET out_earlier = max(out_earlier - ?3, 0)"
				    " WHERE id = ?1 AND attempt > ?2 AND output_gone = 0",
	[Q_FORWARD_DROP] = "DELETE FROM forward WHERE job = ? AND done = 0",
	[Q_FORWARD_DROP_ONE] = "DELETE FROM forward WHERE job = ? AND attempt = ?",
	[Q_FORWARD_DELETE] = "DELETE FROM forward WHERE job = ?",
};

static void
bind_attempt(sqlite3_stmt *st, uint64_t job, uint32_t attempt)
{
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)job);
	(void)sqlite3_bind_int64(st, 2, attempt);
}

int
store_forward_add(struct store *s, const struct store_forward *f)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_FORWARD_ADD, &r);
	if (!st)
		return r;
	bind_attempt(st, f->job, f->attempt);
	(void)sqlite3_bind_int(st, 3, f->keep);
	return store_db_run(s, st);
}

/* 0, STORE_E_NOT_FOUND, or negative errno. */
static int
read_row(struct store *s, sqlite3_stmt *st, struct store_forward *ret)
{
	int r = store_db_row(s, st);

	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	*ret = (struct store_forward){.job = (uint64_t)sqlite3_column_int64(st, 0),
				      .attempt = (uint32_t)sqlite3_column_int64(st, 1),
				      .keep = sqlite3_column_int(st, 2) != 0,
				      .done = sqlite3_column_int(st, 3) != 0};
	for (int i = 0; i < 2; i++) {
		ret->stream[i].at = (uint64_t)sqlite3_column_int64(st, 4 + 2 * i);
		ret->stream[i].round = (uint32_t)sqlite3_column_int64(st, 5 + 2 * i);
	}
	return 0;
}

int
store_forward_get(struct store *s, uint64_t job, uint32_t attempt, struct store_forward *ret)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	st = store_db_stmt(s, Q_FORWARD_GET, &r);
	if (!st)
		return r;
	bind_attempt(st, job, attempt);
	return read_row(s, st, ret);
}

int
store_forward_first(struct store *s, uint64_t job, struct store_forward *ret)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	st = store_db_stmt(s, Q_FORWARD_FIRST, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)job);
	return read_row(s, st, ret);
}

int
store_forward_jobs(struct store *s, uint64_t after, uint64_t *ids, size_t max, size_t *ret_n)
{
	return store_db_ids_from(s, Q_FORWARD_JOBS, (sqlite3_int64)after, ids, max, ret_n);
}

int
store_forward_count(struct store *s, uint64_t *ret)
{
	int64_t n = 0;
	int r = store_db_ask(s, Q_FORWARD_COUNT, &n);

	*ret = (uint64_t)n;
	return r;
}

static int
put_place(struct store *s, enum store_query q, const struct store_forward *f)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, q, &r);
	if (!st)
		return r;
	bind_attempt(st, f->job, f->attempt);
	for (int i = 0; i < 2; i++) {
		(void)sqlite3_bind_int64(st, 3 + 2 * i, (sqlite3_int64)f->stream[i].at);
		(void)sqlite3_bind_int64(st, 4 + 2 * i, f->stream[i].round);
	}
	return store_db_run(s, st);
}

int
store_forward_place(struct store *s, const struct store_forward *f)
{
	return put_place(s, Q_FORWARD_PLACE, f);
}

static int
taken(struct store *s, const struct store_forward *f, uint64_t kept)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_FORWARD_TAKEN, &r);
	if (!st)
		return r;
	bind_attempt(st, f->job, f->attempt);
	r = store_db_run(s, st);
	if (r < 0)
		return r;
	st = store_db_write_stmt(s, Q_FORWARD_TAKEN_EARLIER, &r);
	if (!st)
		return r;
	bind_attempt(st, f->job, f->attempt);
	(void)sqlite3_bind_int64(st, 3, (sqlite3_int64)kept);
	return store_db_run(s, st);
}

int
store_forward_done(struct store *s, const struct store_forward *f, uint64_t kept)
{
	int r;

	if (f->keep)
		return store_forward_drop(s, f->job, f->attempt);
	r = put_place(s, Q_FORWARD_DONE, f);
	return r == 0 ? taken(s, f, kept) : r;
}

int
store_forward_drop(struct store *s, uint64_t job, uint32_t attempt)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_FORWARD_DROP_ONE, &r);
	if (!st)
		return r;
	bind_attempt(st, job, attempt);
	return store_db_run(s, st);
}
