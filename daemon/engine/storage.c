/* storage.c - can the database be written? When a write has failed, a small one is tried every
 * second until one goes well: so that the end of the trouble is noticed, and told, also when
 * nobody asks for anything. */
#include "base/err.h"
#include "base/log.h"
#include "engine/impl.h"

static void
storage_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, storage);
	int r = txn_write(g->txn, __func__);

	(void)loop, (void)revents;
	if (r == 0)
		r = store_probe(g->store);
	if (r < 0)
		(void)err_pass(r);
}

void
storage_changed(struct engine *g, bool ok)
{
	ev_timer_stop(g->loop, &g->storage);
	if (ok)
		log_info("the database can be written again");
	else if (!g->stopping)
		ev_timer_again(g->loop, &g->storage);
	if (g->on_storage)
		g->on_storage(g->on_storage_arg, ok);
}

void
storage_init(struct engine *g)
{
	ev_init(&g->storage, storage_on_timer);
	g->storage.repeat = STORAGE_RETRY_SEC;
}

void
storage_done(struct engine *g)
{
	ev_timer_stop(g->loop, &g->storage);
}
