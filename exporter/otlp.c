/* otlp.c - from a span of ctxd to one of OpenTelemetry, see otlp.h.
 *
 * Names of attributes are those of the semantic conventions where there is one (process.*,
 * error.type), and begin with ctx. otherwise. */
#include "exporter/otlp.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/text.h"
#include "exporter/settings.h"

enum { KIND_INTERNAL = 1, STATUS_UNSET = 0, STATUS_OK = 1, STATUS_ERROR = 2 };
enum { PARENT_IS_KNOWN = 0x100, PARENT_IS_REMOTE = 0x200 }; /* in `flags` */

static const char *
text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

static void
attribute_text(struct jw *w, const char *key, const char *value)
{
	if (!value)
		return;
	jw_obj_open(w, NULL);
	jw_str(w, "key", key);
	jw_obj_open(w, "value");
	jw_str(w, "stringValue", value);
	jw_obj_close(w);
	jw_obj_close(w);
}

/* 64 bits are a text in JSON. */
static void
attribute_number(struct jw *w, const char *key, const json_t *value)
{
	char text[32];

	if (!json_is_integer(value))
		return;
	(void)snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	jw_obj_open(w, NULL);
	jw_str(w, "key", key);
	jw_obj_open(w, "value");
	jw_str(w, "intValue", text);
	jw_obj_close(w);
	jw_obj_close(w);
}

static void
put_nanoseconds(struct jw *w, const char *key, int64_t us)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRId64 "000", us);
	jw_str(w, key, text);
}

static int64_t
time_of(const json_t *o, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(o, key));
}

static const char *
base_name(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash && slash[1] ? slash + 1 : path;
}

static const char *
name_of(const json_t *span)
{
	const char *name = text_of(span, "name");

	if (!name)
		name = base_name(text_of(span, "executable"));
	return name ? name : "scope";
}

/* ---- attributes */

static const struct attribute {
	const char *key, *of;
} texts[] = {
	{"process.command", "executable"},
	{"process.owner", "user"},
	{"ctx.kind", "kind"},
	{"ctx.class", "class"},
	{"ctx.state", "state"},
	{"ctx.cause_code", "cause_code"},
	{"ctx.cause", "cause"},
	{"ctx.known_by", "known_by"},
};
static const struct attribute numbers[] = {
	{"process.pid", "pid"},
	{"process.exit.code", "exit_code"},
	{"ctx.job.id", "job"},
	{"ctx.attempt", "attempt"},
	{"ctx.uid", "uid"},
	{"ctx.signal", "signal"},
	{"ctx.leftovers", "leftovers"},
};
static const struct attribute usages[] = {
	{"ctx.usage.user_usec", "user_usec"},
	{"ctx.usage.system_usec", "system_usec"},
	{"ctx.usage.max_rss_bytes", "max_rss_bytes"},
};

/* Did it end as it should not have? A cancelled one ended as somebody wanted. */
static bool
is_error(const json_t *span)
{
	const char *state = text_of(span, "state");

	return state && (strcmp(state, "failed") == 0 || strcmp(state, "interrupted") == 0 ||
			 strcmp(state, "deadline_exceeded") == 0);
}

static void
put_values(struct jw *w, const json_t *values)
{
	const char *name;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)values, name, value) {
		char key[96];

		(void)snprintf(key, sizeof(key), "ctx.value.%s", name);
		attribute_text(w, key, json_string_value(value));
	}
}

static void
put_attributes(struct jw *w, const json_t *span)
{
	const json_t *usage = json_object_get(span, "usage");
	const char *command = text_of(span, "executable");

	jw_arr_open(w, "attributes");
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		attribute_text(w, texts[i].key, text_of(span, texts[i].of));
	attribute_text(w, "process.executable.name", base_name(command));
	if (command && *command == '/') /* a name alone was looked for in PATH */
		attribute_text(w, "process.executable.path", command);
	if (is_error(span))
		attribute_text(w, "error.type", text_of(span, "cause_code"));
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		attribute_number(w, numbers[i].key, json_object_get(span, numbers[i].of));
	for (size_t i = 0; i < ARRAY_SIZE(usages); i++)
		attribute_number(w, usages[i].key, json_object_get(usage, usages[i].of));
	put_values(w, json_object_get(span, "values"));
	jw_arr_close(w);
}

/* ---- events */

static void
event_open(struct jw *w, const char *name, int64_t us)
{
	jw_obj_open(w, NULL);
	put_nanoseconds(w, "timeUnixNano", us);
	jw_str(w, "name", name);
	jw_arr_open(w, "attributes");
}

static void
event_close(struct jw *w)
{
	jw_arr_close(w);
	jw_obj_close(w);
}

static void
event_signal(struct jw *w, const char *name, const json_t *stop, const char *at, const char *n)
{
	if (time_of(stop, at) <= 0)
		return;
	event_open(w, name, time_of(stop, at));
	attribute_number(w, "ctx.processes", json_object_get(stop, n));
	event_close(w);
}

