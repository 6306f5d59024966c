/* jobjson.c - a job as the interface shows it. Called for every row of every list: straight into
 * the buffer. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <inttypes.h>

#include "api/jobjson.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/text.h"
#include "core/job.h"
#include "core/stop.h"

enum { COMMAND_MAX = 200, VALUE_NAME_MAX = 64 };

static const char ellipsis[] = "\xe2\x80\xa6";

static void
put_strv(struct jw *j, const char *key, const struct strv *v)
{
	jw_arr_open(j, key);
	for (const char *s = strv_first(v); s; s = strv_next(v, s))
		jw_str(j, NULL, s);
	jw_arr_close(j);
}

static void
put_inherit(struct jw *j, uint32_t inherit)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} table[] = {
		{INHERIT_VALUES, "values"},
		{INHERIT_TRACE, "trace"},
		{INHERIT_DEADLINE, "deadline"},
		{INHERIT_CANCEL, "cancel"},
	};

	jw_arr_open(j, "inherit");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (inherit & table[i].bit)
			jw_str(j, NULL, table[i].name);
	jw_arr_close(j);
}

/* NAME=VALUE as members. A name is short: see core. */
static void
put_values(struct jw *j, const struct strv *values)
{
	jw_obj_open(j, "values");
	for (const char *s = strv_first(values); s; s = strv_next(values, s)) {
		char name[VALUE_NAME_MAX + 1];
		size_t n = strcspn(s, "=");

		if (n >= sizeof(name) || s[n] == '\0')
			continue;
		memcpy(name, s, n);
		name[n] = '\0';
		jw_str(j, name, s + n + 1);
	}
	jw_obj_close(j);
}

/* A job of a trace has a span in it. */
static bool
has_trace(const struct job *job)
{
	static const uint8_t none[sizeof(job->trace.span_id)];

	return memcmp(job->trace.span_id, none, sizeof(none)) != 0;
}

static void
put_trace(struct jw *j, const struct job *job)
{
	char parent[TRACE_PARENT_TEXT], span[TRACE_SPAN_TEXT];
	bool has = has_trace(job);

	jw_str(j, "traceparent", has ? trace_format(&job->trace, parent) : NULL);
	jw_str(j, "tracestate", job->tracestate);
	jw_str(j, "baggage", job->baggage);
	jw_str(j, "span_id", has ? trace_span_format(job->trace.span_id, span) : NULL);
	jw_str(j, "parent_span_id",
	       job->has_parent_span ? trace_span_format(job->parent_span, span) : NULL);
}

static void
put_context(struct jw *j, const struct job *job)
{
	jw_int_if(j, "parent", job->parent != 0, (int64_t)job->parent);
	put_inherit(j, job->inherit);
	put_values(j, &job->values);
	put_trace(j, job);
}

/* As a number that is no integer to those who tell them apart. */
static void
put_float(struct jw *j, const char *key, double v)
{
	char text[40];
	int n = snprintf(text, sizeof(text) - 2, "%.15g", v);

	if (!strpbrk(text, ".e")) {
		text[n++] = '.';
		text[n++] = '0';
	}
	jw_raw(j, key, text, (size_t)n);
}

void
jobjson_progress(struct jw *j, const struct job *job)
{
	if (!job->progress_us) {
		jw_null(j, "progress");
		return;
	}
	jw_obj_open(j, "progress");
	if (job->has_percent)
		put_float(j, "percent", job->percent);
	else
		jw_null(j, "percent");
	jw_str(j, "text", job->progress_text);
	jw_time(j, "at", job->progress_us);
	jw_obj_close(j);
}

/* What an earlier attempt told last. */
static void
put_last(struct jw *j, const struct job *job)
{
	if (!job->has_last_percent && !job->last_text) {
		jw_null(j, "last_progress");
		return;
	}
	jw_obj_open(j, "last_progress");
	if (job->has_last_percent)
		put_float(j, "percent", job->last_percent);
	else
		jw_null(j, "percent");
	jw_str(j, "text", job->last_text);
	jw_obj_close(j);
}

/* As the kernel writes it. */
static void
put_boot(struct jw *j, const struct job *job)
{
	static const uint8_t none[sizeof(job->boot)];
	char text[40];
	size_t n = 0;

	if (memcmp(job->boot, none, sizeof(none)) == 0) {
		jw_null(j, "boot");
		return;
	}
	for (size_t i = 0; i < sizeof(job->boot); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%02x",
				      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
				      job->boot[i]);
	jw_str(j, "boot", text);
}

/* How far an interrupted job certainly came. */
static const char *
phase(const struct job *job)
{
	if (job->state != JOB_INTERRUPTED)
		return NULL;
	if (job->ready_us)
		return "ready";
	return job->pid || job->progress_us || job->cause_code == CAUSE_MONITOR_LOST
		       ? "started"
		       : "handed_over";
}

