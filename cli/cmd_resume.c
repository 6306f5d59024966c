/* cmd_resume.c - take back a pause, or draining. */
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/queue.h"

static const struct options_spec spec = {
	"[CLASS]",
	"Take back the pause of CLASS; without CLASS every pause, and draining. For root, the "
	"owner of a\n"
	"private ctxd, and [access] admins.",
	"  ctxctl resume",
	NULL,
	0,
	false,
};

int
cmd_resume(struct cli *cli, int argc, char **argv)
{
	return queue_class_command(cli, &spec, "Resume", argc, argv);
}
