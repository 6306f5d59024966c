/* metrics_text.c - metrics as text, see metrics_text.h.
 *
 * The two formats differ in the name of a counter's family (OpenMetrics names it without `_total`)
 * and in the end mark; all else is written so that both read it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "metrics/metrics_text.h"

#define USEC 1e6

static bool
is_counter(const char *type)
{
	return strcmp(type, "counter") == 0;
}

static void
head(const struct metrics_text *t, const char *name, const char *type, const char *help)
{
	const char *total = is_counter(type) && t->format == METRICS_PROMETHEUS ? "_total" : "";

	(void)buf_printf(t->out, "# HELP %s%s %s\n# TYPE %s%s %s\n", name, total, help, name, total,
			 type);
}

/* A label's value: backslash, quote and newline are escaped, in both formats. */
static void
put_escaped(struct buf *b, const char *s)
{
	for (; *s; s++) {
		if (*s == '\n') {
			(void)buf_puts(b, "\\n");
			continue;
		}
		if (*s == '\\' || *s == '"')
			(void)buf_putc(b, '\\');
		(void)buf_putc(b, *s);
	}
}

struct label {
	const char *name, *value; /* VALUE NULL: not this one */
};

static void
put_labels(struct buf *b, const struct label *l, size_t n)
{
	const char *sep = "{";

	for (size_t i = 0; i < n; i++) {
		if (!l[i].value)
			continue;
		(void)buf_printf(b, "%s%s=\"", sep, l[i].name);
		put_escaped(b, l[i].value);
		(void)buf_putc(b, '"');
		sep = ",";
	}
	if (*sep == ',')
		(void)buf_putc(b, '}');
}

/* The shortest text that is read back as V, with a fraction or an exponent only where it has one.
 */
static const char *
number(double v, char *text, size_t size)
{
	if (v == floor(v) && fabs(v) < 1e15)
		(void)snprintf(text, size, "%.0f", v);
	else
		(void)snprintf(text, size, "%.15g", v);
	return text;
}

static void
sample(const struct metrics_text *t, const char *name, const char *suffix, const struct label *l,
       size_t n, double v)
{
	char text[40];

	(void)buf_printf(t->out, "%s%s", name, suffix);
	put_labels(t->out, l, n);
	(void)buf_printf(t->out, " %s\n", number(v, text, sizeof(text)));
}

void
metrics_text_one(const struct metrics_text *t, const char *name, const char *type, const char *help,
		 double value)
{
	head(t, name, type, help);
	sample(t, name, is_counter(type) ? "_total" : "", NULL, 0, value);
}

void
metrics_text_end(const struct metrics_text *t)
{
	if (t->format == METRICS_OPENMETRICS)
		(void)buf_puts(t->out, "# EOF\n");
}

/* ---- from Stats */

static const struct plain {
	const char *key, *name, *help;
	double per; /* of the value in one unit of the metric */
} plains[] = {
	{"half_processed", "ctx_half_processed_jobs",
	 "Jobs that had been started, of which nobody knows how they ended, and that are not "
	 "resolved.",
	 1},
	{"connections", "ctx_connections", "Connections of clients that are open.", 1},
	{"spawner_up", "ctx_spawner_up",
	 "Whether ctxd is connected to its spawner (one of a user leaves when there is nothing to "
	 "do).",
	 1},
	{"spawner_missing", "ctx_spawner_missing",
	 "Whether ctxd has no spawner that it can use, and needs one: nothing can be started.", 1},
	{"storage_ok", "ctx_storage_ok", "Whether the last commit went well.", 1},
	{"cgroup", "ctx_cgroup", "Whether jobs get a cgroup.", 1},
	{"database_bytes", "ctx_database_bytes", "Size of the database with its log.", 1},
	{"wal_bytes", "ctx_wal_bytes", "Size of the database's log (WAL).", 1},
	{"clock_step_usec", "ctx_clock_step_seconds",
	 "How far the wall clock was set since ctxd was started.", USEC},
};

