/* context.h - what `submit`, `run` and `scope create` share: the options of a context, and what it
 * takes from its parent and from the environment of this process.
 *
 * The parent is that of --parent, else the job inside which this runs ($CTX_ID, if $CTXD_SOCKET is
 * the ctxd that is spoken to). A parent that nobody asked for, and without which the options still
 * mean the same, may turn out not to be there: then it is left out, with a warning. */
#ifndef CTX_CLI_CONTEXT_H
#define CTX_CLI_CONTEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/options.h"

struct cli;
struct ctxd_failure;

struct context {
	const char *name, *class_name, *parent, *inherit;
	int64_t timeout; /* microseconds */
	struct options_time deadline;
	struct options_list values;
	bool attach, detach, background, keep_deadline;
	bool attaches; /* in: what is done when none of these is given; else it detaches */

	/* Out, of context_params. */
	size_t bytes;        /* of its strings, about */
	bool can_be_orphan;  /* the parent may be left out */
	uint64_t has_parent; /* its id; 0: none */
};

#define CONTEXT_ATTACH "end with the parent, and no later than it may: take all it has"
#define CONTEXT_DETACH "outlive it: take its values and its trace (this is the default)"

/* Rows of a table of options; S is the struct, F its field of type struct context; ATTACH and
 * DETACH say what these two do. */
#define CONTEXT_OPTIONS(S, F, ATTACH, DETACH)                                                      \
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
		{"name", 'n', "NAME", "a name to find it by", OPTIONS_NAME, offsetof(S, F.name)},  \
		{"class",       'c',                                                               \
		 "CLASS",       "class of the configuration, for its limits",                      \
		 OPTIONS_CLASS, offsetof(S, F.class_name)},                                        \
		{"value",      'v',                                                                \
		 "NAME=VALUE", "a value it carries, as do those below it (again for more)",        \
		 OPTIONS_LIST, offsetof(S, F.values)},                                             \
		{"parent",                                                                         \
		 'p',                                                                              \
		 "ID|none",                                                                        \
		 "the context it derives from (default: the job this runs in,\n"                   \
		 "$CTX_ID)",                                                                       \
		 OPTIONS_STRING,                                                                   \
		 offsetof(S, F.parent)},                                                           \
		{"attach", 0, NULL, ATTACH, OPTIONS_FLAG, offsetof(S, F.attach)},                  \
		{"detach", 0, NULL, DETACH, OPTIONS_FLAG, offsetof(S, F.detach)},                  \
		{"background", 0,                                                                  \
		 NULL,         "take nothing from the parent, nor from a trace here",              \
		 OPTIONS_FLAG, offsetof(S, F.background)},                                         \
		{"keep-deadline",                                                                  \
		 0,                                                                                \
		 NULL,                                                                             \
		 "end no later than the parent may",                                               \
		 OPTIONS_FLAG,                                                                     \
		 offsetof(S, F.keep_deadline)},                                                    \
	{                                                                                          \
		"inherit", 0, "SET",                                                               \
			"take exactly these from the parent, with commas between:\n"               \
			"values, trace, deadline, cancel",                                         \
			OPTIONS_STRING, offsetof(S, F.inherit)                                     \
	}

extern const char *const context_sets[]; /* what --inherit takes; NULL-ended */

void context_done(struct context *o);
/* Put a WORD NAME=VALUE of --value into VALUES. 0, or the exit code (said). */
int context_value(const struct cli *cli, json_t *values, const char *word);
/* Put what O says into PARAMS, those of Submit or Scope. 0, or the exit code (said). */
int context_params(const struct cli *cli, struct context *o, json_t *params);
/* The call failed with F, perhaps because of its parent. True: PARAMS have none any more, try
 * again. */
bool context_orphan(struct context *o, json_t *params, const struct ctxd_failure *f);
/* The call failed with F for good: say it, and what can be done. The exit code. */
int context_fail(const struct cli *cli, const struct ctxd_failure *f);
/* Say that it went on without the parent; WHY is what the first call failed with. */
void context_say_orphan(const struct context *o, const char *why);

#endif
