/* control_queue.c - the queue stands still, as a whole or a class of it, or takes nothing new:
 * because administrators say so, until they say otherwise, across restarts. What runs goes on. */
#include <string.h>

#include "base/err.h"
#include "engine/impl.h"
#include "engine/queue.h"
#include "engine/tell.h"

static int
take(void *arg, enum store_control kind, const char *class_name)
{
	struct engine *g = arg;

	if (kind == STORE_DRAIN)
		g->paused.drain = true;
	else if (!*class_name)
		g->paused.all = true;
	else
		return strv_add(&g->paused.classes, class_name);
	return 0;
}

int
control_queue_load(struct engine *g)
{
	int r;

	g->paused.all = g->paused.drain = false;
	strv_done(&g->paused.classes);
	g->lanes.paused = &g->paused.classes;
	r = store_control_each(g->store, take, g);
	sched_kick(g);
	return r < 0 ? err_pass(r) : 0;
}

bool
control_queue_stands(const struct engine *g)
{
	return g->draining || g->paused.all || g->paused.drain;
}

bool
control_queue_refuses(const struct engine *g)
{
	return g->draining || g->paused.drain;
}

bool
control_queue_paused(const struct engine *g, const char *class_name)
{
	return control_queue_stands(g) || lanes_paused(&g->lanes, class_name);
}

/* ---- said */

static int
check_class(struct engine *g, const char *class_name, struct refusal *r)
{
	if (!class_name || policy_class_known(g->policy, class_name) ||
	    lanes_class(&g->lanes, class_name) || lanes_paused(&g->lanes, class_name))
		return 0;
	return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "class",
			   "there is no such class in the configuration");
}

static int
say(struct engine *g, const struct requester *who, enum store_control kind, const char *class_name)
{
	int r = txn_write(g->txn, __func__);

	if (!r)
		r = store_control_set(g->store, kind, class_name, wall_to_usec(wall_now()),
				      who->uid);
	return r ? r : control_queue_load(g);
}

static int
unsay(struct engine *g, enum store_control kind, const char *class_name)
{
	int r = txn_write(g->txn, __func__);

	return r ? r : store_control_clear(g->store, kind, class_name);
}

int
engine_pause(struct engine *g, const struct requester *who, const char *class_name,
	     struct refusal *r)
{
	int e = check_class(g, class_name, r);

	if (e)
		return e;
	e = say(g, who, STORE_PAUSE, class_name ? class_name : "");
	if (e < 0)
		return err_pass(e);
	log_job_later(g, LOG_LVL_NOTICE, 0, "paused by uid=%u: %s", who->uid,
		      class_name ? class_name : "everything");
	return 0;
}

int
engine_resume(struct engine *g, const struct requester *who, const char *class_name,
	      struct refusal *r)
{
	struct strv classes = {0};
	int e = check_class(g, class_name, r);

	if (e)
		return e;
	if (class_name) {
		e = unsay(g, STORE_PAUSE, class_name);
	} else {
		e = strv_copy(&classes, &g->paused.classes);
		for (const char *s = strv_first(&classes); s && e == 0; s = strv_next(&classes, s))
			e = unsay(g, STORE_PAUSE, s);
		e = e ? e : unsay(g, STORE_PAUSE, "");
		e = e ? e : unsay(g, STORE_DRAIN, "");
	}
	strv_done(&classes);
	e = e ? e : control_queue_load(g);
	if (e < 0)
		return err_pass(e);
	events_changed(g); /* whoever waits for the end of a drain */
	log_job_later(g, LOG_LVL_NOTICE, 0, "resumed by uid=%u: %s", who->uid,
		      class_name ? class_name : "everything");
	return 0;
}

int
engine_drain(struct engine *g, const struct requester *who)
{
	int e = say(g, who, STORE_DRAIN, "");

	if (e < 0)
		return err_pass(e);
	log_job_later(
		g, LOG_LVL_NOTICE, 0,
		"draining, said uid=%u: nothing is accepted or started any more, what runs goes "
		"on",
		who->uid);
	return 0;
}

bool
engine_drains(const struct engine *g)
{
	return control_queue_refuses(g);
}

void
engine_queue_each(const struct engine *g, void (*fn)(void *arg, const char *class_name), void *arg,
		  bool *ret_all, bool *ret_drain)
{
	*ret_all = g->paused.all;
	*ret_drain = g->paused.drain;
	for (const char *s = strv_first(&g->paused.classes); s;
	     s = strv_next(&g->paused.classes, s))
		fn(arg, s);
}
