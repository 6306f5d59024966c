/* submission.h - what `submit` and `run` share: their options, and the call made of them and of the
 * command. */
#ifndef CTX_CLI_SUBMISSION_H
#define CTX_CLI_SUBMISSION_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/options.h"
#include "cli/view.h"

struct cli;
struct ctxd_failure;

struct submission {
	const char *name, *class_name, *signal, *chdir, *env_mode, *shell;
	int64_t timeout, grace; /* microseconds */
	struct options_time deadline;
	struct options_int priority;
	struct options_list env;
	size_t bytes; /* out: of all strings of the call, about */
};

/* Rows of a table of options; S is the struct, F its field of type struct submission. */
#define SUBMISSION_OPTIONS(S, F)                                                                   \
	{"timeout",                                                                                \
	 't',                                                                                      \
	 "DUR|max",                                                                                \
	 "time from its start to its deadline; `max`: the most that the\n"                         \
	 "configuration allows; not given: its default",                                           \
	 OPTIONS_SPAN_MAX,                                                                         \
	 offsetof(S, F.timeout)},                                                                  \
		{"deadline",   0,                                                                  \
		 "TIME",       "deadline as a point in time, time in the queue included",          \
		 OPTIONS_TIME, offsetof(S, F.deadline)},                                           \
		{"grace",      0,                                                                  \
		 "DUR",        "from the stop signal to SIGKILL",                                  \
		 OPTIONS_SPAN, offsetof(S, F.grace)},                                              \
		{"signal",       0,                                                                \
		 "SIG",          "the stop signal, instead of TERM",                               \
		 OPTIONS_SIGNAL, offsetof(S, F.signal)},                                           \
		{"name", 'n', "NAME", "a name to find it by", OPTIONS_NAME, offsetof(S, F.name)},  \
		{"class",       'c',                                                               \
		 "CLASS",       "class of the configuration, for its limits",                      \
		 OPTIONS_CLASS, offsetof(S, F.class_name)},                                        \
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
		 "commas between (default: all)",                                                  \
		 OPTIONS_STRING,                                                                   \
		 offsetof(S, F.env_mode)},                                                         \
		{"shell",        0,                                                                \
		 "TEXT",         "run TEXT with /bin/sh -c; what follows is $1, $2 ...",           \
		 OPTIONS_STRING, offsetof(S, F.shell)},                                            \
	{                                                                                          \
		"priority", 0, "N", "a larger one starts earlier", OPTIONS_INT,                    \
			offsetof(S, F.priority)                                                    \
	}

void submission_done(struct submission *s);
/* Parameters of Submit for the command ARGC, ARGV. 0 with *RET, or the exit code (said). */
int
submission_params(const struct cli *cli, struct submission *s, int argc, char **argv, json_t **ret);
/* Submit failed: say F, and when the call was large, that this may be why. Returns the exit code.
 */
int
submission_fail(const struct cli *cli, const struct submission *s, const struct ctxd_failure *f);
/* The job of a reply of Submit; its notices are said on stderr. 0 (REPLY keeps what *RET refers
 * to), or the exit code. */
int submission_accepted(const struct cli *cli, const json_t *reply, struct view *ret);
/* On a terminal, one line on stderr with the deadline of V and its rule. */
void submission_say(const struct view *v);

#endif
