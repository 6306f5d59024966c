/* cmd_events.c - what became of contexts, a line a change of state, in the order of the commits.
 *
 * With -f for as long as there is something to come: a ctxd that dies is waited for, and asked for
 * what came behind the last one that was printed. */
#include <poll.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/view.h"

enum { RECONNECT_S = 10, PAUSE_MS = 50, HELD_S = 1 };

struct options {
	bool follow, progress;
	struct options_time since;
};
static const struct options_def defs[] = {
	{"follow", 'f', NULL, "go on with what is to come; with an ID until that has ended",
	 OPTIONS_FLAG, offsetof(struct options, follow)},
	{"progress", 0, NULL, "with -f: also what jobs tell of themselves", OPTIONS_FLAG,
	 offsetof(struct options, progress)},
	{"since", 0, "TIME|DUR", "from this time on, or in the last DUR (default: all there is)",
	 OPTIONS_SINCE, offsetof(struct options, since)},
};
static const struct options_spec spec = {
	"[OPTIONS] [ID]",
	"Print what became of jobs and scopes, a line for each change of state, the oldest first: "
	"when,\n"
	"which, from which state to which, why, by whom, and how it was stopped. -f survives a "
	"restart\n"
	"of ctxd without losing or repeating one. --json: a line of JSON each.",
	"  ctxctl events --since 1h\n"
	"  ctxctl events -f --json | while read -r line; do ...; done",
	defs,
	ARRAY_SIZE(defs),
	false,
};

struct events {
	struct cli *cli;
	const struct options *o;
	uint64_t id; /* 0: all */
	int64_t after;
	struct ctxd_client *c; /* owned */
	bool connected, down;
	struct mono opened, give_up;
};

static void
put_progress(const json_t *p)
{
	const json_t *percent = json_object_get(p, "percent");
	const char *text = view_str(p, "text");

	out_puts("progress");
	if (json_is_number(percent))
		out_printf(" %.6g%%", json_number_value(percent));
	if (text) {
		out_puts(" ");
		out_text(text);
	}
}

/* A step of a stop: how many were alive, and how long after it was asked for. */
static void
put_step(const json_t *stop, const char *what, const char *at_key, const char *n_key)
{
	const char *asked = view_str(stop, "asked_at"), *at = view_str(stop, at_key), *why;
	const json_t *n = json_object_get(stop, n_key);
	char span[OUT_SPAN];
	struct wall a, b;
	int64_t us;

	if (!at)
		return;
	out_puts(what);
	if (json_is_integer(n))
		out_printf(" to %" JSON_INTEGER_FORMAT, json_integer_value(n));
	if (!asked || wall_parse(asked, (struct wall){0}, &a, &why) < 0 ||
	    wall_parse(at, (struct wall){0}, &b, &why) < 0)
		return;
	us = wall_to_usec(b) - wall_to_usec(a);
	if (us > 0) /* nor when the clock was set back meanwhile */
		out_printf(" after %s", out_span(us, span));
}

/* Who asked, when it is asked for; at the end what was done. */
static void
put_stop(const json_t *e)
{
	const json_t *stop = json_object_get(e, "stop"), *uid = json_object_get(stop, "by_uid"),
		     *pid = json_object_get(stop, "by_pid"),
		     *parent = json_object_get(stop, "by_parent");
	const char *from = view_str(e, "from"), *to = view_str(e, "to");

	if (!json_is_object(stop))
		return;
	if (to && strcmp(to, "stopping") != 0) {
		put_step(stop, "; stop signal", "term_at", "term_processes");
		put_step(stop, "; KILL", "kill_at", "kill_processes");
		put_step(stop, "; nothing left", "empty_at", "");
	}
	if (from && strcmp(from, "stopping") == 0)
		return; /* said when it was asked for */
	if (json_is_integer(uid))
		out_printf("; by uid %" JSON_INTEGER_FORMAT, json_integer_value(uid));
	if (json_is_integer(pid))
		out_printf(" (process %" JSON_INTEGER_FORMAT ")", json_integer_value(pid));
	if (json_is_integer(parent))
		out_printf("; following %" JSON_INTEGER_FORMAT, json_integer_value(parent));
}

static void
put_edge(const json_t *e)
{
	const char *from = view_str(e, "from"), *to = view_str(e, "to"),
		   *cause = view_str(e, "cause"), *code = view_str(e, "cause_code");

	if (from) {
		out_text(from);
		out_puts(" -> ");
	}
	out_text(to ? to : "?");
	if (cause || code)
		out_puts("  ");
	if (cause || code)
		out_text(code ? code : cause);
	if (code && cause) {
		out_puts(": ");
		out_text(cause);
	}
	put_stop(e);
}

