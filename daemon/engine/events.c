/* events.c - history for readers, and who is told that there is more of it.
 *
 * Listeners are told by an effect of the commit, ahead of what the daemon does because of it, so
 * that what they read is committed. An iteration that only took in progress has nothing to commit;
 * the effect makes it one that has something to tell. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
#include "engine/tell.h"

/* Once each; one that is removed by another, or is added by one, is not told. */
static void
tell(struct engine *g)
{
	struct list told = LIST_INIT(told), *it;

	list_splice(&told, &g->listeners);
	while ((it = list_pop(&told))) {
		struct engine_listener *l = list_entry(it, struct engine_listener, link);

		list_append(&g->listeners, it);
		l->on_change(l);
	}
}

static void
changed_run(struct effect *fx, int result)
{
	struct engine *g = container_of(fx, struct engine, changed_fx);

	g->changed = false;
	if (result == 0)
		tell(g);
}

void
events_init(struct engine *g)
{
	list_init(&g->listeners);
	g->changed_fx.run = changed_run;
}

void
events_changed(struct engine *g)
{
	if (g->changed || list_empty(&g->listeners))
		return;
	g->changed = true;
	txn_defer_reply(g->txn, &g->changed_fx); /* somebody waits for it */
}

int
engine_events(struct engine *g, const struct requester *who, const struct store_event_filter *f,
	      store_event_fn fn, void *arg, uint64_t *ret_next, struct refusal *r)
{
	struct store_event_filter mine = *f;
	int e;

	(void)r;
	*ret_next = 0;
	if (!query_narrow(g, who, &mine.has_uid, &mine.uid))
		return 0;
	e = store_events(g->store, &mine, fn, arg, ret_next);
	return e < 0 ? err_pass(e) : e;
}

void
engine_listener_add(struct engine *g, struct engine_listener *l)
{
	list_append(&g->listeners, &l->link);
}

void
engine_listener_remove(struct engine_listener *l)
{
	list_unlink(&l->link);
}
