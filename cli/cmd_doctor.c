/* cmd_doctor.c - jobs that were half-processed when something died, and whatever else keeps the
 * daemon from its work. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/linger.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/view.h"

static const struct options_spec spec = {
	"",
	"List the jobs that are half-processed: they had been started, and how they ended is not "
	"known; and\n"
	"say what is wrong with the daemon, if anything. Exit code 0: nothing; 1: something is "
	"there.",
	"  ctxctl doctor || mail -s 'ctxd needs a look' root",
	NULL,
	0,
	false,
};

#define SPACE_LEAST (INT64_C(1) << 20)
#define SPACE_ENOUGH (INT64_C(1) << 30)
#define WAL_MOST (INT64_C(32) << 20) /* it is cut back to 8 MiB whenever nobody reads */
#define CLOCK_STEP_MOST (INT64_C(10) * 1000000)

struct doctor {
	struct cli *cli;
	struct ctxd_client *c;
	json_t *problems; /* owned: array of texts */
	size_t n;         /* half-processed */
};

static int
problem(struct doctor *d, const char *text)
{
	if (!d->cli->json)
		out_printf("%s\n", text);
	return json_array_append_new(d->problems, json_string(text)) < 0 ? conn_no_memory(d->cli)
									 : 0;
}

/* Little room: below a megabyte, or a twentieth of it where that is less than a gigabyte. */
static int
check_space(struct doctor *d, const json_t *stats)
{
	static const char *const names[] = {"state", "output", "runtime"};
	const json_t *space = json_object_get(stats, "space");
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(names) && r == 0; i++) {
		const json_t *s = json_object_get(space, names[i]);
		int64_t left = json_integer_value(json_object_get(s, "free"));
		int64_t size = json_integer_value(json_object_get(s, "size"));
		char text[160], bytes[OUT_SPAN];

		if (!json_is_object(s) || size <= 0 ||
		    (left >= SPACE_LEAST && (left >= SPACE_ENOUGH || left >= size / 20)))
			continue;
		(void)snprintf(text, sizeof(text), "disk: %s left for the %s directory",
			       out_bytes(left, bytes), names[i]);
		r = problem(d, text);
	}
	return r;
}

static int
check_clock(struct doctor *d, const json_t *stats)
{
	int64_t us = json_integer_value(json_object_get(stats, "clock_step_usec"));
	char text[200], span[CLOCK_TEXT];

	if (us > -CLOCK_STEP_MOST && us < CLOCK_STEP_MOST)
		return 0;
	(void)snprintf(text, sizeof(text),
		       "clock: it was set %s by %s since ctxd was started: look at deadlines that "
		       "are points in time",
		       us < 0 ? "back" : "forward",
		       dur_format(dur_usec(us < 0 ? -us : us), span, sizeof(span)));
	return problem(d, text);
}

static int
check_wal(struct doctor *d, const json_t *stats)
{
	int64_t wal = json_integer_value(json_object_get(stats, "wal_bytes"));
	char text[200], bytes[OUT_SPAN];

	if (wal <= WAL_MOST)
		return 0;
	(void)snprintf(text, sizeof(text),
		       "database: its log (WAL) has grown to %s: some program reads the database "
		       "and does not end",
		       out_bytes(wal, bytes));
	return problem(d, text);
}

static int
check_rows(struct doctor *d, const json_t *stats)
{
	int64_t n = json_integer_value(json_object_get(stats, "broken_rows"));
	char text[200];

	if (n <= 0)
		return 0;
	(void)snprintf(text, sizeof(text),
		       "database: the rows of %" PRId64
		       " jobs are malformed (the log of ctxd names "
		       "them): they are left as they are and not looked after",
		       n);
	return problem(d, text);
}

static int
check_journal(struct doctor *d, const json_t *stats)
{
	char text[200];

	if (!json_is_false(json_object_get(stats, "journal_ok")))
		return 0;
	(void)snprintf(text, sizeof(text),
		       "journal: it does not take the output of jobs, which stays in the files "
		       "until it does (%" PRId64 " jobs)",
		       (int64_t)json_integer_value(json_object_get(stats, "journal_waiting")));
	return problem(d, text);
}

