/* cmd_status.c - everything known of jobs, or of the daemon. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/view.h"

static const struct options_spec spec = {
	"[ID...]",
	"Without ids: the daemon, how many jobs it has in which state, and its health. With ids: "
	"everything\n"
	"known of each job or scope; what is unset is left out. --json: Stats, or the job (of "
	"several: an\n"
	"array).",
	"  ctxctl status\n"
	"  ctxctl status 42",
	NULL,
	0,
	false,
};

static void field(const char *label, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void
field(const char *label, const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = {0};
	_free_ char *text = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (n < 0) {
		text = NULL;
		return;
	}
	(void)out_escape(&b, text, (size_t)n);
	out_printf("  %-15s ", label);
	out_put(buf_head(&b), buf_len(&b));
	out_puts("\n");
}

/* Words of an array of strings, separated by commas, for as long as B lives. */
static const char *
words(const json_t *list, struct buf *b)
{
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *word = json_string_value(json_array_get(list, i));

		(void)buf_printf(b, "%s%s", i ? ", " : "", word ? word : "?");
	}
	(void)buf_putc(b, '\0');
	return b->failed ? "?" : buf_head(b);
}

static void
print_unenforced(const json_t *limits)
{
	_cleanup_(buf_done) struct buf b = {0};

	if (json_array_size(limits) > 0)
		field("NOT enforced:", "%s of its class", words(limits, &b));
}

/* A signal of the stop: when, and how many it found. */
static void
print_stop_step(const char *label, const json_t *stop, const char *at_key, const char *n_key)
{
	const char *at = view_str(stop, at_key);
	const json_t *n = json_object_get(stop, n_key);

	if (at && json_is_integer(n))
		field(label, "%s, with %" PRId64 " alive", at, view_int(stop, n_key));
	else if (at)
		field(label, "%s", at);
}

static void
print_stop(const struct view *v)
{
	const json_t *stop = json_object_get(v->json, "stop");
	const char *asked = view_str(stop, "asked_at");
	const char *by_rule = view_str(stop, "by_rule");
	char uid[48] = "", pid[48] = "", parent[64] = "", rule[64] = "";

	if (!json_is_object(stop))
		return;
	if (json_is_integer(json_object_get(stop, "by_uid")))
		(void)snprintf(uid, sizeof(uid), " by uid %" PRId64, view_int(stop, "by_uid"));
	if (json_is_integer(json_object_get(stop, "by_pid")))
		(void)snprintf(pid, sizeof(pid), " (process %" PRId64 ")",
			       view_int(stop, "by_pid"));
	if (json_is_integer(json_object_get(stop, "by_parent")))
		(void)snprintf(parent, sizeof(parent), ", following %" PRId64,
			       view_int(stop, "by_parent"));
	if (by_rule)
		(void)snprintf(rule, sizeof(rule), " by the deadline (rule %s)", by_rule);
	if (asked)
		field("stop asked:", "%s%s%s%s%s", asked, uid, pid, rule, parent);
	print_stop_step("stop signal:", stop, "term_at", "term_processes");
	print_stop_step("KILL:", stop, "kill_at", "kill_processes");
	print_stop_step("main ended:", stop, "main_ended_at", "");
	print_stop_step("tree empty:", stop, "empty_at", "");
}

/* ---- the daemon */

static void
print_counts(const json_t *jobs)
{
	_cleanup_(buf_done) struct buf b = {0};
	const char *state;
	json_t *n;

	json_object_foreach ((json_t *)(uintptr_t)jobs, state, n) {
		if (json_integer_value(n) > 0)
			(void)buf_printf(&b, "%s%" JSON_INTEGER_FORMAT " %s",
					 buf_len(&b) ? ", " : "", json_integer_value(n), state);
	}
	(void)buf_putc(&b, '\0');
	field("jobs:", "%s", b.failed ? "?" : buf_len(&b) > 1 ? buf_head(&b) : "none");
}

/* Only when somebody said that it is to stand still. */
static void
print_queue(const json_t *s)
{
	_cleanup_(buf_done) struct buf b = {0};
	const json_t *classes = json_object_get(s, "paused_classes");

	if (json_is_true(json_object_get(s, "draining"))) {
		field("queue:", "%s", "draining: nothing is accepted or started");
		return;
	}
	if (json_is_true(json_object_get(s, "paused"))) {
		field("queue:", "%s", "paused: nothing is started");
		return;
	}
	for (size_t i = 0; i < json_array_size(classes); i++)
		(void)buf_printf(&b, "%s%s", i ? ", " : "",
				 json_string_value(json_array_get(classes, i)));
	(void)buf_putc(&b, '\0');
	if (json_array_size(classes) > 0 && !b.failed)
		field("queue:", "paused: %s", buf_head(&b));
}

