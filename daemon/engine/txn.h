/* txn.h - one loop iteration, one transaction; effects only after the commit.
 *
 * The first write of an iteration opens the transaction (txn_write). An ev_prepare watcher commits
 * it before the loop sleeps and then runs the effects in order, with 0 or with the negative errno
 * of the failed commit. */
#ifndef CTXD_ENGINE_TXN_H
#define CTXD_ENGINE_TXN_H

#include <stdbool.h>

#include "base/list.h"

struct effect {
	struct list link;
	/* RESULT: 0 = committed (or nothing had to be); negative = nothing of this iteration
	 * happened. FX frees itself. */
	void (*run)(struct effect *fx, int result);
};

struct ev_loop;
struct store;
struct txn;

struct txn_ops {
	void (*before)(void *arg); /* ahead of each commit: the last writes of the iteration */
	void (*failed)(void *arg); /* a commit failed and was rolled back; the effects are told
				      after this */
	/* May be NULL: a commit took NS (mono), and went well (R 0) or not (negative errno). */
	void (*committed)(void *arg, int64_t ns, int r);
	/* May be NULL: writing begins to fail, or goes well again. It writes nothing itself. */
	void (*storage)(void *arg, bool ok);
	void (*settled)(void *arg); /* something was committed or told, and nothing is left to do */
};
int txn_new(struct ev_loop *loop, struct store *s, const struct txn_ops *ops, void *arg,
	    struct txn **ret);
struct txn *txn_free(struct txn *t); /* commits what is open, runs the effects */
/* Open the transaction unless it is. 0; -ECANCELED when this iteration is poisoned; -EBUSY and
 * others. */
int txn_write(struct txn *t, const char *where);
void txn_defer(struct txn *t, struct effect *fx);
/* The same, for what nobody waits for: if nothing else comes, the commit is put off for a
 * millisecond, in which it may. */
void txn_defer_lazy(struct txn *t, struct effect *fx);
void txn_defer_reply(struct txn *t, struct effect *fx); /* the same, but run ahead of all others */
/* What was written in this iteration does not belong together any more, though the database is in
 * order: its commit fails with -ECANCELED. */
void txn_spoil(struct txn *t);
bool txn_ok(const struct txn *t); /* the last attempt to write went well */

#endif
