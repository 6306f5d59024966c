/* options.c - the options of a command as a table. getopt_long does the splitting; this file gives
 * it its tables, checks the values, and says what is wrong in one way for all commands. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/exitcode.h"
#include "cli/near.h"
#include "cli/options.h"
#include "cli/out.h"

enum { OPTIONS_MAX = 64, FIRST_VAL = 256, VALUE_TEXT = 128, HELP_COLUMN = 28 };

const struct options_def options_common[] = {
	{"json", 0, NULL, "print JSON", OPTIONS_FLAG, offsetof(struct cli, json)},
	{"no-color", 0, NULL, "no colour; NO_COLOR in the environment does the same", OPTIONS_FLAG,
	 offsetof(struct cli, no_color)},
	{"help", 'h', NULL, "print this help", OPTIONS_FLAG, 0},
};
enum { COMMON_HELP = 2, N_COMMON = 3 };
const size_t options_n_common = N_COMMON;

/* ---- help */

static void
help_option(const struct options_def *d)
{
	char left[64];
	const char *line = d->help;
	int n;

	n = snprintf(left, sizeof(left), "  %c%c%s--%s%s%s", d->letter ? '-' : ' ',
		     d->letter ? d->letter : ' ', d->letter ? ", " : "  ", d->name,
		     d->arg ? " " : "", d->arg ? d->arg : "");
	if (n + 2 > HELP_COLUMN) { /* at least two spaces */
		out_printf("%s\n%*s", left, HELP_COLUMN, "");
	} else {
		out_printf("%-*s", HELP_COLUMN, left);
	}
	for (;;) {
		size_t len = strcspn(line, "\n");

		out_put(line, len);
		out_puts("\n");
		if (line[len] == '\0')
			return;
		line += len + 1;
		out_printf("%*s", HELP_COLUMN, "");
	}
}

void
options_list(const struct options_spec *spec)
{
	for (size_t i = 0; i < spec->n; i++)
		help_option(&spec->def[i]);
	for (size_t i = 0; i < N_COMMON; i++)
		help_option(&options_common[i]);
}

static void
help(const struct cli *cli, const struct options_spec *spec)
{
	out_printf("Usage: ctxctl %s%s%s\n\n", cli->command,
		   *cli->command && *spec->usage ? " " : "", spec->usage);
	out_puts(spec->text);
	out_puts("\n\nOptions:\n");
	options_list(spec);
	out_printf("\nExample%s:\n", strchr(spec->examples, '\n') ? "s" : "");
	out_puts(spec->examples);
	out_puts("\n");
}

/* ---- values */

static int
wrong_value(const struct options_def *d, const char *value, const char *why)
{
	char text[VALUE_TEXT];

	out_error("--%s: '%s' %s", d->name, text_escape(value, text, sizeof(text)), why);
	return OPTIONS_E_USAGE;
}

static int
take_list(struct options_list *l, const char *value)
{
	const char **v = reallocarray(l->v, l->n + 1, sizeof(*v));

	if (!v) {
		out_error("out of memory");
		return OPTIONS_E_USAGE;
	}
	l->v = v;
	l->v[l->n++] = value;
	return 0;
}

static int
take_span(const struct options_def *d, const char *value, int64_t *ret)
{
	const char *why = "is no span of time";
	struct dur span;
	char text[160];

	if (d->type == OPTIONS_SPAN_MAX && strcmp(value, "max") == 0) {
		*ret = INT64_MAX;
		return 0;
	}
	if (dur_parse(value, &span, &why) < 0) {
		(void)snprintf(text, sizeof(text),
			       "is not accepted: %s (90, 90s, 10m, 1h30m, 2d, 250ms%s)", why,
			       d->type == OPTIONS_SPAN_MAX ? ", max" : "");
		return wrong_value(d, value, text);
	}
	*ret = dur_to_usec(span);
	return 0;
}

static int
take_time(const struct options_def *d, const char *value, struct options_time *ret)
{
	const char *why = "is no time", *no;
	struct wall at;
	struct dur ago;
	char text[160];

	if (d->type == OPTIONS_SINCE && dur_parse(value, &ago, &no) == 0)
		at = wall_add(wall_now(), (struct dur){-ago.ns});
	else if (wall_parse(value, wall_now(), &at, &why) < 0) {
		(void)snprintf(text, sizeof(text),
			       "is not accepted: %s (2026-11-21T03:00:00Z, @1795230000, now+2h%s)",
			       why, d->type == OPTIONS_SINCE ? "; or 2h: that long ago" : "");
		return wrong_value(d, value, text);
	}
	(void)wall_format(at, ret->text, sizeof(ret->text));
	ret->given = true;
	return 0;
}