/* false: KEY is not a number or a truth. */
static bool
value_of(const json_t *o, const char *key, double *ret)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_boolean(v))
		*ret = json_is_true(v);
	else if (json_is_number(v))
		*ret = json_number_value(v);
	else
		return false;
	return true;
}

static void
put_plain(const struct metrics_text *t, const json_t *stats)
{
	for (size_t i = 0; i < ARRAY_SIZE(plains); i++) {
		double v;

		if (value_of(stats, plains[i].key, &v))
			metrics_text_one(t, plains[i].name, "gauge", plains[i].help,
					 v / plains[i].per);
	}
}

static void
put_info(const struct metrics_text *t, const json_t *stats)
{
	const struct label l[] = {
		{"version", json_string_value(json_object_get(stats, "version"))},
		{"mode", json_string_value(json_object_get(stats, "mode"))},
	};

	head(t, "ctx_build_info", "gauge", "The ctxd that answers.");
	sample(t, "ctx_build_info", "", l, ARRAY_SIZE(l), 1);
}

static void
put_states(const struct metrics_text *t, const json_t *jobs)
{
	const char *state;
	json_t *n;

	if (!json_is_object(jobs))
		return;
	head(t, "ctx_jobs", "gauge", "Jobs and scopes in the database, by state.");
	json_object_foreach ((json_t *)(uintptr_t)jobs, state, n) {
		const struct label l = {"state", state};

		sample(t, "ctx_jobs", "", &l, 1, json_number_value(n));
	}
}

static void
put_space(const struct metrics_text *t, const json_t *space, const char *key, const char *name,
	  const char *help)
{
	const char *directory;
	json_t *s;

	head(t, name, "gauge", help);
	json_object_foreach ((json_t *)(uintptr_t)space, directory, s) {
		const struct label l = {"directory", directory};
		double v;

		if (value_of(s, key, &v))
			sample(t, name, "", &l, 1, v);
	}
}

/* ---- from Metrics */

/* A bound as OpenMetrics wants it: always with a fraction, so that it is one text everywhere. */
static const char *
bound(double us, char *text, size_t size)
{
	double v = us / USEC;

	(void)snprintf(text, size, v == floor(v) ? "%.1f" : "%.15g", v);
	return text;
}

static void
put_hist(const struct metrics_text *t, const char *name, const char *class_name, const json_t *h)
{
	const json_t *bounds = json_object_get(h, "bounds_usec"),
		     *counts = json_object_get(h, "counts");
	size_t n = json_array_size(bounds);
	double sum = 0, all = 0;

	if (json_array_size(counts) != n + 1 || !value_of(h, "sum_usec", &sum))
		return;
	for (size_t i = 0; i <= n; i++) {
		char text[40] = "+Inf";
		struct label l[] = {{"class", class_name}, {"le", text}};

		if (i < n)
			(void)bound(json_number_value(json_array_get(bounds, i)), text,
				    sizeof(text));
		all += json_number_value(json_array_get(counts, i));
		sample(t, name, "_bucket", l, ARRAY_SIZE(l), all);
	}
	sample(t, name, "_count", &(struct label){"class", class_name}, 1, all);
	sample(t, name, "_sum", &(struct label){"class", class_name}, 1, sum / USEC);
}

static const struct by_class {
	const char *key, *name, *type, *help;
	double per; /* of the value in one unit of the metric; histograms: microseconds always */
} by_class[] = {
	{"queued", "ctx_class_queued", "gauge", "Jobs of the class that wait for a slot.", 1},
	{"oldest_queued_usec", "ctx_class_queue_oldest_seconds", "gauge",
	 "Time since the submission of the first job of the class that waits for a slot; 0: none "
	 "does.",
	 USEC},
	{"running", "ctx_class_running", "gauge", "Jobs of the class that hold a slot.", 1},
	{"started", "ctx_attempts_started", "counter", "Attempts started.", 1},
	{"retried", "ctx_attempts_retried", "counter",
	 "Attempts that were followed by another one unasked.", 1},
};
static const struct by_class hist_by_class[] = {
	{"start_delay", "ctx_start_delay_seconds", "histogram",
	 "From submission to start, of first attempts.", USEC},
	{"run_time", "ctx_run_seconds", "histogram", "From start to end, of jobs that have ended.",
	 USEC},
};

