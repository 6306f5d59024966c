/* main.c - ctxctl: the options in front of the command, and the way to it.
 *
 * A client of ctxd through libctxd, and nothing but that: it opens no database and no runtime
 * directory. Started once for every job that a script submits, so nothing is done before it is
 * needed. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/exitcode.h"
#include "cli/near.h"
#include "cli/out.h"

const struct cli_command cli_commands[] = {
#define COMMAND(id, name, alias, help) {name, alias, help, cmd_##id},
#include "cli/commands.def"
#undef COMMAND
};
const size_t cli_n_commands = ARRAY_SIZE(cli_commands);

static const char help_head[] =
	"ctxctl - run commands that outlive the request that started them. Every job has a "
	"deadline:\n"
	"without -t/--timeout the configured one (10m), never later than the configured maximum "
	"(24h).\n"
	"\n"
	"Usage: ctxctl [--socket PATH | --user | --system] [--json] [--no-color] COMMAND ...\n"
	"\n"
	"Commands (`ctxctl COMMAND --help` says more):\n";
static const char help_tail[] =
	"\n"
	"Options in front of the command:\n"
	"  --socket PATH  where ctxd listens; else $CTXD_SOCKET, your own ctxd if it runs, the "
	"system's\n"
	"  --user         your own ctxd only\n"
	"  --system       the system's ctxd only\n"
	"  --json         one JSON document on the standard output\n"
	"  --no-color     no colour\n"
	"  --version      the version\n"
	"  --help         this help\n"
	"\n"
	"Examples:\n"
	"  id=$(ctxctl submit -t 2h -- tar czf /var/backups/home.tgz /home)\n"
	"  ctxctl list                 what runs, and how much time it has left\n"
	"  ctxctl logs -f $id          its output, as it comes\n"
	"  ctxctl wait $id             its end; exits as the job did\n"
	"  ctxctl cancel $id --cause 'wrong host'\n"
	"\n"
	"ctxctl(1) is the manual; the exit codes are there, too.\n";
static const char help_short[] =
	"\nA first job:  ctxctl submit -t 1h -- COMMAND   All the rest:  ctxctl --help\n";

void
cli_help(bool full)
{
	if (!full) {
		(void)fputs(help_head, stderr);
		for (size_t i = 0; i < cli_n_commands; i++)
			(void)fprintf(stderr, "  %-9s %s\n", cli_commands[i].name,
				      cli_commands[i].help);
		(void)fputs(help_short, stderr);
		return;
	}
	out_puts(help_head);
	for (size_t i = 0; i < cli_n_commands; i++)
		out_printf("  %-9s %s%s%s%s\n", cli_commands[i].name, cli_commands[i].help,
			   cli_commands[i].alias ? " (also: " : "",
			   cli_commands[i].alias ? cli_commands[i].alias : "",
			   cli_commands[i].alias ? ")" : "");
	out_puts(help_tail);
}

const struct cli_command *
cli_find(const char *name)
{
	struct near near;
	char text[80];

	near_init(&near, name);
	for (size_t i = 0; i < cli_n_commands; i++) {
		const struct cli_command *c = &cli_commands[i];

		if (strcmp(name, c->name) == 0 || (c->alias && strcmp(name, c->alias) == 0))
			return c;
		near_offer(&near, c->name);
	}
	out_error("there is no command '%s'%s%s%s", text_escape(name, text, sizeof(text)),
		  near.best ? "; did you mean `ctxctl " : "", near.best ? near.best : "",
		  near.best ? "`?" : "");
	out_say("`ctxctl --help` lists the commands.");
	return NULL;
}

enum global { G_SOCKET = 256, G_USER, G_SYSTEM, G_JSON, G_NO_COLOR, G_VERSION, G_HELP };

static const struct option globals[] = {
	{"socket", required_argument, NULL, G_SOCKET}, {"user", no_argument, NULL, G_USER},
	{"system", no_argument, NULL, G_SYSTEM},       {"json", no_argument, NULL, G_JSON},
	{"no-color", no_argument, NULL, G_NO_COLOR},   {"version", no_argument, NULL, G_VERSION},
	{"help", no_argument, NULL, G_HELP},           {NULL, 0, NULL, 0},
};

/* The option whose value getopt left out is named by optopt. */
static int
wrong_option(int c, const char *word)
{
	char text[80];

	if (c == ':')
		out_error("--socket needs a value: PATH");
	else if (optopt > G_SOCKET && optopt <= G_HELP)
		out_error("--%s takes no value", globals[optopt - G_SOCKET].name);
	else
		out_error("unknown option '%s' in front of the command",
			  text_escape(word, text, sizeof(text)));
	out_say("Try `ctxctl --help`.");
	return EXITCODE_USAGE;
}

/* -1: go on; else the exit code. */
static int
take_global(struct cli *cli, int c, const char *word)
{
	switch (c) {
	case G_SOCKET:
		cli->socket = optarg;
		return -1;
	case G_USER:
		cli->user = true;
		return -1;
	case G_SYSTEM:
		cli->system = true;
		return -1;
	case G_JSON:
		cli->json = true;
		return -1;
	case G_NO_COLOR:
		cli->no_color = true;
		return -1;
	case G_VERSION:
		out_printf("ctxctl %s\n", CTX_VERSION);
		return EXITCODE_OK;
	case 'h':
	case G_HELP:
		cli_help(true);
		return EXITCODE_OK;
	default:
		return wrong_option(c, word);
	}
}

static int
parse_globals(struct cli *cli, int argc, char **argv)
{
	opterr = 0;
	for (;;) {
		int word = optind, r, c = getopt_long(argc, argv, "+:h", globals, NULL);

		if (c == -1)
			break;
		r = take_global(cli, c, argv[word]);
		if (r >= 0)
			return r;
	}
	if ((cli->socket != NULL) + cli->user + cli->system > 1) {
		out_error("only one of --socket, --user and --system can be given");
		return EXITCODE_USAGE;
	}
	return -1;
}

static int
dispatch(struct cli *cli, int argc, char **argv)
{
	const struct cli_command *c;
	int r = parse_globals(cli, argc, argv), first = optind;

	if (r >= 0)
		return r;
	if (first >= argc) {
		cli_help(false);
		return EXITCODE_USAGE;
	}
	c = cli_find(argv[first]);
	if (!c)
		return EXITCODE_USAGE;
	cli->command = c->name;
	return c->run(cli, argc - first, argv + first);
}

/* A descriptor of 0-2 that is closed would be taken by the connection, and data be written into it.
 * The standard output gets one that cannot be written to, so that it is not lost in silence. */
static void
claim_standard(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
}

int
main(int argc, char **argv)
{
	struct cli cli = {.command = ""};
	int r, failed;

	claim_standard();
	r = dispatch(&cli, argc, argv);
	failed = out_flush();
	if (failed < 0 && failed != -EPIPE)
		out_error("cannot write the output: %s", strerror(-failed));
	if (failed < 0 && r == EXITCODE_OK)
		r = cli.as_job ? EXITCODE_OURS : EXITCODE_FAILED;
	return r;
}
