/* store_event.c - history for readers, in the order of commits.
 *
 * A position is the number of an edge. It only grows: store.c hands out the numbers, and none is
 * given twice, also where the newest history was pruned. Nothing of the open transaction is shown:
 * what is rolled back gives its numbers to others. */
#include "store/store_db.h"

/* History goes with its job, so that the join loses nothing. The order of the tables is fixed: each
 * walk follows edges, and looks up the job of those that are left. */
#define COLUMNS                                                                                    \
	"SELECT h.edge, h.job, h.attempt, h.at, h.from_state, h.to_state, h.cause_code, h.cause,"  \
	" coalesce(h.by_uid, -1), j.uid, j.kind, h.stop FROM history AS h "
#define REST                                                                                       \
	" CROSS JOIN job AS j ON j.id = h.job"                                                     \
	" WHERE h.edge > ?1 AND h.edge <= ?2 AND h.at >= ?3 AND (?4 IS NULL OR j.uid = ?4)"
const char *const store_event_sql[Q_N] = {
	[Q_EVENTS] = COLUMNS "NOT INDEXED" REST " ORDER BY h.edge",
	[Q_EVENTS_END] = "SELECT edge FROM history NOT INDEXED"
			 " WHERE edge > ?1 AND edge <= ?2 ORDER BY edge LIMIT 1 OFFSET ?3",
	[Q_EVENTS_OF] = COLUMNS "INDEXED BY history_job" REST " AND h.job = ?5 ORDER BY h.edge",
	[Q_EVENTS_OF_END] =
		"SELECT edge FROM history INDEXED BY history_job"
		" WHERE edge > ?1 AND edge <= ?2 AND job = ?4 ORDER BY edge LIMIT 1 OFFSET ?3",
};

/* The last edge of the window, 0 when the walk ends in it. */
static int
window_end(struct store *s, const struct store_event_filter *f, int64_t after, int64_t *ret)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	*ret = 0;
	if (f->budget == 0)
		return 0;
	st = store_db_stmt(s, f->job ? Q_EVENTS_OF_END : Q_EVENTS_END, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, after);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)s->edge_committed);
	(void)sqlite3_bind_int64(st, 3, (sqlite3_int64)f->budget - 1);
	if (f->job)
		(void)sqlite3_bind_int64(st, 4, (sqlite3_int64)f->job);
	r = store_db_row(s, st);
	if (r > 0)
		*ret = sqlite3_column_int64(st, 0);
	return r < 0 ? r : 0;
}

static void
event_decode(sqlite3_stmt *st, struct store_event *ev)
{
	*ev = (struct store_event){
		.edge = (uint64_t)sqlite3_column_int64(st, 0),
		.e.job = (uint64_t)sqlite3_column_int64(st, 1),
		.e.attempt = (uint32_t)sqlite3_column_int64(st, 2),
		.e.at_us = sqlite3_column_int64(st, 3),
		.e.from = sqlite3_column_int(st, 4),
		.e.to = (enum job_state)sqlite3_column_int(st, 5),
		.e.cause_code = (enum cause_code)sqlite3_column_int(st, 6),
		.e.cause = store_db_str(st, 7),
		.e.by_uid = sqlite3_column_int64(st, 8),
		.e.stop = store_db_str(st, 11),
		.uid = (uint32_t)sqlite3_column_int64(st, 9),
		.kind = (enum job_kind)sqlite3_column_int(st, 10),
	};
}

int
store_events(struct store *s, const struct store_event_filter *f, store_event_fn fn, void *arg,
	     uint64_t *ret_next)
{
	_reset_ sqlite3_stmt *st = NULL;
	int64_t after = f->after > INT64_MAX ? INT64_MAX : (int64_t)f->after, end;
	struct store_event ev;
	uint32_t n = 0;
	int r;

	if (f->job > INT64_MAX) { /* of no row */
		*ret_next = 0;
		return 0;
	}
	r = window_end(s, f, after, &end);
	if (r < 0)
		return r;
	st = store_db_stmt(s, f->job ? Q_EVENTS_OF : Q_EVENTS, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, after);
	(void)sqlite3_bind_int64(st, 2, end ? end : (sqlite3_int64)s->edge_committed);
	(void)sqlite3_bind_int64(st, 3, f->since_us);
	if (f->has_uid)
		(void)sqlite3_bind_int64(st, 4, f->uid);
	else
		(void)sqlite3_bind_null(st, 4);
	if (f->job)
		(void)sqlite3_bind_int64(st, 5, (sqlite3_int64)f->job);
	while ((r = store_db_row(s, st)) > 0) {
		event_decode(st, &ev);
		r = fn(arg, &ev);
		if (r != 0)
			return r;
		if (++n == f->limit) {
			*ret_next = ev.edge;
			return 0;
		}
	}
	if (r == 0)
		*ret_next = (uint64_t)end;
	return r;
}

int
store_events_last(struct store *s, uint64_t *ret)
{
	*ret = s->edge_committed;
	return 0;
}
