/* cmd_scope.c - contexts without a command: made, and closed. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/context.h"
#include "cli/exitcode.h"
#include "cli/follow.h"
#include "cli/near.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/view.h"

static const struct options_spec spec = {
	"create [OPTIONS]\n       ctxctl scope close [OPTIONS] ID",
	"A scope is a context without a command: a place in the tree below which jobs are "
	"submitted "
	"(-p ID)\n"
	"and which carries values, a trace and a deadline for them. What is attached below it "
	"(--attach) is\n"
	"cancelled when it is closed, cancelled, or past its deadline; what is detached goes on.\n"
	"`ctxctl scope create --help` and `ctxctl scope close --help` say more.",
	"  s=$(ctxctl scope create -n release -t 1h -v version=2.4)\n"
	"  ctxctl submit -p $s --attach -- ./build\n"
	"  ctxctl submit -p $s --attach -- ./sign\n"
	"  ctxctl scope close $s --wait",
	NULL,
	0,
	true,
};

/* ---- create */

struct creating {
	struct context context;
};
static const struct options_def create_defs[] = {
	CONTEXT_OPTIONS(struct creating, context, CONTEXT_ATTACH, CONTEXT_DETACH),
};
static const struct options_spec create_spec = {
	"[OPTIONS]",
	"Make a scope and print its id, and nothing else, once it is safely on disk. It is open "
	"until it is\n"
	"closed, cancelled, or past its deadline; without -t it stays open as long as the "
	"configuration\n"
	"allows. Inside a job it derives from that job. --json prints the scope.",
	"  s=$(ctxctl scope create -n release -t 1h -v version=2.4)\n"
	"  ctxctl submit -p $s --attach -- ./build",
	create_defs,
	ARRAY_SIZE(create_defs),
	false,
};

static int
made(struct cli *cli, const struct context *o, const json_t *reply, const char *why_orphan)
{
	struct view v;

	if (view_read(json_object_get(reply, "job"), &v) < 0)
		return conn_strange(cli, "scope");
	if (*why_orphan)
		context_say_orphan(o, why_orphan);
	conn_say_notices(reply);
	if (cli->json)
		out_document(v.json);
	else
		out_printf("%" PRIu64 "\n", v.id);
	return 0;
}

static int
make(struct cli *cli, struct context *o, json_t *params)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	struct ctxd_failure why, first = {CTXD_E_NONE, ""};
	int r = conn_open(cli, &c);

	if (r)
		return r;
	r = ctxd_call(c, "Scope", json_incref(params), &reply, &why);
	if (r < 0 && context_orphan(o, params, &why)) {
		first = why;
		r = ctxd_call(c, "Scope", json_incref(params), &reply, &why);
	}
	if (r == 0)
		return made(cli, o, reply, first.text);
	r = context_fail(cli, &why);
	if (why.code == CTXD_E_QUEUE_FULL)
		out_error("as many scopes may be open as jobs may wait; which are: ctxctl list "
			  "--state open");
	return r;
}

static int
scope_create(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_jsonp) json_t *params = json_object();
	struct creating o = {.context = {.name = NULL}};
	int r;

	cli->command = "scope create";
	r = options_parse(cli, &create_spec, &o, &argc, &argv);
	if (r)
		r = options_exit(cli, r);
	else if (argc > 0)
		r = options_wrong(cli, "no words are expected; a command is submitted with "
				       "`ctxctl submit -p ID`");
	else if (!params)
		r = conn_no_memory(cli);
	else if ((r = context_params(cli, &o.context, params)) == 0)
		r = make(cli, &o.context, params);
	context_done(&o.context);
	return r;
}

/* ---- close */

struct closing {
	const char *cause;
	bool now, wait;
};
static const struct options_def close_defs[] = {
	{"cause", 0, "TEXT", "why; kept in the records of what it ends", OPTIONS_STRING,
	 offsetof(struct closing, cause)},
	{"now", 0, NULL, "kill what runs at once, without stop signal and grace", OPTIONS_FLAG,
	 offsetof(struct closing, now)},
	{"wait", 'w', NULL, "return when all that was attached below it has ended", OPTIONS_FLAG,
	 offsetof(struct closing, wait)},
};
static const struct options_spec close_spec = {
	"[OPTIONS] ID",
	"Close a scope: all that is attached below it, however deep, is cancelled; what is "
	"detached "
	"goes on.\n"
	"Closing one that is closed already is harmless. --json prints an object with `job` and "
	"`reached`,\n"
	"the ids of what this has cancelled.",
	"  ctxctl scope close 41 --cause 'release is off' --wait",
	close_defs,
	ARRAY_SIZE(close_defs),
	false,
};

/* The ids of what the call has ended, to be waited for. */
static int
wait_reached(struct cli *cli, const json_t *reached)
{
	size_t n = json_array_size(reached);
	_free_ uint64_t *ids = calloc(n ? n : 1, sizeof(*ids));

	if (!ids)
		return conn_no_memory(cli);
	for (size_t i = 0; i < n; i++)
		ids[i] = (uint64_t)json_integer_value(json_array_get(reached, i));

	_cleanup_(follow_done) struct follow f = {
		.cli = cli,
		.ids = ids,
		.n = n,
		.end = true,
		.tail = -1,
	};
	return n && follow(&f) ? f.exit : 0;
}

static int
shut(struct cli *cli, const struct closing *o, uint64_t id)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	const json_t *reached;
	struct view v;
	int r = conn_open(cli, &c);

	if (r == 0)
		r = conn_call(cli, c, "Close",
			      json_pack("{s:I, s:s*, s:b}", "id", (json_int_t)id, "cause", o->cause,
					"now", o->now),
			      &reply);
	if (r)
		return r;
	reached = json_object_get(reply, "reached");
	if (view_read(json_object_get(reply, "job"), &v) < 0 || !json_is_array(reached))
		return conn_strange(cli, "scope");
	if (cli->json)
		out_document(reply);
	else if (strcmp(v.state, "closed") != 0)
		out_error("scope %" PRIu64 " was over already: %s", v.id, v.state);
	return o->wait ? wait_reached(cli, reached) : 0;
}

static int
scope_close(struct cli *cli, int argc, char **argv)
{
	struct closing o = {.cause = NULL};
	uint64_t id;
	int r;

	cli->command = "scope close";
	r = options_parse(cli, &close_spec, &o, &argc, &argv);
	if (r)
		return options_exit(cli, r);
	if (argc != 1)
		return options_wrong(cli,
				     argc ? "one scope at a time" : "which scope? An id is needed");
	if (options_id(cli, argv[0], &id) != 0)
		return EXITCODE_USAGE;
	return shut(cli, &o, id);
}

/* ---- both */

int
cmd_scope(struct cli *cli, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct cli *cli, int argc, char **argv);
	} verbs[] = {{"create", scope_create}, {"close", scope_close}};
	struct near near;
	char text[80];
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc == 0)
		return options_wrong(cli, "what? `create` or `close`");
	near_init(&near, argv[0]);
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(argv[0], verbs[i].name) == 0)
			return verbs[i].run(cli, argc, argv);
		near_offer(&near, verbs[i].name);
	}
	return options_wrong(cli, "there is no '%s'%s%s%s",
			     text_escape(argv[0], text, sizeof(text)),
			     near.best ? "; did you mean " : "", near.best ? near.best : "",
			     near.best ? "?" : "");
}
