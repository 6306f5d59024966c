/* cmd_release.c - let go of jobs that were held. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/queue.h"

static const struct options_spec spec = {
	"ID...",
	"Let jobs that were held be started. --json prints an array of the jobs. For root, the "
	"owner of a\n"
	"private ctxd, and [access] admins.",
	"  ctxctl release 42",
	NULL,
	0,
	false,
};

int
cmd_release(struct cli *cli, int argc, char **argv)
{
	_free_ uint64_t *ids = NULL;
	size_t n = 0;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	r = options_ids(cli, argc, argv, &ids, &n);
	return r ? r : queue_jobs(cli, "Release", ids, n, NULL);
}
