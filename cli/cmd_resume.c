/* cmd_resume.c - take back a pause, or draining. */
#include "base/mem.h"
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
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 1)
		return options_wrong(cli, "one class, or none");
	return queue_all(cli, "Resume",
			 argc ? json_pack("{s:s}", "class", argv[0]) : json_object());
}
