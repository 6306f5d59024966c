/* cmd_list.c - jobs, a line each.
 *
 * Rows are printed as their pages arrive. Without filters: the last ended ones, asked for first and
 * held (they are few), and the unfinished ones, streamed; both in the order of ids. Asked in this
 * order, a job that ends in between is in neither rather than in both; the two calls are sent
 * together. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/filter.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/remote.h"
#include "cli/table.h"
#include "cli/view.h"

enum { LAST_ENDED = 20 };

struct options {
	struct filter filter;
};
static const struct options_def defs[] = {
	{"all", 'a', NULL, "ended ones, too, however many", OPTIONS_FLAG,
	 offsetof(struct options, filter.all)},
	FILTER_OPTIONS(struct options, filter),
};
static const struct options_spec spec = {
	"[OPTIONS]",
	"List jobs and scopes, a line each: those that have not ended, and the last 20 that have.\n"
	"--all, --state, --half-processed, --since, --limit and --after list all that match, the "
	"oldest\n"
	"first. AGE is the time since the start (or since the submission), LEFT the time to the "
	"deadline.\n"
	"--json prints an array of everything known of the jobs.",
	"  ctxctl list\n"
	"  ctxctl list --state failed,deadline_exceeded --since 1d\n"
	"  ctxctl list --all --value request=8f31 --value tenant=blue\n"
	"  ctxctl list --all --limit 100 --after 4200      (a page)",
	defs,
	ARRAY_SIZE(defs),
	false,
};

static const struct table_column columns[] = {
	{"ID", true, false},       {"STATE", false, false}, {"CLASS", false, false},
	{"NAME", false, true},     {"USER", false, true},   {"AGE", true, false},
	{"LEFT", true, false},     {"EXIT", true, false},   {"WAITS FOR", false, true},
	{"COMMAND", false, false},
};

struct list {
	struct cli *cli;
	struct ctxd_client *c;
	struct table table;
	int64_t now; /* wall microseconds */
	int64_t uid; /* our own */
	bool any;
	json_t *ended; /* held: newest first; owned */
	size_t held;   /* of `ended` not yet printed */
};

static void
cell_left(struct list *l, const struct view *v)
{
	char span[OUT_SPAN];
	bool overdue = v->deadline && v->deadline <= l->now;

	table_cell(&l->table, overdue ? OUT_YELLOW : OUT_PLAIN, view_left(v, l->now, span));
}

static void
cell_exit(struct list *l, const struct view *v)
{
	char name[16];

	if (v->has_exit_code)
		table_cellf(&l->table, OUT_PLAIN, "%" PRId64, v->exit_code);
	else if (v->signal > 0 && v->signal < 128)
		table_cell(&l->table, OUT_PLAIN,
			   text_signal_name((int)v->signal, name, sizeof(name)));
	else
		table_cell(&l->table, OUT_PLAIN, NULL);
}

static void
cell_user(struct list *l, const struct view *v)
{
	if (!v->has_uid || v->uid == (l->cli->host ? remote_uid(l->cli) : l->uid))
		table_cell(&l->table, OUT_PLAIN, NULL);
	else if (v->user)
		table_cell(&l->table, OUT_PLAIN, v->user);
	else
		table_cellf(&l->table, OUT_PLAIN, "%" PRId64, v->uid);
}

static void
row(struct list *l, const struct view *v)
{
	char span[OUT_SPAN], wait[VIEW_WAITING];
	int64_t since = v->started ? v->started : v->submitted;

	table_cellf(&l->table, OUT_PLAIN, "%" PRIu64, v->id);
	table_cell(&l->table, view_style(v), v->state);
	table_cell(&l->table, OUT_PLAIN, v->class_name);
	table_cell(&l->table, OUT_PLAIN, v->name);
	cell_user(l, v);
	table_cell(&l->table, OUT_PLAIN,
		   since && since <= l->now ? out_span(l->now - since, span) : NULL);
	cell_left(l, v);
	cell_exit(l, v);
	table_cell(&l->table, OUT_PLAIN,
		   v->waiting ? view_waiting(v->waiting, l->now, wait) : NULL);
	table_cell(&l->table, OUT_PLAIN, v->is_scope ? "(scope)" : v->command);
}

