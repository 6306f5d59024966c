/* cmd_cancel.c - stop jobs, by id or all that match.
 *
 * The calls are sent some ahead of their replies, so that a thousand jobs do not cost a thousand
 * commits in turn. One job that is not there, or is someone else's, does not keep the others from
 * being cancelled. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/filter.h"
#include "cli/follow.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/view.h"

enum { AHEAD = 64 };

struct options {
	struct filter filter;
	const char *cause;
	bool now, wait, all_matching;
};
static const struct options_def defs[] = {
	{"cause", 0, "TEXT", "why; kept in the record", OPTIONS_STRING,
	 offsetof(struct options, cause)},
	{"now", 0, NULL, "kill at once, without stop signal and grace", OPTIONS_FLAG,
	 offsetof(struct options, now)},
	{"wait", 'w', NULL, "return when they have ended, and all below a scope", OPTIONS_FLAG,
	 offsetof(struct options, wait)},
	{"all-matching", 0, NULL,
	 "instead of ids: all unfinished jobs that match the options below", OPTIONS_FLAG,
	 offsetof(struct options, all_matching)},
	{"all", 'a', NULL, "with --all-matching: every unfinished job", OPTIONS_FLAG,
	 offsetof(struct options, filter.all)},
	FILTER_OPTIONS(struct options, filter),
};
static const struct options_spec spec = {
	"[OPTIONS] ID... | --all-matching FILTER...",
	"Cancel jobs: one that is queued never starts; every process of one that runs gets the "
	"stop signal\n"
	"and, after the grace, SIGKILL. All that is attached below it is cancelled with it, "
	"whatever is\n"
	"detached is not; a scope is cancelled likewise. The first cause counts; cancelling again "
	"is\n"
	"harmless, and so is cancelling what has ended (that is said on stderr). --json prints an "
	"array of\n"
	"the jobs.",
	"  ctxctl cancel 42 --cause 'wrong host'\n"
	"  ctxctl cancel --all-matching --class nightly --wait",
	defs,
	ARRAY_SIZE(defs),
	false,
};

struct ids {
	uint64_t *v; /* owned */
	size_t n, room;
};
struct cancel {
	struct cli *cli;
	const struct options *o;
	struct ctxd_client *c;
	struct ids ids;
	struct ids live;   /* those that had not ended, to wait for */
	struct ids scopes; /* over at once: what is attached below them is to be waited for */
	int64_t begun;     /* wall microseconds */
	bool any;          /* printed */
	int exit;
};

static void
failed(struct cancel *x, int code)
{
	if (x->exit == EXITCODE_OK)
		x->exit = code;
}

/* ---- which */

static int
add_id(const struct cancel *x, struct ids *to, uint64_t id)
{
	if (to->n == to->room) {
		size_t more = to->room ? to->room * 2 : 64;
		uint64_t *v = reallocarray(to->v, more, sizeof(*v));

		if (!v)
			return conn_no_memory(x->cli);
		to->v = v;
		to->room = more;
	}
	to->v[to->n++] = id;
	return 0;
}

static int
receive_ids(struct cancel *x)
{
	bool continues = true;
	int r = 0;

	while (continues && r == 0) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;
		const json_t *jobs;

		r = conn_receive(x->cli, x->c, &reply, &continues);
		jobs = r ? NULL : json_object_get(reply, "jobs");
		for (size_t i = 0; i < json_array_size(jobs) && r == 0; i++) {
			struct view v;

			if (view_read(json_array_get(jobs, i), &v) == 0)
				r = add_id(x, &x->ids, v.id);
		}
	}
	return r;
}

static int
find_matching(struct cancel *x)
{
	json_t *params = NULL;
	int r = filter_params_paged(x->cli, &x->o->filter, filter_live, &params);

	if (r)
		return r;
	r = conn_send(x->cli, x->c, "ListSummaries", params, CTXD_CALL_MORE);
	if (r == 0)
		r = receive_ids(x);
	if (r == 0 && x->ids.n == 0)
		out_error("no unfinished job matches");
	return r;
}

/* ---- cancelling */

static int
canceled(struct cancel *x, const json_t *job)
{
	struct view v;
	int r = 0;

	if (view_read(job, &v) < 0) {
		failed(x, conn_strange(x->cli, "job"));
		return 0;
	}
	if (!view_ended(&v))
		r = add_id(x, &x->live, v.id);
	else if (v.ended < x->begun)
		out_error("%s %" PRIu64 " had already ended: %s", v.noun, v.id, v.state);
	if (r == 0 && v.is_scope)
		r = add_id(x, &x->scopes, v.id);
	if (r || !x->cli->json)
		return r;
	out_puts(x->any ? ",\n" : "\n");
	out_json(job);
	x->any = true;
	return 0;
}

