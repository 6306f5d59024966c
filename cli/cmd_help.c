/* cmd_help.c - help about a command. */
#include "cli/cli.h"
#include "cli/exitcode.h"
#include "cli/options.h"

static const struct options_spec spec = {
	"[COMMAND]",
	"Print the help of a command, or the list of commands.",
	"  ctxctl help submit",
	NULL,
	0,
	false,
};

int
cmd_help(struct cli *cli, int argc, char **argv)
{
	static char help[] = "--help";
	const struct cli_command *c;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 1)
		return options_wrong(cli, "one command at a time");
	if (argc == 0) {
		cli_help();
		return EXITCODE_OK;
	}
	c = cli_find(argv[0]);
	if (!c)
		return EXITCODE_USAGE;
	cli->command = c->name;
	return c->run(cli, 2, (char *[]){argv[0], help, NULL});
}
