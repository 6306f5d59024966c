/* store_swap.h - a new database takes the place of a damaged one. For store_recover.c only.
 *
 * The names change in this order, each step synced. A state in between is refused by store_open
 * ("is missing, but its WAL is there") and finished here:
 *   ctxd.db.new, closed and synced, becomes ctxd.db.recovered     nothing else has changed yet
 *   ctxd.db, ctxd.db-wal get a second name, ctxd.db.damaged-...   the same
 *   ctxd.db-wal becomes one without content, which SQLite ignores (made if there was none)
 *   ... but before that ctxd.db goes: a database is never seen without its own WAL
 *   ctxd.db.recovered becomes ctxd.db; the empty WAL goes
 * All return 0 or -errno. */
#ifndef CTXD_STORE_STORE_SWAP_H
#define CTXD_STORE_STORE_SWAP_H

#include <stdbool.h>
#include <stdint.h>

enum { STORE_SWAP_NAME = 64 };

/* The first step: STORE_NEW_FILE, which nobody has open, is complete. */
int store_swap_complete(int dirfd);
/* The second one: the second name of the damaged one is in NAME. */
int store_swap_keep(int dirfd, int64_t now_us, char name[STORE_SWAP_NAME]);
/* All others. */
int store_swap(int dirfd);

/* A run that died after the first of those left the new one complete. */
bool store_swap_half_done(int dirfd);
/* The rest of it then. */
int store_swap_finish(int dirfd);

/* Removes what a run left that got no further than the second step. */
void store_swap_tidy(int dirfd);

#endif