static void
put_event(const struct events *x, const json_t *e)
{
	const char *at = view_str(e, "at"), *kind = view_str(e, "kind");
	const json_t *progress = json_object_get(e, "progress");

	if (x->cli->json) {
		out_json(e);
		out_puts("\n");
		return;
	}
	out_text(at ? at : "?");
	out_puts("  ");
	out_text(kind ? kind : "?");
	out_printf(" %" JSON_INTEGER_FORMAT "  ", json_integer_value(json_object_get(e, "id")));
	if (json_is_object(progress))
		put_progress(progress);
	else
		put_edge(e);
	out_puts("\n");
}

static int
took(struct events *x, const json_t *reply)
{
	const json_t *events = json_object_get(reply, "events");

	if (!json_is_array(events))
		return conn_strange(x->cli, "events");
	for (size_t i = 0; i < json_array_size(events); i++) {
		const json_t *e = json_array_get(events, i), *edge = json_object_get(e, "edge");

		put_event(x, e);
		if (json_is_integer(edge))
			x->after = json_integer_value(edge);
	}
	return out_flush() < 0 ? EXITCODE_FAILED : 0; /* main says why */
}

static json_t *
params(const struct events *x)
{
	json_t *p = json_object();
	int r = 0;

	if (x->after >= 0)
		r |= json_object_set_new(p, "after", json_integer(x->after));
	else if (x->o->since.given)
		r |= json_object_set_new(p, "since", json_string(x->o->since.text));
	if (x->id)
		r |= json_object_set_new(p, "id", json_integer((json_int_t)x->id));
	if (x->o->follow)
		r |= json_object_set_new(p, "follow", json_true());
	if (x->o->progress)
		r |= json_object_set_new(p, "progress", json_true());
	if (r == 0)
		return p;
	json_decref(p);
	return NULL;
}

/* All replies of one call. 0: it is done; -1 with F; or the exit code (said). */
static int
read_all(struct events *x, struct ctxd_failure *f)
{
	bool continues = true;

	while (continues) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;
		int r = ctxd_receive(x->c, &reply, &continues, f);

		if (r == 0) {
			if (x->down && out_err_is_terminal())
				out_error("ctxd is back");
			x->down = false;
			r = took(x, reply);
		}
		if (r)
			return r;
	}
	return 0;
}

static int
try_all(struct events *x, struct ctxd_failure *f)
{
	json_t *p;

	if (conn_try(x->cli, &x->c, f) < 0)
		return -1;
	x->connected = true;
	x->opened = mono_now();
	ctxd_set_timeout(x->c, -1);
	p = params(x);
	if (!p)
		return conn_no_memory(x->cli);
	if (ctxd_send(x->c, "Events", p, CTXD_CALL_MORE, f) < 0)
		return -1;
	return read_all(x, f);
}

/* True: F is an outage, and it is time to try again. */
static bool
again(struct events *x, const struct ctxd_failure *f)
{
	bool outage = f->code == CTXD_E_LOST || f->code == CTXD_E_UNREACHABLE ||
		      (x->down && f->code == CTXD_E_NOT_READY);

	/* One that held is another outage, though nothing may have come since the last. */
	if (x->c && mono_diff(mono_now(), x->opened).ns >= HELD_S * NSEC_PER_SEC)
		x->down = false;
	x->c = ctxd_close(x->c);
	if (!x->o->follow || !x->connected || !outage)
		return false;
	if (!x->down) {
		x->down = true;
		x->give_up = mono_add(mono_now(), dur_sec(RECONNECT_S));
		out_error("the connection to ctxd is lost; trying again for %d s", RECONNECT_S);
		return true;
	}
	if (mono_diff(x->give_up, mono_now()).ns <= 0)
		return false;
	(void)poll(NULL, 0, PAUSE_MS);
	return true;
}

static int
events(struct events *x)
{
	struct ctxd_failure f;
	int r;

	do
		r = try_all(x, &f);
	while (r < 0 && again(x, &f));
	return r < 0 ? conn_fail(x->cli, &f) : r;
}

int
cmd_events(struct cli *cli, int argc, char **argv)
{
	struct options o = {.follow = false};
	struct events x = {.cli = cli, .o = &o, .after = -1};
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 1)
		return options_wrong(cli, "one id, or none");
	if (argc == 1 && options_id(cli, argv[0], &x.id) != 0)
		return EXITCODE_USAGE;
	if (o.progress && !o.follow)
		return options_wrong(cli, "--progress needs --follow: what was told is not kept");
	r = events(&x);
	(void)ctxd_close(x.c);
	return r;
}
