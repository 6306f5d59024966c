/* store_outbox.c - texts that wait to be handed out: added with the change that they tell of,
 * forgotten when whoever took them says that they have arrived. */
#include "store/store_db.h"

const char *const store_outbox_sql[Q_N] = {
	[Q_OUTBOX_ADD] = "INSERT INTO outbox(span) VALUES(?)",
	[Q_OUTBOX_DROP] = "UPDATE meta SET dropped = dropped + 1",
	[Q_OUTBOX_COUNT] = "SELECT count(*) FROM outbox",
	[Q_OUTBOX_DROPPED] = "SELECT dropped FROM meta",
	[Q_OUTBOX_EACH] = "SELECT seq, span FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?",
	[Q_OUTBOX_FORGET] = "DELETE FROM outbox WHERE seq IN"
			    " (SELECT seq FROM outbox WHERE seq <= ? ORDER BY seq LIMIT ?)",
};

int
store_outbox_add(struct store *s, const char *text, size_t n)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_OUTBOX_ADD, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_text(st, 1, text, (int)n, SQLITE_STATIC);
	return store_db_run(s, st);
}

int
store_outbox_drop(struct store *s)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_OUTBOX_DROP, &r);
	return st ? store_db_run(s, st) : r;
}

int
store_outbox_count(struct store *s, uint64_t *ret_n, uint64_t *ret_dropped)
{
	int64_t n = 0, dropped = 0;
	int r = store_db_ask(s, Q_OUTBOX_COUNT, &n);

	if (r == 0)
		r = store_db_ask(s, Q_OUTBOX_DROPPED, &dropped);
	if (r == 0) {
		*ret_n = (uint64_t)n;
		*ret_dropped = (uint64_t)dropped;
	}
	return r;
}

int
store_outbox_each(struct store *s, uint64_t after, size_t max, store_outbox_fn fn, void *arg)
{
	_reset_ sqlite3_stmt *st = NULL;
	int r;

	st = store_db_stmt(s, Q_OUTBOX_EACH, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)max);
	while ((r = store_db_row(s, st)) > 0) {
		const char *text = store_db_str(st, 1);

		if (!text)
			return store_db_fail(s, SQLITE_NOMEM, "a span of the outbox");
		r = fn(arg, (uint64_t)sqlite3_column_int64(st, 0), text,
		       (size_t)sqlite3_column_bytes(st, 1));
		if (r != 0)
			return r;
	}
	return r;
}

int
store_outbox_forget(struct store *s, uint64_t upto, size_t max, uint64_t *ret_n)
{
	sqlite3_stmt *st;
	int r;

	*ret_n = 0;
	st = store_db_write_stmt(s, Q_OUTBOX_FORGET, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, upto > INT64_MAX ? INT64_MAX : (int64_t)upto);
	(void)sqlite3_bind_int64(st, 2, (sqlite3_int64)max);
	r = store_db_run(s, st);
	if (r == 0)
		*ret_n = (uint64_t)sqlite3_changes64(s->db);
	return r;
}