static int
take_int(const struct options_def *d, const char *value, struct options_int *ret)
{
	if (text_i64(value, &ret->v) < 0)
		return wrong_value(d, value, "is no whole number");
	if (d->type == OPTIONS_COUNT && ret->v < 0)
		return wrong_value(d, value, "is negative");
	ret->given = true;
	return 0;
}

static int
take_signal(const struct options_def *d, const char *value, const char **ret)
{
	static char name[16];
	int sig;

	if (text_signal(value, &sig) < 0)
		return wrong_value(d, value, "is no signal (TERM, INT, USR1, 15)");
	*ret = text_signal_name(sig, name, sizeof(name));
	return 0;
}

static int
take_string(const struct options_def *d, const char *value, const char **ret)
{
	size_t n = strlen(value);

	if (d->type == OPTIONS_NAME && !text_job_name(value))
		return wrong_value(
			d, value, "is no name: 1 to 128 bytes of UTF-8 without control characters");
	if (d->type == OPTIONS_CLASS && !text_class_name(value))
		return wrong_value(d, value, "is no class: 1 to 32 of a-z, 0-9, _ and -");
	if (n == 0)
		return wrong_value(d, value, "is empty");
	if (!text_utf8_valid(value, n, NULL))
		return wrong_value(d, value, "is not UTF-8");
	*ret = value;
	return 0;
}

static int
take_value(const struct options_def *d, const char *value, void *field)
{
	switch (d->type) {
	case OPTIONS_FLAG:
		*(bool *)field = true;
		return 0;
	case OPTIONS_PATH:
		*(const char **)field = value;
		return 0;
	case OPTIONS_STRING:
	case OPTIONS_NAME:
	case OPTIONS_CLASS:
		return take_string(d, value, field);
	case OPTIONS_SIGNAL:
		return take_signal(d, value, field);
	case OPTIONS_LIST:
		return take_list(field, value);
	case OPTIONS_SPAN:
	case OPTIONS_SPAN_MAX:
		return take_span(d, value, field);
	case OPTIONS_TIME:
	case OPTIONS_SINCE:
		return take_time(d, value, field);
	case OPTIONS_INT:
	case OPTIONS_COUNT:
		return take_int(d, value, field);
	}
	abort();
}

static void
say_try(const struct cli *cli)
{
	out_say("Try `ctxctl %s%s--help`.", cli->command, *cli->command ? " " : "");
}

/* ---- parsing */

struct tables {
	struct option longs[OPTIONS_MAX + N_COMMON + 1];
	char shorts[2 * (OPTIONS_MAX + N_COMMON) + 3];
};

static void
add(struct tables *t, size_t *n, size_t *s, const struct options_def *d)
{
	t->longs[*n] = (struct option){d->name, d->arg ? required_argument : no_argument, NULL,
				       FIRST_VAL + (int)*n};
	++*n;
	if (!d->letter)
		return;
	t->shorts[(*s)++] = d->letter;
	if (d->arg)
		t->shorts[(*s)++] = ':';
}

static void
build(struct tables *t, const struct options_spec *spec)
{
	size_t n = 0, s = 0;

	assert(spec->n <= OPTIONS_MAX);
	memset(t, 0, sizeof(*t));
	if (spec->stop_at_word)
		t->shorts[s++] = '+';
	t->shorts[s++] = ':'; /* a missing argument is told apart */
	for (size_t i = 0; i < spec->n; i++)
		add(t, &n, &s, &spec->def[i]);
	for (size_t i = 0; i < N_COMMON; i++)
		add(t, &n, &s, &options_common[i]);
}

/* What getopt returned, as an index into the long options; -1: none. */
static int
found(const struct options_spec *spec, int c)
{
	if (c >= FIRST_VAL)
		return c - FIRST_VAL;
	for (size_t i = 0; i < spec->n; i++)
		if (c == spec->def[i].letter && c)
			return (int)i;
	for (size_t i = 0; i < N_COMMON; i++)
		if (c == options_common[i].letter && c)
			return (int)(spec->n + i);
	return -1;
}

static const struct options_def *
def_at(const struct options_spec *spec, int i)
{
	return (size_t)i < spec->n ? &spec->def[i] : &options_common[(size_t)i - spec->n];
}

