/* submission.h - what `submit` and `run` share: their options, the call made of them and of the
 * command, and its way to ctxd.
 *
 * Every call has a key, a random one if none was asked for, so that one that loses its connection
 * before the answer can be made again without making a second job. */
#ifndef CTX_CLI_SUBMISSION_H
#define CTX_CLI_SUBMISSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/context.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/view.h"

struct cli;
struct ctxd_client;
struct ctxd_failure;

enum { SUBMISSION_KEY = 34 }; /* bytes of a key made here, and its NUL */

struct submission {
	struct context context;
	const char *signal, *chdir, *env_mode, *shell, *key, *if_exists, *in, *warn, *as;
	int64_t grace, watchdog, backoff; /* microseconds */
	struct options_int priority, retries;
	struct options_list env, after;
	struct options_time at;
	int64_t delay; /* microseconds; --in */
	bool split_output;
	bool bound, more; /* in: the job is bound to the connection; its end is told there */

	size_t bytes;   /* of all strings of the call, about */
	json_t *params; /* owned: the call */
	struct input input;
	char own_key[SUBMISSION_KEY];
	char why_orphan[512]; /* why it was made without a parent; "": it was not */
};

/* Rows of a table of options; S is the struct, F its field of type struct submission; the rest
 * as for CONTEXT_OPTIONS. */
#define SUBMISSION_OPTIONS(S, F, ATTACH, DETACH)                                                   \
	CONTEXT_OPTIONS(S, F.context, ATTACH, DETACH),                                             \
		{"key",                                                                            \
		 'k',                                                                              \
		 "KEY",                                                                            \
		 "the same key and the same command again are the same job, not a\n"               \
		 "second one",                                                                     \
		 OPTIONS_STRING,                                                                   \
		 offsetof(S, F.key)},                                                              \
		{"if-exists",                                                                      \
		 0,                                                                                \
		 "return|retry|fail",                                                              \
		 "what to do if the key is there: return that job (default), start\n"              \
		 "it anew if it ended without success, or fail",                                   \
		 OPTIONS_STRING,                                                                   \
		 offsetof(S, F.if_exists)},                                                        \
		{"grace",      0,                                                                  \
		 "DUR",        "from the stop signal to SIGKILL",                                  \
		 OPTIONS_SPAN, offsetof(S, F.grace)},                                              \
		{"signal",       0,                                                                \
		 "SIG",          "the stop signal, instead of TERM",                               \
		 OPTIONS_SIGNAL, offsetof(S, F.signal)},                                           \
		{"warn",         0,                                                                \
		 "DUR[:SIG]",    "send it SIG (default: USR1) this long before its deadline",      \
		 OPTIONS_STRING, offsetof(S, F.warn)},                                             \
		{"watchdog",                                                                       \
		 0,                                                                                \
		 "DUR",                                                                            \
		 "stop it when it gives no sign of life for so long (sd_notify's\n"                \
		 "WATCHDOG=1)",                                                                    \
		 OPTIONS_SPAN,                                                                     \
		 offsetof(S, F.watchdog)},                                                         \
		{"retries",     0,                                                                 \
		 "N",           "when it fails, start it anew up to N times (CTX_ATTEMPT counts)", \
		 OPTIONS_COUNT, offsetof(S, F.retries)},                                           \
		{"backoff",                                                                        \
		 0,                                                                                \
		 "DUR",                                                                            \
		 "with --retries: wait so long before the first, then twice as long\n"             \
		 "each time, at most 1h (default: 1s)",                                            \
		 OPTIONS_SPAN,                                                                     \
		 offsetof(S, F.backoff)},                                                          \
		{"chdir",        'C',                                                              \
		 "DIR",          "directory to run in, instead of this one",                       \
		 OPTIONS_STRING, offsetof(S, F.chdir)},                                            \
		{"env",                                                                            \
		 'E',                                                                              \
		 "NAME[=VALUE]",                                                                   \
		 "add this variable (again for more); without a value: its own one\n"              \
		 "here",                                                                           \
		 OPTIONS_LIST,                                                                     \
		 offsetof(S, F.env)},                                                              \
		{"env-mode",                                                                       \
		 0,                                                                                \
		 "all|none|LIST",                                                                  \
		 "variables taken from here: all, none, or these names with\n"                     \
		 "commas between (default: all; with --as: none)",                                 \
		 OPTIONS_STRING,                                                                   \
		 offsetof(S, F.env_mode)},                                                         \
		{"stdin",                                                                          \
		 0,                                                                                \
		 "FILE|-",                                                                         \
		 "its standard input: this file, or what comes here, read now and\n"               \
		 "kept with the job (default: nothing)",                                           \
		 OPTIONS_STRING,                                                                   \
		 offsetof(S, F.in)},                                                               \
		{"split-output", 0,                                                                \
		 NULL,           "keep its stderr apart from its stdout",                          \
		 OPTIONS_FLAG,   offsetof(S, F.split_output)},                                     \
		{"shell",        0,                                                                \
		 "TEXT",         "run TEXT with /bin/sh -c; what follows is $1, $2 ...",           \
		 OPTIONS_STRING, offsetof(S, F.shell)},                                            \
		{"as",                                                                             \
		 0,                                                                                \
		 "USER",                                                                           \
		 "make it a job of this user (name or uid); for root and the\n"                    \
		 "administrators of the configuration",                                            \
		 OPTIONS_STRING,                                                                   \
		 offsetof(S, F.as)},                                                               \
		{"at", 0, "TIME", "do not start it before then", OPTIONS_TIME, offsetof(S, F.at)}, \
		{"in",         0,                                                                  \
		 "DUR",        "do not start it before so long from now",                          \
		 OPTIONS_SPAN, offsetof(S, F.delay)},                                              \
		{"after",                                                                          \
		 0,                                                                                \
		 "ID[:ok|any|failed]",                                                             \
		 "start it when this job has ended, with success (ok, the default),\n"             \
		 "in any way, or without; again for more; if it ends otherwise, this\n"            \
		 "one is cancelled",                                                               \
		 OPTIONS_LIST,                                                                     \
		 offsetof(S, F.after)},                                                            \
	{                                                                                          \
		"priority", 0, "N", "a larger one starts earlier", OPTIONS_INT,                    \
			offsetof(S, F.priority)                                                    \
	}

void submission_done(struct submission *s);
/* Make the call for the command ARGC, ARGV. 0, or the exit code (said). */
int submission_prepare(const struct cli *cli, struct submission *s, int argc, char **argv);
/* Of it: the directory, the umask and the environment, of here or of cli->host. */
int submission_place(const struct cli *cli, struct submission *s, json_t *params);
/* Make the call, for some seconds again and again if the connection breaks before the answer. 0:
 * *RET is the connection, *RET_REPLY what came (its notices were said), *RET_VIEW the job in it; or
 * the exit code (said). */
int submission_make(const struct cli *cli, struct submission *s, struct ctxd_client **ret,
		    json_t **ret_reply, struct view *ret_view);
/* Send the same call once more on C, for the job that it made: a `reattach` of struct follow. */
int submission_again(const struct cli *cli, void *s, struct ctxd_client *c, struct ctxd_failure *f);
/* On a terminal, one line on stderr with the deadline of V, the job of REPLY, and its rule. */
void submission_say(const struct view *v, const json_t *reply);
/* The last line of JSON behind the output: the job at its end. NULL: none. */
void submission_print_end(const json_t *job);

#endif
