/* test_engine_txn.c - engine/txn.c against a real store: when the database counts as one that can
 * be written. */
#include "engine/impl.h"
#include "store_fixture.h"

static struct engine eng;
static int told; /* how often the storage was said to have changed */

static void
nothing(void *arg)
{
	(void)arg;
}

static void
on_storage(void *arg, bool ok)
{
	(void)arg, (void)ok;
	told++;
}

static const struct txn_ops ops = {
	.before = nothing, .failed = nothing, .settled = nothing, .storage = on_storage};

static void
setup(void)
{
	dir_new();
	told = 0;
	eng = (struct engine){.store = store_must_open(), .started_us = T0};
	eng.loop = ev_loop_new(0);
	need(eng.loop);
	need(txn_new(eng.loop, eng.store, &ops, &eng, &eng.txn) == 0);
}

static void
teardown(void)
{
	eng.txn = txn_free(eng.txn);
	eng.store = store_close(eng.store);
	ev_loop_destroy(eng.loop);
}

static void
iteration(void)
{
	(void)ev_run(eng.loop, EVRUN_NOWAIT);
	ok(!store_in_txn(eng.store));
}

/* As retention does each minute: it looks, in a transaction, for what is old, and finds nothing. */
TEST(a_transaction_that_changed_nothing_does_not_prove_that_the_database_can_be_written)
{
	setup();
	ok(txn_ok(eng.txn));
	need(txn_write(eng.txn, "t") == 0);
	txn_spoil(eng.txn);
	iteration();
	ok(!txn_ok(eng.txn));
	is_int(told, 1);
	need(txn_write(eng.txn, "t") == 0);
	ok(!store_changed(eng.store));
	iteration();
	ok(!txn_ok(eng.txn)); /* nothing was written */
	need(txn_write(eng.txn, "t") == 0 && store_probe(eng.store) == 0);
	ok(store_changed(eng.store));
	iteration();
	ok(txn_ok(eng.txn));
	is_int(told, 2);
	teardown();
}

/* The number of a start is written with the commit. */
TEST(a_number_that_was_taken_is_a_change)
{
	uint64_t seq;

	setup();
	ok(!store_changed(eng.store));
	need(txn_write(eng.txn, "t") == 0 && store_seq_next(eng.store, &seq) == 0);
	ok(store_changed(eng.store));
	iteration();
	ok(!store_changed(eng.store));
	teardown();
}
