/* cmd_signal.c - a signal to running jobs. */
#include <inttypes.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

struct options {
	const char *signal;
	bool tree;
};
static const struct options_def defs[] = {
	{"signal", 's', "SIG", "which: a name or a number (HUP, USR1, RTMIN+3, 10)", OPTIONS_SIGNAL,
	 offsetof(struct options, signal)},
	{"tree", 0, NULL, "to every process of the job, not the main one alone", OPTIONS_FLAG,
	 offsetof(struct options, tree)},
};
static const struct options_spec spec = {
	"-s SIG [--tree] ID...",
	"Send a signal to the main process of running jobs. To stop a job use `ctxctl cancel`: "
	"that "
	"ends all\n"
	"its processes and records why. --json prints an array of the jobs.",
	"  ctxctl signal -s HUP 42\n"
	"  ctxctl signal -s USR1 --tree 42 43",
	defs,
	ARRAY_SIZE(defs),
	false,
};

static int
send_one(struct cli *cli, struct ctxd_client *c, const struct options *o, uint64_t id, bool *any)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	int r = conn_call(cli, c, "Signal",
			  json_pack("{s:I, s:s, s:b}", "id", (json_int_t)id, "signal", o->signal,
				    "tree", o->tree),
			  &reply);

	if (r || !cli->json)
		return r;
	out_puts(*any ? ",\n" : "\n");
	out_json(json_object_get(reply, "job"));
	*any = true;
	return 0;
}

static int
send_all(struct cli *cli, const struct options *o, const uint64_t *ids, size_t n)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	bool any = false;
	int r = conn_open(cli, &c);

	if (r)
		return r;
	if (cli->json)
		out_puts("[");
	for (size_t i = 0; i < n; i++) {
		int e = send_one(cli, c, o, ids[i], &any);

		r = r ? r : e;
		if (e == EXITCODE_UNREACHABLE)
			break;
	}
	if (cli->json)
		out_puts(any ? "\n]\n" : "]\n");
	return r;
}

int
cmd_signal(struct cli *cli, int argc, char **argv)
{
	_free_ uint64_t *ids = NULL;
	struct options o = {.signal = NULL};
	size_t n = 0;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (!o.signal)
		return options_wrong(cli, "which signal? -s SIG is needed");
	r = options_ids(cli, argc, argv, &ids, &n);
	return r ? r : send_all(cli, &o, ids, n);
}
