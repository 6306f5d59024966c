/* cmd_complete.c - asked by the completions of the shells, with the words behind `ctxctl` up to the
 * one at the cursor: what can stand there? See complete.h. */
#include "cli/cli.h"
#include "cli/complete.h"
#include "cli/exitcode.h"
#include "cli/options.h"

/* The options in front of the command: they say which ctxd is to be asked. */
static int
take_globals(struct cli *cli, int argc, char **argv)
{
	int r;

	cli->complete = NULL;
	cli->command = "";
	r = options_parse(cli, &cli_globals, cli, &argc, &argv);
	cli->complete = complete_words;
	return r;
}

int
cmd_complete(struct cli *cli, int argc, char **argv)
{
	char **words = argv;
	const struct cli_command *c;
	int n = argc;

	if (argc < 2 || complete_words(cli, &cli_globals, &n, &words) != 0)
		return EXITCODE_OK;
	if (take_globals(cli, argc - n, argv) != 0)
		return EXITCODE_USAGE;
	c = cli_find(words[0]);
	if (!c)
		return EXITCODE_USAGE;
	cli->command = c->name;
	return c->run(cli, n, words);
}
