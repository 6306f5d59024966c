/* cmd_hold.c - queued jobs are not started until they are released. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/queue.h"

static const struct options_spec spec = {
	"ID...",
	"Do not start these queued jobs until `ctxctl release`. --json prints an array of the "
	"jobs. "
	"For root,\n"
	"the owner of a private ctxd, and [access] admins.",
	"  ctxctl hold 42",
	NULL,
	0,
	false,
};

int
cmd_hold(struct cli *cli, int argc, char **argv)
{
	_free_ uint64_t *ids = NULL;
	size_t n = 0;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	r = options_ids(cli, argc, argv, &ids, &n);
	return r ? r : queue_jobs(cli, "Hold", ids, n, NULL);
}
