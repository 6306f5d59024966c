/* store_queue.c - the queue, which lives in the database, and the counts by state. */
#include <assert.h>

#include "store/store_db.h"

const char *const store_queue_sql[Q_N] = {
	[Q_LANES] = "SELECT class, uid, count(*) FROM job INDEXED BY job_queue WHERE state = 1 AND "
		    "blocked = 0 AND NOT is_broken(id)"
		    " GROUP BY class, uid",
	[Q_LANE_HEAD] = "SELECT id, priority FROM job INDEXED BY job_queue"
			" WHERE state = 1 AND blocked = 0 AND class = ? AND uid = ?"
			" AND NOT is_broken(id) ORDER BY priority DESC, id LIMIT 1",
	/* In order of id, which is that of submission. */
	[Q_QUEUE_OLDEST] = "SELECT submitted FROM job INDEXED BY job_queue_age WHERE state = 1 AND "
			   "blocked = 0 AND class = ? AND NOT is_broken(id) ORDER BY id LIMIT 1",
	/* The deadline of a queued row is the moment after which it is not worth starting. */
	[Q_QUEUE_NEXT_DEADLINE] = "SELECT deadline FROM job INDEXED BY job_absolute"
				  " WHERE state = 1 AND deadline > 0 AND NOT is_broken(id)"
				  " ORDER BY deadline LIMIT 1",
	[Q_QUEUE_OVERDUE] = "SELECT id FROM job INDEXED BY job_absolute"
			    " WHERE state = 1 AND deadline > 0 AND deadline <= ?"
			    " AND NOT is_broken(id)"
			    " ORDER BY deadline LIMIT ?",
	[Q_BLOCKED] = "SELECT '', uid, count(*) FROM job INDEXED BY job_blocked"
		      " WHERE state = 1 AND blocked = 1 AND NOT is_broken(id) GROUP BY uid",
	[Q_DELAYED_NEXT] = "SELECT not_before FROM job INDEXED BY job_delayed"
			   " WHERE state = 1 AND not_before > 0 AND NOT is_broken(id)"
			   " ORDER BY not_before LIMIT 1",
	[Q_DELAYED_DUE] = "SELECT id FROM job INDEXED BY job_delayed WHERE state = 1"
			  " AND not_before > 0 AND (not_before <= ?1 OR ((attempt > 1 OR seq > 0) "
			  "AND not_before > ?2))"
			  " AND NOT is_broken(id) LIMIT ?3",
	[Q_COUNTS] = "SELECT state, n FROM state_count",
};

static int
lanes_each(struct store *s, enum store_query q, store_lane_fn fn, void *arg)
{
	_reset_ sqlite3_stmt *st;
	struct store_lane lane;
	int r;

	st = store_db_stmt(s, q, &r);
	if (!st)
		return r;
	while ((r = store_db_row(s, st)) > 0) {
		lane.class_name = store_db_str(st, 0);
		lane.uid = (uint32_t)sqlite3_column_int64(st, 1);
		lane.n = (uint64_t)sqlite3_column_int64(st, 2);
		r = fn(arg, &lane);
		if (r != 0)
			return r;
	}
	return r;
}

int
store_lanes_each(struct store *s, store_lane_fn fn, void *arg)
{
	return lanes_each(s, Q_LANES, fn, arg);
}

int
store_blocked_each(struct store *s, store_lane_fn fn, void *arg)
{
	return lanes_each(s, Q_BLOCKED, fn, arg);
}

int
store_lane_head(struct store *s, const char *class_name, uint32_t uid, uint64_t *ret_id,
		int32_t *ret_priority)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_LANE_HEAD, &r);
	if (!st)
		return r;
	(void)store_db_bind_str(st, 1, class_name);
	(void)sqlite3_bind_int64(st, 2, uid);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	*ret_id = (uint64_t)sqlite3_column_int64(st, 0);
	*ret_priority = sqlite3_column_int(st, 1);
	return 0;
}

int
store_queue_oldest(struct store *s, const char *class_name, int64_t *ret_us)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_QUEUE_OLDEST, &r);
	if (!st)
		return r;
	(void)store_db_bind_str(st, 1, class_name);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	*ret_us = sqlite3_column_int64(st, 0);
	return 0;
}

int
store_queue_next_deadline(struct store *s, int64_t *ret_us)
{
	return store_db_ask(s, Q_QUEUE_NEXT_DEADLINE, ret_us);
}

int
store_queue_overdue(struct store *s, int64_t now_us, uint64_t *ids, size_t max, size_t *ret_n)
{
	return store_db_ids_from(s, Q_QUEUE_OVERDUE, now_us, ids, max, ret_n);
}

int
store_delayed_next(struct store *s, int64_t *ret_us)
{
	return store_db_ask(s, Q_DELAYED_NEXT, ret_us);
}

int
store_delayed_due(struct store *s, int64_t now_us, int64_t most_us, uint64_t *ids, size_t max,
		  size_t *ret_n)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_DELAYED_DUE, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, now_us);
	(void)sqlite3_bind_int64(st, 2, now_us + most_us);
	return store_db_ids(s, st, 3, ids, max, ret_n);
}

int
store_counts(struct store *s, struct store_counts *ret)
{
	_reset_ sqlite3_stmt *st;
	struct store_counts c = {0};
	int state, r;

	st = store_db_stmt(s, Q_COUNTS, &r);
	if (!st)
		return r;
	while ((r = store_db_row(s, st)) > 0) {
		state = sqlite3_column_int(st, 0);
		if (state == 0)
			c.half_processed = (uint64_t)sqlite3_column_int64(st, 1);
		else if (state > 0 && state <= JOB_STATE_MAX)
			c.by_state[state] = (uint64_t)sqlite3_column_int64(st, 1);
	}
	if (r < 0)
		return r;
	*ret = c;
	return 0;
}
