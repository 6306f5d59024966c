/* cmd_reprioritize.c - another priority for queued jobs. */
#include <stddef.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/each.h"
#include "cli/options.h"

struct options {
	struct options_int priority;
};
static const struct options_def defs[] = {
	{"priority", 0, "N", "which: a larger one starts earlier among its user's jobs",
	 OPTIONS_INT, offsetof(struct options, priority)},
};
static const struct options_spec spec = {
	"--priority N ID...",
	"Give queued jobs another priority. --json prints an array of the jobs. For root, the "
	"owner "
	"of a\n"
	"private ctxd, and [access] admins.",
	"  ctxctl reprioritize --priority 10 42",
	defs,
	ARRAY_SIZE(defs),
	false,
};

int
cmd_reprioritize(struct cli *cli, int argc, char **argv)
{
	_free_ uint64_t *ids = NULL;
	struct options o = {.priority = {.given = false}};
	size_t n = 0;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (!o.priority.given)
		return options_wrong(cli, "which priority? --priority N is needed");
	r = options_ids(cli, argc, argv, &ids, &n);
	return r ? r
		 : each_job(cli, "Reprioritize", ids, n,
			    json_pack("{s:I}", "priority", (json_int_t)o.priority.v), false);
}
