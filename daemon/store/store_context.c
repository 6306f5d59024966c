/* store_context.c - what the tree of contexts asks of the database: whose key it is, who is
 * attached below whom, scopes and their deadlines, who is bound to a connection. Ids come in
 * blocks, so that no walk depends on how many there are. */
#include "store/store_columns.h"
#include "store/store_db.h"

enum { ORIGIN_STEPS = 10000 }; /* from parent to parent in search of where a deadline began */

/* The WHERE clauses repeat those of the indexes word by word, as in store_old.c. */
const char *const store_context_sql[Q_N] = {
	[Q_JOB_BY_KEY] = "SELECT id FROM job INDEXED BY job_by_key WHERE key = ? AND uid = ?",
	[Q_ATTACHED] = "SELECT id FROM job INDEXED BY job_attached"
		       " WHERE parent = ? AND id > ? AND parent > 0 AND state <= 4 AND inherit >= 8"
		       " AND NOT is_broken(id) ORDER BY id LIMIT ?",
	[Q_DEADLINE_ORIGIN] =
		"WITH RECURSIVE up(n, origin, inherited) AS (VALUES (0, ?1, ?2) UNION ALL"
		" SELECT n + 1, job.parent, job.inherited FROM up JOIN job ON job.id = origin"
		" WHERE job.inherited > 0 AND job.parent > 0 AND n < ?4"
		" AND abs(job.inherited - up.inherited) <= ?3 AND NOT is_broken(job.id))"
		" SELECT origin, max(n) FROM up",
	[Q_SCOPES] = "SELECT " STORE_COLUMNS " FROM job INDEXED BY job_scopes"
		     " WHERE state = 4 ORDER BY deadline_boot_ns, id",
	[Q_SCOPES_OF] = "SELECT count(*) FROM (SELECT 1 FROM job INDEXED BY job_scopes"
			" WHERE state = 4 AND uid = ? LIMIT ?)",
	[Q_SCOPE_NEXT_DEADLINE] = "SELECT deadline_boot_ns FROM job INDEXED BY job_scopes"
				  " WHERE state = 4 AND deadline_boot_ns > 0 AND NOT is_broken(id)"
				  " ORDER BY deadline_boot_ns LIMIT 1",
	[Q_SCOPE_OVERDUE] = "SELECT id FROM job INDEXED BY job_scopes"
			    " WHERE state = 4 AND deadline_boot_ns > 0 AND deadline_boot_ns <= ?"
			    " AND NOT is_broken(id)"
			    " ORDER BY deadline_boot_ns, id LIMIT ?",
	[Q_BOUND] = "SELECT id FROM job INDEXED BY job_bound"
		    " WHERE id > ? AND bound = 1 AND state <= 4 AND NOT is_broken(id)"
		    " ORDER BY id LIMIT ?",
};
_Static_assert(INHERIT_CANCEL == 8 && (INHERIT_VALUES | INHERIT_TRACE | INHERIT_DEADLINE) < 8,
	       "job_attached knows cancel by its being the highest bit");

int
store_job_by_key(struct store *s, uint32_t uid, const char *key, uint64_t *ret_id)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_JOB_BY_KEY, &r);
	if (!st)
		return r;
	(void)store_db_bind_str(st, 1, key);
	(void)sqlite3_bind_int64(st, 2, uid);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	*ret_id = (uint64_t)sqlite3_column_int64(st, 0);
	return 0;
}

/* What is a row id at all; larger ones are of no row. */
static sqlite3_int64
row_id(uint64_t id)
{
	return id > INT64_MAX ? INT64_MAX : (sqlite3_int64)id;
}

int
store_attached(struct store *s, uint64_t parent, uint64_t after, uint64_t *ids, size_t max,
	       size_t *ret_n)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_ATTACHED, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, row_id(parent));
	(void)sqlite3_bind_int64(st, 2, row_id(after));
	return store_db_ids(s, st, 3, ids, max, ret_n);
}

int
store_deadline_origin(struct store *s, uint64_t parent, int64_t inherited_us, int64_t slack_us,
		      uint64_t *ret_id)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_DEADLINE_ORIGIN, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, row_id(parent));
	(void)sqlite3_bind_int64(st, 2, inherited_us);
	(void)sqlite3_bind_int64(st, 3, slack_us);
	(void)sqlite3_bind_int64(st, 4, ORIGIN_STEPS);
	r = store_db_row(s, st);
	if (r < 0)
		return r;
	*ret_id = (uint64_t)sqlite3_column_int64(st, 0);
	return 0;
}

int
store_scopes_each(struct store *s, store_job_fn fn, void *arg)
{
	return store_rows_each(s, Q_SCOPES, fn, arg);
}

int
store_scopes_of(struct store *s, uint32_t uid, uint64_t most, uint64_t *ret)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_SCOPES_OF, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, uid);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)most);
	r = store_db_row(s, st);
	if (r > 0)
		*ret = (uint64_t)sqlite3_column_int64(st, 0);
	return r < 0 ? r : 0;
}

int
store_scope_next_deadline(struct store *s, int64_t *ret_boot_ns)
{
	return store_db_ask(s, Q_SCOPE_NEXT_DEADLINE, ret_boot_ns);
}

int
store_scope_overdue(struct store *s, int64_t now_ns, uint64_t *ids, size_t max, size_t *ret_n)
{
	return store_db_ids_from(s, Q_SCOPE_OVERDUE, now_ns, ids, max, ret_n);
}

int
store_bound(struct store *s, uint64_t after, uint64_t *ids, size_t max, size_t *ret_n)
{
	return store_db_ids_from(s, Q_BOUND, row_id(after), ids, max, ret_n);
}
