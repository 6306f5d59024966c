/* cmd_hold.c - queued jobs are not started until they are released. */
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
	return queue_jobs_command(cli, &spec, "Hold", argc, argv);
}
