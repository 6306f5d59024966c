/* store_job.c - rows of the table job, written from struct job. Read back in store_row.c. */
#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_columns.h"
#include "store/store_db.h"

/* Parameters follow the columns. INSERT: command, fixed…, state, mutable…, so that column c is
 * parameter c + 1. UPDATE: state, mutable…, id, from. */
const char *const store_job_sql[Q_N] = {
	[Q_JOB_INSERT] = "INSERT INTO job(command" STORE_COLUMNS_FIXED(STORE_COLUMN_NAME) /* */
	", state" STORE_COLUMNS_MUTABLE(STORE_COLUMN_NAME)                                /* */
	") VALUES(?" STORE_COLUMNS_FIXED(STORE_COLUMN_MARK)                               /* */
	", ?" STORE_COLUMNS_MUTABLE(STORE_COLUMN_MARK) ")",
	[Q_JOB_UPDATE] = "UPDATE job SET state = ?" STORE_COLUMNS_MUTABLE(STORE_COLUMN_SET) /* */
	" WHERE id = ? AND state = ?",
	[Q_JOB_GET] = "SELECT " STORE_COLUMNS " FROM job WHERE id = ?",
	[Q_JOB_LIVE] = "SELECT " STORE_COLUMNS " FROM job INDEXED BY job_unfinished"
		       " WHERE state <= 4 AND state BETWEEN 2 AND 3 ORDER BY id",
	[Q_VALUE_ADD] = "INSERT INTO job_value(name, value, job) VALUES(?, ?, ?)",
	/* Before a new attempt: what is kept of the output so far. */
	[Q_OUTPUT_BACK] =
		"UPDATE job SET output_gone = 0, out_earlier = CASE WHEN output_gone = 1 THEN 0"
		" ELSE out_earlier + max(out_bytes - out_dropped, 0) + max(err_bytes - "
		"err_dropped, 0)"
		" END WHERE id = ? AND state = ?",
};

enum { COMMAND_MAX = 200, UPDATE_ID = C_N - C_STATE + 1, UPDATE_FROM };
_Static_assert(sizeof(((struct job *)0)->boot) == 16, "boot id");

/* The command as a person would type it, cut at COMMAND_MAX bytes between two characters. */
static int
command_text(const struct job *j, struct buf *ret)
{
	char head[COMMAND_MAX + 1];
	size_t n;

	for (const char *s = strv_first(&j->argv); s && buf_len(ret) <= COMMAND_MAX;
	     s = strv_next(&j->argv, s)) {
		if (buf_len(ret) > 0)
			buf_putc(ret, ' ');
		n = strlen(s);
		if (n < sizeof(head)) {
			text_shell_quote(ret, s);
		} else { /* not all of a huge one, only to throw it away */
			n = text_utf8_prefix(s, n, COMMAND_MAX);
			memcpy(head, s, n);
			head[n] = '\0';
			text_shell_quote(ret, head);
		}
	}
	return ret->failed;
}

static int
groups_pack(const struct job *j, uint32_t **ret)
{
	uint32_t *v;

	*ret = NULL;
	if (j->n_groups == 0)
		return 0;
	v = calloc(j->n_groups, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < j->n_groups; i++)
		v[i] = htole32(j->groups[i]);
	*ret = v;
	return 0;
}

static void
bind_opt(sqlite3_stmt *st, int i, bool has, int64_t v)
{
	if (has)
		(void)sqlite3_bind_int64(st, i, v);
	else
		(void)sqlite3_bind_null(st, i);
}

