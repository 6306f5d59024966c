/* server.h - what the files of daemon/api share: the server object and its limits. */
#ifndef CTXD_API_SERVER_H
#define CTXD_API_SERVER_H

#include <ev.h>

#include "api/api.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"

struct account_table;
struct audit;
struct conn;
struct follow;
struct journal_read_table;
struct listener;
struct lookup_table;
struct user_table;

enum {
	API_LISTENERS_MAX = 8,
	API_CALLS_PER_WAKE = 64,        /* calls of one connection before others get their turn */
	API_CALLS_PER_LOOK = 8,         /* between looks at the clock */
	API_BYTES_PER_WAKE = 256 << 10, /* and bytes read */
	API_OUT_LOW = 64 << 10, /* with more than this unsent, a connection is not served further */
	API_READ_AHEAD = 64 << 10, /* input kept while a call waits */
	API_SCRATCH = 64 << 10,
	API_OUT_FACTOR = 8,   /* times max_message: unsent bytes of one connection */
	API_USER_FACTOR = 64, /* times max_message: buffers of all connections of one uid */
	API_STALL_SEC = 60,   /* a peer that takes nothing for so long is cut off */
	API_SLICE_MS = 5,     /* of one iteration for calls that go on by themselves */
};

#define API_TURN_SEC                                                                               \
	0.02 /* of one iteration for calls, all connections together; each gets a few in any case  \
	      */

struct api {
	struct ev_loop *loop;
	struct engine *engine;
	const char *version;
	bool system_mode;
	uid_t own_uid;
	int (*reload)(void *arg, bool dry, api_change_fn fn, void *fn_arg, struct refusal *r);
	void (*config)(void *arg, api_setting_fn fn, void *fn_arg);
	void *arg;

	struct listener *listeners[API_LISTENERS_MAX]; /* owned */
	size_t n_listeners;
	struct list conns;
	size_t n_conns;
	struct lookup_table *lookups;       /* owned */
	struct user_table *users;           /* owned */
	struct account_table *accounts;     /* owned */
	struct follow *follow;              /* owned */
	struct audit *audit;                /* owned */
	struct journal_read_table *journal; /* owned */
	struct map ties;                    /* of struct tie, by job: see ties.h */
	struct list again;  /* connections with something to do in the next iteration */
	ev_idle again_idle; /* keeps the loop from sleeping while there are any */
	char *scratch;      /* owned, API_SCRATCH bytes: what a read goes into */
	bool stopping;
	bool checking; /* CTXD_CHECK=1 */
	struct log_rate rate;
};

/* Serve C in the next iteration; nothing when it is noted already. Legal at any time, also from
 * effects. */
void api_again(struct api *a, struct conn *c);
/* A connection was closed: descriptors are free again. */
void api_on_closed(struct api *a);
/* Largest request now. */
size_t api_max_message(const struct api *a);
/* Walk everything and assert, when checking is on. */
void api_check(const struct api *a);

#endif
