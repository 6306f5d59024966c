/* store_env.c - environments of jobs, kept apart from the jobs: they hold secrets, are in no view,
 * and go early. */
#include <errno.h>

#include "base/err.h"
#include "base/strv.h"
#include "store/store_db.h"

const char *const store_env_sql[Q_N] = {
	[Q_ENV_INSERT] = "INSERT INTO job_env(job, ended, env) VALUES(?, 0, ?)",
	[Q_ENV_GET] = "SELECT env FROM job_env WHERE job = ?",
	[Q_ENV_DROP] = "DELETE FROM job_env WHERE job = ?",
	[Q_ENV_ENDED] = "UPDATE job_env SET ended = ?2 WHERE job = ?1",
	[Q_ENV_OLD] =
		"SELECT job FROM job_env INDEXED BY job_env_ended WHERE ended > 0 AND ended < ?"
		" ORDER BY ended LIMIT ?",
};

int
store_env_insert(struct store *s, uint64_t id, const struct strv *env)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_ENV_INSERT, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	(void)sqlite3_bind_blob64(st, 2, env->size > 0 ? env->data : "", env->size, SQLITE_STATIC);
	return store_db_run(s, st);
}

int
store_env_get(struct store *s, uint64_t id, struct strv *ret)
{
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, Q_ENV_GET, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	r = strv_from_bytes(ret, sqlite3_column_blob(st, 0), (size_t)sqlite3_column_bytes(st, 0));
	if (r == -EINVAL) {
		store_broken_add(s, id, "its environment");
		return -EUCLEAN;
	}
	return r;
}

int
store_env_drop(struct store *s, uint64_t id)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_ENV_DROP, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	return store_db_run(s, st);
}

int
store_env_ended(struct store *s, uint64_t id, int64_t ended_us)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_ENV_ENDED, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	(void)sqlite3_bind_int64(st, 2, ended_us);
	return store_db_run(s, st);
}

static int
find_old(struct store *s, int64_t before_us, uint64_t *ids, size_t max, size_t *ret_n)
{
	return store_db_ids_from(s, Q_ENV_OLD, before_us, ids, max, ret_n);
}

int
store_env_expire(struct store *s, int64_t before_us, uint64_t *ids, size_t max, size_t *ret_n)
{
	size_t n = 0;
	int r;

	r = find_old(s, before_us, ids, max, &n);
	for (size_t i = 0; i < n && r == 0; i++)
		r = store_env_drop(s, ids[i]);
	if (r == 0)
		*ret_n = n;
	return r;
}
