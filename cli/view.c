/* view.c - a Job or a Summary of the interface, taken apart for showing. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/exitcode.h"
#include "cli/out.h"
#include "cli/view.h"

const char *
view_str(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

int64_t
view_int(const json_t *o, const char *key)
{
	return json_integer_value(json_object_get(o, key));
}

int64_t
view_time(const char *s)
{
	const char *why;
	struct wall at;

	if (!s || wall_parse(s, (struct wall){0}, &at, &why) < 0)
		return 0;
	return wall_to_usec(at);
}

static int64_t
point(const json_t *o, const char *key)
{
	return view_time(view_str(o, key));
}

int
view_read(const json_t *job, struct view *ret)
{
	const json_t *uid = json_object_get(job, "uid"), *code = json_object_get(job, "exit_code");
	int64_t id = view_int(job, "id"), parent = view_int(job, "parent");
	const char *state = view_str(job, "state"), *kind = view_str(job, "kind");
	bool is_scope = kind && strcmp(kind, "scope") == 0;

	if (id <= 0 || !state)
		return -EINVAL;
	*ret = (struct view){
		.json = job,
		.id = (uint64_t)id,
		.parent = parent > 0 ? (uint64_t)parent : 0,
		.is_scope = is_scope,
		.noun = is_scope ? "scope" : "job",
		.state = state,
		.class_name = view_str(job, "class"),
		.name = view_str(job, "name"),
		.key = view_str(job, "key"),
		.user = view_str(job, "user"),
		.command = view_str(job, "command"),
		.waiting = view_str(job, "waiting_for"),
		.rule = view_str(job, "deadline_rule"),
		.cause = view_str(job, "cause"),
		.cause_code = view_str(job, "cause_code"),
		.uid = json_integer_value(uid),
		.exit_code = json_integer_value(code),
		.signal = view_int(job, "signal"),
		.timeout = view_int(job, "timeout_usec"),
		.timeout_requested = view_int(job, "timeout_requested_usec"),
		.submitted = point(job, "submitted_at"),
		.started = point(job, "started_at"),
		.ended = point(job, "ended_at"),
		.deadline = point(job, "deadline_at"),
		.has_uid = json_is_integer(uid),
		.has_exit_code = json_is_integer(code),
		.half_processed = json_is_true(json_object_get(job, "half_processed")),
	};
	return 0;
}

/* What a state means here. One this program does not know has ended if it has a time of its end. */
enum meaning {
	M_LIVE,
	M_SUCCEEDED,
	M_CLOSED,
	M_FAILED,
	M_CANCELED,
	M_DEADLINE,
	M_INTERRUPTED,
	M_UNKNOWN,
};

