/* store_row.c - a row of the table job as struct job, which borrows from the statement. What no
 * version of this program wrote is -EUCLEAN, and nothing is read beyond it. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/store_columns.h"
#include "store/store_db.h"

static int
malformed(struct job *j, const char *what)
{
	container_of(j, struct store_row, job)->malformed = what;
	return -EUCLEAN;
}

/* Column I as N bytes; NULL and 0 for NULL. */
static const void *
column_bytes(sqlite3_stmt *st, int i, size_t *ret_n)
{
	const void *p = sqlite3_column_blob(st, i);

	*ret_n = (size_t)sqlite3_column_bytes(st, i);
	return p;
}

static int64_t
column_opt(sqlite3_stmt *st, int i, bool *ret_has)
{
	*ret_has = sqlite3_column_type(st, i) != SQLITE_NULL;
	return *ret_has ? sqlite3_column_int64(st, i) : 0;
}

static int
decode_strv(sqlite3_stmt *st, enum store_column c, struct strv *ret)
{
	size_t n;
	const char *p = column_bytes(st, c, &n);

	if (n > 0 && p[n - 1] != '\0')
		return -EUCLEAN;
	*ret = (struct strv){.data = (char *)(uintptr_t)p, .size = n};
	for (size_t i = 0; i < n; i++)
		ret->n += p[i] == '\0';
	return 0;
}

/* A blob of exactly N bytes into RET. */
static bool
decode_bytes(sqlite3_stmt *st, enum store_column c, void *ret, size_t n)
{
	size_t size;
	const void *p = column_bytes(st, c, &size);

	if (size != n)
		return false;
	memcpy(ret, p, n);
	return true;
}

/* The same for a column that may be NULL: RET stays as it is then. */
static bool
decode_opt_bytes(sqlite3_stmt *st, enum store_column c, void *ret, size_t n, bool *ret_has)
{
	*ret_has = sqlite3_column_type(st, c) != SQLITE_NULL;
	return !*ret_has || decode_bytes(st, c, ret, n);
}

static int
decode_trace(sqlite3_stmt *st, struct job *j)
{
	if (!decode_bytes(st, C_TRACE_ID, j->trace.trace_id, sizeof(j->trace.trace_id)) ||
	    !decode_bytes(st, C_SPAN_ID, j->trace.span_id, sizeof(j->trace.span_id)) ||
	    !decode_opt_bytes(st, C_PARENT_SPAN, j->parent_span, sizeof(j->parent_span),
			      &j->has_parent_span))
		return malformed(j, "the trace");
	j->trace.flags = (uint8_t)sqlite3_column_int(st, C_TRACE_FLAGS);
	j->tracestate = store_db_str(st, C_TRACESTATE);
	j->baggage = store_db_str(st, C_BAGGAGE);
	return 0;
}

static int
decode_context(sqlite3_stmt *st, struct job *j)
{
	int r;

	r = decode_trace(st, j);
	if (r < 0)
		return r;
	j->parent = (uint64_t)sqlite3_column_int64(st, C_PARENT);
	j->inherited_us = sqlite3_column_int64(st, C_INHERITED);
	j->bound = sqlite3_column_int(st, C_BOUND) != 0;
	j->warn_us = sqlite3_column_int64(st, C_WARN);
	j->warn_signal = sqlite3_column_int(st, C_WARN_SIGNAL);
	j->watchdog_us = sqlite3_column_int64(st, C_WATCHDOG);
	j->split_output = sqlite3_column_int(st, C_SPLIT_OUTPUT) != 0;
	j->stdin_bytes = (uint64_t)column_opt(st, C_STDIN_BYTES, &j->has_stdin);
	j->stdin_hash = (uint64_t)sqlite3_column_int64(st, C_STDIN_HASH);
	if (decode_strv(st, C_VALUES, &j->values) < 0)
		return malformed(j, "the values");
	return decode_strv(st, C_ARGV, &j->argv) < 0 ? malformed(j, "argv") : 0;
}

static void
decode_progress(sqlite3_stmt *st, struct job *j)
{
	j->progress_us = sqlite3_column_int64(st, C_PROGRESS_AT);
	j->has_percent = sqlite3_column_type(st, C_PROGRESS_PERCENT) != SQLITE_NULL;
	j->percent = sqlite3_column_double(st, C_PROGRESS_PERCENT);
	j->progress_text = store_db_str(st, C_PROGRESS_TEXT);
	j->ready_us = sqlite3_column_int64(st, C_READY_AT);
	j->has_last_percent = sqlite3_column_type(st, C_LAST_PERCENT) != SQLITE_NULL;
	j->last_percent = sqlite3_column_double(st, C_LAST_PERCENT);
	j->last_text = store_db_str(st, C_LAST_TEXT);
	j->seen_us = sqlite3_column_int64(st, C_SEEN);
}

