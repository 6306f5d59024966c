/* store_salvage.c - reading a table of which parts cannot be read.
 *
 * A scan in order of rowid goes on until SQLite meets a page that is none. Then each following
 * rowid is tried on its own (a seek goes down the tree anew, past the bad page) until one can be
 * read, and the scan goes on there. So whatever has an intact way from the root is found. Long
 * stretches in which nothing can be read are crossed in growing steps. */
#include "store/store_salvage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_db.h"

enum {
	STEP_AFTER = 100000,     /* failures in a row before the steps grow */
	SEARCH_UNKNOWN = 200000, /* rowids tried behind the last one where nothing tells the end */
	ROWS_PER_COMMIT = 10000,
	LOST_RUN = 64, /* bytes */
};

struct salvage {
	struct store_salvage *s;
	sqlite3 *to;
	sqlite3_stmt *in, *out; /* owned */
	int columns;
	uint64_t in_txn; /* rows */
};

/* "SELECT a, b FROM t WHERE a >= ? ORDER BY a" and "INSERT INTO t(a, b) VALUES(?, ?)", with the
 * columns of the new table. */
static int
statements(sqlite3 *from, struct salvage *v)
{
	_cleanup_(buf_done) struct buf sel = {0}, ins = {0};
	_free_ char *probe = text_format("SELECT * FROM %s", v->s->table);
	sqlite3_stmt *st = NULL;
	const char *key, *sep;
	int rc, r = 0;

	if (!probe)
		return -ENOMEM;
	rc = sqlite3_prepare_v2(v->to, probe, -1, &st, NULL);
	if (rc != SQLITE_OK)
		return store_db_errno(v->to, rc);
	v->columns = sqlite3_column_count(st);
	key = sqlite3_column_name(st, 0);
	r = buf_printf(&sel, "SELECT ");
	if (r == 0)
		r = buf_printf(&ins, "INSERT INTO %s(", v->s->table);
	for (int i = 0; i < v->columns && r == 0; i++) {
		sep = i > 0 ? ", " : "";
		r = buf_printf(&sel, "%s%s", sep, sqlite3_column_name(st, i));
		if (r == 0)
			r = buf_printf(&ins, "%s%s", sep, sqlite3_column_name(st, i));
	}
	if (r == 0)
		r = buf_printf(&sel, " FROM %s NOT INDEXED WHERE %s >= ? ORDER BY %s", v->s->table,
			       key, key);
	if (r == 0)
		r = buf_printf(&ins, ") VALUES(?");
	for (int i = 1; i < v->columns && r == 0; i++)
		r = buf_printf(&ins, ", ?");
	if (r == 0)
		r = buf_printf(&ins, ")");
	if (r == 0) {
		rc = sqlite3_prepare_v2(v->to, buf_head(&ins), (int)buf_len(&ins), &v->out, NULL);
		r = store_db_errno(v->to, rc);
	}
	if (r == 0 &&
	    sqlite3_prepare_v2(from, buf_head(&sel), (int)buf_len(&sel), &v->in, NULL) != SQLITE_OK)
		v->s->table_gone = true;
	(void)sqlite3_finalize(st);
	return r;
}

static void
gap(struct store_salvage *s, uint64_t from, uint64_t to)
{
	s->unread += to - from + 1;
	if (s->n_gaps > 0 && s->gaps[s->n_gaps - 1].to + 1 == from)
		s->gaps[s->n_gaps - 1].to = to;
	else if (s->n_gaps == SALVAGE_GAPS)
		s->gaps[SALVAGE_GAPS - 1].to = to;
	else {
		s->gaps[s->n_gaps].from = from;
		s->gaps[s->n_gaps++].to = to;
	}
}

static int
txn(struct salvage *v, const char *sql)
{
	return store_db_errno(v->to, sqlite3_exec(v->to, sql, NULL, NULL, NULL));
}

/* Does a part of the value lie on a page that is lost? No text has such a byte, and no long value
 * of ours ends in one. */
static bool
lost(sqlite3_value *x)
{
	const uint8_t *p = sqlite3_value_blob(x);
	int type = sqlite3_value_type(x), n = sqlite3_value_bytes(x), run = 0;

	if (!p || (type != SQLITE_TEXT && type != SQLITE_BLOB))
		return false;
	if (type == SQLITE_TEXT)
		return memchr(p, SALVAGE_LOST, (size_t)n) != NULL;
	for (int i = 0; i < n && run < LOST_RUN; i++)
		run = p[i] == SALVAGE_LOST ? run + 1 : 0;
	return run == LOST_RUN || (n > LOST_RUN && p[n - 1] == SALVAGE_LOST);
}

