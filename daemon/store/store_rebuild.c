/* store_rebuild.c - a new database filled with what can be read of a damaged one.
 *
 * What is derived is not copied but made anew: the counts by the triggers of the new tables, the
 * values for searching out of the rows. What belongs to a job without a row is dropped after it was
 * told, because nothing would ever remove it.
 *
 * The newest commits may be missing (a lost WAL). So numbers that must never be given twice are
 * taken up well behind the highest one that any trace shows, and a job that is queued here but has
 * left traces of having been started is not run again: nobody can know how far it came. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/store_db.h"
#include "store/store_recover.h"
#include "store/store_salvage.h"

enum {
	MARGIN = 1000, /* numbers that may have been given without a trace of it */
	JOBS_PER_COMMIT = 2000,
	RANGES_TOLD = 20,
};
#define ID_MAX (UINT64_C(1) << 48) /* what is above is damage */

struct rebuild {
	struct store *to;
	sqlite3 *from;
	const struct store_recover_options *o;
	uint64_t max_id, max_seq, max_edge, max_span; /* seen anywhere */
	uint64_t dropped, begun, held;                /* jobs */
};

__attribute__((format(printf, 2, 3))) static void
say(const struct rebuild *b, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	b->o->say(b->o->arg, line);
}

static uint64_t
max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The number that SQL gives, 0 where there is none that makes sense. */
static uint64_t
ask(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	sqlite3_int64 v = 0;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	(void)sqlite3_finalize(st);
	return v < 0 || (uint64_t)v > ID_MAX ? 0 : (uint64_t)v;
}

static int
run(struct rebuild *b, const char *sql)
{
	int rc = sqlite3_exec(b->to->db, sql, NULL, NULL, NULL);

	return rc == SQLITE_OK ? 0 : store_db_fail(b->to, rc, sql);
}

/* ---- what was read */

static void
tell_table(const struct rebuild *b, const struct store_salvage *s)
{
	if (s->table_gone) {
		say(b, "%s: nothing of it can be read", s->table);
		return;
	}
	say(b, "%s: %" PRIu64 " rows saved%s", s->table, s->saved,
	    s->n_gaps > 0 || s->bad > 0 || s->open_end ? "" : ", all of it");
	for (unsigned i = 0; i < s->n_gaps; i++)
		say(b, "%s: rows %" PRIu64 " to %" PRIu64 " cannot be read%s", s->table,
		    s->gaps[i].from, s->gaps[i].to,
		    i == SALVAGE_GAPS - 1 ? ", or not all of them" : "");
	if (s->open_end)
		say(b, "%s: rows after %" PRIu64 " cannot be read", s->table, s->max);
	if (s->bad > 0)
		say(b, "%s: %" PRIu64 " rows were read, but make no sense", s->table, s->bad);
}

static int
copy_table(struct rebuild *b, const char *table, uint64_t known, struct store_salvage *ret)
{
	int r;

	*ret = (struct store_salvage){.table = table, .known = known};
	r = store_salvage(b->from, b->to->db, ret);
	if (r == 0)
		tell_table(b, ret);
	return r;
}

