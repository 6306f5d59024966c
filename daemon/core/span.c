/* span.c - what has ended as a span, see span.h. Arguments of commands are left out: they are where
 * people put secrets. */
#include "core/span.h"

#include <string.h>

#include "base/buf.h"
#include "base/jw.h"

bool
span_wanted(const struct job *j)
{
	return j->trace.flags & TRACE_SAMPLED;
}

static void
put_time(struct jw *w, const char *key, int64_t us)
{
	if (us > 0)
		jw_int(w, key, us);
	else
		jw_null(w, key);
}

static void
put_ids(struct jw *w, const struct trace_context *t)
{
	char trace[TRACE_ID_TEXT], span[TRACE_SPAN_TEXT];

	jw_str(w, "trace_id", trace_id_format(t->trace_id, trace));
	jw_str(w, "span_id", trace_span_format(t->span_id, span));
}

static void
put_trace(struct jw *w, const struct job *j, const struct trace_context *link)
{
	char span[TRACE_SPAN_TEXT];

	put_ids(w, &j->trace);
	jw_str(w, "parent_span_id",
	       j->has_parent_span ? trace_span_format(j->parent_span, span) : NULL);
	jw_str(w, "tracestate", j->tracestate);
	jw_int(w, "flags", j->trace.flags);
	if (!link) {
		jw_null(w, "link");
		return;
	}
	jw_obj_open(w, "link");
	put_ids(w, link);
	jw_obj_close(w);
}

static void
put_end(struct jw *w, const struct job *j)
{
	jw_str(w, "state", job_state_name(j->state));
	jw_str(w, "cause_code", job_cause_name(j->cause_code));
	jw_str(w, "cause", j->cause);
	jw_str(w, "known_by", job_known_by_name(j->known_by));
	if (j->has_exit_code)
		jw_int(w, "exit_code", j->exit_code);
	else
		jw_null(w, "exit_code");
	if (j->signal)
		jw_int(w, "signal", j->signal);
	else
		jw_null(w, "signal");
	if (j->has_leftovers)
		jw_int(w, "leftovers", j->leftovers);
	else
		jw_null(w, "leftovers");
}

static void
put_values(struct jw *w, const struct job *j)
{
	jw_obj_open(w, "values");
	for (const char *s = strv_first(&j->values); s; s = strv_next(&j->values, s)) {
		const char *value = strchr(s, '=');
		char name[65];

		if (!value ||
		    value - s >= (ptrdiff_t)sizeof(name)) /* checked when it was accepted */
			continue;
		memcpy(name, s, (size_t)(value - s));
		name[value - s] = '\0';
		jw_str(w, name, value + 1);
	}
	jw_obj_close(w);
}

static void
put_usage(struct jw *w, const struct job *j)
{
	if (!j->has_usage) {
		jw_null(w, "usage");
		return;
	}
	jw_obj_open(w, "usage");
	jw_int(w, "user_usec", (int64_t)j->user_us);
	jw_int(w, "system_usec", (int64_t)j->system_us);
	jw_int(w, "max_rss_bytes", (int64_t)j->max_rss_bytes);
	jw_obj_close(w);
}

/* How it was stopped: who asked, when the signals went out. */
static void
put_stop(struct jw *w, const struct job *j)
{
	const struct job_stop *s = &j->stop;

	jw_obj_open(w, "stop");
	put_time(w, "asked_usec", s->asked_us);
	if (s->has_uid)
		jw_int(w, "by_uid", s->uid);
	else
		jw_null(w, "by_uid");
	put_time(w, "by_pid", s->pid);
	put_time(w, "by_parent", (int64_t)s->parent);
	jw_str(w, "by_rule", job_stop_rule(j));
	put_time(w, "term_usec", s->term_us);
	put_time(w, "kill_usec", s->kill_us);
	if (s->has_counts) {
		jw_int(w, "term_processes", s->term_processes);
		jw_int(w, "kill_processes", s->kill_processes);
	} else {
		jw_null(w, "term_processes");
		jw_null(w, "kill_processes");
	}
	put_time(w, "main_ended_usec", s->main_ended_us);
	jw_obj_close(w);
}

void
span_write(const struct job *j, const struct trace_context *link, struct buf *out)
{
	struct jw w;

	jw_init(&w, out);
	jw_obj_open(&w, NULL);
	jw_int(&w, "job", (int64_t)j->id);
	jw_int(&w, "attempt", j->attempt);
	jw_str(&w, "kind", j->kind == JOB_KIND_SCOPE ? "scope" : "job");
	jw_str(&w, "name", j->name);
	jw_str(&w, "class", j->class_name);
	jw_int(&w, "uid", j->uid);
	jw_str(&w, "user", j->user);
	put_trace(&w, j, link);
	jw_str(&w, "executable", strv_first(&j->argv));
	put_time(&w, "pid", j->pid);
	put_time(&w, "submitted_usec", j->submitted_us);
	put_time(&w, "started_usec", j->started_us);
	put_time(&w, "ended_usec", j->ended_us);
	put_time(&w, "deadline_usec", j->deadline_us);
	put_end(&w, j);
	put_stop(&w, j);
	put_usage(&w, j);
	put_values(&w, j);
	jw_obj_close(&w);
}
