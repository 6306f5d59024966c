/* metrics_text.h - the answers of Stats and Metrics as text that monitoring systems read: shared by
 * `ctxctl metrics` and ctx-exporter. */
#ifndef CTX_METRICS_METRICS_TEXT_H
#define CTX_METRICS_METRICS_TEXT_H

#include <jansson.h>

struct buf;

enum metrics_format {
	METRICS_OPENMETRICS, /* OpenMetrics 1.0: ends with `# EOF` unless more families follow */
	METRICS_PROMETHEUS,  /* Prometheus' text format 0.0.4 */
};
#define METRICS_TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"
#define METRICS_TYPE_PROMETHEUS "text/plain; version=0.0.4; charset=utf-8"

struct metrics_text {
	struct buf *out; /* not owned; its `failed` is the only error */
	enum metrics_format format;
};
/* STATS and METRICS are the parameters of the answers, borrowed; what an older or newer ctxd does
 * not send is left out. */
void metrics_text_daemon(const struct metrics_text *t, const json_t *stats, const json_t *metrics);
/* One family with one sample. TYPE: "gauge" or "counter"; NAME without `_total`, which a counter's
 * sample gets. */
void metrics_text_one(const struct metrics_text *t, const char *name, const char *type,
		      const char *help, double value);
/* Nothing comes after it. */
void metrics_text_end(const struct metrics_text *t);

#endif