/* What keeps it from starting, the most lasting first; null: a slot. */
static void
put_waiting(struct jw *j, const struct job *job)
{
	char at[CLOCK_TEXT], text[128] = "";

	if (job->state != JOB_QUEUED)
		; /* nothing */
	else if (job->held)
		(void)snprintf(text, sizeof(text), "release");
	else if (job->waits > 1 || (job->waits == 1 && job->waits_on == 0))
		(void)snprintf(text, sizeof(text), "%u job%s", job->waits,
			       job->waits == 1 ? "" : "s");
	else if (job->waits == 1)
		(void)snprintf(text, sizeof(text), "job %" PRIu64, job->waits_on);
	else if (job->not_before_us > 0)
		(void)snprintf(text, sizeof(text), "%s%s",
			       job->attempt > 1 || job->seq > 0 ? "backoff until " : "",
			       wall_format(wall_usec(job->not_before_us), at, sizeof(at)));
	else if (job->paused)
		(void)snprintf(text, sizeof(text), "resume");
	jw_str(j, "waiting_for", *text ? text : NULL);
}

static void
put_retries(struct jw *j, const struct job *job)
{
	jw_int(j, "retries", job->retries);
	jw_int(j, "retried", job->retried);
	jw_int_if(j, "backoff_usec", job->backoff_us != 0, job->backoff_us);
	put_waiting(j, job);
}

/* How it and its client keep in touch while it runs. */
static void
put_run(struct jw *j, const struct job *job)
{
	char sig[16];

	jobjson_progress(j, job);
	put_last(j, job);
	jw_time(j, "ready_at", job->ready_us);
	put_boot(j, job);
	jw_str(j, "phase", phase(job));
	jw_time(j, "seen_at", job->seen_us);
	jw_bool(j, "bound", job->bound);
	jw_int_if(j, "warn_usec", job->warn_us != 0, job->warn_us);
	jw_str(j, "warn_signal",
	       job->warn_us ? text_signal_name(job->warn_signal ? job->warn_signal : SIGUSR1, sig,
					       sizeof(sig))
			    : NULL);
	jw_int_if(j, "watchdog_usec", job->watchdog_us != 0, job->watchdog_us);
	jw_int_if(j, "stdin_bytes", job->has_stdin, (int64_t)job->stdin_bytes);
}

static void
put_stream(struct jw *j, const char *key, uint64_t bytes, uint64_t dropped)
{
	jw_obj_open(j, key);
	jw_int(j, "bytes", (int64_t)bytes);
	jw_int(j, "dropped", (int64_t)dropped);
	jw_obj_close(j);
}

static void
put_deadline(struct jw *j, const struct job *job)
{
	char sig[16];

	jw_int_if(j, "timeout_usec", job->timeout_us != 0, job->timeout_us);
	jw_int_if(j, "timeout_requested_usec", job->timeout_requested_us != 0,
		  job->timeout_requested_us);
	jw_time(j, "deadline_at", job->deadline_us);
	jw_str(j, "deadline_rule", job_rule_name(job->deadline_rule));
	jw_int(j, "grace_usec", job->grace_us);
	jw_str(j, "stop_signal", text_signal_name(job->stop_signal, sig, sizeof(sig)));
}

static void
put_end(struct jw *j, const struct job *job)
{
	jw_int_if(j, "exit_code", job->has_exit_code, job->exit_code);
	jw_int_if(j, "signal", job->signal != 0, job->signal);
	jw_int_if(j, "leftovers", job->has_leftovers, job->leftovers);
	jw_bool(j, "survivors_possible", job->survivors_possible);
	jw_str(j, "err", job_err(job));
	jw_str(j, "cause", job->cause);
	jw_str(j, "cause_code", job_cause_name(job->cause_code));
	jw_str(j, "known_by", job_known_by_name(job->known_by));
}

static void
put_usage(struct jw *j, const struct job *job)
{
	if (!job->has_usage) {
		jw_null(j, "usage");
		return;
	}
	jw_obj_open(j, "usage");
	jw_int(j, "user_usec", (int64_t)job->user_us);
	jw_int(j, "system_usec", (int64_t)job->system_us);
	jw_int(j, "max_rss_bytes", (int64_t)job->max_rss_bytes);
	jw_int_if(j, "memory_peak_bytes", job->has_memory_peak, (int64_t)job->memory_peak_bytes);
	jw_int_if(j, "io_read_bytes", job->has_io, (int64_t)job->io_read_bytes);
	jw_int_if(j, "io_write_bytes", job->has_io, (int64_t)job->io_write_bytes);
	jw_obj_close(j);
}

void
jobjson_limits(struct jw *j, const char *key, uint32_t limits)
{
	jw_arr_open(j, key);
	for (uint32_t rest = limits; rest; rest &= rest - 1) {
		const char *name = job_limit_name(rest & -rest);

		if (name)
			jw_str(j, NULL, name);
	}
	jw_arr_close(j);
}