static int
decode_groups(sqlite3_stmt *st, struct store_row *row)
{
	struct job *j = &row->job;
	size_t n, k;
	const uint8_t *p = column_bytes(st, C_GROUPS, &n);
	uint32_t *v;

	if (n % sizeof(*v) != 0)
		return malformed(j, "the group list");
	k = n / sizeof(*v);
	if (k > row->groups_cap) {
		v = reallocarray(row->groups, k, sizeof(*v));
		if (!v)
			return err_raise(-ENOMEM, "no memory for a group list");
		row->groups = v;
		row->groups_cap = k;
	}
	for (size_t i = 0; i < k; i++) {
		memcpy(&row->groups[i], p + i * sizeof(*v), sizeof(*v));
		row->groups[i] = le32toh(row->groups[i]);
	}
	j->groups = k > 0 ? row->groups : NULL;
	j->n_groups = k;
	return 0;
}

static void
decode_fixed(sqlite3_stmt *st, struct job *j)
{
	j->kind = (enum job_kind)sqlite3_column_int(st, C_KIND);
	j->uid = (uint32_t)sqlite3_column_int64(st, C_UID);
	j->gid = (uint32_t)sqlite3_column_int64(st, C_GID);
	j->submitted_by = (uint32_t)sqlite3_column_int64(st, C_SUBMITTED_BY);
	j->class_name = store_db_str(st, C_CLASS);
	j->name = store_db_str(st, C_NAME);
	j->key = store_db_str(st, C_KEY);
	j->user = store_db_str(st, C_USER);
	j->home = store_db_str(st, C_HOME);
	j->shell = store_db_str(st, C_SHELL);
	j->cwd = store_db_str(st, C_CWD);
	j->umask = (uint32_t)sqlite3_column_int64(st, C_UMASK);
	j->inherit = (uint32_t)sqlite3_column_int64(st, C_INHERIT);
	j->submitted_us = sqlite3_column_int64(st, C_SUBMITTED);
	j->timeout_requested_us = sqlite3_column_int64(st, C_TIMEOUT_REQUESTED);
	j->deadline_requested_us = sqlite3_column_int64(st, C_DEADLINE_REQUESTED);
	j->retries = (uint32_t)sqlite3_column_int64(st, C_RETRIES);
	j->backoff_us = sqlite3_column_int64(st, C_BACKOFF);
}

static int
decode_attempt(sqlite3_stmt *st, struct job *j)
{
	bool has;

	j->priority = sqlite3_column_int(st, C_PRIORITY);
	j->started_us = sqlite3_column_int64(st, C_STARTED);
	j->ended_us = sqlite3_column_int64(st, C_ENDED);
	j->attempt = (uint32_t)sqlite3_column_int64(st, C_ATTEMPT);
	j->timeout_us = sqlite3_column_int64(st, C_TIMEOUT);
	j->deadline_rule = (enum deadline_rule)sqlite3_column_int(st, C_DEADLINE_RULE);
	j->deadline_us = sqlite3_column_int64(st, C_DEADLINE);
	j->deadline_boot_ns = sqlite3_column_int64(st, C_DEADLINE_BOOT);
	j->grace_us = sqlite3_column_int64(st, C_GRACE);
	j->stop_signal = sqlite3_column_int(st, C_STOP_SIGNAL);
	j->retried = (uint32_t)sqlite3_column_int64(st, C_RETRIED);
	j->not_before_us = sqlite3_column_int64(st, C_NOT_BEFORE);
	j->held = sqlite3_column_int(st, C_HELD) != 0;
	j->waits = (uint32_t)sqlite3_column_int64(st, C_WAITS);
	j->requeues = (uint32_t)sqlite3_column_int64(st, C_REQUEUES);
	j->seq = (uint64_t)sqlite3_column_int64(st, C_SEQ);
	j->pid = (uint32_t)sqlite3_column_int64(st, C_PID);
	j->cancel_attempt = (uint32_t)sqlite3_column_int64(st, C_CANCEL_ATTEMPT);
	j->cancel_now = sqlite3_column_int(st, C_CANCEL_NOW) != 0;
	if (!decode_opt_bytes(st, C_BOOT, j->boot, sizeof(j->boot), &has))
		return malformed(j, "the boot id");
	return 0;
}