static void
print(struct list *l, const struct view *v)
{
	if (l->cli->json) {
		out_puts(l->any ? ",\n" : "\n");
		out_json(v->json);
	} else {
		row(l, v);
	}
	l->any = true;
}

/* What is held of the ended and has a smaller id than BELOW. */
static void
print_held(struct list *l, uint64_t below)
{
	while (l->held > 0) {
		struct view v;

		if (view_read(json_array_get(l->ended, l->held - 1), &v) == 0) {
			if (v.id >= below)
				return;
			print(l, &v);
		}
		l->held--;
	}
}

static int
page_done(struct list *l)
{
	int r = l->cli->json ? 0 : table_flush(&l->table);

	if (r < 0)
		return conn_no_memory(l->cli);
	r = out_flush();
	return r < 0 ? EXITCODE_FAILED : 0; /* main says why */
}

static int
receive_held(struct list *l)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	json_t *jobs;
	int r = conn_receive(l->cli, l->c, &reply, NULL);

	if (r)
		return r;
	jobs = json_object_get(reply, "jobs");
	if (!json_is_array(jobs))
		return conn_strange(l->cli, "jobs");
	l->ended = json_incref(jobs);
	l->held = json_array_size(jobs);
	return 0;
}

/* A page of whole jobs. */
static int
receive_jobs(struct list *l, bool *ret_continues)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	const json_t *jobs;
	int r = conn_receive(l->cli, l->c, &reply, ret_continues);

	if (r)
		return r;
	jobs = json_object_get(reply, "jobs");
	if (!json_is_array(jobs))
		return conn_strange(l->cli, "jobs");
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		struct view v;

		if (view_read(json_array_get(jobs, i), &v) < 0)
			return conn_strange(l->cli, "job");
		print_held(l, v.id);
		print(l, &v);
	}
	return 0;
}

/* A page of summaries: without a tree of it, which would take most of the time. */
enum {
	R_ID,
	R_KIND,
	R_STATE,
	R_CLASS,
	R_NAME,
	R_UID,
	R_USER,
	R_COMMAND,
	R_WAITING,
	R_SUBMITTED,
	R_STARTED,
	R_ENDED,
	R_DEADLINE,
	R_EXIT,
	R_SIGNAL,
	R_N
};

static const char *const members[R_N] = {
	[R_ID] = "id",
	[R_KIND] = "kind",
	[R_STATE] = "state",
	[R_CLASS] = "class",
	[R_NAME] = "name",
	[R_UID] = "uid",
	[R_USER] = "user",
	[R_COMMAND] = "command",
	[R_WAITING] = "waiting_for",
	[R_SUBMITTED] = "submitted_at",
	[R_STARTED] = "started_at",
	[R_ENDED] = "ended_at",
	[R_DEADLINE] = "deadline_at",
	[R_EXIT] = "exit_code",
	[R_SIGNAL] = "signal",
};

static const char *
cell_string(const struct ctxd_cell *c)
{
	return c->type == CTXD_CELL_STRING ? c->text : NULL;
}

