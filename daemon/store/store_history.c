/* store_history.c - one row for each change of state. Written in the transaction of the change,
 * never changed. */
#include "store/store_db.h"

const char *const store_history_sql[Q_N] = {
	[Q_HISTORY_ADD] =
		"INSERT INTO history(job, attempt, at, from_state, to_state, cause_code, cause,"
		" by_uid, edge, stop) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
	[Q_HISTORY_EACH] = "SELECT attempt, at, from_state, to_state, cause_code, cause,"
			   " coalesce(by_uid, -1), stop FROM history WHERE job = ? ORDER BY edge",
};

int
store_history_add(struct store *s, const struct store_edge *edge)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_HISTORY_ADD, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)edge->job);
	(void)sqlite3_bind_int64(st, 2, edge->attempt);
	(void)sqlite3_bind_int64(st, 3, edge->at_us);
	(void)sqlite3_bind_int(st, 4, edge->from);
	(void)sqlite3_bind_int(st, 5, (int)edge->to);
	(void)sqlite3_bind_int(st, 6, (int)edge->cause_code);
	(void)store_db_bind_str(st, 7, edge->cause);
	if (edge->by_uid >= 0)
		(void)sqlite3_bind_int64(st, 8, edge->by_uid);
	else
		(void)sqlite3_bind_null(st, 8);
	(void)sqlite3_bind_int64(st, 9, (sqlite3_int64)s->edge + 1);
	(void)store_db_bind_str(st, 10, edge->stop);
	r = store_db_run(s, st);
	if (r == 0)
		s->edge++;
	return r;
}

int
store_history_each(struct store *s, uint64_t job, store_edge_fn fn, void *arg)
{
	_reset_ sqlite3_stmt *st;
	struct store_edge edge = {.job = job};
	int r;

	st = store_db_stmt(s, Q_HISTORY_EACH, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)job);
	while ((r = store_db_row(s, st)) > 0) {
		edge.attempt = (uint32_t)sqlite3_column_int64(st, 0);
		edge.at_us = sqlite3_column_int64(st, 1);
		edge.from = sqlite3_column_int(st, 2);
		edge.to = (enum job_state)sqlite3_column_int(st, 3);
		edge.cause_code = (enum cause_code)sqlite3_column_int(st, 4);
		edge.cause = store_db_str(st, 5);
		edge.by_uid = sqlite3_column_int64(st, 6);
		edge.stop = store_db_str(st, 7);
		r = fn(arg, &edge);
		if (r != 0)
			return r;
	}
	return r;
}
