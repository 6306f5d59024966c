/* test_engine_events.c - who is told that there is more history: engine/events.c with txn.c,
 * against a real store. */
#include "core/policy.h"
#include "engine/impl.h"
#include "engine/tell.h"
#include "store_fixture.h"

static struct engine eng;

static void
nothing(void *arg)
{
	(void)arg;
}

static const struct txn_ops ops = {.before = nothing, .failed = nothing, .settled = nothing};

struct ear {
	struct engine_listener l;
	int told;
	struct ear *removes, *adds;
	bool in_txn; /* told while a transaction was open */
};

static void
on_change(struct engine_listener *l)
{
	struct ear *e = container_of(l, struct ear, l);

	e->told++;
	e->in_txn |= store_in_txn(eng.store);
	if (e->removes)
		engine_listener_remove(&e->removes->l);
	if (e->adds) {
		engine_listener_add(&eng, &e->adds->l);
		e->adds = NULL;
	}
}

static void
listen_with(struct ear *e)
{
	*e = (struct ear){.l.on_change = on_change};
	list_init(&e->l.link);
	engine_listener_add(&eng, &e->l);
}

static void
setup(void)
{
	dir_new();
	eng = (struct engine){.store = store_must_open()};
	eng.loop = ev_loop_new(0);
	need(eng.loop);
	events_init(&eng);
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
}

static void
write_something(void)
{
	uint64_t seq;

	need(txn_write(eng.txn, __func__) == 0 && store_seq_next(eng.store, &seq) == 0);
	events_changed(&eng);
}

TEST(once_after_each_commit)
{
	struct ear a, b;

	setup();
	write_something(); /* nobody listens */
	iteration();
	listen_with(&a);
	listen_with(&b);
	for (int i = 1; i <= 3; i++) {
		write_something();
		write_something();
		is_int(a.told, i - 1);
		iteration();
		is_int(a.told, i);
		is_int(b.told, i);
		iteration(); /* nothing new */
		is_int(a.told, i);
	}
	ok(!a.in_txn && !b.in_txn);
	engine_listener_remove(&a.l);
	engine_listener_remove(&a.l); /* twice is nothing */
	write_something();
	iteration();
	is_int(a.told, 3);
	is_int(b.told, 4);
	engine_listener_remove(&b.l);
	teardown();
}

TEST(also_when_nothing_was_written)
{
	struct ear a;

	setup();
	listen_with(&a);
	events_changed(&eng); /* progress that is not in the database yet */
	iteration();
	is_int(a.told, 1);
	engine_listener_remove(&a.l);
	teardown();
}

TEST(not_of_what_was_rolled_back)
{
	struct ear a;

	setup();
	listen_with(&a);
	write_something();
	txn_spoil(eng.txn);
	iteration();
	is_int(a.told, 0);
	write_something();
	iteration();
	is_int(a.told, 1);
	engine_listener_remove(&a.l);
	teardown();
}

TEST(who_is_told_may_remove_itself_and_others_and_add)
{
	struct ear self, first, second, late = {.l.on_change = on_change};

	setup();
	list_init(&late.l.link);
	listen_with(&self);
	self.removes = &self;
	listen_with(&first);
	first.removes = &second;
	first.adds = &late;
	listen_with(&second);
	write_something();
	iteration();
	is_int(self.told, 1);
	is_int(first.told, 1);
	is_int(second.told, 0);
	is_int(late.told, 0); /* it has just read */
	write_something();
	iteration();
	is_int(self.told, 1);
	is_int(first.told, 2);
	is_int(second.told, 0);
	is_int(late.told, 1);
	engine_listener_remove(&first.l);
	engine_listener_remove(&late.l);
	ok(list_empty(&eng.listeners));
	teardown();
}
