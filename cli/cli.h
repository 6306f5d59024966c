/* cli.h - what all commands of ctxctl share: the options in front of the command, and the table of
 * commands.
 *
 * A command is one file, cmd_NAME.c, exporting cmd_NAME. It gets its own words (argv[0] is the
 * command), says what went wrong itself, and returns the exit code; only main exits. */
#ifndef CTX_CLI_CLI_H
#define CTX_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>

struct options_spec;
struct remote;

struct cli {
	const char *socket; /* --socket; NULL: not given */
	const char *host;   /* -H; NULL: this machine. The options for the daemon are for there */
	const char *self;   /* how to call this program again: "ctxctl", "ctxctl -H HOST" */
	struct remote *remote; /* of HOST; owned by remote.c */
	const char *command;   /* for messages */
	/* For a shell that completes: called in place of the parsing, see complete_words. NULL
	 * else. */
	int (*complete)(struct cli *cli, const struct options_spec *spec, int *argc, char ***argv);
	bool user, system; /* whose daemon; at most one */
	bool json, no_color;
	bool as_job; /* exit codes are those of a job: every failure of ours is 125 */
};

struct cli_command {
	const char *name, *alias;
	const char *help; /* NULL: it is not for people, and in no list */
	int (*run)(struct cli *cli, int argc, char **argv);
};
extern const struct cli_command cli_commands[];
extern const size_t cli_n_commands;

#define COMMAND(id, name, alias, help) int cmd_##id(struct cli *cli, int argc, char **argv);
#include "cli/commands.def"
#undef COMMAND

/* By name or alias; NULL if there is none, then what to suggest is said on stderr. */
const struct cli_command *cli_find(const char *name);
extern const struct options_spec cli_globals; /* the options in front of the command */
void cli_help(void);                          /* all of it, to the standard output */

#endif
