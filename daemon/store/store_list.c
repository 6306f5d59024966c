/* store_list.c - walks over jobs in order of id, a window at a time, so that the loop is never
 * held.
 *
 * A walk follows one index, the narrowest that fits the filter; all of them give ids in order. A
 * window is the next BUDGET entries of that index: its end is found first (cheap: only the index is
 * read), then the rows in it that match. */
#include "base/mem.h"
#include "store/store_columns.h"
#include "store/store_db.h"

enum way { WAY_ALL, WAY_UNFINISHED, WAY_HALF, WAY_UID, WAY_NAME, WAY_KEY, WAY_N };
enum part { PART_ROWS, PART_END, PART_N };
_Static_assert(Q_LIST_LAST - Q_LIST + 1 == WAY_N * PART_N * 2, "statements of lists");

enum { P_AFTER = 1, P_END, P_STATES, P_UID, P_CLASS, P_NAME, P_KEY, P_SINCE, P_HALF };

#define FILTERS                                                                                    \
	" AND (?3 = 0 OR (?3 >> state) & 1) AND (?4 IS NULL OR uid = ?4)"                          \
	" AND (?5 IS NULL OR class = ?5) AND (?6 IS NULL OR name = ?6)"                            \
	" AND (?7 IS NULL OR key = ?7) AND submitted >= ?8"                                        \
	" AND (?9 = 0 OR (state = 9 AND resolution_as IS NULL))"
#define ROWS(from, where, after, end, order)                                                       \
	"SELECT " STORE_COLUMNS " FROM job " from " WHERE " where "id " after " ?1 AND id " end    \
	" ?2" FILTERS " ORDER BY id" order
/* ?2 is how many entries the window has, less one. */
#define END(from, where, after, order)                                                             \
	"SELECT id FROM job " from " WHERE " where "id " after " ?1 ORDER BY id" order             \
	" LIMIT 1 OFFSET ?2"
#define WAY(way, from, where)                                                                      \
	[Q_LIST + (way)*4 + 0] = ROWS(from, where, ">", "<=", ""),                                 \
			    [Q_LIST + (way)*4 + 1] = ROWS(from, where, "<", ">=", " DESC"),        \
			    [Q_LIST + (way)*4 + 2] = END(from, where, ">", ""),                    \
			    [Q_LIST + (way)*4 + 3] = END(from, where, "<", " DESC")

const char *const store_list_sql[Q_N] = {
	WAY(WAY_ALL, "NOT INDEXED", ""),
	WAY(WAY_UNFINISHED, "INDEXED BY job_unfinished", "state <= 4 AND "),
	WAY(WAY_HALF, "INDEXED BY job_half", "state = 9 AND resolution_as IS NULL AND "),
	WAY(WAY_UID, "INDEXED BY job_by_uid", "uid = ?4 AND "),
	WAY(WAY_NAME, "INDEXED BY job_by_name", "name = ?6 AND "),
	WAY(WAY_KEY, "INDEXED BY job_by_key", "key = ?7 AND "),
};

static enum way
way_choose(const struct store_filter *f)
{
	const uint32_t unfinished = 1u << JOB_QUEUED | 1u << JOB_RUNNING | 1u << JOB_STOPPING;

	if (f->half_processed)
		return WAY_HALF;
	if (f->key)
		return WAY_KEY;
	if (f->name)
		return WAY_NAME;
	if (f->states != 0 && (f->states & ~unfinished) == 0)
		return WAY_UNFINISHED;
	return f->has_uid ? WAY_UID : WAY_ALL;
}

static void
bind_filter(sqlite3_stmt *st, const struct store_filter *f, int64_t after, int64_t end)
{
	int n = sqlite3_bind_parameter_count(st); /* the end of a window needs only some */

	(void)sqlite3_bind_int64(st, P_AFTER, after);
	(void)sqlite3_bind_int64(st, P_END, end);
	if (n >= P_UID) {
		(void)sqlite3_bind_int64(st, P_STATES, f->states);
		if (f->has_uid)
			(void)sqlite3_bind_int64(st, P_UID, f->uid);
		else
			(void)sqlite3_bind_null(st, P_UID);
	}
	if (n >= P_NAME) {
		(void)store_db_bind_str(st, P_CLASS, f->class_name);
		(void)store_db_bind_str(st, P_NAME, f->name);
	}
	if (n >= P_KEY)
		(void)store_db_bind_str(st, P_KEY, f->key);
	if (n >= P_HALF) {
		(void)sqlite3_bind_int64(st, P_SINCE, f->since_us);
		(void)sqlite3_bind_int(st, P_HALF, f->half_processed);
	}
}

static enum store_query
query_of(enum way way, enum part part, bool last)
{
	return (enum store_query)(Q_LIST + (int)way * 4 + (int)part * 2 + last);
}

/* Id of the last entry of the window, 0 when the walk ends in it. */
static int
window_end(struct store *s, const struct store_filter *f, enum way way, int64_t after, int64_t *ret)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	*ret = 0;
	if (f->budget == 0)
		return 0;
	st = store_db_stmt(s, query_of(way, PART_END, f->last), &r);
	if (!st)
		return r;
	bind_filter(st, f, after, (int64_t)f->budget - 1);
	r = store_db_row(s, st);
	if (r > 0)
		*ret = sqlite3_column_int64(st, 0);
	return r < 0 ? r : 0;
}

int
store_list(struct store *s, const struct store_filter *f, store_job_fn fn, void *arg,
	   uint64_t *ret_next)
{
	_cleanup_(store_row_done) struct store_row row = {0};
	_reset_ sqlite3_stmt *st = NULL;
	enum way way = way_choose(f);
	int64_t after = f->after > INT64_MAX ? INT64_MAX : (int64_t)f->after, end;
	uint32_t n = 0;
	int r;

	if (f->last && f->after == 0)
		after = INT64_MAX;
	r = window_end(s, f, way, after, &end);
	if (r < 0)
		return r;
	st = store_db_stmt(s, query_of(way, PART_ROWS, f->last), &r);
	if (!st)
		return r;
	bind_filter(st, f, after, end != 0 || f->last ? end : INT64_MAX);
	while ((r = store_db_row(s, st)) > 0) {
		r = store_row_decode(s, st, &row);
		if (r == 0)
			r = fn(arg, &row.job);
		if (r != 0)
			return r;
		if (++n == f->limit) {
			*ret_next = row.job.id;
			return 0;
		}
	}
	if (r == 0)
		*ret_next = (uint64_t)end;
	return r;
}
