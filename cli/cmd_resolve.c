/* cmd_resolve.c - say what became of a half-processed job. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

struct options {
	const char *as, *note;
};
static const struct options_def defs[] = {
	{"as", 0, "succeeded|failed", "what it comes to", OPTIONS_STRING,
	 offsetof(struct options, as)},
	{"note", 0, "TEXT", "how you know, or what you did; kept in the record", OPTIONS_STRING,
	 offsetof(struct options, note)},
};
static const struct options_spec spec = {
	"ID --as succeeded|failed [--note TEXT]",
	"Say what became of a job whose end nobody saw. Its state stays `interrupted`, for that is "
	"what\n"
	"happened; who decided what, and when, is recorded, and it is not half-processed any more. "
	"Said once:\n"
	"a job that was resolved cannot be resolved again.",
	"  ctxctl resolve 42 --as failed --note 'half of the rows are there; will be run again'\n"
	"  ctxctl resolve 42 --as failed && ctxctl retry 42",
	defs,
	ARRAY_SIZE(defs),
	false,
};

static int
resolve(struct cli *cli, uint64_t id, const struct options *o)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	json_t *params;
	int r = conn_open(cli, &c);

	if (r)
		return r;
	params = json_pack("{s:I, s:s, s:s*}", "id", (json_int_t)id, "as", o->as, "note", o->note);
	r = conn_call(cli, c, "Resolve", params, &reply);
	if (r == 0 && cli->json)
		out_document(json_object_get(reply, "job"));
	else if (r == 0)
		out_printf("job %" PRIu64 " resolved as %s\n", id, o->as);
	return r;
}

int
cmd_resolve(struct cli *cli, int argc, char **argv)
{
	struct options o = {.as = NULL};
	char text[80];
	uint64_t id;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	r = options_one(cli, argc, argv, &id);
	if (r)
		return r;
	if (!o.as)
		return options_wrong(cli, "--as succeeded or --as failed is needed");
	if (strcmp(o.as, "succeeded") != 0 && strcmp(o.as, "failed") != 0)
		return options_wrong(cli, "--as: '%s' is neither succeeded nor failed",
				     text_escape(o.as, text, sizeof(text)));
	if (o.note && !text_utf8_valid(o.note, strlen(o.note), NULL))
		return options_wrong(cli, "--note is not UTF-8 and cannot be sent");
	return resolve(cli, id, &o);
}
