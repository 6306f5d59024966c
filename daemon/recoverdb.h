/* recoverdb.h - ctxd --recover-db. */
#ifndef CTXD_RECOVERDB_H
#define CTXD_RECOVERDB_H

struct place;
struct ctx_err;

/* Make a new database out of a damaged one, and tell on standard output what was saved. The
 * directories of P are taken (locked). 0, or negative errno with E (its codes are those of
 * store_open). */
int recoverdb(const struct place *p, struct ctx_err *e);

#endif