static void
put_events(struct jw *w, const json_t *span)
{
	const json_t *stop = json_object_get(span, "stop");

	jw_arr_open(w, "events");
	if (time_of(span, "started_usec") > 0) {
		event_open(w, "started", time_of(span, "started_usec"));
		event_close(w);
	}
	if (time_of(stop, "asked_usec") > 0) {
		event_open(w, "stop asked for", time_of(stop, "asked_usec"));
		attribute_number(w, "ctx.by.uid", json_object_get(stop, "by_uid"));
		attribute_number(w, "ctx.by.pid", json_object_get(stop, "by_pid"));
		attribute_number(w, "ctx.by.parent", json_object_get(stop, "by_parent"));
		attribute_text(w, "ctx.by.rule", text_of(stop, "by_rule"));
		event_close(w);
	}
	event_signal(w, "stop signal sent", stop, "term_usec", "term_processes");
	event_signal(w, "SIGKILL sent", stop, "kill_usec", "kill_processes");
	if (time_of(stop, "main_ended_usec") > 0) {
		event_open(w, "main process ended", time_of(stop, "main_ended_usec"));
		event_close(w);
	}
	jw_arr_close(w);
}

/* ---- the span */

static void
put_status(struct jw *w, const json_t *span)
{
	const char *state = text_of(span, "state"), *cause = text_of(span, "cause");
	bool good = state && (strcmp(state, "succeeded") == 0 || strcmp(state, "closed") == 0);

	jw_obj_open(w, "status");
	jw_int(w, "code", is_error(span) ? STATUS_ERROR : good ? STATUS_OK : STATUS_UNSET);
	if (is_error(span))
		jw_str(w, "message", cause ? cause : text_of(span, "cause_code"));
	jw_obj_close(w);
}

static void
put_link(struct jw *w, const json_t *link)
{
	if (!json_is_object(link))
		return;
	jw_arr_open(w, "links");
	jw_obj_open(w, NULL);
	jw_str(w, "traceId", text_of(link, "trace_id"));
	jw_str(w, "spanId", text_of(link, "span_id"));
	jw_obj_close(w);
	jw_arr_close(w);
}

/* The first attempt begins with the submission, so that its wait is seen; of a later one only the
 * start is known. */
static int64_t
begin_of(const json_t *span)
{
	int64_t started = time_of(span, "started_usec"), ended = time_of(span, "ended_usec"),
		begin = time_of(span, "submitted_usec");

	if (time_of(span, "attempt") > 1)
		begin = started > 0 ? started : ended;
	return begin < ended ? begin : ended;
}

static void
put_span(struct jw *w, const json_t *span)
{
	const char *parent = text_of(span, "parent_span_id");
	int64_t flags = time_of(span, "flags") & 0xff;

	jw_obj_open(w, NULL);
	jw_str(w, "traceId", text_of(span, "trace_id"));
	jw_str(w, "spanId", text_of(span, "span_id"));
	if (text_of(span, "tracestate"))
		jw_str(w, "traceState", text_of(span, "tracestate"));
	if (parent)
		jw_str(w, "parentSpanId", parent);
	jw_int(w, "flags", parent ? flags | PARENT_IS_KNOWN | PARENT_IS_REMOTE : flags);
	jw_str(w, "name", name_of(span));
	jw_int(w, "kind", KIND_INTERNAL);
	put_nanoseconds(w, "startTimeUnixNano", begin_of(span));
	put_nanoseconds(w, "endTimeUnixNano", time_of(span, "ended_usec"));
	put_attributes(w, span);
	put_events(w, span);
	put_link(w, json_object_get(span, "link"));
	put_status(w, span);
	jw_obj_close(w);
}

void
otlp_request(const json_t *spans, size_t from, size_t n, const struct settings *s, struct buf *out)
{
	struct jw w;

	jw_init(&w, out);
	jw_obj_open(&w, NULL);
	jw_arr_open(&w, "resourceSpans");
	jw_obj_open(&w, NULL);
	jw_obj_open(&w, "resource");
	jw_arr_open(&w, "attributes");
	for (size_t i = 0; i < s->n_attributes; i++)
		attribute_text(&w, s->attribute[i].name, s->attribute[i].value);
	jw_arr_close(&w);
	jw_obj_close(&w);
	jw_arr_open(&w, "scopeSpans");
	jw_obj_open(&w, NULL);
	jw_obj_open(&w, "scope");
	jw_str(&w, "name", "ctx");
	jw_str(&w, "version", CTX_VERSION);
	jw_obj_close(&w);
	jw_arr_open(&w, "spans");
	for (size_t i = from; i < from + n; i++)
		put_span(&w, json_object_get(json_array_get(spans, i), "span"));
	jw_arr_close(&w);
	jw_obj_close(&w);
	jw_arr_close(&w);
	jw_obj_close(&w);
	jw_arr_close(&w);
	jw_obj_close(&w);
}

uint64_t
otlp_rejected(const char *body, size_t n, char **ret_why)
{
	json_t *answer = json_loadb(body, n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *partial = json_object_get(answer, "partialSuccess"),
		     *count = json_object_get(partial, "rejectedSpans");
	const char *why = text_of(partial, "errorMessage");
	uint64_t rejected = 0;

	if (json_is_string(count) && text_u64(json_string_value(count), &rejected) < 0)
		rejected = 0;
	else if (json_is_integer(count) && json_integer_value(count) > 0)
		rejected = (uint64_t)json_integer_value(count);
	*ret_why = why && *why ? strdup(why) : NULL;
	json_decref(answer);
	return rejected;
}
