/* cmd_prune.c - remove the records of jobs that are over. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

struct options {
	int64_t older;
};
static const struct options_def defs[] = {
	{"older", 0, "DUR", "instead of ids: all that ended longer ago than this", OPTIONS_SPAN,
	 offsetof(struct options, older)},
};
static const struct options_spec spec = {
	"ID... | --older DUR",
	"Remove the records of jobs and scopes that are over, with their history, output and "
	"input: your own,\n"
	"or those of all users if you are root or an administrator. What is half-processed stays "
	"until it is\n"
	"resolved. Of several ids none is removed if one of them cannot be. Prints how many were "
	"removed.\n"
	"ctxd does this by itself, too: see [retention] in ctxd.conf(5).",
	"  ctxctl prune --older 7d\n"
	"  ctxctl prune 42",
	defs,
	ARRAY_SIZE(defs),
	false,
};

static json_t *
params(const struct options *o, const uint64_t *ids, size_t n)
{
	_cleanup_(conn_jsonp) json_t *v = NULL;

	if (o->older)
		return json_pack("{s:I}", "older_usec", (json_int_t)o->older);
	v = json_array();
	for (size_t i = 0; i < n; i++)
		if (json_array_append_new(v, json_integer((json_int_t)ids[i])) < 0)
			return NULL;
	return v ? json_pack("{s:O}", "ids", v) : NULL;
}

int
cmd_prune(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	_free_ uint64_t *ids = NULL;
	struct options o = {.older = 0};
	size_t n = 0;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if ((argc > 0) == (o.older != 0))
		return options_wrong(cli, "either ids or --older DUR");
	if (argc > 0)
		r = options_ids(cli, argc, argv, &ids, &n);
	r = r ? r : conn_open(cli, &c);
	r = r ? r : conn_call(cli, c, "Prune", params(&o, ids, n), &reply);
	if (r)
		return r;
	if (cli->json)
		out_document(reply);
	else
		out_printf("%" PRId64 "\n",
			   (int64_t)json_integer_value(json_object_get(reply, "pruned")));
	return 0;
}
