/* store_old.c - retention: which records and outputs are old enough to go. Deciding when, and
 * pacing it, is the engine's. */
#include "base/mem.h"
#include "store/store_db.h"

/* The WHERE clauses repeat those of the indexes word by word: that is how SQLite sees that an index
 * applies. */
const char *const store_old_sql[Q_N] = {
	[Q_OLD_JOBS] =
		"SELECT id, attempt FROM job INDEXED BY job_ended"
		" WHERE state >= 5 AND (state <> 9 OR resolution_as IS NOT NULL) AND ended < ?"
		" ORDER BY ended LIMIT ?",
	[Q_OLD_OUTPUTS] = "SELECT id, attempt FROM job INDEXED BY job_output"
			  " WHERE state >= 5 AND kind = 1 AND output_gone = 0 AND ended < ?"
			  " ORDER BY ended LIMIT ?",
	[Q_OLD_WALK] =
		"SELECT id, attempt, uid, ended FROM job INDEXED BY job_ended"
		" WHERE state >= 5 AND (state <> 9 OR resolution_as IS NOT NULL) AND ended < ?1"
		" AND (ended, id) > (?2, ?3) ORDER BY ended, id LIMIT ?4",
	[Q_OUTPUT_KEPT] = "SELECT (SELECT state < 5 OR output_gone = 0 FROM job WHERE id = ?1),"
			  " (SELECT seq FROM sqlite_sequence WHERE name = 'job')",
	[Q_KEPT_OVER] = "SELECT uid FROM user_kept WHERE output > ? LIMIT 1",
	[Q_KEPT] = "SELECT output, input FROM user_kept WHERE uid = ?",
	[Q_KEPT_OLDEST] =
		"SELECT id, attempt FROM job INDEXED BY job_kept WHERE state >= 5 AND"
		" kind = 1 AND output_gone = 0 AND out_bytes + err_bytes + out_earlier > 0"
		" AND uid = ? ORDER BY ended LIMIT 1",
	[Q_OUTPUT_GONE] = "UPDATE job SET output_gone = 1 WHERE id = ?",
	[Q_JOB_DELETE] = "DELETE FROM job WHERE id = ?",
	[Q_HISTORY_DELETE] = "DELETE FROM history INDEXED BY history_job WHERE job = ?",
	/* Where the newest edge is of this job: its number must not be given again. */
	[Q_EDGE_KEEP] = "UPDATE meta SET edge = max(edge, (SELECT max(edge) FROM history))"
			" WHERE (SELECT job FROM history ORDER BY edge DESC LIMIT 1) = ?",
	[Q_FREE_PAGES] = "PRAGMA freelist_count",
	[Q_VACUUM] = "PRAGMA incremental_vacuum(64)",
	[Q_VALUES_DELETE] = "DELETE FROM job_value INDEXED BY job_value_job WHERE job = ?",
};

enum { FREE_PAGES_KEPT = 256 }; /* used again sooner than they would be made anew */

static int
old_find(struct store *s, enum store_query q, int64_t before_us, struct store_old *ret, size_t max,
	 size_t *ret_n)
{
	_reset_ sqlite3_stmt *st;
	size_t n = 0;
	int r = 0;

	st = store_db_stmt(s, q, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, before_us);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)max);
	while (n < max && (r = store_db_row(s, st)) > 0) {
		ret[n].id = (uint64_t)sqlite3_column_int64(st, 0);
		ret[n].attempt = (uint32_t)sqlite3_column_int64(st, 1);
		n++;
	}
	if (r < 0)
		return r;
	*ret_n = n;
	return 0;
}

int
store_old_jobs(struct store *s, int64_t before_us, struct store_old *ret, size_t max, size_t *ret_n)
{
	return old_find(s, Q_OLD_JOBS, before_us, ret, max, ret_n);
}

int
store_old_outputs(struct store *s, int64_t before_us, struct store_old *ret, size_t max,
		  size_t *ret_n)
{
	return old_find(s, Q_OLD_OUTPUTS, before_us, ret, max, ret_n);
}

