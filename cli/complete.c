/* complete.c - what a shell may offer at its cursor, see complete.h. */
#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/complete.h"
#include "cli/context.h"
#include "cli/filter.h"
#include "cli/options.h"
#include "cli/out.h"

extern char **environ;

struct complete {
	const char *head; /* of the word at the cursor, what stays: `--state=running,`; HEAD_LEN */
	size_t head_len;
	const char *word; /* the rest of it */
};

void
complete_offer(const struct complete *c, const char *candidate, const char *text)
{
	if (strncmp(candidate, c->word, strlen(c->word)) != 0)
		return;
	out_put(c->head, c->head_len);
	out_puts(candidate);
	out_puts("\t");
	out_text(text ? text : "");
	out_puts("\n");
}

/* The shell knows these. */
static void
leave(const struct complete *c, const char *what)
{
	out_printf("\t%s\t", what);
	out_put(c->head, c->head_len);
	out_puts("\n");
}

/* ---- values */

enum kind {
	IDS,
	CLASSES,
	NAMES,
	STATES,
	SIGNALS,
	SETS,
	VARIABLES,
	FILES,
	DIRS,
	USERS,
	HOSTS,
	WORD
};

/* How the help calls what an option takes. BEHIND: the value begins behind the last of these. */
static const struct {
	const char *arg;
	enum kind kind;
	char behind;
} kinds[] = {
	{"ID", IDS, 0},
	{"CLASS", CLASSES, 0},
	{"NAME", NAMES, 0},
	{"STATE,...", STATES, ','},
	{"SIG", SIGNALS, 0},
	{"DUR[:SIG]", SIGNALS, ':'},
	{"SET", SETS, ','},
	{"LIST", VARIABLES, ','},
	{"NAME[=VALUE]", VARIABLES, 0},
	{"FILE", FILES, 0},
	{"PATH", FILES, 0},
	{"DIR", DIRS, 0},
	{"USER", USERS, 0},
	{"[USER@]HOST", HOSTS, 0},
};

static void
offer_signals(const struct complete *c)
{
	char name[16];

	for (int sig = 1; sig < NSIG; sig++)
		if (isalpha((unsigned char)*text_signal_name(sig, name, sizeof(name))))
			complete_offer(c, name, "signal");
}

static void
offer_variables(const struct complete *c)
{
	for (char **e = environ; e && *e; e++) {
		_free_ char *name = strndup(*e, strcspn(*e, "="));

		if (name && text_env_name(name, strlen(name)))
			complete_offer(c, name, "variable");
	}
}

static void
offer_kind(const struct cli *cli, const struct complete *c, enum kind kind)
{
	switch (kind) {
	case IDS:
		complete_ids(cli, c);
		return;
	case CLASSES:
		complete_classes(cli, c);
		return;
	case NAMES:
		complete_names(cli, c);
		return;
	case STATES:
		for (size_t i = 0; filter_live[i]; i++)
			complete_offer(c, filter_live[i], "state");
		for (size_t i = 0; filter_ended[i]; i++)
			complete_offer(c, filter_ended[i], "state");
		return;
	case SIGNALS:
		offer_signals(c);
		return;
	case SETS:
		for (size_t i = 0; context_sets[i]; i++)
			complete_offer(c, context_sets[i], "from the parent");
		return;
	case VARIABLES:
		offer_variables(c);
		return;
	case FILES:
		leave(c, "files");
		return;
	case DIRS:
		leave(c, "dirs");
		return;
	case USERS:
		leave(c, "users");
		return;
	case HOSTS:
		leave(c, "hosts");
		return;
	case WORD:
		return;
	}
}

/* What an argument of N bytes at ARG stands for. False: it is not in the table. */
static bool
offer_argument(const struct cli *cli, const struct complete *c, const char *arg, size_t n)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct complete in = *c;
		const char *at;

		if (strlen(kinds[i].arg) != n || memcmp(kinds[i].arg, arg, n) != 0)
			continue;
		at = kinds[i].behind ? strrchr(c->word, kinds[i].behind) : NULL;
		if (at) {
			in.head_len += (size_t)(at + 1 - c->word);
			in.word = at + 1;
		}
		if (at || kinds[i].behind != ':')
			offer_kind(cli, &in, kinds[i].kind);
		return true;
	}
	return false;
}

/* Alternatives: those that are meant as they are first, for the others may have to be asked for. Of
 * what may be left out behind a value (`ID[:any]`) nothing is known. */
static void
offer_value(const struct cli *cli, const struct complete *c, const char *arg)
{
	size_t all = strlen(arg), n;

	if (arg[0] != '[' && strchr(arg, '[')) {
		if (!offer_argument(cli, c, arg, all))
			(void)offer_argument(cli, c, arg, strcspn(arg, "["));
		return;
	}
	for (const char *p = arg; *p; p += n + (p[n] == '|')) {
		_free_ char *word = NULL;

		n = strcspn(p, "|");
		word = strndup(p, n);
		if (word && (islower((unsigned char)p[0]) || p[0] == '-'))
			complete_offer(c, word, NULL);
	}
	for (const char *p = arg; *p; p += n + (p[n] == '|')) {
		n = strcspn(p, "|");
		(void)offer_argument(cli, c, p, n);
	}
}

/* ---- options */

