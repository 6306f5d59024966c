/* filter.h - which jobs: the options that `list` and `cancel --all-matching` share. */
#ifndef CTX_CLI_FILTER_H
#define CTX_CLI_FILTER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cli/options.h"

struct cli;

struct filter {
	struct options_list states; /* words of --state, each a list with commas */
	struct options_list values; /* NAME=VALUE */
	const char *class_name, *name, *key, *trace, *user;
	bool all, half_processed;
	struct options_time since;
	struct options_int parent, limit, after;
};

/* Rows of a table of options; S is the struct, F its field of type struct filter. */
#define FILTER_OPTIONS(S, F)                                                                         \
	{"state",                                                                                    \
	 0,                                                                                          \
	 "STATE,...",                                                                                \
	 "only jobs of these states: queued, running, stopping, succeeded,\n"                        \
	 "failed, canceled, deadline_exceeded, interrupted, open, closed",                           \
	 OPTIONS_LIST,                                                                               \
	 offsetof(S, F.states)},                                                                     \
		{"class",       'c',                                                                 \
		 "CLASS",       "only jobs of this class",                                           \
		 OPTIONS_CLASS, offsetof(S, F.class_name)},                                          \
		{"name", 'n', "NAME", "only jobs of this name", OPTIONS_NAME, offsetof(S, F.name)},  \
		{"key", 'k', "KEY", "only the job of this key", OPTIONS_STRING, offsetof(S, F.key)}, \
		{"value",      'v',                                                                  \
		 "NAME=VALUE", "only those that carry this value (again for more: all of them)",     \
		 OPTIONS_LIST, offsetof(S, F.values)},                                               \
		{"trace",        0,                                                                  \
		 "TRACE",        "only those of this trace: its id, or a traceparent",               \
		 OPTIONS_STRING, offsetof(S, F.trace)},                                              \
		{"parent",      0,                                                                   \
		 "ID",          "only those derived from this one (below that: `ctxctl tree`)",      \
		 OPTIONS_COUNT, offsetof(S, F.parent)},                                              \
		{"user",         0,                                                                  \
		 "USER",         "only jobs of this user (name or uid)",                             \
		 OPTIONS_STRING, offsetof(S, F.user)},                                               \
		{"half-processed",                                                                   \
		 0,                                                                                  \
		 NULL,                                                                               \
		 "only interrupted jobs that nobody has resolved",                                   \
		 OPTIONS_FLAG,                                                                       \
		 offsetof(S, F.half_processed)},                                                     \
		{"since",       0,                                                                   \
		 "TIME|DUR",    "only jobs submitted since this time, or in the last DUR",           \
		 OPTIONS_SINCE, offsetof(S, F.since)},                                               \
		{"limit", 0, "N", "at most N jobs", OPTIONS_COUNT, offsetof(S, F.limit)},            \
	{                                                                                            \
		"after", 0, "ID", "only jobs with a larger id", OPTIONS_COUNT,                       \
			offsetof(S, F.after)                                                         \
	}

/* Is there any that narrows the choice (limit alone does not)? */
bool filter_any(const struct filter *f);
void filter_done(struct filter *f);
/* Parameters of List and ListSummaries, without limit and after; with a connection. STATES (may be
 * NULL): those of F if it has any, else these. 0 with *RET, or the exit code (said). */
int filter_params(const struct cli *cli, const struct filter *f, const char *const *states,
		  json_t **ret);
/* The same, with them. */
int filter_params_paged(const struct cli *cli, const struct filter *f, const char *const *states,
			json_t **ret);
/* What is wrong of F by itself; before a connection. 0, or the exit code (said). */
int filter_check(const struct cli *cli, const struct filter *f);

extern const char *const filter_live[]; /* states of jobs that have not ended; NULL-ended */
extern const char *const filter_ended[];

#endif