/* What a user's own daemon runs ends with the user's manager, if it is a unit of that. */
static int
check_linger(struct doctor *d, const json_t *stats)
{
	if (!linger_missing(json_integer_value(json_object_get(stats, "pid"))))
		return 0;
	return problem(d, "logout: ctxd is a unit of your session manager, which ends at your last "
			  "logout, and all jobs with it; `loginctl enable-linger` keeps it");
}

static int
check_limits(struct doctor *d, const json_t *stats)
{
	const json_t *limits = json_object_get(stats, "limits_unenforced");
	_cleanup_(buf_done) struct buf b = {0};

	if (json_array_size(limits) == 0)
		return 0;
	(void)buf_puts(&b, "limits: not enforced, though classes ask for them: ");
	for (size_t i = 0; i < json_array_size(limits); i++) {
		const char *key = json_string_value(json_array_get(limits, i));

		(void)buf_printf(&b, "%s%s", i ? ", " : "", key ? key : "?");
	}
	(void)buf_puts(&b, " (the log of ctx-spawner says why)");
	(void)buf_putc(&b, '\0');
	return b.failed ? conn_no_memory(d->cli) : problem(d, buf_head(&b));
}

static int
check_surroundings(struct doctor *d, const json_t *stats)
{
	const char *mode = json_string_value(json_object_get(stats, "mode"));
	int r = check_space(d, stats);

	if (r == 0)
		r = check_wal(d, stats);
	if (r == 0)
		r = check_rows(d, stats);
	if (r == 0)
		r = check_clock(d, stats);
	if (r == 0)
		r = check_limits(d, stats);
	if (r == 0)
		r = check_journal(d, stats);
	if (r == 0 && json_is_true(json_object_get(stats, "draining")))
		r = problem(d, "shutdown: nothing is accepted or started until ctxd is started "
			       "anew");
	if (r == 0 && mode && strcmp(mode, "user") == 0)
		r = check_linger(d, stats);
	if (r == 0 && mode && strcmp(mode, "system") == 0 &&
	    json_is_true(json_object_get(stats, "spawner_up")) &&
	    !json_is_true(json_object_get(stats, "cgroup")))
		r = problem(d, "cgroup: there is none for jobs; a process that hides well enough "
			       "may outlive its job");
	return r;
}

static int
check_daemon(struct doctor *d)
{
	_cleanup_(conn_jsonp) json_t *stats = NULL;
	int r = conn_call(d->cli, d->c, "Stats", json_object(), &stats);

	if (r)
		return r;
	if (!json_is_true(json_object_get(stats, "storage_ok")))
		r = problem(d, "storage: the database cannot be written; new jobs are refused, "
			       "ends are kept until it can");
	if (r == 0 && json_is_true(json_object_get(stats, "spawner_old")))
		r = problem(d, "spawner: of an older version than ctxd; new jobs wait until it is "
			       "replaced (`systemctl restart ctx-spawner`; running jobs go on)");
	else if (r == 0 && json_is_true(json_object_get(stats, "spawner_missing")))
		r = problem(d, "spawner: not connected; nothing can be started (see the log of "
			       "ctx-spawner)");
	return r ? r : check_surroundings(d, stats);
}

static void
line(const char *label, const char *text)
{
	if (!text)
		return;
	out_printf("\n  %s: ", label);
	out_text(text);
}

static void
print_progress(const json_t *p)
{
	const json_t *percent = json_object_get(p, "percent");
	const char *at = view_str(p, "at");

	if (!json_is_object(p))
		return;
	out_puts("\n  last progress:");
	if (json_is_number(percent))
		out_printf(" %.6g%%", json_number_value(percent));
	if (view_str(p, "text")) {
		out_puts(" ");
		out_text(view_str(p, "text"));
	}
	if (at) {
		out_puts(" at ");
		out_text(at);
	}
}

