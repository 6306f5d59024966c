/* cmd_pause.c - start nothing more, of a class or at all. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/queue.h"

static const struct options_spec spec = {
	"[CLASS]",
	"Start nothing more of CLASS, or nothing at all; what runs goes on, and jobs are accepted. "
	"It "
	"holds\n"
	"until `ctxctl resume`, across restarts. For root, the owner of a\n"
	"private ctxd, and [access] admins.",
	"  ctxctl pause batch",
	NULL,
	0,
	false,
};

int
cmd_pause(struct cli *cli, int argc, char **argv)
{
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 1)
		return options_wrong(cli, "one class, or none");
	return queue_all(cli, "Pause", argc ? json_pack("{s:s}", "class", argv[0]) : json_object());
}
