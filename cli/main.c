/* main.c - ctxctl: the options in front of the command, and the way to it.
 *
 * A client of ctxd through libctxd, and nothing but that: it opens no database and no runtime
 * directory. Started once for every job that a script submits, so nothing is done before it is
 * needed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/exitcode.h"
#include "cli/near.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/remote.h"
#include "varlink/varlink.h"

const struct cli_command cli_commands[] = {
#define COMMAND(id, name, alias, help) {name, alias, help, cmd_##id},
#include "cli/commands.def"
#undef COMMAND
};
const size_t cli_n_commands = ARRAY_SIZE(cli_commands);

struct globals {
	struct cli cli;
	bool version;
};
static const struct options_def globals[] = {
	{"host", 'H', "[USER@]HOST",
	 "the ctxd of another machine, over ssh; see \"OTHER MACHINES\" in\n"
	 "ctxctl(1)",
	 OPTIONS_PATH, offsetof(struct globals, cli.host)},
	{"socket", 0, "PATH",
	 "where ctxd listens; else $CTXD_SOCKET, your own ctxd if it runs, the\n"
	 "system's",
	 OPTIONS_PATH, offsetof(struct globals, cli.socket)},
	{"user", 0, NULL, "your own ctxd only", OPTIONS_FLAG, offsetof(struct globals, cli.user)},
	{"system", 0, NULL, "the system's ctxd only", OPTIONS_FLAG,
	 offsetof(struct globals, cli.system)},
	{"version", 0, NULL, "print the version", OPTIONS_FLAG, offsetof(struct globals, version)},
};
/* Its help is printed here. */
const struct options_spec cli_globals = {
	"[OPTIONS] COMMAND ...", NULL, NULL, globals, ARRAY_SIZE(globals), true,
};
static const char help_head[] =
	"ctxctl - run commands that outlive the request that started them. Every job has a "
	"deadline:\n"
	"without -t/--timeout the configured one (10m), never later than the configured maximum "
	"(24h).\n"
	"\n"
	"Usage: ctxctl [OPTIONS] COMMAND ...\n"
	"\n"
	"Commands (`ctxctl COMMAND --help` says more):\n";
static const char help_tail[] =
	"\n"
	"Examples:\n"
	"  id=$(ctxctl submit -t 2h -- tar czf /var/backups/home.tgz /home)\n"
	"  ctxctl list                 what runs, and how much time it has left\n"
	"  ctxctl logs -f $id          its output, as it comes\n"
	"  ctxctl wait $id             its end; exits as the job did\n"
	"  ctxctl cancel $id --cause 'wrong host'\n"
	"  ctxctl -H web1 list         the jobs of another machine\n"
	"\n"
	"ctxctl(1) is the manual; the exit codes are there, too.\n";
static const char help_short[] =
	"\nA first job:  ctxctl submit -t 1h -- COMMAND   All the rest:  ctxctl --help\n";

void
cli_help(void)
{
	out_puts(help_head);
	for (size_t i = 0; i < cli_n_commands; i++)
		if (cli_commands[i].help)
			out_printf("  %-13s %s%s%s%s\n", cli_commands[i].name, cli_commands[i].help,
				   cli_commands[i].alias ? " (also: " : "",
				   cli_commands[i].alias ? cli_commands[i].alias : "",
				   cli_commands[i].alias ? ")" : "");
	out_puts("\nOptions in front of the command:\n");
	options_list(&cli_globals);
	out_puts(help_tail);
}

/* Nothing was asked for. */
static void
usage(void)
{
	(void)fputs(help_head, stderr);
	for (size_t i = 0; i < cli_n_commands; i++)
		if (cli_commands[i].help)
			(void)fprintf(stderr, "  %-13s %s\n", cli_commands[i].name,
				      cli_commands[i].help);
	(void)fputs(help_short, stderr);
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
		if (c->help)
			near_offer(&near, c->name);
	}
	out_error("there is no command '%s'%s%s%s", text_escape(name, text, sizeof(text)),
		  near.best ? "; did you mean `ctxctl " : "", near.best ? near.best : "",
		  near.best ? "`?" : "");
	out_say("`ctxctl --help` lists the commands.");
	return NULL;
}

static int
dispatch(struct globals *g, int argc, char **argv)
{
	struct cli *cli = &g->cli;
	const struct cli_command *c;
	int r = options_parse(cli, &cli_globals, g, &argc, &argv);

	if (r == OPTIONS_E_HELP)
		cli_help();
	if (r)
		return options_exit(cli, r);
	if (g->version) {
		out_printf("ctxctl %s\n", CTX_VERSION);
		return EXITCODE_OK;
	}
	if ((cli->socket != NULL) + cli->user + cli->system > 1) {
		out_error("only one of --socket, --user and --system can be given");
		return EXITCODE_USAGE;
	}
	if (argc == 0) {
		usage();
		return EXITCODE_USAGE;
	}
	c = cli_find(argv[0]);
	if (!c)
		return EXITCODE_USAGE;
	cli->command = c->name;
	r = cli->host ? remote_init(cli) : 0;
	return r ? r : c->run(cli, argc, argv);
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
	struct globals g = {.cli = {.command = "", .self = "ctxctl"}};
	int r, failed;

	claim_standard();
	varlink_watch_memory();
	r = dispatch(&g, argc, argv);
	remote_done(&g.cli);
	failed = out_flush();
	if (failed < 0 && failed != -EPIPE)
		out_error("cannot write the output: %s", strerror(-failed));
	if (failed < 0 && r == EXITCODE_OK)
		r = g.cli.as_job ? EXITCODE_OURS : EXITCODE_FAILED;
	return r;
}