/* Who knew last that it was alive: its monitor, itself, or ctxd when it started it. */
static void
print_seen(const json_t *job)
{
	const char *monitor = view_str(job, "seen_at"),
		   *itself = view_str(json_object_get(job, "progress"), "at"),
		   *at = monitor  ? monitor
			 : itself ? itself
				  : view_str(job, "started_at");

	if (!at)
		return;
	out_puts("\n  last seen: ");
	out_text(at);
	out_puts(monitor  ? ", by its monitor"
		 : itself ? ", by its own progress"
			  : ", when it was started");
}

static void
print_evidence(const struct view *v)
{
	const json_t *out = json_object_get(v->json, "output");
	char bytes[OUT_SPAN];

	out_printf("\n  attempt: %" PRId64,
		   (int64_t)json_integer_value(json_object_get(v->json, "attempt")));
	line("boot", view_str(v->json, "boot"));
	line("phase", view_str(v->json, "phase"));
	line("evidence", v->cause_code);
	print_progress(json_object_get(v->json, "progress"));
	print_seen(v->json);
	out_printf("\n  output so far: %s",
		   out_bytes((int64_t)json_integer_value(json_object_get(out, "bytes")), bytes));
}

static void
print_job(const struct view *v)
{
	_cleanup_(buf_done) struct buf b = {0};
	char at[CLOCK_TEXT];

	out_printf("job %" PRIu64, v->id);
	if (v->name) {
		out_puts(" (");
		out_text(v->name);
		out_puts(")");
	}
	out_puts(": ");
	if (view_end(v, &b) == 0)
		out_put(buf_head(&b), buf_len(&b));
	buf_clear(&b);
	if (view_argv(v->json, &b) == 0) {
		out_puts("\n  command: ");
		out_put(buf_head(&b), buf_len(&b));
	}
	if (v->started)
		out_printf("\n  started: %s", wall_format(wall_usec(v->started), at, sizeof(at)));
	print_evidence(v);
	if (json_is_true(json_object_get(v->json, "survivors_possible")))
		out_puts("\n  processes of it may still be running: look for them first");
	out_printf("\n  see how far it came: `ctxctl status %" PRIu64 "`, `ctxctl logs %" PRIu64
		   "`; it is not started again by itself\n"
		   "  then: `ctxctl retry %" PRIu64 "`, or `ctxctl resolve %" PRIu64
		   " --as succeeded|failed --note ...`\n",
		   v->id, v->id, v->id, v->id);
}

static int
print_page(struct doctor *d, const json_t *jobs)
{
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		struct view v;

		if (view_read(json_array_get(jobs, i), &v) < 0)
			return conn_strange(d->cli, "job");
		if (d->cli->json) {
			out_puts(d->n ? ",\n" : "\n");
			out_json(v.json);
		} else {
			print_job(&v);
		}
		d->n++;
	}
	return 0;
}

static int
check_jobs(struct doctor *d)
{
	bool continues = true;
	int r = conn_send(d->cli, d->c, "List", json_pack("{s:b}", "half_processed", 1),
			  CTXD_CALL_MORE);

	while (continues && r == 0) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;

		r = conn_receive(d->cli, d->c, &reply, &continues);
		if (r == 0)
			r = print_page(d, json_object_get(reply, "jobs"));
	}
	return r;
}

static int
doctor(struct doctor *d)
{
	int r = d->problems ? conn_open(d->cli, &d->c) : conn_no_memory(d->cli);

	if (r == 0)
		r = check_daemon(d);
	if (r == 0 && d->cli->json)
		out_puts("{\"half_processed\":[");
	if (r == 0)
		r = check_jobs(d);
	if (r == EXITCODE_REFUSED) /* what it was said with is what is wrong */
		return EXITCODE_FAILED;
	if (r)
		return r;
	if (d->cli->json) {
		out_puts(d->n ? "\n],\"problems\":" : "],\"problems\":");
		out_json(d->problems);
		out_puts("}\n");
	} else if (d->n == 0) {
		out_puts("nothing half-processed\n");
	}
	return d->n || json_array_size(d->problems) ? EXITCODE_FAILED : EXITCODE_OK;
}

int
cmd_doctor(struct cli *cli, int argc, char **argv)
{
	struct doctor d = {.cli = cli};
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	d.problems = json_array();
	r = doctor(&d);
	json_decref(d.problems);
	(void)ctxd_close(d.c);
	return r;
}
