/* cmd_release.c - let go of jobs that were held. */
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
	return queue_jobs_command(cli, &spec, "Release", argc, argv);
}
