/* jobjson.c - a job as the interface shows it. Called for every row of every list: straight into
 * the buffer. */
#include <string.h>

#include "api/jobjson.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/strv.h"
#include "base/text.h"
#include "core/job.h"

enum { COMMAND_MAX = 200 };

static const char ellipsis[] = "\xe2\x80\xa6";

/* US 0: null. */
static void
put_time(struct jw *j, const char *key, int64_t us)
{
	char text[CLOCK_TEXT];

	jw_str(j, key, us ? wall_format(wall_usec(us), text, sizeof(text)) : NULL);
}

static void
put_int_or_null(struct jw *j, const char *key, bool has, int64_t v)
{
	if (has)
		jw_int(j, key, v);
	else
		jw_null(j, key);
}

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

/* Fields of contexts, which are of a later version: none has any yet. */
static void
put_context(struct jw *j, const struct job *job)
{
	jw_null(j, "parent");
	put_inherit(j, job->inherit);
	jw_obj_open(j, "values");
	jw_obj_close(j);
	jw_null(j, "traceparent");
	jw_null(j, "tracestate");
	jw_null(j, "baggage");
	jw_null(j, "span_id");
}

static void
put_deadline(struct jw *j, const struct job *job)
{
	char sig[16];

	put_int_or_null(j, "timeout_usec", job->timeout_us != 0, job->timeout_us);
	put_int_or_null(j, "timeout_requested_usec", job->timeout_requested_us != 0,
			job->timeout_requested_us);
	put_time(j, "deadline_at", job->deadline_us);
	jw_str(j, "deadline_rule", job_rule_name(job->deadline_rule));
	jw_int(j, "grace_usec", job->grace_us);
	jw_str(j, "stop_signal", text_signal_name(job->stop_signal, sig, sizeof(sig)));
}

static void
put_end(struct jw *j, const struct job *job)
{
	put_int_or_null(j, "exit_code", job->has_exit_code, job->exit_code);
	put_int_or_null(j, "signal", job->signal != 0, job->signal);
	put_int_or_null(j, "leftovers", job->has_leftovers, job->leftovers);
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
	jw_obj_close(j);
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
	put_time(j, "at", job->resolution_at_us);
	jw_obj_close(j);
}

void
jobjson_job(struct jw *j, const char *key, const struct job *job)
{
	jw_obj_open(j, key);
	jw_int(j, "id", (int64_t)job->id);
	jw_str(j, "kind", job->kind == JOB_KIND_SCOPE ? "scope" : "job");
	jw_str(j, "name", job->name);
	jw_str(j, "class", job->class_name ? job->class_name : "default");
	jw_str(j, "key", job->key);
	jw_str(j, "state", job_state_name(job->state));
	jw_int(j, "uid", job->uid);
	jw_int(j, "gid", job->gid);
	jw_str(j, "user", job->user);
	put_strv(j, "argv", &job->argv);
	jw_str(j, "cwd", job->cwd ? job->cwd : "/");
	jw_int(j, "umask", job->umask);
	put_context(j, job);
	jw_int(j, "priority", job->priority);
	jw_int(j, "attempt", job->attempt);
	jw_null(j, "waiting_for");
	put_time(j, "submitted_at", job->submitted_us);
	put_time(j, "started_at", job->started_us);
	put_time(j, "ended_at", job->ended_us);
	put_deadline(j, job);
	put_int_or_null(j, "pid", job->pid != 0, job->pid);
	put_end(j, job);
	jw_null(j, "progress");
	jw_obj_open(j, "output");
	jw_int(j, "bytes", (int64_t)job->out_bytes);
	jw_int(j, "dropped", (int64_t)job->out_dropped);
	jw_obj_close(j);
	put_usage(j, job);
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
	jw_str(j, "name", job->name);
	jw_str(j, "class", job->class_name ? job->class_name : "default");
	jw_str(j, "state", job_state_name(job->state));
	jw_int(j, "uid", job->uid);
	jw_str(j, "user", job->user);
	put_command(j, &job->argv);
	put_time(j, "submitted_at", job->submitted_us);
	put_time(j, "started_at", job->started_us);
	put_time(j, "ended_at", job->ended_us);
	put_time(j, "deadline_at", job->deadline_us);
	put_int_or_null(j, "exit_code", job->has_exit_code, job->exit_code);
	put_int_or_null(j, "signal", job->signal != 0, job->signal);
	jw_str(j, "cause", job->cause);
	jw_bool(j, "half_processed", job_half_processed(job));
	jw_obj_close(j);
}