static void
bind_context(sqlite3_stmt *st, const struct job *j)
{
	(void)sqlite3_bind_blob(st, C_TRACE_ID + 1, j->trace.trace_id, sizeof(j->trace.trace_id),
				SQLITE_STATIC);
	if (j->has_parent_span)
		(void)sqlite3_bind_blob(st, C_PARENT_SPAN + 1, j->parent_span,
					sizeof(j->parent_span), SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(st, C_PARENT_SPAN + 1);
	(void)sqlite3_bind_int(st, C_TRACE_FLAGS + 1, j->trace.flags);
	(void)store_db_bind_str(st, C_TRACESTATE + 1, j->tracestate);
	(void)store_db_bind_str(st, C_BAGGAGE + 1, j->baggage);
	if (j->values.size > 0)
		(void)sqlite3_bind_blob64(st, C_VALUES + 1, j->values.data, j->values.size,
					  SQLITE_STATIC);
	else
		(void)sqlite3_bind_null(st, C_VALUES + 1);
	(void)sqlite3_bind_int64(st, C_WARN + 1, j->warn_us);
	(void)sqlite3_bind_int(st, C_WARN_SIGNAL + 1, j->warn_signal);
	(void)sqlite3_bind_int64(st, C_WATCHDOG + 1, j->watchdog_us);
	(void)sqlite3_bind_int(st, C_SPLIT_OUTPUT + 1, j->split_output);
	bind_opt(st, C_STDIN_BYTES + 1, j->has_stdin, (int64_t)j->stdin_bytes);
	bind_opt(st, C_STDIN_HASH + 1, j->has_stdin, (int64_t)j->stdin_hash);
}

static void
bind_fixed(sqlite3_stmt *st, const struct job *j, const uint32_t *groups)
{
	(void)sqlite3_bind_int(st, C_KIND + 1, (int)j->kind);
	(void)sqlite3_bind_int64(st, C_UID + 1, j->uid);
	(void)sqlite3_bind_int64(st, C_GID + 1, j->gid);
	(void)sqlite3_bind_int64(st, C_SUBMITTED_BY + 1, j->submitted_by);
	(void)store_db_bind_str(st, C_CLASS + 1, j->class_name);
	(void)store_db_bind_str(st, C_NAME + 1, j->name);
	(void)store_db_bind_str(st, C_KEY + 1, j->key);
	(void)store_db_bind_str(st, C_USER + 1, j->user);
	(void)store_db_bind_str(st, C_HOME + 1, j->home);
	(void)store_db_bind_str(st, C_SHELL + 1, j->shell);
	(void)store_db_bind_str(st, C_CWD + 1, j->cwd);
	(void)sqlite3_bind_blob64(st, C_GROUPS + 1, groups, j->n_groups * sizeof(*groups),
				  SQLITE_STATIC);
	(void)sqlite3_bind_blob64(st, C_ARGV + 1, j->argv.size > 0 ? j->argv.data : "",
				  j->argv.size, SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, C_UMASK + 1, j->umask);
	(void)sqlite3_bind_int64(st, C_PARENT + 1, (sqlite3_int64)j->parent);
	(void)sqlite3_bind_int64(st, C_INHERIT + 1, j->inherit);
	(void)sqlite3_bind_int64(st, C_INHERITED + 1, j->inherited_us);
	bind_context(st, j);
	(void)sqlite3_bind_int64(st, C_SUBMITTED + 1, j->submitted_us);
	(void)sqlite3_bind_int64(st, C_TIMEOUT_REQUESTED + 1, j->timeout_requested_us);
	(void)sqlite3_bind_int64(st, C_DEADLINE_REQUESTED + 1, j->deadline_requested_us);
	(void)sqlite3_bind_int64(st, C_RETRIES + 1, j->retries);
	(void)sqlite3_bind_int64(st, C_BACKOFF + 1, j->backoff_us);
}

/* BASE + column = parameter. */
static void
bind_end(sqlite3_stmt *st, int base, const struct job *j)
{
	bind_opt(st, base + C_EXIT_CODE, j->has_exit_code, j->exit_code);
	(void)sqlite3_bind_int(st, base + C_SIGNAL, j->signal);
	bind_opt(st, base + C_LEFTOVERS, j->has_leftovers, j->leftovers);
	(void)sqlite3_bind_int(st, base + C_SURVIVORS, j->survivors_possible);
	(void)sqlite3_bind_int(st, base + C_CAUSE_CODE, (int)j->cause_code);
	(void)store_db_bind_str(st, base + C_CAUSE, j->cause);
	(void)sqlite3_bind_int(st, base + C_KNOWN_BY, (int)j->known_by);
	(void)sqlite3_bind_int(st, base + C_EXEC_ERRNO, j->exec_errno);
	(void)sqlite3_bind_int64(st, base + C_OUT_BYTES, (sqlite3_int64)j->out_bytes);
	(void)sqlite3_bind_int64(st, base + C_OUT_DROPPED, (sqlite3_int64)j->out_dropped);
	(void)sqlite3_bind_int64(st, base + C_ERR_BYTES, (sqlite3_int64)j->err_bytes);
	(void)sqlite3_bind_int64(st, base + C_ERR_DROPPED, (sqlite3_int64)j->err_dropped);
	bind_opt(st, base + C_USAGE_USER, j->has_usage, (int64_t)j->user_us);
	bind_opt(st, base + C_USAGE_SYSTEM, j->has_usage, (int64_t)j->system_us);
	bind_opt(st, base + C_USAGE_RSS, j->has_usage, (int64_t)j->max_rss_bytes);
	bind_opt(st, base + C_USAGE_MEMORY, j->has_memory_peak, (int64_t)j->memory_peak_bytes);
	bind_opt(st, base + C_USAGE_READ, j->has_io, (int64_t)j->io_read_bytes);
	bind_opt(st, base + C_USAGE_WRITTEN, j->has_io, (int64_t)j->io_write_bytes);
	(void)store_db_bind_str(st, base + C_RESOLUTION_AS, j->resolution_as);
	(void)store_db_bind_str(st, base + C_RESOLUTION_NOTE, j->resolution_note);
	bind_opt(st, base + C_RESOLUTION_BY, j->resolution_as, j->resolution_by);
	bind_opt(st, base + C_RESOLUTION_AT, j->resolution_as, j->resolution_at_us);
}

static void
bind_stop(sqlite3_stmt *st, int base, const struct job *j)
{
	const struct job_stop *s = &j->stop;

	(void)sqlite3_bind_int64(st, base + C_UNENFORCED, j->unenforced);
	(void)sqlite3_bind_int64(st, base + C_STOP_ASKED, s->asked_us);
	bind_opt(st, base + C_STOP_UID, s->has_uid, s->uid);
	(void)sqlite3_bind_int64(st, base + C_STOP_PID, s->pid);
	(void)sqlite3_bind_int64(st, base + C_STOP_PARENT, (sqlite3_int64)s->parent);
	(void)sqlite3_bind_int64(st, base + C_STOP_TERM, s->term_us);
	bind_opt(st, base + C_STOP_TERM_N, s->has_counts, s->term_processes);
	(void)sqlite3_bind_int64(st, base + C_STOP_KILL, s->kill_us);
	bind_opt(st, base + C_STOP_KILL_N, s->has_counts, s->kill_processes);
	(void)sqlite3_bind_int64(st, base + C_MAIN_ENDED, s->main_ended_us);
}

static void
bind_percent(sqlite3_stmt *st, int i, bool has, double v)
{
	if (has)
		(void)sqlite3_bind_double(st, i, v);
	else
		(void)sqlite3_bind_null(st, i);
}

static void
bind_progress(sqlite3_stmt *st, int base, const struct job *j)
{
	bind_percent(st, base + C_PROGRESS_PERCENT, j->has_percent, j->percent);
	(void)store_db_bind_str(st, base + C_PROGRESS_TEXT, j->progress_text);
	(void)sqlite3_bind_int64(st, base + C_PROGRESS_AT, j->progress_us);
	(void)sqlite3_bind_int64(st, base + C_READY_AT, j->ready_us);
	bind_percent(st, base + C_LAST_PERCENT, j->has_last_percent, j->last_percent);
	(void)store_db_bind_str(st, base + C_LAST_TEXT, j->last_text);
	(void)sqlite3_bind_int64(st, base + C_SEEN, j->seen_us);
}

static void
bind_mutable(sqlite3_stmt *st, int base, const struct job *j)
{
	static const uint8_t no_boot[sizeof(j->boot)];

	(void)sqlite3_bind_int(st, base + C_STATE, (int)j->state);
	(void)sqlite3_bind_blob(st, base + C_SPAN_ID, j->trace.span_id, sizeof(j->trace.span_id),
				SQLITE_STATIC);
	(void)sqlite3_bind_int(st, base + C_PRIORITY, j->priority);
	(void)sqlite3_bind_int(st, base + C_BOUND, j->bound);
	(void)sqlite3_bind_int64(st, base + C_STARTED, j->started_us);
	(void)sqlite3_bind_int64(st, base + C_ENDED, j->ended_us);
	(void)sqlite3_bind_int64(st, base + C_ATTEMPT, j->attempt);
	(void)sqlite3_bind_int64(st, base + C_TIMEOUT, j->timeout_us);
	(void)sqlite3_bind_int(st, base + C_DEADLINE_RULE, (int)j->deadline_rule);
	(void)sqlite3_bind_int64(st, base + C_DEADLINE, j->deadline_us);
	(void)sqlite3_bind_int64(st, base + C_DEADLINE_BOOT, j->deadline_boot_ns);
	(void)sqlite3_bind_int64(st, base + C_GRACE, j->grace_us);
	(void)sqlite3_bind_int(st, base + C_STOP_SIGNAL, j->stop_signal);
	(void)sqlite3_bind_int64(st, base + C_RETRIED, j->retried);
	(void)sqlite3_bind_int64(st, base + C_NOT_BEFORE, j->not_before_us);
	(void)sqlite3_bind_int(st, base + C_HELD, j->held);
	(void)sqlite3_bind_int64(st, base + C_WAITS, j->waits);
	(void)sqlite3_bind_int(st, base + C_BLOCKED, job_blocked(j));
	(void)sqlite3_bind_int64(st, base + C_REQUEUES, j->requeues);
	(void)sqlite3_bind_int64(st, base + C_SEQ, (sqlite3_int64)j->seq);
	if (memcmp(j->boot, no_boot, sizeof(no_boot)) == 0)
		(void)sqlite3_bind_null(st, base + C_BOOT);
	else
		(void)sqlite3_bind_blob(st, base + C_BOOT, j->boot, sizeof(j->boot), SQLITE_STATIC);
	(void)sqlite3_bind_int64(st, base + C_PID, j->pid);
	(void)sqlite3_bind_int64(st, base + C_CANCEL_ATTEMPT, j->cancel_attempt);
	(void)sqlite3_bind_int(st, base + C_CANCEL_NOW, j->cancel_now);
	bind_progress(st, base, j);
	bind_end(st, base, j);
	bind_stop(st, base, j);
}

/* For searching; the job itself has them in its row. */
static int
values_insert(struct store *s, uint64_t id, const struct strv *values)
{
	sqlite3_stmt *st;
	const char *eq;
	int r = 0;

	for (const char *v = strv_first(values); v && r == 0; v = strv_next(values, v)) {
		eq = strchr(v, '=');
		assert(eq);
		st = store_db_write_stmt(s, Q_VALUE_ADD, &r);
		if (!st)
			return r;
		(void)sqlite3_bind_text64(st, 1, v, (sqlite3_uint64)(eq - v), SQLITE_STATIC,
					  SQLITE_UTF8);
		(void)store_db_bind_str(st, 2, eq + 1);
		(void)sqlite3_bind_int64(st, 3, (sqlite3_int64)id);
		r = store_db_run(s, st);
	}
	return r;
}

int
store_job_values(struct store *s, const struct job *j)
{
	return values_insert(s, j->id, &j->values);
}

int
store_job_insert(struct store *s, struct job *j, const struct strv *env)
{
	_cleanup_(buf_done) struct buf command = {0};
	_free_ uint32_t *groups = NULL;
	sqlite3_stmt *st;
	uint64_t id;
	size_t n;
	int r;

	assert(j->id == 0 && j->class_name);
	st = store_db_write_stmt(s, Q_JOB_INSERT, &r);
	if (!st)
		return r;
	r = command_text(j, &command);
	if (r == 0)
		r = groups_pack(j, &groups);
	if (r < 0)
		return err_raise(r, "no memory for the row of a job");
	n = buf_len(&command);
	if (n > COMMAND_MAX)
		n = text_utf8_prefix(buf_head(&command), n, COMMAND_MAX);
	(void)sqlite3_bind_text64(st, 1, n > 0 ? buf_head(&command) : "", n, SQLITE_STATIC,
				  SQLITE_UTF8);
	bind_fixed(st, j, groups);
	bind_mutable(st, 1, j);
	r = store_db_run(s, st);
	if (r < 0)
		return r;
	id = (uint64_t)sqlite3_last_insert_rowid(s->db);
	r = values_insert(s, id, &j->values);
	if (r == 0 && env)
		r = store_env_insert(s, id, env);
	if (r == 0)
		j->id = id;
	return r;
}

/* J has ended, or is queued anew. */
static int
crossed_over(struct store *s, const struct job *j)
{
	if (j->state == JOB_SUCCEEDED)
		return store_env_drop(s, j->id);
	return store_env_ended(s, j->id, job_state_ended(j->state) ? j->ended_us : 0);
}

/* J, which is over in state FROM, is queued anew: output of the attempts so far may be gone, and
 * there will be more. */
static int
output_back(struct store *s, const struct job *j, enum job_state from)
{
	sqlite3_stmt *st;
	int r;

	st = store_db_write_stmt(s, Q_OUTPUT_BACK, &r);
	if (!st)
		return r;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)j->id);
	(void)sqlite3_bind_int(st, 2, (int)from);
	return store_db_run(s, st);
}