static int
meta_put(struct rebuild *b)
{
	sqlite3_stmt *st = NULL;
	uint8_t uuid[16];
	int rc;

	if (b->o->uuid)
		memcpy(uuid, b->o->uuid, sizeof(uuid));
	else if (getrandom(uuid, sizeof(uuid), 0) != sizeof(uuid))
		return err_raise(-EIO, "no random numbers");
	rc = sqlite3_prepare_v2(
		b->to->db, "INSERT INTO meta(one, uuid, seq, edge, dropped) VALUES(1, ?, 0, 0, 0)",
		-1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_blob(st, 1, uuid, sizeof(uuid), SQLITE_TRANSIENT);
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	(void)sqlite3_finalize(st);
	if (rc != SQLITE_DONE)
		return store_db_fail(b->to, rc, "INSERT INTO meta");
	say(b, "%s",
	    b->o->uuid ? "the identity of the database was taken from the run directory"
		       : "the identity of the database is new: jobs that still run belong to the "
			 "old one and will not be found");
	return 0;
}

/* What administrators said of the queue: a few rows, all of them or, with a word, what can be read.
 */
static int
copy_control(struct rebuild *b)
{
	sqlite3_stmt *in = NULL, *out = NULL;
	int from = sqlite3_prepare_v2(b->from, "SELECT kind, class, at, by_uid FROM queue_control",
				      -1, &in, NULL),
	    to = sqlite3_prepare_v2(b->to->db,
				    "INSERT OR IGNORE INTO queue_control(kind, class, at, by_uid)"
				    " VALUES(?, ?, ?, ?)",
				    -1, &out, NULL);

	while (to == SQLITE_OK && from == SQLITE_OK) {
		from = sqlite3_step(in);
		if (from != SQLITE_ROW)
			break;
		from = SQLITE_OK;
		for (int i = 0; i < 4 && to == SQLITE_OK; i++)
			to = sqlite3_bind_value(out, i + 1, sqlite3_column_value(in, i));
		to = to == SQLITE_OK ? sqlite3_step(out) : to;
		(void)sqlite3_reset(out);
		to = to == SQLITE_DONE || (to & 0xff) == SQLITE_CONSTRAINT ? SQLITE_OK : to;
	}
	(void)sqlite3_finalize(in);
	(void)sqlite3_finalize(out);
	if (from != SQLITE_DONE)
		say(b, "queue_control: not all of it can be read: look whether what was paused "
		       "still is (`ctxctl status`)");
	return to == SQLITE_OK ? 0 : store_db_fail(b->to, to, "queue_control");
}

static int
copy_all(struct rebuild *b, bool *ret_nothing)
{
	struct store_salvage meta = {0}, history = {0}, env = {0}, job = {0}, forward = {0},
			     outbox = {0};
	uint64_t ids;
	int r;

	b->max_id = max_u64(b->o->id_floor,
			    ask(b->from, "SELECT seq FROM sqlite_sequence WHERE name = 'job'"));
	b->max_id = max_u64(b->max_id, ask(b->from, "SELECT max(id) FROM job"));
	b->max_edge = ask(b->from, "SELECT max(edge) FROM history");
	r = run(b, "DELETE FROM meta");
	if (r == 0)
		r = copy_table(b, "meta", 1, &meta);
	if (r == 0 && meta.saved == 0)
		r = meta_put(b);
	if (r == 0)
		r = copy_table(b, "history", b->max_edge, &history);
	if (r < 0)
		return r;
	ids = b->max_id;
	b->max_edge = max_u64(b->max_edge, history.max);
	b->max_id = max_u64(b->max_id, ask(b->to->db, "SELECT max(job) FROM history"));
	if (ids > 0)
		ids = b->max_id;
	r = copy_table(b, "job_env", ids, &env);
	if (r == 0)
		r = copy_table(b, "job", ids, &job);
	if (r == 0)
		r = copy_table(b, "forward", 0, &forward);
	b->max_span = max_u64(ask(b->from, "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'"),
			      ask(b->from, "SELECT max(seq) FROM outbox"));
	if (r == 0)
		r = copy_table(b, "outbox", b->max_span, &outbox);
	if (r == 0)
		r = copy_control(b);
	if (r < 0)
		return r;
	b->max_span = max_u64(b->max_span, outbox.max);
	b->max_id = max_u64(b->max_id, max_u64(job.max, env.max));
	b->max_seq = max_u64(b->o->seq_floor, ask(b->to->db, "SELECT max(seq) FROM job"));
	*ret_nothing = meta.saved + history.saved + job.saved == 0;
	return 0;
}

/* ---- what must not be given twice */

static int
raise_numbers(struct rebuild *b)
{
	struct store *s = b->to;
	char sql[200];
	int r;

	s->seq = max_u64(s->seq, b->max_seq) + MARGIN; /* written by the commit */
	s->edge = max_u64(s->edge, b->max_edge) + MARGIN;
	b->max_id += MARGIN;
	(void)snprintf(sql, sizeof(sql), "UPDATE meta SET edge = %" PRIu64, s->edge);
	r = run(b, sql);
	(void)snprintf(sql, sizeof(sql),
		       "DELETE FROM sqlite_sequence WHERE name = 'job';"
		       "INSERT INTO sqlite_sequence(name, seq) VALUES('job', %" PRIu64 ")",
		       b->max_id);
	if (r == 0)
		r = run(b, sql);
	/* Whoever took spans may still tell to forget them. */
	(void)snprintf(sql, sizeof(sql),
		       "DELETE FROM sqlite_sequence WHERE name = 'outbox';"
		       "INSERT INTO sqlite_sequence(name, seq) VALUES('outbox', %" PRIu64 ")",
		       b->max_span + MARGIN);
	if (r == 0)
		r = run(b, sql);
	if (r == 0)
		say(b, "the next job will be %" PRIu64, b->max_id + 1);
	return r;
}

/* ---- jobs, one by one */

/* It is queued here, but was started: by commits that are lost. */
static int
interrupt(struct rebuild *b, struct job *j)
{
	static const char cause[] = "the database was damaged, and its traces show that it was "
				    "started: how it ended cannot be known";
	struct store_edge e = {.job = j->id,
			       .attempt = j->attempt,
			       .at_us = b->o->now_us,
			       .from = (int)JOB_QUEUED,
			       .to = JOB_INTERRUPTED,
			       .cause_code = CAUSE_EVIDENCE_LOST,
			       .cause = cause,
			       .by_uid = -1};
	int r = job_set(&j->cause, cause);

	if (r < 0)
		return err_pass(r);
	j->state = JOB_INTERRUPTED;
	j->cause_code = CAUSE_EVIDENCE_LOST;
	j->known_by = KNOWN_BY_RECOVERY;
	j->survivors_possible = true;
	j->ended_us = b->o->now_us;
	j->not_before_us = 0;
	j->held = false;
	j->waits = 0;
	r = store_job_update(b->to, j, JOB_QUEUED);
	if (r == 0)
		r = store_history_add(b->to, &e);
	b->begun++;
	return r == 0 ? 0 : err_fold(r);
}

/* For whom it waited is not kept: it is held, for somebody to look. */
static int
hold(struct rebuild *b, struct job *j)
{
	struct store_edge e = {.job = j->id,
			       .attempt = j->attempt,
			       .at_us = b->o->now_us,
			       .from = (int)JOB_QUEUED,
			       .to = JOB_QUEUED,
			       .cause = "held: the database was damaged, and for whom it waited is "
					"not known any more",
			       .by_uid = -1};
	int r;

	j->held = true;
	j->waits = 0;
	r = store_job_update(b->to, j, JOB_QUEUED);
	if (r == 0)
		r = store_history_add(b->to, &e);
	b->held++;
	return r == 0 ? 0 : err_fold(r);
}

/* Each NAME=VALUE, none twice. */
static bool
values_sane(const struct job *j)
{
	for (const char *v = strv_first(&j->values); v; v = strv_next(&j->values, v)) {
		if (!strchr(v, '='))
			return false;
		for (const char *w = strv_next(&j->values, v); w; w = strv_next(&j->values, w))
			if (strcmp(v, w) == 0)
				return false;
	}
	return true;
}

static int
check_job(struct rebuild *b, uint64_t id)
{
	_cleanup_(job_freep) struct job *j = NULL;
	char sql[64];
	int r = store_job_get(b->to, id, &j);

	if (r == -EUCLEAN || (r == 0 && !values_sane(j))) {
		b->dropped++;
		say(b, "job %" PRIu64 ": its row makes no sense: dropped", id);
		(void)snprintf(sql, sizeof(sql), "DELETE FROM job WHERE id = %" PRIu64, id);
		return run(b, sql);
	}
	if (r == 0)
		r = store_job_values(b->to, j);
	if (r == 0 && j->state == JOB_QUEUED && j->kind == JOB_KIND_JOB && b->o->begun &&
	    b->o->begun(b->o->arg, id, j->attempt, j->requeues > 0))
		r = interrupt(b, j);
	else if (r == 0 && j->state == JOB_QUEUED && j->waits > 0)
		r = hold(b, j);
	return r == 0 ? 0 : err_fold(r);
}

static int
check_jobs(struct rebuild *b)
{
	char sql[80];
	uint64_t id = 0;
	int r = 0;

	for (uint64_t n = 1; r == 0; n++) {
		(void)snprintf(sql, sizeof(sql), "SELECT min(id) FROM job WHERE id > %" PRIu64, id);
		id = ask(b->to->db, sql);
		if (id == 0)
			break;
		r = check_job(b, id);
		if (r == 0 && n % JOBS_PER_COMMIT == 0) {
			r = store_commit(b->to);
			if (r == 0)
				r = store_begin(b->to, __func__);
		}
	}
	return r;
}

/* Tell the jobs of which only other rows are left, and drop these. */
static int
drop_orphans(struct rebuild *b)
{
	static const char orphans[] =
		"SELECT job FROM history WHERE job NOT IN (SELECT id FROM job)"
		" UNION SELECT job FROM job_env WHERE job NOT IN (SELECT id FROM job) ORDER BY 1";
	sqlite3_stmt *st = NULL;
	uint64_t from = 0, to = 0, n = 0, id;
	int rc = sqlite3_prepare_v2(b->to->db, orphans, -1, &st, NULL), ranges = 0;

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(st);
		id = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(st, 0) : 0;
		n += rc == SQLITE_ROW;
		if (n > 0 && id != to + 1 && to > 0 && ranges++ < RANGES_TOLD)
			say(b,
			    from == to ? "lost: job %" PRIu64 : "lost: jobs %" PRIu64 "-%" PRIu64,
			    from, to);
		if (id != to + 1 || to == 0)
			from = id;
		to = id;
	}
	(void)sqlite3_finalize(st);
	if (rc != SQLITE_DONE)
		return store_db_fail(b->to, rc, orphans);
	if (n > 0)
		say(b, "lost: %" PRIu64 " jobs in all that the history or the environments name",
		    n);
	return run(b, "DELETE FROM history WHERE job NOT IN (SELECT id FROM job);"
		      "DELETE FROM job_env WHERE job NOT IN (SELECT id FROM job);"
		      "DELETE FROM forward WHERE job NOT IN (SELECT id FROM job)");
}

