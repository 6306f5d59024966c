/* txn.c - one loop iteration, one transaction, see txn.h.
 *
 * The commit runs in an ev_prepare watcher, which libev calls right before it would sleep. An
 * effect may cause new writes (a start that failed is put back): so commit and effects alternate
 * until nothing is left, a bounded number of times; beyond that a zero timer wakes the loop again.
 * SQLITE_BUSY from the commit (an outside reader in the way) keeps the transaction and its effects,
 * and a timer tries again; meanwhile later iterations join it. */
#include <errno.h>
#include <ev.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/txn.h"
#include "store/store.h"

enum { TXN_ROUNDS = 8 };
#define TXN_BUSY_RETRY 0.005
#define TXN_LINGER 0.001
#define TXN_BUSY_MOST INT64_C(5000000000) /* ns until a busy commit is given up */

struct txn {
	struct ev_loop *loop;
	struct store *store; /* not owned */
	const struct txn_ops *ops;
	void *arg;
	struct list replies, effects;
	ev_prepare prepare;
	ev_timer wake;  /* something is left to do: do not sleep */
	ev_timer retry; /* busy commit */
	struct mono busy_since;
	ev_timer linger; /* nobody waits for what is written: something more may come along */
	bool lazy, urgent;
	bool busy, ok;
	bool spoiled; /* the open transaction must not be committed */
	struct log_rate rate;
};

/* Replies first: a client waits for the commit, not for what the daemon does because of it. */
static void
run_all(struct list *effects, int result)
{
	struct list *l;

	while ((l = list_pop(effects))) {
		struct effect *fx = list_entry(l, struct effect, link);

		fx->run(fx, result);
	}
}

static void
run_effects(struct txn *t, int result)
{
	struct list replies = LIST_INIT(replies), effects = LIST_INIT(effects);

	list_splice(&replies, &t->replies);
	list_splice(&effects, &t->effects);
	run_all(&replies, result);
	if (result == 0)
		CRASH_COMMIT_STAGE(CRASH_ANSWERED);
	run_all(&effects, result);
}

static void
set_ok(struct txn *t, bool ok)
{
	if (t->ok == ok)
		return;
	t->ok = ok;
	if (t->ops->storage)
		t->ops->storage(t->arg, ok);
}

static void
fail(struct txn *t, int r)
{
	set_ok(t, false);
	if (log_rate_ok(&t->rate, 5))
		log_err("the database could not be written (%s): the requests of this moment are "
			"refused, running "
			"jobs go on, continuing to try",
			strerror(-r));
	store_rollback(t->store);
	t->spoiled = false;
	t->ops->failed(t->arg);
	run_effects(t, r);
}

/* The database answers BUSY: wait on a timer. 0 = waiting, else give up. */
static int
wait_busy(struct txn *t)
{
	if (!t->busy)
		t->busy_since = mono_now();
	t->busy = true;
	if (mono_diff(mono_now(), t->busy_since).ns > TXN_BUSY_MOST)
		return -EBUSY;
	ev_timer_stop(t->loop, &t->retry);
	ev_timer_set(&t->retry, TXN_BUSY_RETRY, 0.);
	ev_timer_start(t->loop, &t->retry);
	return 0;
}

static int
write_out(struct txn *t)
{
	struct mono before = mono_now();
	int r;

	CRASH_COMMIT_STAGE(CRASH_COMMIT_NEXT);
	r = store_commit(t->store);
	if (t->ops->committed && r != -EBUSY)
		t->ops->committed(t->arg, mono_diff(mono_now(), before).ns, r);
	return r;
}

static void
commit(struct txn *t)
{
	int r = store_poisoned(t->store) || t->spoiled ? -ECANCELED : 0;
	bool changed = store_changed(t->store);

	if (!r && store_in_txn(t->store))
		r = write_out(t);
	if (r == -EBUSY && wait_busy(t) == 0)
		return;
	t->busy = t->lazy = t->urgent = false;
	ev_timer_stop(t->loop, &t->retry);
	ev_timer_stop(t->loop, &t->linger);
	if (r < 0) {
		fail(t, r);
		return;
	}
	if (changed) /* that something could be read, or looked for, says nothing */
		set_ok(t, true);
	CRASH_COMMIT_STAGE(CRASH_COMMITTED);
	run_effects(t, 0);
	CRASH_COMMIT_STAGE(CRASH_DONE);
}

