/* cmd_extend.c - move the deadline of a job. */
#include <inttypes.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

struct options {
	int64_t by;
	struct options_time to;
};
static const struct options_def defs[] = {
	{"by", 0, "DUR", "later by this span", OPTIONS_SPAN, offsetof(struct options, by)},
	{"to", 0, "TIME", "to this point in time", OPTIONS_TIME, offsetof(struct options, to)},
};
static const struct options_spec spec = {
	"ID --by DUR | --to TIME",
	"Move the deadline of a running job, and print the new one. It is never moved beyond the "
	"most that\n"
	"the configuration allows for its class. The job's environment keeps the deadline it "
	"started with.",
	"  ctxctl extend 42 --by 30m\n"
	"  ctxctl extend 42 --to 2026-11-21T06:00:00Z",
	defs,
	ARRAY_SIZE(defs),
	false,
};

static json_t *
params(uint64_t id, const struct options *o)
{
	if (o->to.given)
		return json_pack("{s:I, s:s}", "id", (json_int_t)id, "to", o->to.text);
	return json_pack("{s:I, s:I}", "id", (json_int_t)id, "by_usec", (json_int_t)o->by);
}

static int
extend(struct cli *cli, uint64_t id, const struct options *o)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	const json_t *job;
	const char *deadline;
	int r = conn_open(cli, &c);

	if (r == 0)
		r = conn_call(cli, c, "Extend", params(id, o), &reply);
	if (r)
		return r;
	job = json_object_get(reply, "job");
	deadline = json_string_value(json_object_get(job, "deadline_at"));
	if (!deadline)
		return conn_strange(cli, "deadline");
	if (cli->json) {
		out_document(job);
	} else {
		out_text(deadline);
		out_puts("\n");
	}
	return 0;
}

int
cmd_extend(struct cli *cli, int argc, char **argv)
{
	struct options o = {.by = 0};
	uint64_t id;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	r = options_one(cli, argc, argv, &id);
	if (r)
		return r;
	if ((o.by != 0) == o.to.given)
		return options_wrong(cli, "either --by or --to is needed");
	return extend(cli, id, &o);
}