static void
put_resolution(struct jw *j, const struct job *job)
{
	if (!job->resolution_as) {
		jw_null(j, "resolution");
		return;
	}
	jw_obj_open(j, "resolution");
	jw_str(j, "as", job->resolution_as);
	jw_str(j, "note", job->resolution_note);
	jw_int(j, "by", job->resolution_by);
	jw_time(j, "at", job->resolution_at_us);
	jw_obj_close(j);
}

const char *
jobjson_kind(enum job_kind kind)
{
	return kind == JOB_KIND_SCOPE ? "scope" : "job";
}

void
jobjson_job(struct jw *j, const char *key, const struct job *job)
{
	jw_obj_open(j, key);
	jw_int(j, "id", (int64_t)job->id);
	jw_str(j, "kind", jobjson_kind(job->kind));
	jw_str(j, "name", job->name);
	jw_str(j, "class", job->class_name ? job->class_name : "default");
	jw_str(j, "key", job->key && !job_key_is_hidden(job->key) ? job->key : NULL);
	jw_str(j, "state", job_state_name(job->state));
	jw_int(j, "uid", job->uid);
	jw_int(j, "gid", job->gid);
	jw_str(j, "user", job->user);
	jw_int(j, "submitted_by", job->submitted_by);
	put_strv(j, "argv", &job->argv);
	jw_str(j, "cwd", job->cwd ? job->cwd : "/");
	jw_int(j, "umask", job->umask);
	put_context(j, job);
	jw_int(j, "priority", job->priority);
	jw_int(j, "attempt", job->attempt);
	put_retries(j, job);
	jw_time(j, "submitted_at", job->submitted_us);
	jw_time(j, "started_at", job->started_us);
	jw_time(j, "ended_at", job->ended_us);
	put_deadline(j, job);
	jw_int_if(j, "pid", job->pid != 0, job->pid);
	put_end(j, job);
	put_run(j, job);
	put_stream(j, "output", job->out_bytes, job->out_dropped);
	if (job->split_output)
		put_stream(j, "stderr", job->err_bytes, job->err_dropped);
	else
		jw_null(j, "stderr");
	put_usage(j, job);
	jobjson_limits(j, "limits_unenforced", job->unenforced);
	stop_write(j, "stop", job);
	jw_bool(j, "half_processed", job_half_processed(job));
	put_resolution(j, job);
	jw_obj_close(j);
}

/* ARG quoted; of a huge one only what can be seen. */
static void
quote(struct buf *b, const char *arg)
{
	char part[COMMAND_MAX + 8];
	size_t n = strnlen(arg, sizeof(part));

	if (n < sizeof(part)) {
		(void)text_shell_quote(b, arg);
		return;
	}
	n = text_utf8_prefix(arg, n, sizeof(part) - 1);
	memcpy(part, arg, n);
	part[n] = '\0';
	(void)text_shell_quote(b, part);
}

static void
put_command(struct jw *j, const struct strv *argv)
{
	static struct buf b; /* kept: this is called for every row of a list */
	size_t n;

	buf_clear(&b);
	for (const char *s = strv_first(argv); s && buf_len(&b) <= COMMAND_MAX;
	     s = strv_next(argv, s)) {
		if (buf_len(&b) > 0)
			(void)buf_putc(&b, ' ');
		quote(&b, s);
	}
	n = buf_len(&b);
	if (n > COMMAND_MAX) {
		b.end = b.start + text_utf8_prefix(buf_head(&b), n, COMMAND_MAX - strlen(ellipsis));
		(void)buf_puts(&b, ellipsis);
	}
	if (b.failed && !j->out->failed)
		j->out->failed = b.failed;
	jw_strn(j, "command", buf_head(&b), buf_len(&b));
}

void
jobjson_summary(struct jw *j, const char *key, const struct job *job)
{
	jw_obj_open(j, key);
	jw_int(j, "id", (int64_t)job->id);
	jw_str(j, "kind", jobjson_kind(job->kind));
	jw_int_if(j, "parent", job->parent != 0, (int64_t)job->parent);
	jw_str(j, "name", job->name);
	jw_str(j, "class", job->class_name ? job->class_name : "default");
	jw_str(j, "state", job_state_name(job->state));
	jw_int(j, "uid", job->uid);
	jw_str(j, "user", job->user);
	put_command(j, &job->argv);
	put_waiting(j, job);
	jw_time(j, "submitted_at", job->submitted_us);
	jw_time(j, "started_at", job->started_us);
	jw_time(j, "ended_at", job->ended_us);
	jw_time(j, "deadline_at", job->deadline_us);
	jw_int_if(j, "exit_code", job->has_exit_code, job->exit_code);
	jw_int_if(j, "signal", job->signal != 0, job->signal);
	jw_str(j, "cause", job->cause);
	jw_bool(j, "half_processed", job_half_processed(job));
	jw_obj_close(j);
}