static void
print_stats(const json_t *s, const char *path)
{
	char span[OUT_SPAN], bytes[OUT_SPAN];
	const char *version = view_str(s, "version"), *mode = view_str(s, "mode"),
		   *started = view_str(s, "started_at");

	out_puts("ctxd ");
	out_text(version ? version : "of an unknown version");
	out_puts("\n");
	field("mode:", "%s", mode ? mode : "?");
	field("socket:", "%s", path);
	field("pid:", "%" PRId64, view_int(s, "pid"));
	field("up:", "%s, since %s", out_span(view_int(s, "uptime_usec"), span),
	      started ? started : "?");
	print_counts(json_object_get(s, "jobs"));
	print_queue(s);
	field("half-processed:", "%" PRId64 "%s", view_int(s, "half_processed"),
	      view_int(s, "half_processed") ? " (see `ctxctl doctor`)" : "");
	field("database:", "%s", out_bytes(view_int(s, "database_bytes"), bytes));
	field("connections:", "%" PRId64, view_int(s, "connections"));
	field("spawner:", "%s",
	      !json_is_true(json_object_get(s, "spawner_up"))   ? "not connected"
	      : json_is_true(json_object_get(s, "spawner_old")) ? "OLDER THAN CTXD, new jobs wait"
								: "up");
	field("cgroups:", "%s",
	      json_is_true(json_object_get(s, "cgroup")) ? "yes"
							 : "no, each monitor stops its own tree");
	print_unenforced(json_object_get(s, "limits_unenforced"));
	field("storage:", "%s",
	      json_is_true(json_object_get(s, "storage_ok")) ? "ok"
							     : "NOT OK, new jobs are refused");
}

static int
daemon_status(struct cli *cli, struct ctxd_client *c)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	int r = conn_call(cli, c, "Stats", json_object(), &reply);

	if (r)
		return r;
	if (cli->json)
		out_document(reply);
	else
		print_stats(reply, ctxd_path(c));
	return 0;
}

/* ---- a job */

/* "EXACT (5m12s ago)" */
static void
print_time(const char *label, int64_t at)
{
	char text[CLOCK_TEXT], span[OUT_SPAN];
	int64_t ago = wall_to_usec(wall_now()) - at;

	if (at)
		field(label, "%s (%s%s%s)", wall_format(wall_usec(at), text, sizeof(text)),
		      ago < 0 ? "in " : "", out_span(ago < 0 ? -ago : ago, span),
		      ago < 0 ? "" : " ago");
}

static void
print_who(const struct view *v)
{
	const char *cwd = v->is_scope ? NULL : view_str(v->json, "cwd");
	const json_t *by = json_object_get(v->json, "submitted_by");

	field("user:", "%s%suid %" PRId64 ", gid %" PRId64 "%s", v->user ? v->user : "",
	      v->user ? " (" : "", v->uid, view_int(v->json, "gid"), v->user ? ")" : "");
	if (json_is_integer(by) && json_integer_value(by) != v->uid)
		field("submitted by:", "uid %" PRId64, (int64_t)json_integer_value(by));
	if (cwd)
		field("directory:", "%s", cwd);
	if (!v->is_scope)
		field("umask:", "%04" PRIo64, (uint64_t)view_int(v->json, "umask"));
}

static void
print_command(const struct view *v)
{
	_cleanup_(buf_done) struct buf b = {0};

	if (view_argv(v->json, &b) < 0)
		return;
	out_printf("  %-15s ", "command:");
	out_put(buf_head(&b), buf_len(&b));
	out_puts("\n");
}

static void
print_deadline(const struct view *v)
{
	char span[CLOCK_TEXT], asked[CLOCK_TEXT] = "";
	const char *signal = view_str(v->json, "stop_signal");

	print_time("deadline:", v->deadline);
	if (v->timeout_requested == INT64_MAX)
		(void)snprintf(asked, sizeof(asked), ", asked max");
	else if (v->timeout_requested && v->timeout_requested != v->timeout)
		(void)snprintf(asked, sizeof(asked), ", asked %s",
			       dur_format(dur_usec(v->timeout_requested), span, sizeof(span)));
	if (v->timeout)
		field("timeout:", "%s (rule %s%s)",
		      dur_format(dur_usec(v->timeout), span, sizeof(span)), v->rule ? v->rule : "?",
		      asked);
	if (!v->is_scope)
		field("stop:", "%s, then KILL after %s", signal ? signal : "?",
		      dur_format(dur_usec(view_int(v->json, "grace_usec")), span, sizeof(span)));
}

static void
print_times(const struct view *v)
{
	char span[OUT_SPAN];

	print_time("submitted:", v->submitted);
	print_time("started:", v->started);
	print_time("ended:", v->ended);
	if (v->started && v->ended)
		field("ran:", "%s", out_span(v->ended - v->started, span));
}