static void
unknown(const struct cli *cli, const struct options_spec *spec, const char *word)
{
	struct near near;
	char text[VALUE_TEXT], plain[VALUE_TEXT];

	(void)snprintf(plain, sizeof(plain), "%.*s", (int)strcspn(word, "="), word);
	text_escape(plain, text, sizeof(text));
	near_init(&near, strncmp(plain, "--", 2) == 0 ? plain + 2 : "");
	for (size_t i = 0; i < spec->n && *near.word; i++)
		near_offer(&near, spec->def[i].name);
	out_error("unknown option '%s'%s%s%s%s", text,
		  *cli->command ? "" : " in front of the command",
		  near.best ? " (did you mean --" : "", near.best ? near.best : "",
		  near.best ? "?)" : "");
}

/* getopt is not content. WORD is where it stood. */
static void
complain(const struct cli *cli, const struct options_spec *spec, int c, const char *word)
{
	int i = found(spec, optopt);

	if (c == ':' && i >= 0)
		out_error("--%s needs a value: %s", def_at(spec, i)->name, def_at(spec, i)->arg);
	else if (optopt >= FIRST_VAL && i >= 0)
		out_error("--%s takes no value", def_at(spec, i)->name);
	else if (optopt > 0 && optopt < FIRST_VAL)
		out_error("unknown option '-%c'%s", optopt >= 0x20 && optopt < 0x7f ? optopt : '?',
			  *cli->command ? "" : " in front of the command");
	else
		unknown(cli, spec, word);
}

static int
parse_one(struct cli *cli, const struct options_def *d, void *out)
{
	bool is_common = d >= options_common && d < options_common + N_COMMON;

	if (d == &options_common[COMMON_HELP])
		return OPTIONS_E_HELP;
	return take_value(d, optarg, (char *)(is_common ? (void *)cli : out) + d->offset);
}

int
options_parse(struct cli *cli, const struct options_spec *spec, void *out, int *argc, char ***argv)
{
	struct tables t;
	int r = 0, c, word;

	if (cli->complete)
		return cli->complete(cli, spec, argc, argv);
	build(&t, spec);
	optind = 0; /* start anew */
	opterr = 0;
	for (;;) {
		int e = OPTIONS_E_USAGE;

		word = optind ? optind : 1;
		c = getopt_long(*argc, *argv, t.shorts, t.longs, NULL);
		if (c == -1)
			break;
		if (c == '?' || c == ':')
			complain(cli, spec, c, optind > word ? (*argv)[optind - 1] : (*argv)[word]);
		else
			e = parse_one(cli, def_at(spec, found(spec, c)), out);
		if (e == OPTIONS_E_HELP) {
			if (spec->text)
				help(cli, spec);
			return e;
		}
		r = r ? r : e;
	}
	if (r) {
		say_try(cli);
		return r;
	}
	*argc -= optind;
	*argv += optind;
	return 0;
}

int
options_exit(const struct cli *cli, int outcome)
{
	if (outcome == OPTIONS_E_HELP)
		return EXITCODE_OK;
	return cli->as_job ? EXITCODE_OURS : EXITCODE_USAGE;
}

int
options_wrong(const struct cli *cli, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	out_error("%s: %s", cli->command, text);
	say_try(cli);
	return options_exit(cli, OPTIONS_E_USAGE);
}

int
options_id(const struct cli *cli, const char *word, uint64_t *ret)
{
	char text[VALUE_TEXT];

	if (text_u64(word, ret) == 0 && *ret > 0 && *ret <= INT64_MAX)
		return 0;
	out_error("%s: '%s' is no job id", cli->command, text_escape(word, text, sizeof(text)));
	return OPTIONS_E_USAGE;
}

int
options_one(const struct cli *cli, int argc, char **argv, uint64_t *ret)
{
	if (argc != 1)
		return options_wrong(cli,
				     argc ? "one job at a time" : "which job? An id is needed");
	return options_id(cli, argv[0], ret) ? EXITCODE_USAGE : 0;
}

int
options_ids(const struct cli *cli, int argc, char **argv, uint64_t **ret, size_t *ret_n)
{
	_free_ uint64_t *ids = NULL;
	int r = 0;

	if (argc == 0)
		return options_wrong(cli, "which job? An id is needed");
	ids = calloc((size_t)argc, sizeof(*ids));
	if (!ids) {
		out_error("out of memory");
		return cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED;
	}
	for (int i = 0; i < argc; i++)
		if (options_id(cli, argv[i], &ids[i]) != 0)
			r = options_exit(cli, OPTIONS_E_USAGE);
	if (r)
		return r;
	*ret = take_ptr(ids);
	*ret_n = (size_t)argc;
	return 0;
}

void
options_list_done(struct options_list *l)
{
	free(l->v);
	*l = (struct options_list){NULL, 0};
}