static int
receive_one(struct cancel *x)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	struct ctxd_failure why;

	if (ctxd_receive(x->c, &reply, NULL, &why) == 0)
		return canceled(x, json_object_get(reply, "job"));
	failed(x, conn_fail(x->cli, &why));
	return why.code == CTXD_E_LOST || why.code == CTXD_E_TIMEOUT || why.code == CTXD_E_PROTOCOL
		       ? x->exit
		       : 0;
}

static int
cancel_all(struct cancel *x)
{
	const struct options *o = x->o;
	size_t sent = 0;

	for (size_t got = 0; got < x->ids.n; got++) {
		int r = 0;

		for (; sent < x->ids.n && sent < got + AHEAD && r == 0; sent++)
			r = conn_send(x->cli, x->c, "Cancel",
				      json_pack("{s:I, s:s*, s:b}", "id",
						(json_int_t)x->ids.v[sent], "cause", o->cause,
						"now", o->now),
				      0);
		if (r == 0)
			r = receive_one(x);
		if (r)
			return r;
	}
	return 0;
}

/* ---- waiting */

/* Closing a scope that is over changes nothing, and tells what below it is still on its way. */
static int
look_below(struct cancel *x, uint64_t scope)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	const json_t *reached;
	int r = conn_call(x->cli, x->c, "Close", json_pack("{s:I}", "id", (json_int_t)scope),
			  &reply);

	reached = r ? NULL : json_object_get(reply, "reached");
	for (size_t i = 0; i < json_array_size(reached) && r == 0; i++)
		r = add_id(x, &x->live, (uint64_t)json_integer_value(json_array_get(reached, i)));
	return r;
}

static int
by_id(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static int
wait_all(struct cancel *x)
{
	struct ids *live = &x->live;
	size_t n = 0;

	for (size_t i = 0; i < x->scopes.n; i++) {
		int r = look_below(x, x->scopes.v[i]);

		if (r)
			return r;
	}
	if (live->n == 0)
		return 0;
	qsort(live->v, live->n, sizeof(*live->v), by_id);
	for (size_t i = 0; i < live->n; i++)
		if (n == 0 || live->v[i] != live->v[n - 1])
			live->v[n++] = live->v[i];

	_cleanup_(follow_done) struct follow f = {
		.cli = x->cli,
		.ids = live->v,
		.n = n,
		.end = true,
		.tail = -1,
	};
	return follow(&f) ? f.exit : 0;
}

static int
cancel(struct cancel *x)
{
	int r = conn_open(x->cli, &x->c);

	if (r == 0 && x->o->all_matching)
		r = find_matching(x);
	if (r)
		return r;
	x->begun = wall_to_usec(wall_now());
	if (x->cli->json)
		out_puts("[");
	r = cancel_all(x);
	if (x->cli->json)
		out_puts(x->any ? "\n]\n" : "]\n");
	if (r == 0 && x->o->wait)
		r = wait_all(x);
	return r ? r : x->exit;
}

/* A word more or less must not cancel everything. */
static int
check(const struct cli *cli, const struct options *o, int argc)
{
	bool filters = filter_any(&o->filter) || o->filter.all || o->filter.limit.given;

	if (!o->all_matching && filters)
		return options_wrong(cli, "options that choose jobs need --all-matching");
	if (o->all_matching && argc > 0)
		return options_wrong(cli, "either ids or --all-matching");
	if (o->all_matching && !filter_any(&o->filter) && !o->filter.all)
		return options_wrong(
			cli,
			"--all-matching needs something to match; every job: --all-matching --all");
	return filter_check(cli, &o->filter);
}

static int
run(struct cli *cli, const struct options *o, int argc, char **argv)
{
	struct cancel x = {.cli = cli, .o = o};
	int r = check(cli, o, argc);

	if (r == 0 && !o->all_matching)
		r = options_ids(cli, argc, argv, &x.ids.v, &x.ids.n);
	if (r == 0)
		r = cancel(&x);
	free(x.ids.v);
	free(x.scopes.v);
	free(x.live.v);
	(void)ctxd_close(x.c);
	return r;
}

int
cmd_cancel(struct cli *cli, int argc, char **argv)
{
	struct options o = {.cause = NULL};
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	r = r ? options_exit(cli, r) : run(cli, &o, argc, argv);
	filter_done(&o.filter);
	return r;
}
