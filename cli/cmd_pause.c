/* cmd_pause.c - start nothing more, of a class or at all. */
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/queue.h"

static const struct options_spec spec = {
	"[CLASS]",
	"Start nothing more of CLASS, or nothing at all; what runs goes on, and jobs are "
	"accepted.\n"
	"It holds until `ctxctl resume`, across restarts. For root, the owner of a private ctxd,\n"
	"and [access] admins.",
	"  ctxctl pause batch",
	NULL,
	0,
	false,
};

int
cmd_pause(struct cli *cli, int argc, char **argv)
{
	return queue_class_command(cli, &spec, "Pause", argc, argv);
}
