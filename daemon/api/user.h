/* user.h - what is kept per uid: how much it holds of us, and its names of the name service.
 *
 * The name service is asked through lookup.h; answers are cached, failures too. */
#ifndef CTXD_API_USER_H
#define CTXD_API_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"

struct lookup;
struct lookup_table;
struct user_table;

enum { USER_CACHE_MAX = 1024 };

struct user {
	struct map_node node; /* key: uid */
	struct user_table *table;
	uint32_t uid;
	uint32_t refs;
	struct list idle; /* in the table's list of unreferenced ones, oldest first */
	size_t n_conns;   /* kept by conn */
	size_t bytes;     /* buffers of its connections, kept by conn */
	struct log_rate rate;
	char *name, *home, *shell; /* owned; NULL: not known */
	struct mono valid_until;   /* 0: never asked */
	struct lookup *lookup;     /* under way; owned, with a reference */
	struct list waiters;
};

struct user_wait {
	struct list link; /* list_init first; in no list: not waiting */
	void (*on_ready)(struct user_wait *w);
};

/* LOOKUPS is borrowed for life. 0 or -ENOMEM. */
int user_table_new(struct lookup_table *lookups, struct user_table **ret);
struct user_table *user_table_free(struct user_table *t); /* every reference must be gone */
/* A reference to the entry of UID; NULL on ENOMEM. */
struct user *user_get(struct user_table *t, uint32_t uid);
struct user *user_put(struct user *u); /* returns NULL */
/* True: the names are there (or known to be unknown). False: W is told later, from the loop. */
bool user_names(struct user *u, struct user_wait *w);
size_t user_table_size(const struct user_table *t);

#endif