static void
print_end(const struct view *v)
{
	_cleanup_(buf_done) struct buf b = {0};
	const char *err = view_str(v->json, "err"), *by = view_str(v->json, "known_by");

	if (view_ended(v) && view_end(v, &b) == 0 && buf_putc(&b, '\0') == 0) {
		out_printf("  %-15s ", "end:");
		out_puts(buf_head(&b));
		out_puts("\n");
	}
	if (v->cause)
		field("cause:", "%s%s%s", v->cause_code ? v->cause_code : "",
		      v->cause_code ? ": " : "", v->cause);
	else if (v->cause_code && strcmp(v->cause_code, "exit") != 0)
		field("cause:", "%s", v->cause_code);
	if (err)
		field("err:", "%s", err);
	if (by)
		field("known by:", "%s", by);
	if (view_int(v->json, "leftovers") > 0)
		field("left behind:", "%" PRId64 " processes, which were stopped",
		      view_int(v->json, "leftovers"));
	if (json_is_true(json_object_get(v->json, "survivors_possible")))
		field("survivors:", "possible: processes of it may still be there");
	if (v->half_processed)
		field("half-processed:", "yes; `ctxctl doctor` says what to do");
	print_stop(v);
	print_unenforced(json_object_get(v->json, "limits_unenforced"));
}

static void
print_output(const char *label, const json_t *output)
{
	char a[OUT_SPAN], b[OUT_SPAN];

	if (view_int(output, "dropped") > 0)
		field(label, "%s, %s dropped", out_bytes(view_int(output, "bytes"), a),
		      out_bytes(view_int(output, "dropped"), b));
	else if (json_is_object(output))
		field(label, "%s", out_bytes(view_int(output, "bytes"), a));
}

static void
print_resources(const struct view *v)
{
	const json_t *output = json_object_get(v->json, "output"),
		     *usage = json_object_get(v->json, "usage");
	char a[OUT_SPAN], b[OUT_SPAN], c[OUT_SPAN];

	print_output("output:", output);
	print_output("stderr:", json_object_get(v->json, "stderr"));
	if (json_is_object(usage))
		field("usage:", "%s user, %s system, %s memory",
		      out_span(view_int(usage, "user_usec"), a),
		      out_span(view_int(usage, "system_usec"), b),
		      out_bytes(view_int(usage, "max_rss_bytes"), c));
	if (json_is_integer(json_object_get(usage, "memory_peak_bytes")))
		field("memory peak:", "%s, of all its processes together",
		      out_bytes(view_int(usage, "memory_peak_bytes"), a));
	if (json_is_integer(json_object_get(usage, "io_read_bytes")))
		field("disks:", "%s read, %s written",
		      out_bytes(view_int(usage, "io_read_bytes"), a),
		      out_bytes(view_int(usage, "io_write_bytes"), b));
}

/* What it was derived with, and what it carries. */
static void
print_context(const struct view *v)
{
	_cleanup_(buf_done) struct buf set = {0};
	const json_t *names = json_object_get(v->json, "inherit");
	json_t *values = json_object_get(v->json, "values"), *value;
	const char *trace = view_str(v->json, "traceparent"), *name,
		   *from = view_str(v->json, "parent_span_id");

	for (size_t i = 0; i < json_array_size(names); i++)
		(void)buf_printf(&set, "%s%s", i ? ", " : "",
				 json_string_value(json_array_get(names, i)));
	(void)buf_putc(&set, '\0');
	if (v->parent)
		field("parent:", "%" PRIu64 " (inherits %s)", v->parent,
		      set.failed          ? "?"
		      : buf_len(&set) > 1 ? buf_head(&set)
					  : "nothing");
	if (json_is_true(json_object_get(v->json, "bound")))
		field("bound:", "to its client, with which it ends");
	json_object_foreach (values, name, value) {
		field("value:", "%s=%s", name, json_string_value(value));
	}
	if (trace)
		field("trace:", "%s%s%s", trace, from ? ", from span " : "", from ? from : "");
	if (view_str(v->json, "tracestate"))
		field("tracestate:", "%s", view_str(v->json, "tracestate"));
	if (view_str(v->json, "baggage"))
		field("baggage:", "%s", view_str(v->json, "baggage"));
}

/* Of an interrupted job: how far it certainly came. */
static void
print_evidence(const struct view *v)
{
	if (view_str(v->json, "phase"))
		field("phase:", "%s", view_str(v->json, "phase"));
	if (view_str(v->json, "phase") && view_str(v->json, "boot"))
		field("boot:", "%s", view_str(v->json, "boot"));
	print_time("last seen:", view_time(view_str(v->json, "seen_at")));
}