static const char *
class_name(const json_t *c)
{
	const char *s = json_string_value(json_object_get(c, "class"));

	return s ? s : "";
}

static void
put_numbers(const struct metrics_text *t, const json_t *classes, const struct by_class *m)
{
	size_t i;
	json_t *c;

	head(t, m->name, m->type, m->help);
	json_array_foreach ((json_t *)(uintptr_t)classes, i, c) {
		const struct label l = {"class", class_name(c)};
		double v = 0;

		if (value_of(c, m->key, &v) || json_is_null(json_object_get(c, m->key)))
			sample(t, m->name, is_counter(m->type) ? "_total" : "", &l, 1, v / m->per);
	}
}

static void
put_ended(const struct metrics_text *t, const json_t *classes)
{
	const char *state;
	size_t i;
	json_t *c, *n;

	head(t, "ctx_jobs_ended", "counter",
	     "Jobs that have ended, by how. State deadline_exceeded: they overran.");
	json_array_foreach ((json_t *)(uintptr_t)classes, i, c) {
		json_object_foreach (json_object_get(c, "ended"), state, n) {
			const struct label l[] = {{"class", class_name(c)}, {"state", state}};

			sample(t, "ctx_jobs_ended", "_total", l, ARRAY_SIZE(l),
			       json_number_value(n));
		}
	}
}

static void
put_classes(const struct metrics_text *t, const json_t *classes)
{
	for (size_t i = 0; i < ARRAY_SIZE(by_class); i++)
		put_numbers(t, classes, &by_class[i]);
	put_ended(t, classes);
	for (size_t i = 0; i < ARRAY_SIZE(hist_by_class); i++) {
		const struct by_class *m = &hist_by_class[i];

		head(t, m->name, m->type, m->help);
		for (size_t k = 0; k < json_array_size(classes); k++) {
			const json_t *c = json_array_get(classes, k);

			put_hist(t, m->name, class_name(c), json_object_get(c, m->key));
		}
	}
}

static void
put_start(const struct metrics_text *t, const json_t *metrics)
{
	const char *at = json_string_value(json_object_get(metrics, "started_at")), *why;
	struct wall w;

	if (at && wall_parse(at, (struct wall){0}, &w, &why) == 0)
		metrics_text_one(t, "ctx_start_time_seconds", "gauge",
				 "When ctxd was started: all counters began at 0 then.",
				 (double)wall_to_usec(w) / USEC);
}

void
metrics_text_daemon(const struct metrics_text *t, const json_t *stats, const json_t *metrics)
{
	const json_t *space = json_object_get(stats, "space"),
		     *commit = json_object_get(metrics, "commit");
	double v;

	put_info(t, stats);
	put_start(t, metrics);
	put_states(t, json_object_get(stats, "jobs"));
	put_plain(t, stats);
	put_space(t, space, "free", "ctx_space_free_bytes",
		  "Room left in the file system of a directory.");
	put_space(t, space, "size", "ctx_space_size_bytes",
		  "Size of the file system of a directory.");
	if (!value_of(metrics, "oldest_queued_usec", &v))
		v = 0;
	metrics_text_one(t, "ctx_queue_oldest_seconds", "gauge",
			 "The largest of ctx_class_queue_oldest_seconds.", v / USEC);
	put_classes(t, json_object_get(metrics, "classes"));
	head(t, "ctx_commit_seconds", "histogram", "How long commits of the database took.");
	put_hist(t, "ctx_commit_seconds", NULL, commit);
	if (value_of(metrics, "commits_failed", &v))
		metrics_text_one(t, "ctx_commits_failed", "counter",
				 "Commits that failed: their requests were refused.", v);
	if (value_of(metrics, "spans_waiting", &v))
		metrics_text_one(t, "ctx_outbox_spans", "gauge", "Spans that wait to be exported.",
				 v);
	if (value_of(metrics, "spans_dropped", &v))
		metrics_text_one(
			t, "ctx_outbox_dropped", "counter",
			"Spans for which the outbox had no room, since the database was made.", v);
}
