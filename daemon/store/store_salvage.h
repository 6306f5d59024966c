/* store_salvage.h - reading a table of which parts cannot be read, and a whole database of such
 * tables. For daemon/store only. */
#ifndef CTXD_STORE_STORE_SALVAGE_H
#define CTXD_STORE_STORE_SALVAGE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

struct store;
struct store_recover_options;

enum {
	SALVAGE_GAPS = 16,
	SALVAGE_LOST = 0xff /* what pages that hold nothing are filled with */
};

struct store_salvage {
	const char *table; /* with an INTEGER PRIMARY KEY as its first column */
	uint64_t known;    /* highest rowid that can be in it; 0: not known */
	/* results */
	uint64_t saved;
	uint64_t bad;    /* rows that were read and are none: refused by the new table */
	uint64_t max;    /* highest rowid saved */
	uint64_t unread; /* rowids that could not be looked at: so many rows at most */
	struct {
		uint64_t from, to;
	} gaps[SALVAGE_GAPS]; /* where they are; the last one goes on over more */
	unsigned n_gaps;
	bool open_end;   /* what followed MAX cannot be read, and nothing tells how much that is */
	bool table_gone; /* it cannot be read at all */
};

/* Copy the rows of the table from FROM into TO, which has the same table, empty. 0, or negative
 * errno: TO cannot be written. What cannot be read is no error. */
int store_salvage(sqlite3 *from, sqlite3 *to, struct store_salvage *s);

/* store_rebuild.c: fill TO, an empty database of schema VERSION, with what can be read of FROM;
 * bring it to the schema of today, make anew what is derived, and raise what must never be given
 * twice. 0; STORE_REBUILD_NOTHING: nothing could be read; or negative errno. */
enum { STORE_REBUILD_NOTHING = 1 };
int store_rebuild(struct store *to, sqlite3 *from, uint32_t version,
		  const struct store_recover_options *o);

#endif
