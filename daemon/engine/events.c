/* events.c - see impl.h. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
void
events_changed(struct engine *g)
{
	(void)g;
}
void
events_committed(struct engine *g)
{
	(void)g;
}
int
engine_events(struct engine *g, const struct requester *who, const struct store_event_filter *f,
	      store_event_fn fn, void *arg, uint64_t *ret_next, struct refusal *r)
{
	(void)who, (void)r;
	return store_events(g->store, f, fn, arg, ret_next);
}
void
engine_listener_add(struct engine *g, struct engine_listener *l)
{
	(void)g, (void)l;
}
void
engine_listener_remove(struct engine_listener *l)
{
	(void)l;
}
