/* complete.h - what a shell may offer at its cursor, from the tables that parse the words and print
 * the help: the options of options.h, their arguments, and the usage line of each command.
 *
 * One candidate a line on the standard output: the whole word, a tab, what it is. A line that
 * begins with a tab says what the shell is to look for itself: files, dirs, users, hosts (a tab,
 * and what stays in front of the word), or command (a tab, and how many of the last words are that
 * command and its arguments). */
#ifndef CTX_CLI_COMPLETE_H
#define CTX_CLI_COMPLETE_H

#include <stdbool.h>
#include <stddef.h>

struct cli;
struct options_spec;

/* In the place of parsing: the last of ARGC words is the one at the cursor. OPTIONS_E_HELP: what
 * can stand there was printed. 0: it is behind the first word, to which *ARGC and *ARGV have gone.
 */
int complete_words(struct cli *cli, const struct options_spec *spec, int *argc, char ***argv);

/* Offer CANDIDATE, if the word at the cursor begins so; TEXT may be NULL. */
struct complete;
void complete_offer(const struct complete *c, const char *candidate, const char *text);

/* complete_ask.c: what only ctxd knows. Nothing is said, nor waited for long, when it does not
 * answer. */
void complete_ids(const struct cli *cli, const struct complete *c);
void complete_names(const struct cli *cli, const struct complete *c);
void complete_classes(const struct cli *cli, const struct complete *c);

#endif