static bool
idle(const struct txn *t)
{
	return list_empty(&t->replies) && list_empty(&t->effects) && !store_in_txn(t->store) &&
	       !store_poisoned(t->store) && !t->spoiled;
}

/* Only what can wait is in the transaction: for a moment it does, to share a commit. */
static bool
lingers(struct txn *t)
{
	if (!t->lazy || t->urgent || store_poisoned(t->store) || t->spoiled)
		return false;
	if (!ev_is_active(&t->linger)) {
		ev_timer_set(&t->linger, TXN_LINGER, 0.);
		ev_timer_start(t->loop, &t->linger);
	}
	return true;
}

static void
settle(struct txn *t)
{
	for (int i = 0; i < TXN_ROUNDS; i++) {
		t->ops->before(t->arg);
		if (lingers(t))
			return;
		if (idle(t)) {
			if (i > 0)
				t->ops->settled(t->arg);
			return;
		}
		commit(t);
		if (t->busy)
			return;
	}
	if (!idle(t))
		ev_timer_start(t->loop, &t->wake);
}

static void
txn_on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct txn *t = container_of(w, struct txn, prepare);

	(void)loop, (void)revents;
	if (!ev_is_active(&t->retry))
		settle(t);
}

static void
txn_on_wake(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)w, (void)revents; /* the prepare watcher does the work */
}

static void
txn_on_linger(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct txn *t = container_of(w, struct txn, linger);

	(void)loop, (void)revents;
	t->urgent = true;
}

int
txn_new(struct ev_loop *loop, struct store *s, const struct txn_ops *ops, void *arg,
	struct txn **ret)
{
	struct txn *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*t = (struct txn){.loop = loop, .store = s, .ops = ops, .arg = arg, .ok = true};
	list_init(&t->replies);
	list_init(&t->effects);
	ev_prepare_init(&t->prepare, txn_on_prepare);
	ev_timer_init(&t->wake, txn_on_wake, 0., 0.);
	ev_init(&t->retry, txn_on_wake);
	ev_init(&t->linger, txn_on_linger);
	ev_prepare_start(loop, &t->prepare);
	*ret = t;
	return 0;
}

struct txn *
txn_free(struct txn *t)
{
	if (!t)
		return NULL;
	ev_timer_stop(t->loop, &t->retry);
	for (int i = 0; i < TXN_ROUNDS && !idle(t); i++) {
		t->busy = false;
		commit(t);
	}
	if (!idle(t)) /* still busy: nothing of it happened */
		fail(t, -EBUSY);
	ev_timer_stop(t->loop, &t->retry);
	ev_timer_stop(t->loop, &t->linger);
	ev_timer_stop(t->loop, &t->wake);
	ev_prepare_stop(t->loop, &t->prepare);
	free(t);
	return NULL;
}

int
txn_write(struct txn *t, const char *where)
{
	int r;

	if (store_poisoned(t->store) || t->spoiled)
		return -ECANCELED;
	if (store_in_txn(t->store))
		return 0;
	r = store_begin(t->store, where);
	if (r < 0)
		set_ok(t, false);
	if (r < 0 && log_rate_ok(&t->rate, 5))
		log_warn("the database cannot be written now (%s), continuing", strerror(-r));
	return r;
}

void
txn_defer(struct txn *t, struct effect *fx)
{
	t->urgent = true;
	list_append(&t->effects, &fx->link);
}

void
txn_defer_lazy(struct txn *t, struct effect *fx)
{
	t->lazy = true;
	list_append(&t->effects, &fx->link);
}

void
txn_defer_reply(struct txn *t, struct effect *fx)
{
	t->urgent = true;
	list_append(&t->replies, &fx->link);
}

void
txn_spoil(struct txn *t)
{
	t->spoiled = true;
}

bool
txn_ok(const struct txn *t)
{
	return t->ok;
}