static void
print_progress(const struct view *v)
{
	const json_t *p = json_object_get(v->json, "progress"),
		     *percent = json_object_get(p, "percent");
	const char *text = view_str(p, "text"), *at = view_str(p, "at");
	char number[32] = "";

	if (json_is_number(percent))
		(void)snprintf(number, sizeof(number), "%.6g%%", json_number_value(percent));
	if (json_is_object(p))
		field("progress:", "%s%s%s%s%s%s", number, *number && text ? ", " : "",
		      text ? text : "", at ? " (" : "", at ? at : "", at ? ")" : "");
	print_evidence(v);
	print_time("ready:", view_time(view_str(v->json, "ready_at")));
}

/* What it was asked to be watched for. */
static void
print_watch(const struct view *v)
{
	int64_t warn = view_int(v->json, "warn_usec"), dog = view_int(v->json, "watchdog_usec");
	const char *sig = view_str(v->json, "warn_signal");
	char span[CLOCK_TEXT];

	if (warn)
		field("warn:", "%s, %s before the deadline", sig ? sig : "?",
		      dur_format(dur_usec(warn), span, sizeof(span)));
	if (dog)
		field("watchdog:", "%s without a sign of life",
		      dur_format(dur_usec(dog), span, sizeof(span)));
}

/* What a person has to do about it. */
static const char *
why_waiting(const char *waiting)
{
	if (strcmp(waiting, "release") == 0)
		return " (it is held)";
	if (strcmp(waiting, "resume") == 0)
		return " (its class, or all of the queue, is paused)";
	return "";
}

static void
print_command_parts(const struct view *v)
{
	const char *waiting = view_str(v->json, "waiting_for");
	const json_t *in = json_object_get(v->json, "stdin_bytes");
	char bytes[OUT_SPAN];

	print_command(v);
	if (json_is_integer(in))
		field("stdin:", "%s", out_bytes(json_integer_value(in), bytes));
	if (view_int(v->json, "priority"))
		field("priority:", "%" PRId64, view_int(v->json, "priority"));
	if (view_int(v->json, "retries"))
		field("retries:", "%" PRId64 ", of which %" PRId64 " are used",
		      view_int(v->json, "retries"), view_int(v->json, "retried"));
	if (waiting)
		field("waiting for:", "%s%s", waiting, why_waiting(waiting));
}

static void
print_job(const struct view *v)
{
	out_printf("%s %" PRIu64 ": ", v->noun, v->id);
	out_text(v->state);
	out_puts("\n");
	if (v->name)
		field("name:", "%s", v->name);
	if (v->key)
		field("key:", "%s", v->key);
	if (!v->is_scope)
		print_command_parts(v);
	if (v->class_name)
		field("class:", "%s", v->class_name);
	print_who(v);
	print_context(v);
	print_times(v);
	print_deadline(v);
	if (!v->is_scope) {
		print_watch(v);
		field("attempt:", "%" PRId64, view_int(v->json, "attempt"));
	}
	if (view_int(v->json, "pid"))
		field("pid:", "%" PRId64, view_int(v->json, "pid"));
	print_progress(v);
	print_end(v);
	if (!v->is_scope)
		print_resources(v);
}

struct jobs {
	struct cli *cli;
	bool array; /* JSON of several */
	size_t n;   /* printed */
};

static int
job_status(struct jobs *j, struct ctxd_client *c, uint64_t id)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	const json_t *job;
	struct view v;
	int r = conn_call(j->cli, c, "Get", conn_id(id), &reply);

	if (r)
		return r;
	job = json_object_get(reply, "job");
	if (view_read(job, &v) < 0)
		return conn_strange(j->cli, "job");
	if (!j->cli->json) {
		out_puts(j->n ? "\n" : "");
		print_job(&v);
	} else if (j->array) {
		out_puts(j->n ? ",\n" : "\n");
		out_json(job);
	} else {
		out_document(job);
	}
	j->n++;
	return 0;
}

static int
jobs_status(struct cli *cli, struct ctxd_client *c, const uint64_t *ids, size_t n)
{
	struct jobs j = {.cli = cli, .array = n > 1};
	int r = 0;

	if (cli->json && j.array)
		out_puts("[");
	for (size_t i = 0; i < n; i++) {
		int e = job_status(&j, c, ids[i]);

		r = r ? r : e;
		if (e == EXITCODE_UNREACHABLE)
			break;
	}
	if (cli->json && j.array)
		out_puts("\n]\n");
	return r;
}

int
cmd_status(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_free_ uint64_t *ids = NULL;
	size_t n = 0;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		r = options_ids(cli, argc, argv, &ids, &n);
	if (r == 0)
		r = conn_open(cli, &c);
	if (r)
		return r;
	return n ? jobs_status(cli, c, ids, n) : daemon_status(cli, c);
}