/* As view_read; of the times only those that are shown are worth their parsing. */
static int
on_row(const struct ctxd_cell *c, void *arg)
{
	struct list *l = arg;
	struct view v = {
		.id = c[R_ID].number > 0 ? (uint64_t)c[R_ID].number : 0,
		.is_scope = strcmp(c[R_KIND].text, "scope") == 0,
		.state = c[R_STATE].text,
		.class_name = cell_string(&c[R_CLASS]),
		.name = cell_string(&c[R_NAME]),
		.user = cell_string(&c[R_USER]),
		.command = cell_string(&c[R_COMMAND]),
		.waiting = cell_string(&c[R_WAITING]),
		.uid = c[R_UID].number,
		.has_uid = c[R_UID].type == CTXD_CELL_INT,
		.exit_code = c[R_EXIT].number,
		.has_exit_code = c[R_EXIT].type == CTXD_CELL_INT,
		.signal = c[R_SIGNAL].number,
		.ended = c[R_ENDED].type == CTXD_CELL_STRING,
	};

	if (v.id == 0 || c[R_STATE].type != CTXD_CELL_STRING)
		return -EPROTO;
	v.started = view_time(cell_string(&c[R_STARTED]));
	v.submitted = v.started ? 0 : view_time(cell_string(&c[R_SUBMITTED]));
	v.deadline = view_ended(&v) ? 0 : view_time(cell_string(&c[R_DEADLINE]));
	print_held(l, v.id);
	print(l, &v);
	return 0;
}

static int
receive_rows(struct list *l, bool *ret_continues)
{
	struct ctxd_failure why;

	if (ctxd_receive_rows(l->c, "jobs", members, R_N, on_row, l, ret_continues, &why) < 0)
		return conn_fail(l->cli, &why);
	return 0;
}

static int
receive_pages(struct list *l)
{
	bool continues = true;
	int r = 0;

	while (continues && r == 0) {
		r = l->cli->json ? receive_jobs(l, &continues) : receive_rows(l, &continues);
		if (r)
			return r;
		if (!continues)
			print_held(l, UINT64_MAX);
		r = page_done(l);
	}
	return r;
}

static const char *
method(const struct list *l)
{
	return l->cli->json ? "List" : "ListSummaries";
}

static int
send_held(struct list *l, const struct filter *f)
{
	json_t *params = NULL;
	int r = filter_params(l->cli, f, filter_ended, &params);

	if (r)
		return r;
	if (json_object_set_new(params, "last", json_true()) < 0 ||
	    json_object_set_new(params, "limit", json_integer(LAST_ENDED)) < 0) {
		json_decref(params);
		return conn_no_memory(l->cli);
	}
	return conn_send(l->cli, l->c, method(l), params, 0);
}

static int
send_pages(struct list *l, const struct filter *f, bool usual)
{
	json_t *params = NULL;
	int r = filter_params_paged(l->cli, f, usual ? filter_live : NULL, &params);

	return r ? r : conn_send(l->cli, l->c, method(l), params, CTXD_CALL_MORE);
}

static int
list(struct list *l, const struct filter *f)
{
	bool usual = !f->all && !f->states.n && !f->half_processed && !f->since.given &&
		     !f->limit.given && !f->after.given;
	int r = conn_open(l->cli, &l->c);

	if (r == 0 && usual)
		r = send_held(l, f);
	if (r == 0)
		r = send_pages(l, f, usual);
	if (r == 0 && usual)
		r = receive_held(l);
	if (r == 0 && l->cli->json)
		out_puts("[");
	if (r == 0)
		r = receive_pages(l);
	if (r == 0 && l->cli->json)
		out_puts(l->any ? "\n]\n" : "]\n");
	return r;
}

int
cmd_list(struct cli *cli, int argc, char **argv)
{
	struct options o = {.filter = {.all = false}};
	struct list l = {.cli = cli, .now = wall_to_usec(wall_now()), .uid = getuid()};
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	table_init(&l.table, columns, ARRAY_SIZE(columns), cli);
	if (r)
		r = options_exit(cli, r);
	else if (argc > 0)
		r = options_wrong(cli, "no words are expected; for one job: `ctxctl status ID`");
	else if ((r = filter_check(cli, &o.filter)) == 0)
		r = list(&l, &o.filter);
	table_done(&l.table);
	json_decref(l.ended);
	(void)ctxd_close(l.c);
	filter_done(&o.filter);
	return r;
}