static const struct options_def *
def_at(const struct options_spec *spec, size_t i)
{
	if (i < spec->n)
		return &spec->def[i];
	return i - spec->n < options_n_common ? &options_common[i - spec->n] : NULL;
}

static void
offer_options(const struct complete *c, const struct options_spec *spec)
{
	const struct options_def *d;

	for (size_t i = 0; (d = def_at(spec, i)); i++) {
		_free_ char *name = text_format("--%s", d->name);
		_free_ char *text = strdup(d->help);

		for (char *p = text; p && (p = strchr(p, '\n'));)
			*p = ' ';
		if (name && text)
			complete_offer(c, name, text);
	}
}

static const struct options_def *
find_long(const struct options_spec *spec, const char *name, size_t n)
{
	const struct options_def *d;

	for (size_t i = 0; (d = def_at(spec, i)); i++)
		if (strlen(d->name) == n && memcmp(d->name, name, n) == 0)
			return d;
	return NULL;
}

/* The option of a word of letters that takes a value, and where in the word that begins. */
static const struct options_def *
find_letter(const struct options_spec *spec, const char *word, const char **ret_value)
{
	for (const char *p = word + 1; *p; p++) {
		const struct options_def *d;

		for (size_t i = 0; (d = def_at(spec, i)); i++)
			if (d->letter == *p && d->arg) {
				*ret_value = p + 1;
				return d;
			}
	}
	return NULL;
}

/* The option of WORD that takes a value: *RET_VALUE is where the value begins in WORD; NULL: it is
 * the next word. NULL: there is none. */
static const struct options_def *
valued(const struct options_spec *spec, const char *word, const char **ret_value)
{
	const struct options_def *d;
	size_t n;

	*ret_value = NULL;
	if (word[0] != '-' || word[1] == '\0')
		return NULL;
	if (word[1] != '-') {
		d = find_letter(spec, word, ret_value);
		if (d && **ret_value == '\0')
			*ret_value = NULL;
		return d;
	}
	n = strcspn(word + 2, "=");
	d = find_long(spec, word + 2, n);
	if (!d || !d->arg)
		return NULL;
	*ret_value = word[2 + n] ? word + 2 + n + 1 : NULL;
	return d;
}

/* ---- words that are no options */

static bool
names_word(const char *usage, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = usage; (p = strstr(p, word)); p += n)
		if ((p == usage || strchr(" [", p[-1])) && strchr(" ].\n", p[n]))
			return true;
	return false;
}

static void
offer_commands(const struct complete *c)
{
	for (size_t i = 0; i < cli_n_commands; i++)
		if (cli_commands[i].help)
			complete_offer(c, cli_commands[i].name, cli_commands[i].help);
}

/* What begins each line of the usage: `create`, `close`. */
static void
offer_verbs(const struct cli *cli, const struct complete *c, const char *usage)
{
	for (const char *line = usage; line; line = strchr(line, '\n')) {
		const char *at = strstr(line, cli->command);
		_free_ char *verb = NULL;

		if (line != usage)
			line = at ? at + strlen(cli->command) + 1 : line + 1;
		verb = strndup(line, strcspn(line, " \n"));
		if (verb)
			complete_offer(c, verb, NULL);
	}
}

/* BEFORE: how many there are already. */
static void
offer_word(const struct cli *cli, const struct complete *c, const struct options_spec *spec,
	   size_t before)
{
	const char *usage = spec->usage;

	if (spec == &cli_globals || strcmp(usage, "[COMMAND]") == 0) {
		if (before == 0)
			offer_commands(c);
	} else if (islower((unsigned char)usage[0])) {
		offer_verbs(cli, c, usage);
	} else if (names_word(usage, "ID")) {
		if (before == 0 || strstr(usage, "ID..."))
			complete_ids(cli, c);
	} else if (names_word(usage, "CLASS") && before == 0) {
		complete_classes(cli, c);
	} else if (names_word(usage, "FILE") && before == 0) {
		leave(c, "files");
	}
}

/* ---- where the cursor is */

int
complete_words(struct cli *cli, const struct options_spec *spec, int *argc, char ***argv)
{
	const struct options_def *d = NULL;
	const char *value = NULL, *last = (*argv)[*argc - 1];
	struct complete c = {last, 0, last};
	bool options = true;
	size_t before = 0;

	for (int i = 1; i < *argc - 1; i++) {
		const char *word = (*argv)[i];

		if (options && strcmp(word, "--") == 0) {
			options = false;
		} else if (options && word[0] == '-' && word[1]) {
			d = valued(spec, word, &value);
			if (d && !value && ++i == *argc - 1)
				goto of_option;
		} else {
			before++;
			if (!spec->stop_at_word)
				continue;
			if (strstr(spec->usage, "ARGUMENT")) {
				out_printf("\tcommand\t%d\n", *argc - i);
				return OPTIONS_E_HELP;
			}
			*argc -= i;
			*argv += i;
			return 0;
		}
	}
	d = options ? valued(spec, last, &value) : NULL;
	if (d && value) {
		c.head_len = (size_t)(value - last);
		c.word = value;
		goto of_option;
	}
	if (options && last[0] == '-')
		offer_options(&c, spec);
	else if (strstr(spec->usage, "ARGUMENT"))
		out_puts("\tcommand\t1\n");
	else
		offer_word(cli, &c, spec, before);
	return OPTIONS_E_HELP;
of_option:
	offer_value(cli, &c, d->arg);
	return OPTIONS_E_HELP;
}
