/* lookup.h - questions to the name service, which may hang: each is asked by a short-lived child
 * (this program again, see lookup_main) with a time limit, a few at a time; who comes later waits
 * in line.
 */
#ifndef CTXD_API_LOOKUP_H
#define CTXD_API_LOOKUP_H

#include <stddef.h>

struct buf;
struct ev_loop;
struct lookup;
struct lookup_table;

enum { LOOKUPS_MAX = 8, LOOKUP_ARG_MAX = 256 };
#define LOOKUP_UID "--lookup-uid"         /* name, home, shell of a number */
#define LOOKUP_ACCOUNT "--lookup-account" /* see account.h */

/* ANSWER: what the child wrote, whatever it is; NULL: it could not be started, wrote too much, or
 * took too long. Called once, from the loop. */
typedef void (*lookup_fn)(void *arg, const struct buf *answer);

/* PROGRAM answers `OPTION ARG`: "/proc/self/exe" in ctxd. 0 or -ENOMEM. */
int lookup_table_new(struct ev_loop *loop, const char *program, struct lookup_table **ret);
/* For questions asked from now on, instead of two seconds. */
void lookup_set_limit(struct lookup_table *t, double seconds);
/* Kills the children; nobody is told. Returns NULL. */
struct lookup_table *lookup_table_free(struct lookup_table *t);
/* Ask, when its turn comes; OPTION is a literal, ANSWER_MAX bytes are kept at most. The result is
 * valid until FN is called, only to be given to lookup_forget; NULL on ENOMEM. */
struct lookup *lookup_new(struct lookup_table *t, const char *option, const char *text,
			  size_t answer_max, lookup_fn fn, void *arg);
/* FN will not be called. */
void lookup_forget(struct lookup *l);

/* The child: argv is { PROGRAM, OPTION, ARG }. Is it one? */
int lookup_is_child(int argc, char **argv);
/* Writes the answer, each of its parts with a NUL. Exit status. */
int lookup_main(int argc, char **argv);

#endif
