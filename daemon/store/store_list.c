/* store_list.c - walks over jobs in order of id, a window at a time, so that the loop is never
 * held.
 *
 * A walk follows one index, the narrowest that fits the filter; all of them give ids in order (but
 * for that of keys, where it takes sorting the few that there are: one for each user). A window is
 * the next BUDGET entries of that index: its end is found first (cheap: only the index is read),
 * then the rows in it that match. Of values, the first leads the walk and the others are looked for
 * in each row. */
#include <string.h>

#include "base/mem.h"
#include "base/strv.h"
#include "store/store_columns.h"
#include "store/store_db.h"

enum way {
	WAY_ALL,
	WAY_UNFINISHED,
	WAY_HALF,
	WAY_UID,
	WAY_NAME,
	WAY_KEY,
	WAY_TRACE,
	WAY_PARENT,
	WAY_VALUE,
	WAY_N
};
enum part { PART_ROWS, PART_END, PART_N };
_Static_assert(Q_LIST_LAST - Q_LIST + 1 == WAY_N * PART_N * 2, "statements of lists");

enum {
	P_AFTER = 1,
	P_END,
	P_STATES,
	P_UID,
	P_CLASS,
	P_NAME,
	P_KEY,
	P_SINCE,
	P_HALF,
	P_TRACE,
	P_PARENT,
	P_VALUE_NAME, /* of the way by value only */
	P_VALUE
};

#define FILTERS                                                                                    \
	" AND (?3 = 0 OR (?3 >> state) & 1) AND (?4 IS NULL OR uid = ?4)"                          \
	" AND (?5 IS NULL OR class = ?5) AND (?6 IS NULL OR name = ?6)"                            \
	" AND (?7 IS NULL OR key = ?7) AND submitted >= ?8"                                        \
	" AND (?9 = 0 OR (state = 9 AND resolution_as IS NULL))"                                   \
	" AND (?10 IS NULL OR trace_id = ?10) AND (?11 = 0 OR parent = ?11)"
#define ROWS(from, where, id, after, end, order)                                                   \
	"SELECT " STORE_COLUMNS " FROM " from " WHERE " where id " " after " ?1 AND " id " " end   \
	" ?2" FILTERS " ORDER BY " id order
/* ?2 is how many entries the window has, less one. */
#define END(from, where, id, after, order)                                                         \
	"SELECT " id " FROM " from " WHERE " where id " " after " ?1 ORDER BY " id order           \
	" LIMIT 1 OFFSET ?2"
#define WAY_OF(way, from, end_from, where, id)                                                     \
	[Q_LIST + (way)*4 + 0] = ROWS(from, where, id, ">", "<=", ""),                             \
			    [Q_LIST + (way)*4 + 1] = ROWS(from, where, id, "<", ">=", " DESC"),    \
			    [Q_LIST + (way)*4 + 2] = END(end_from, where, id, ">", ""),            \
			    [Q_LIST + (way)*4 + 3] = END(end_from, where, id, "<", " DESC")
#define WAY(way, index, where) WAY_OF(way, "job " index, "job " index, where, "id")
/* Other names than in job, where some are the same. */
#define VALUES "(SELECT name AS value_name, value AS value_text, job AS value_job FROM job_value)"

const char *const store_list_sql[Q_N] = {
	WAY(WAY_ALL, "NOT INDEXED", ""),
	WAY(WAY_UNFINISHED, "INDEXED BY job_unfinished", "state <= 4 AND "),
	WAY(WAY_HALF, "INDEXED BY job_half", "state = 9 AND resolution_as IS NULL AND "),
	WAY(WAY_UID, "INDEXED BY job_by_uid", "uid = ?4 AND "),
	WAY(WAY_NAME, "INDEXED BY job_by_name", "name = ?6 AND "),
	WAY(WAY_KEY, "INDEXED BY job_by_key", "key = ?7 AND "),
	WAY(WAY_TRACE, "INDEXED BY job_by_trace", "trace_id = ?10 AND "),
	WAY(WAY_PARENT, "INDEXED BY job_children", "parent = ?11 AND parent > 0 AND "),
	WAY_OF(WAY_VALUE, VALUES " CROSS JOIN job ON id = value_job", VALUES,
	       "value_name = ?12 AND value_text = ?13 AND ", "value_job"),
};

static enum way
way_choose(const struct store_filter *f)
{
	const uint32_t unfinished =
		1u << JOB_QUEUED | 1u << JOB_RUNNING | 1u << JOB_STOPPING | 1u << JOB_OPEN;

	if (f->half_processed)
		return WAY_HALF;
	if (f->key)
		return WAY_KEY;
	if (f->parent != 0)
		return WAY_PARENT;
	if (f->trace_id)
		return WAY_TRACE;
	if (f->values && f->values->n > 0)
		return WAY_VALUE;
	if (f->name)
		return WAY_NAME;
	if (f->states != 0 && (f->states & ~unfinished) == 0)
		return WAY_UNFINISHED;
	return f->has_uid ? WAY_UID : WAY_ALL;
}

/* The first pair of the filter leads the way. */
static void
bind_value(sqlite3_stmt *st, const struct strv *values)
{
	const char *v = strv_first(values), *eq = strchr(v, '=');

	(void)sqlite3_bind_text64(st, P_VALUE_NAME, v, (sqlite3_uint64)(eq - v), SQLITE_STATIC,
				  SQLITE_UTF8);
	(void)store_db_bind_str(st, P_VALUE, eq + 1);
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
	if (n >= P_TRACE) {
		(void)sqlite3_bind_int64(st, P_SINCE, f->since_us);
		(void)sqlite3_bind_int(st, P_HALF, f->half_processed);
		(void)sqlite3_bind_blob(st, P_TRACE, f->trace_id,
					sizeof(((struct trace_context *)0)->trace_id),
					SQLITE_STATIC);
	}
	if (n >= P_PARENT)
		(void)sqlite3_bind_int64(st, P_PARENT, (sqlite3_int64)f->parent);
	if (n >= P_VALUE)
		bind_value(st, f->values);
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

static bool
has_value(const struct job *j, const char *pair)
{
	for (const char *v = strv_first(&j->values); v; v = strv_next(&j->values, v))
		if (strcmp(v, pair) == 0)
			return true;
	return false;
}

static bool
has_values(const struct job *j, const struct strv *values)
{
	for (const char *v = values ? strv_first(values) : NULL; v; v = strv_next(values, v))
		if (!has_value(j, v))
			return false;
	return true;
}

/* What no row can match, or nobody may find. */
static bool
matches_nothing(const struct store_filter *f)
{
	for (const char *v = f->values ? strv_first(f->values) : NULL; v;
	     v = strv_next(f->values, v))
		if (!strchr(v, '='))
			return true;
	return job_key_is_hidden(f->key) || f->parent > INT64_MAX;
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

	if (matches_nothing(f)) {
		*ret_next = 0;
		return 0;
	}
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
		if (row.malformed || (r == 0 && !has_values(&row.job, f->values)))
			continue;
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
