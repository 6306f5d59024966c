/* user.h - what is kept per uid: how much it holds of us, and its names of the name service.
 *
 * A name service may hang, so it is asked by a short-lived child (this program again, see
 * user_lookup_main) with a time limit; answers are cached, failures too. */
#ifndef CTXD_API_USER_H
#define CTXD_API_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"

struct ev_loop;
struct user_lookup;
struct user_table;

enum { USER_CACHE_MAX = 1024, USER_LOOKUPS_MAX = 8 };

struct user {
	struct map_node node; /* key: uid */
	struct user_table *table;
	uint32_t uid;
	uint32_t refs;
	struct list idle; /* in the table's list of unreferenced ones, oldest first */
	size_t n_conns;   /* kept by conn */
	size_t bytes;     /* buffers of its connections, kept by conn */
	struct log_rate rate;
	char *name, *home, *shell;  /* owned; NULL: not known */
	struct mono valid_until;    /* 0: never asked */
	struct user_lookup *lookup; /* under way */
	struct list waiters;
};

struct user_wait {
	struct list link; /* list_init first; in no list: not waiting */
	void (*on_ready)(struct user_wait *w);
};

/* PROGRAM answers `--lookup-uid N`: "/proc/self/exe" in ctxd. */
int user_table_new(struct ev_loop *loop, const char *program, struct user_table **ret);
struct user_table *user_table_free(struct user_table *t); /* every reference must be gone */
/* A reference to the entry of UID; NULL on ENOMEM. */
struct user *user_get(struct user_table *t, uint32_t uid);
struct user *user_put(struct user *u); /* returns NULL */
/* True: the names are there (or known to be unknown). False: W is told later, from the loop. */
bool user_names(struct user *u, struct user_wait *w);
size_t user_table_size(const struct user_table *t);

/* The child: argv is { PROGRAM, "--lookup-uid", N }. Writes name, home, shell, each with its NUL.
 * Exit status. */
int user_lookup_main(int argc, char **argv);

#endif