static void
decode_end(sqlite3_stmt *st, struct job *j)
{
	bool has;

	j->exit_code = (int32_t)column_opt(st, C_EXIT_CODE, &j->has_exit_code);
	j->signal = sqlite3_column_int(st, C_SIGNAL);
	j->leftovers = (uint32_t)column_opt(st, C_LEFTOVERS, &j->has_leftovers);
	j->survivors_possible = sqlite3_column_int(st, C_SURVIVORS) != 0;
	j->cause_code = (enum cause_code)sqlite3_column_int(st, C_CAUSE_CODE);
	j->cause = store_db_str(st, C_CAUSE);
	j->known_by = (enum known_by)sqlite3_column_int(st, C_KNOWN_BY);
	j->exec_errno = sqlite3_column_int(st, C_EXEC_ERRNO);
	j->out_bytes = (uint64_t)sqlite3_column_int64(st, C_OUT_BYTES);
	j->out_dropped = (uint64_t)sqlite3_column_int64(st, C_OUT_DROPPED);
	j->err_bytes = (uint64_t)sqlite3_column_int64(st, C_ERR_BYTES);
	j->err_dropped = (uint64_t)sqlite3_column_int64(st, C_ERR_DROPPED);
	j->user_us = (uint64_t)column_opt(st, C_USAGE_USER, &j->has_usage);
	j->system_us = (uint64_t)sqlite3_column_int64(st, C_USAGE_SYSTEM);
	j->max_rss_bytes = (uint64_t)sqlite3_column_int64(st, C_USAGE_RSS);
	j->memory_peak_bytes = (uint64_t)column_opt(st, C_USAGE_MEMORY, &j->has_memory_peak);
	j->io_read_bytes = (uint64_t)column_opt(st, C_USAGE_READ, &j->has_io);
	j->io_write_bytes = (uint64_t)sqlite3_column_int64(st, C_USAGE_WRITTEN);
	j->resolution_as = store_db_str(st, C_RESOLUTION_AS);
	j->resolution_note = store_db_str(st, C_RESOLUTION_NOTE);
	j->resolution_by = (uint32_t)column_opt(st, C_RESOLUTION_BY, &has);
	j->resolution_at_us = column_opt(st, C_RESOLUTION_AT, &has);
}

static void
decode_stop(sqlite3_stmt *st, struct job *j)
{
	struct job_stop *s = &j->stop;

	j->unenforced = (uint32_t)sqlite3_column_int64(st, C_UNENFORCED);
	s->asked_us = sqlite3_column_int64(st, C_STOP_ASKED);
	s->uid = (uint32_t)column_opt(st, C_STOP_UID, &s->has_uid);
	s->pid = (uint32_t)sqlite3_column_int64(st, C_STOP_PID);
	s->parent = (uint64_t)sqlite3_column_int64(st, C_STOP_PARENT);
	s->term_us = sqlite3_column_int64(st, C_STOP_TERM);
	s->term_processes = (uint32_t)column_opt(st, C_STOP_TERM_N, &s->has_counts);
	s->kill_us = sqlite3_column_int64(st, C_STOP_KILL);
	s->kill_processes = (uint32_t)sqlite3_column_int64(st, C_STOP_KILL_N);
	s->main_ended_us = sqlite3_column_int64(st, C_MAIN_ENDED);
}

static int
decode(struct store *s, sqlite3_stmt *st, struct store_row *row)
{
	struct job *j = &row->job;
	int state = sqlite3_column_int(st, C_STATE), r;

	*j = (struct job){.id = (uint64_t)sqlite3_column_int64(st, C_ID)};
	if (state < 1 || state > JOB_STATE_MAX)
		return malformed(j, "the state");
	j->state = (enum job_state)state;
	decode_fixed(st, j);
	if (j->kind != JOB_KIND_JOB && j->kind != JOB_KIND_SCOPE)
		return malformed(j, "the kind");
	decode_end(st, j);
	decode_stop(st, j);
	if (!j->class_name) /* NOT NULL: SQLite had no memory to show it */
		return store_db_fail(s, SQLITE_NOMEM, "a row of a job");
	decode_progress(st, j);
	r = decode_attempt(st, j);
	if (r == 0)
		r = decode_context(st, j);
	if (r == 0)
		r = decode_groups(st, row);
	return r;
}

int
store_row_decode(struct store *s, sqlite3_stmt *st, struct store_row *row)
{
	int r;

	row->malformed = NULL;
	r = decode(s, st, row);
	if (row->malformed && sqlite3_errcode(s->db) == SQLITE_NOMEM) {
		row->malformed = NULL; /* it could not be shown */
		return store_db_fail(s, SQLITE_NOMEM, "a row of a job");
	}
	if (row->malformed)
		store_broken_add(s, row->job.id, row->malformed);
	return r;
}

void
store_row_done(struct store_row *row)
{
	free(row->groups);
	row->groups = NULL;
	row->groups_cap = 0;
}

int
store_rows_each(struct store *s, enum store_query q, store_job_fn fn, void *arg)
{
	_cleanup_(store_row_done) struct store_row row = {0};
	_reset_ sqlite3_stmt *st;
	int r;

	st = store_db_stmt(s, q, &r);
	if (!st)
		return r;
	while ((r = store_db_row(s, st)) > 0) {
		r = store_row_decode(s, st, &row);
		if (row.malformed)
			continue;
		if (r == 0)
			r = fn(arg, &row.job);
		if (r != 0)
			return r;
	}
	return r;
}