static enum meaning
meaning(const struct view *v)
{
	static const struct {
		const char *state;
		enum meaning m;
	} table[] = {
		{"queued", M_LIVE},
		{"running", M_LIVE},
		{"stopping", M_LIVE},
		{"open", M_LIVE},
		{"closed", M_CLOSED},
		{"succeeded", M_SUCCEEDED},
		{"failed", M_FAILED},
		{"canceled", M_CANCELED},
		{"deadline_exceeded", M_DEADLINE},
		{"interrupted", M_INTERRUPTED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(v->state, table[i].state) == 0)
			return table[i].m;
	return M_UNKNOWN;
}

bool
view_ended(const struct view *v)
{
	enum meaning m = meaning(v);

	return m == M_UNKNOWN ? v->ended != 0 : m != M_LIVE;
}

int
view_exit_code(const struct view *v)
{
	switch (meaning(v)) {
	case M_SUCCEEDED:
	case M_CLOSED:
		return EXITCODE_OK;
	case M_FAILED:
		if (v->has_exit_code && v->exit_code > 0 && v->exit_code < 256)
			return (int)v->exit_code;
		if (v->signal > 0 && v->signal < 128)
			return EXITCODE_SIGNAL + (int)v->signal;
		return EXITCODE_OURS;
	case M_CANCELED:
		return EXITCODE_CANCELED;
	case M_DEADLINE:
		return EXITCODE_DEADLINE;
	case M_INTERRUPTED:
		return EXITCODE_INTERRUPTED;
	case M_LIVE:
	case M_UNKNOWN:
		break;
	}
	return EXITCODE_OURS;
}

/* "PREFIX: CAUSE", or the prefix alone. */
static void
with_cause(const struct view *v, struct buf *b, const char *prefix)
{
	(void)buf_puts(b, prefix);
	if (!v->cause || !*v->cause)
		return;
	(void)buf_puts(b, ": ");
	(void)out_escape(b, v->cause, strlen(v->cause));
}

static void
end_failed(const struct view *v, struct buf *b)
{
	char name[16];

	if (v->cause_code && strcmp(v->cause_code, "exec") == 0 && v->cause)
		(void)out_escape(b, v->cause, strlen(v->cause));
	else if (v->signal > 0)
		(void)buf_printf(b, "killed by signal %" PRId64 " (%s)", v->signal,
				 text_signal_name((int)v->signal, name, sizeof(name)));
	else if (v->has_exit_code)
		(void)buf_printf(b, "exit %" PRId64, v->exit_code);
	else
		with_cause(v, b, "failed");
}

static void
end_deadline(const struct view *v, struct buf *b)
{
	char text[CLOCK_TEXT];

	(void)buf_puts(b, "deadline exceeded");
	if (v->timeout_requested == INT64_MAX)
		(void)buf_puts(b, ": asked for the most");
	else if (v->timeout_requested)
		(void)buf_printf(b, ": asked %s",
				 dur_format(dur_usec(v->timeout_requested), text, sizeof(text)));
	if (v->timeout && (v->started || v->is_scope)) /* else no time was counted */
		(void)buf_printf(b, "%s granted %s", v->timeout_requested ? "," : ":",
				 dur_format(dur_usec(v->timeout), text, sizeof(text)));
	if (v->rule)
		(void)buf_printf(b, " (rule %s)", v->rule);
	if (!v->started && !v->is_scope)
		(void)buf_puts(b, "; it was never started");
}

int
view_end(const struct view *v, struct buf *b)
{
	switch (meaning(v)) {
	case M_SUCCEEDED:
		(void)buf_puts(b, "exit 0");
		break;
	case M_CLOSED:
		with_cause(v, b, "closed");
		break;
	case M_FAILED:
		end_failed(v, b);
		break;
	case M_CANCELED:
		with_cause(v, b, "canceled");
		break;
	case M_DEADLINE:
		end_deadline(v, b);
		break;
	case M_INTERRUPTED:
		with_cause(v, b, "interrupted, how it ended is not known");
		break;
	case M_LIVE:
		(void)buf_puts(b, v->state);
		break;
	case M_UNKNOWN:
		(void)out_escape(b, v->state, strlen(v->state));
		break;
	}
	return b->failed;
}

void
view_say_end(const struct view *v)
{
	_cleanup_(buf_done) struct buf b = {0};
	enum meaning m = meaning(v);

	if (m == M_SUCCEEDED || m == M_CLOSED || m == M_LIVE)
		return;
	if (m == M_FAILED && v->signal == 0 &&
	    !(v->cause_code && strcmp(v->cause_code, "exec") == 0))
		return;
	if (view_end(v, &b) == 0 && buf_putc(&b, '\0') == 0)
		out_error("%s %" PRIu64 ": %s%s", v->noun, v->id, buf_head(&b),
			  m == M_INTERRUPTED ? " (see `ctxctl doctor`)" : "");
}

enum out_style
view_style(const struct view *v)
{
	static const struct {
		const char *state;
		enum out_style style;
	} table[] = {
		{"running", OUT_GREEN},      {"open", OUT_GREEN},   {"stopping", OUT_YELLOW},
		{"failed", OUT_RED},         {"canceled", OUT_DIM}, {"deadline_exceeded", OUT_RED},
		{"interrupted", OUT_YELLOW},
	};

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strcmp(v->state, table[i].state) == 0)
			return table[i].style;
	return OUT_PLAIN;
}

const char *
view_left(const struct view *v, int64_t now, char span[OUT_SPAN])
{
	if (!v->deadline || view_ended(v))
		return NULL;
	return v->deadline <= now ? "overdue" : out_span(v->deadline - now, span);
}

const char *
view_waiting(const char *waiting_for, int64_t now, char buf[VIEW_WAITING])
{
	static const char backoff[] = "backoff until ";
	bool retry = strncmp(waiting_for, backoff, sizeof(backoff) - 1) == 0;
	int64_t at = view_time(retry ? waiting_for + sizeof(backoff) - 1 : waiting_for);
	char span[OUT_SPAN];

	if (at)
		(void)snprintf(buf, VIEW_WAITING, "%s in %s", retry ? "retry" : "start",
			       out_span(at > now ? at - now : 0, span));
	else
		(void)snprintf(buf, VIEW_WAITING, "%s", waiting_for);
	return buf;
}

int
view_argv(const json_t *job, struct buf *b)
{
	_cleanup_(buf_done) struct buf raw = {0};
	const json_t *argv = json_object_get(job, "argv");
	size_t n = json_array_size(argv);

	for (size_t i = 0; i < n; i++) {
		const char *arg = json_string_value(json_array_get(argv, i));

		if (i > 0)
			(void)buf_putc(&raw, ' ');
		(void)text_shell_quote(&raw, arg ? arg : "");
	}
	if (raw.failed)
		return raw.failed;
	return out_escape(b, buf_head(&raw), buf_len(&raw));
}