int
store_job_update(struct store *s, const struct job *j, enum job_state from)
{
	sqlite3_stmt *st;
	int r = 0;

	if (job_state_ended(from) && !job_state_ended(j->state))
		r = output_back(s, j, from);
	if (r < 0)
		return r;
	st = store_db_write_stmt(s, Q_JOB_UPDATE, &r);
	if (!st)
		return r;
	bind_mutable(st, 1 - C_STATE, j);
	(void)sqlite3_bind_int64(st, UPDATE_ID, (sqlite3_int64)j->id);
	(void)sqlite3_bind_int(st, UPDATE_FROM, (int)from);
	r = store_db_run(s, st);
	if (r < 0)
		return r;
	if (sqlite3_changes(s->db) == 0)
		return STORE_E_STALE;
	return job_state_ended(j->state) == job_state_ended(from) ? 0 : crossed_over(s, j);
}

int
store_job_get(struct store *s, uint64_t id, struct job **ret)
{
	_cleanup_(store_row_done) struct store_row row = {0};
	_reset_ sqlite3_stmt *st;
	struct job *j;
	int r;

	st = store_db_stmt(s, Q_JOB_GET, &r);
	if (!st)
		return r;
	if (id > INT64_MAX)
		return STORE_E_NOT_FOUND;
	(void)sqlite3_bind_int64(st, 1, (sqlite3_int64)id);
	r = store_db_row(s, st);
	if (r <= 0)
		return r < 0 ? r : STORE_E_NOT_FOUND;
	r = store_row_decode(s, st, &row);
	if (r < 0)
		return r;
	j = job_copy(&row.job);
	if (!j)
		return err_raise(-ENOMEM, "no memory for a job");
	*ret = j;
	return 0;
}

int
store_live_each(struct store *s, store_job_fn fn, void *arg)
{
	return store_rows_each(s, Q_JOB_LIVE, fn, arg);
}
