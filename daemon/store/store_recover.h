/* store_recover.h - a new database out of what can be read of a damaged one: ctxd --recover-db.
 *
 * Nothing else may have the database open, and no ctxd may run on the directory (the caller holds
 * its lock). Until the new one is complete, checked and synced the old files are not touched; then
 * they get another name, in an order in which a death leaves either the old one, or one that is
 * refused and that a second run finishes. */
#ifndef CTXD_STORE_STORE_RECOVER_H
#define CTXD_STORE_STORE_RECOVER_H

#include <stdbool.h>
#include <stdint.h>

struct ctx_err;

enum { STORE_RECOVER_WHOLE = 1 }; /* nothing is wrong with it: nothing was done */

struct store_recover_options {
	const uint8_t *uuid; /* 16 bytes, for when that of the database cannot be read; NULL: make
				a new one */
	uint64_t id_floor, seq_floor; /* given out already, as other traces show */
	int64_t now_us;
	/* Does anything show that this attempt of a queued job was begun? AGAIN: it was found not
	 * to have run once, so an empty output file shows nothing. */
	bool (*begun)(void *arg, uint64_t id, uint32_t attempt, bool again);
	void (*say)(void *arg, const char *line); /* the report, for people */
	void *arg;
};

/* 0: DIR/ctxd.db is new, and the old one is kept as ctxd.db.damaged-<time>; STORE_RECOVER_WHOLE; or
 * negative errno with E (codes of store_open). */
int store_recover(const char *dir, const struct store_recover_options *o, struct ctx_err *e);

#endif
