/* log_job.c - lines of the log about a job: for people one line, for the journal its fields, too.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/journal.h"
#include "base/log.h"
#include "base/text.h"
#include "core/context.h"
#include "engine/impl.h"
#include "engine/tell.h"

enum {
	LOG_VALUES = 512, /* bytes of values in a line */
	FIELDS_MAX = CONTEXT_VALUES_MAX + 8,
	NUMBER = 24,
	LINE = 768,
};

struct fields {
	struct log_field v[FIELDS_MAX];
	size_t n;
	char id[NUMBER], attempt[NUMBER], uid[NUMBER], trace[TRACE_ID_TEXT];
	char names[CONTEXT_VALUES_MAX][CONTEXT_ENV_NAME];
};

static void
add(struct fields *f, const char *name, const char *value)
{
	if (value)
		f->v[f->n++] = (struct log_field){name, value, strlen(value)};
}

static void
collect(struct fields *f, const struct job *j, const char *state)
{
	size_t k = 0;

	f->n = 0;
	(void)snprintf(f->id, sizeof(f->id), "%" PRIu64, j->id);
	(void)snprintf(f->attempt, sizeof(f->attempt), "%" PRIu32, j->attempt);
	(void)snprintf(f->uid, sizeof(f->uid), "%" PRIu32, j->uid);
	add(f, "CTX_ID", f->id);
	add(f, "CTX_ATTEMPT", f->attempt);
	add(f, "CTX_UID", f->uid);
	add(f, "CTX_STATE", state);
	add(f, "CTX_CLASS", j->class_name);
	add(f, "CTX_NAME", j->name);
	add(f, "CTX_TRACE_ID", trace_id_format(j->trace.trace_id, f->trace));
	add(f, "CTX_CAUSE", j->cause);
	for (const char *s = strv_first(&j->values); s && k < CONTEXT_VALUES_MAX;
	     s = strv_next(&j->values, s)) {
		size_t n = strcspn(s, "=");

		if (n > CONTEXT_NAME_MAX || s[n] != '=')
			continue;
		add(f, context_env_name(s, n, f->names[k]), s + n + 1);
		k++;
	}
}

void
log_job_entry(struct journal_entry *e, const struct job *j, uint32_t attempt)
{
	struct fields f;

	collect(&f, j, NULL);
	(void)snprintf(f.attempt, sizeof(f.attempt), "%" PRIu32, attempt);
	if (j->user)
		journal_add(e, "CTX_USER", j->user, strlen(j->user));
	for (size_t i = 0; i < f.n; i++)
		if (strcmp(f.v[i].name, "CTX_ATTEMPT") == 0)
			journal_add(e, "CTX_ATTEMPT", f.attempt, strlen(f.attempt));
		else if (strcmp(f.v[i].name, "CTX_CAUSE") != 0)
			journal_add(e, f.v[i].name, f.v[i].value, f.v[i].n);
}

void
log_job(enum log_level l, const struct job *j, const char *fmt, ...)
{
	struct fields f;
	char text[LINE];
	va_list ap;

	if (!log_enabled(l))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f.n = 0;
	if (log_has_fields())
		collect(&f, j, job_state_name(j->state));
	log_fields(l, f.v, f.n, "job=%" PRIu64 " %s", j->id, text);
}

void
engine_log_about(struct engine *g, enum log_level l, uint64_t id, const char *fmt, ...)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct fields f;
	char text[LINE];
	va_list ap;

	if (!log_enabled(l))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	f.n = 0;
	if (id && log_has_fields() && store_job_get(g->store, id, &j) == 0) {
		collect(&f, j, job_state_name(j->state));
	} else if (id) {
		(void)snprintf(f.id, sizeof(f.id), "%" PRIu64, id);
		add(&f, "CTX_ID", f.id);
	}
	log_fields(l, f.v, f.n, "%s", text);
}

struct later_fx {
	struct effect fx;
	struct engine *g;
	enum log_level level;
	uint64_t job; /* 0: about none */
	char text[LINE];
};

static void
later_run(struct effect *fx, int result)
{
	struct later_fx *f = container_of(fx, struct later_fx, fx);

	if (result == 0)
		engine_log_about(f->g, f->level, f->job, "%s", f->text);
	free(f);
}

void
log_job_later(struct engine *g, enum log_level l, uint64_t job, const char *fmt, ...)
{
	struct later_fx *f = calloc(1, sizeof(*f));
	va_list ap;

	if (!f) {
		log_err("no memory for a line of the log, continuing");
		return;
	}
	f->fx.run = later_run;
	f->g = g;
	f->level = l;
	f->job = job;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	txn_defer(g->txn, &f->fx);
}

/* The values of J as fields, at most LOG_VALUES bytes of them: what does not fit is left out, and
 * said to be. An allocation that fails leaves them out too. */
static void
log_values(const struct job *j, struct buf *b)
{
	size_t whole = 0;

	buf_init(b, LOG_VALUES);
	for (const char *s = strv_first(&j->values); s; s = strv_next(&j->values, s)) {
		size_t n = strcspn(s, "=");

		(void)buf_printf(b, " value.%.*s=\"", (int)n, s);
		(void)text_escape_buf(b, s + n + 1, strlen(s + n + 1));
		if (buf_putc(b, '"') < 0)
			break;
		whole = b->end;
	}
	b->end = whole;
}

/* One line per edge. User text is escaped. */
void
log_job_edge(const struct job *j, const char *what)
{
	char name[160] = "", cause[256] = "", end[48] = "", trace[TRACE_ID_TEXT];
	_cleanup_(buf_done) struct buf values = {0};
	struct fields f;

	if (!log_enabled(LOG_LVL_INFO))
		return;
	if (j->name)
		(void)text_escape(j->name, name, sizeof(name));
	if (j->cause)
		(void)text_escape(j->cause, cause, sizeof(cause));
	if (job_state_ended(j->state) && j->signal)
		(void)snprintf(end, sizeof(end), " signal=%d", j->signal);
	else if (job_state_ended(j->state) && j->has_exit_code)
		(void)snprintf(end, sizeof(end), " exit=%d", j->exit_code);
	log_values(j, &values);
	f.n = 0;
	if (log_has_fields())
		collect(&f, j, job_state_name(j->state));
	log_fields(LOG_LVL_INFO, f.v, f.n,
		   "job=%" PRIu64 " %s attempt=%u class=%s uid=%u%s%s%s%s%s%s%s trace=%s%.*s%s",
		   j->id, what, j->attempt, j->class_name, j->uid, end, j->name ? " name=\"" : "",
		   name, j->name ? "\"" : "", *cause ? " cause=\"" : "", cause, *cause ? "\"" : "",
		   trace_id_format(j->trace.trace_id, trace), (int)buf_len(&values),
		   buf_head(&values), values.failed ? " ..." : "");
}
