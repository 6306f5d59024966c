/* store_wait.c - which queued jobs wait for which others, and what administrators said of the
 * queue. */
#include "store/store_db.h"

const char *const store_wait_sql[Q_N] = {
	[Q_AFTER_ADD] = "INSERT INTO job_after(on_job, job, need) VALUES(?, ?, ?)",
	[Q_AFTER_MET] = "DELETE FROM job_after WHERE on_job = ? AND job = ?",
	[Q_AFTER_DROP] = "DELETE FROM job_after WHERE job = ?",
	[Q_AFTER_COUNT] = "SELECT count(*) FROM job_after",
	[Q_AFTER_FIRST] = "SELECT min(on_job) FROM job_after WHERE job = ?",
	[Q_AFTER_EACH] = "SELECT job, need FROM job_after WHERE on_job = ? AND job > ?"
			 " ORDER BY job LIMIT ?",
	[Q_AFTER_ENDED] =
		"SELECT DISTINCT a.on_job FROM job_after AS a"
		" LEFT JOIN job AS j ON j.id = a.on_job WHERE j.id IS NULL OR j.state >= 5",
	[Q_CONTROL_SET] = "INSERT INTO queue_control(kind, class, at, by_uid) VALUES(?, ?, ?, ?)"
			  " ON CONFLICT DO NOTHING",
	[Q_CONTROL_CLEAR] = "DELETE FROM queue_control WHERE kind = ? AND class = ?",
	[Q_CONTROL_EACH] = "SELECT kind, class FROM queue_control",
};

int
store_after_add(struct store *s, uint64_t job, uint64_t on_job, enum store_need need)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_AFTER_ADD, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)on_job);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)job);
	(void)sqlite3_bind_int(st, 3, (int)need);
	return store_db_run(s, st);
}

int
store_after_met(struct store *s, uint64_t job, uint64_t on_job)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_AFTER_MET, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)on_job);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)job);
	return store_db_run(s, st);
}

int
store_after_drop(struct store *s, uint64_t job, uint64_t *ret_n)
{
	sqlite3_stmt *st;
	int r;

	*ret_n = 0;
	st = store_db_write_stmt(s, Q_AFTER_DROP, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)job);
	r = store_db_run(s, st);
	if (r == 0)
		*ret_n = (uint64_t)sqlite3_changes64(s->db);
	return r;
}

int
store_after_count(struct store *s, uint64_t *ret)
{
	int64_t n = 0;
	int r = store_db_ask(s, Q_AFTER_COUNT, &n);

	if (r == 0)
		*ret = (uint64_t)n;
	return r;
}

int
store_after_first(struct store *s, uint64_t job, uint64_t *ret)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	st = store_db_stmt(s, Q_AFTER_FIRST, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)job);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	*ret = (uint64_t)sqlite3_column_int64(st, 0);
	return *ret > 0 ? 0 : STORE_E_NOT_FOUND;
}

int
store_after_each(struct store *s, uint64_t on_job, uint64_t after, struct store_after *ret,
		 size_t max, size_t *ret_n)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	*ret_n = 0;
	st = store_db_stmt(s, Q_AFTER_EACH, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)on_job);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)after);
	(void)sqlite3_bind_int64(st, 3, (sqlite3_int64)max);
	while ((r = store_db_row(s, st)) > 0 && *ret_n < max)
		ret[(*ret_n)++] = (struct store_after){
			.job = (uint64_t)sqlite3_column_int64(st, 0),
			.need = (enum store_need)sqlite3_column_int(st, 1),
		};
	return r < 0 ? r : 0;
}

int
store_after_ended_each(struct store *s, store_id_fn fn, void *arg)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	st = store_db_stmt(s, Q_AFTER_ENDED, &r);
	if (!st)
		return r;
	while ((r = store_db_row(s, st)) > 0) {
		r = fn(arg, (uint64_t)sqlite3_column_int64(st, 0));
		if (r != 0)
			return r;
	}
	return r;
}

int
store_control_set(struct store *s, enum store_control kind, const char *class_name, int64_t at_us,
		  uint32_t by_uid)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_CONTROL_SET, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int(st, 1, (int)kind);
	(void)store_db_bind_str(st, 2, class_name);
	(void)sqlite3_bind_int64(st, 3, at_us);
	(void)sqlite3_bind_int64(st, 4, by_uid);
	return store_db_run(s, st);
}

int
store_control_clear(struct store *s, enum store_control kind, const char *class_name)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_CONTROL_CLEAR, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int(st, 1, (int)kind);
	(void)store_db_bind_str(st, 2, class_name);
	return store_db_run(s, st);
}

int
store_control_each(struct store *s, store_control_fn fn, void *arg)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	st = store_db_stmt(s, Q_CONTROL_EACH, &r);
	if (!st)
		return r;
	while ((r = store_db_row(s, st)) > 0) {
		const char *class_name = store_db_str(st, 1);

		if (!class_name)
			return store_db_fail(s, SQLITE_NOMEM, "what was said of the queue");
		r = fn(arg, (enum store_control)sqlite3_column_int(st, 0), class_name);
		if (r != 0)
			return r;
	}
	return r;
}