/* The row that IN stands on. */
static int
copy_row(struct salvage *v)
{
	int rc = SQLITE_OK, r;

	for (int i = 0; i < v->columns && rc == SQLITE_OK; i++)
		if (lost(sqlite3_column_value(v->in, i)))
			rc = SQLITE_MISMATCH;
		else
			rc = sqlite3_bind_value(v->out, i + 1, sqlite3_column_value(v->in, i));
	if (rc == SQLITE_OK)
		rc = sqlite3_step(v->out);
	(void)sqlite3_reset(v->out);
	(void)sqlite3_clear_bindings(v->out);
	if ((rc & 0xff) == SQLITE_CONSTRAINT || rc == SQLITE_MISMATCH || rc == SQLITE_TOOBIG) {
		v->s->bad++;
		return 0;
	}
	if (rc != SQLITE_DONE)
		return store_db_errno(v->to, rc);
	v->s->saved++;
	if (++v->in_txn < ROWS_PER_COMMIT)
		return 0;
	v->in_txn = 0;
	r = txn(v, "COMMIT");
	return r == 0 ? txn(v, "BEGIN") : r;
}

/* Is ID one that may be there? Behind a row whose number was damaged nothing would be looked for.
 */
static bool
plausible(const struct salvage *v, sqlite3_int64 id)
{
	return id > 0 && (v->s->known == 0 || (uint64_t)id <= v->s->known);
}

/* Scan from *NEXT on, and move it behind the last row that was saved; if there is none, behind the
 * last one that was read. A page that lies where another one belongs has rows out of order, and
 * maybe of another table: what follows it is not passed over. 1: the end is reached; 0: what
 * follows cannot be read; or negative errno. */
static int
scan(struct salvage *v, uint64_t *next)
{
	uint64_t saved, seen = *next, from = *next;
	sqlite3_int64 id;
	int rc, r = 0;

	(void)sqlite3_reset(v->in);
	(void)sqlite3_bind_int64(v->in, 1, (sqlite3_int64)*next);
	while ((rc = sqlite3_step(v->in)) == SQLITE_ROW) {
		id = sqlite3_column_int64(v->in, 0);
		if (!plausible(v, id)) {
			v->s->bad++;
			continue;
		}
		saved = v->s->saved;
		r = copy_row(v);
		if (r < 0)
			return r;
		seen = (uint64_t)id >= seen ? (uint64_t)id + 1 : seen;
		if (v->s->saved > saved && (uint64_t)id >= *next) {
			*next = (uint64_t)id + 1;
			v->s->max = (uint64_t)id;
		}
	}
	if (rc == SQLITE_NOMEM)
		return -ENOMEM;
	if (*next == from)
		*next = seen;
	return rc == SQLITE_DONE;
}

static bool
readable(struct salvage *v, uint64_t id)
{
	int rc;

	(void)sqlite3_reset(v->in);
	(void)sqlite3_bind_int64(v->in, 1, (sqlite3_int64)id);
	rc = sqlite3_step(v->in);
	return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

static int
salvage(struct salvage *v)
{
	uint64_t next = 1, from, step, end;
	int r;

	for (;;) {
		r = scan(v, &next);
		if (r != 0)
			return r < 0 ? r : 0;
		end = v->s->known > 0 ? v->s->known : next + SEARCH_UNKNOWN;
		from = next;
		step = 1;
		do {
			if (next > end) {
				if (v->s->known == 0)
					v->s->open_end = true;
				else if (next > from)
					gap(v->s, from, end);
				return 0;
			}
			next += step;
			if (next - from > STEP_AFTER)
				step += step / 64 + 1;
		} while (!readable(v, next));
		gap(v->s, from, next - 1);
	}
}

int
store_salvage(sqlite3 *from, sqlite3 *to, struct store_salvage *s)
{
	struct salvage v = {.s = s, .to = to};
	int r = statements(from, &v);

	if (r == 0 && !s->table_gone) {
		r = txn(&v, "BEGIN");
		if (r == 0)
			r = salvage(&v);
		if (r == 0)
			r = txn(&v, "COMMIT");
	}
	(void)sqlite3_finalize(v.in);
	(void)sqlite3_finalize(v.out);
	return r < 0 ? err_raise(r, "write what was read of %s", s->table) : 0;
}