static int
finish(struct rebuild *b)
{
	int r = store_begin(b->to, __func__);

	if (r == 0)
		r = raise_numbers(b);
	if (r == 0)
		r = check_jobs(b);
	if (r == 0)
		r = drop_orphans(b);
	if (r == 0)
		r = store_commit(b->to);
	if (r == 0 && b->begun > 0)
		say(b,
		    "%" PRIu64 " jobs that were queued are interrupted now, because they left "
		    "traces of having been started",
		    b->begun);
	if (r == 0 && b->held > 0)
		say(b,
		    "%" PRIu64 " jobs that waited for others are held, because for whom is not "
		    "kept: `ctxctl release` lets them go",
		    b->held);
	return r;
}

int
store_rebuild(struct store *to, sqlite3 *from, uint32_t version,
	      const struct store_recover_options *o)
{
	struct rebuild b = {.to = to, .from = from, .o = o};
	bool nothing = false;
	int r = copy_all(&b, &nothing);

	if (r < 0 || nothing)
		return r < 0 ? r : STORE_REBUILD_NOTHING;
	if (version < store_create_version()) {
		r = run(&b, "BEGIN IMMEDIATE");
		if (r == 0 &&
		    store_create_migrate(to, version, store_create_version()) != SQLITE_OK)
			r = err_raise(-EIO, "bring the new database to the schema of today");
		if (r == 0)
			r = run(&b, "COMMIT");
	}
	if (r == 0)
		r = store_meta_read(to);
	if (r == 0)
		r = store_db_prepare(to);
	return r == 0 ? finish(&b) : r;
}
