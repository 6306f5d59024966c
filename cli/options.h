/* options.h - the options of a command as a table: parsed by it, and its --help printed from it. */
#ifndef CTX_CLI_OPTIONS_H
#define CTX_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;

struct options_list {   /* an option that may be repeated */
	const char **v; /* owned block, strings of argv; options_list_done */
	size_t n;
};
struct options_int {
	bool given;
	int64_t v;
};
struct options_time {
	bool given;
	char text[40]; /* RFC 3339 */
};

enum options_type {                   /* of the field at `offset` */
		    OPTIONS_FLAG,     /* bool */
		    OPTIONS_STRING,   /* const char *, may not be empty */
		    OPTIONS_PATH,     /* const char *, any bytes */
		    OPTIONS_NAME,     /* the same, a name of a job */
		    OPTIONS_CLASS,    /* the same, a name of a class */
		    OPTIONS_SIGNAL,   /* the same, a signal; becomes its usual name, static text */
		    OPTIONS_LIST,     /* struct options_list */
		    OPTIONS_SPAN,     /* int64_t microseconds; 0: not given */
		    OPTIONS_SPAN_MAX, /* the same; `max` is INT64_MAX */
		    OPTIONS_TIME,     /* struct options_time */
		    OPTIONS_SINCE,    /* the same; a span is that long ago */
		    OPTIONS_INT,      /* struct options_int */
		    OPTIONS_COUNT,    /* struct options_int, not negative */
};
struct options_def {
	const char *name; /* without dashes */
	char letter;      /* 0: none */
	const char *arg;  /* what it takes, for the help; NULL: nothing */
	const char *help; /* one line, or more */
	enum options_type type;
	size_t offset;
};
struct options_spec {
	const char *usage; /* behind the name of the command; lines */
	const char *text;  /* what it does; lines; NULL: the help is printed by the caller */
	const char *examples;
	const struct options_def *def;
	size_t n;
	bool stop_at_word; /* what follows the first word is not ours */
};

enum { OPTIONS_E_HELP = 1, OPTIONS_E_USAGE = 2 };

/* Parse into OUT (zeroed, or with defaults). 0: *ARGC and *ARGV are then the words. OPTIONS_E_HELP:
 * it was asked for, and printed. OPTIONS_E_USAGE: all that is wrong was said on stderr; flags are
 * set all the same. --json and --no-color are understood for every command. */
int
options_parse(struct cli *cli, const struct options_spec *spec, void *out, int *argc, char ***argv);
extern const struct options_def options_common[]; /* of every command */
extern const size_t options_n_common;
/* The lines of its options, as in the help. */
void options_list(const struct options_spec *spec);
/* The exit code for such an outcome. */
int options_exit(const struct cli *cli, int outcome);
/* Say what is wrong with the words, and where help is. Returns the exit code for wrong usage. */
int
options_wrong(const struct cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A job id. 0, or OPTIONS_E_USAGE (said). */
int options_id(const struct cli *cli, const char *word, uint64_t *ret);
/* The words as one id. 0, or the exit code. */
int options_one(const struct cli *cli, int argc, char **argv, uint64_t *ret);
/* The words as ids, at least one; the block is the caller's. 0, or the exit code. */
int options_ids(const struct cli *cli, int argc, char **argv, uint64_t **ret, size_t *ret_n);
void options_list_done(struct options_list *l);

#endif