int
store_old_walk(struct store *s, int64_t before_us, int64_t uid, struct store_old_cursor *cursor,
	       uint32_t budget, struct store_old *ret, size_t max, size_t *ret_n, bool *ret_over)
{
	_reset_ sqlite3_stmt *st;
	uint32_t seen = 0;
	size_t n = 0;
	int r = 0;

	st = store_db_stmt(s, Q_OLD_WALK, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, before_us);
	(void)sqlite3_bind_int64(st, 2, cursor->ended_us);
	(void)sqlite3_bind_int64(st, 3, (sqlite3_int64)cursor->id);
	(void)sqlite3_bind_int64(st, 4, budget);
	while (n < max && (r = store_db_row(s, st)) > 0) {
		seen++;
		cursor->id = (uint64_t)sqlite3_column_int64(st, 0);
		cursor->ended_us = sqlite3_column_int64(st, 3);
		if (uid >= 0 && sqlite3_column_int64(st, 2) != uid)
			continue;
		ret[n++] = (struct store_old){.id = cursor->id,
					      .attempt = (uint32_t)sqlite3_column_int64(st, 1)};
	}
	if (r < 0)
		return r;
	*ret_n = n;
	*ret_over = n < max && seen < budget;
	return 0;
}

int
store_kept(struct store *s, uint32_t uid, struct store_kept *ret)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_KEPT, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, uid);
	r = store_db_row(s, st);
	if (r < 0)
		return r;
	*ret = (struct store_kept){0};
	if (r > 0)
		*ret = (struct store_kept){.output = sqlite3_column_int64(st, 0),
					   .input = sqlite3_column_int64(st, 1)};
	return 0;
}

int
store_kept_over(struct store *s, int64_t limit, uint32_t *ret_uid)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_KEPT_OVER, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, limit);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	*ret_uid = (uint32_t)sqlite3_column_int64(st, 0);
	return 0;
}

int
store_kept_oldest(struct store *s, uint32_t uid, struct store_old *ret)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_KEPT_OLDEST, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, uid);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	ret->id = (uint64_t)sqlite3_column_int64(st, 0);
	ret->attempt = (uint32_t)sqlite3_column_int64(st, 1);
	return 0;
}

static int
run_for(struct store *s, enum store_query q, uint64_t id)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, q, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	return store_db_run(s, st);
}

int
store_output_gone(struct store *s, uint64_t id)
{
	int r = run_for(s, Q_OUTPUT_GONE, id);

	return r == 0 ? run_for(s, Q_FORWARD_DROP, id) : r;
}

int
store_output_kept(struct store *s, uint64_t id)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_OUTPUT_KEPT, &r);
	if (!st)
		return r;
	if (id > INT64_MAX)
		return 1;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : 1;
	if (sqlite3_column_type(st, 0) != SQLITE_NULL)
		return sqlite3_column_int(st, 0) != 0;
	return (sqlite3_int64)id > sqlite3_column_int64(st, 1);
}

static int
free_pages(struct store *s, int64_t *ret)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_FREE_PAGES, &r);
	if (!st)
		return r;
	r = store_db_row(s, st);
	if (r < 0)
		return r;
	*ret = r > 0 ? sqlite3_column_int64(st, 0) : 0;
	return 0;
}

int
store_give_back(struct store *s, bool *ret_more)
{
	_reset_ sqlite3_stmt *st = NULL;
	int64_t n = 0;
	int r = free_pages(s, &n);

	*ret_more = false;
	if (r < 0 || n <= FREE_PAGES_KEPT)
		return r;
	st = store_db_write_stmt(s, Q_VACUUM, &r);
	if (!st)
		return r;
	while ((r = store_db_row(s, st)) > 0) /* a page each */
		continue;
	if (r == 0)
		*ret_more = true;
	return r;
}

int
store_job_delete(struct store *s, uint64_t id)
{
	static const enum store_query parts[] = {Q_EDGE_KEEP, Q_HISTORY_DELETE, Q_VALUES_DELETE,
						 Q_ENV_DROP,  Q_FORWARD_DELETE, Q_JOB_DELETE};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++)
		r = run_for(s, parts[i], id);
	return r;
}
