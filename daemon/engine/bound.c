/* bound.c - jobs that end with the connection of their client.
 *
 * A bound job without its client is *missing*: in the map g->missing, with the moment at which that
 * counts. A connection that ends does so at once. After a start of ctxd all bound jobs are missing,
 * and their clients have `[daemon] reattach` to come back: it was ctxd that went away, not they.
 *
 * A job stays in the map until its row says that it is being stopped, or over: so a cancel that
 * could not be written is tried again. */
#include <errno.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/tree.h"

enum { GONE_PER_TURN = 64, BLOCK = 256 };
#define LOOK_AGAIN 0.05 /* after a cancel: is it in the row? */
#define LATE_NS (100 * NSEC_PER_MSEC)
#define PUT_OFF 0.25

struct missing {
	struct map_node node;
	int64_t due_ns; /* CLOCK_BOOTTIME */
};

static void
arm(struct engine *g, double after)
{
	ev_timer_stop(g->loop, &g->reattach);
	if (g->stopping || g->missing.n == 0)
		return;
	g->reattach_ns = mono_now().ns + (int64_t)(after * 1e9);
	ev_timer_set(&g->reattach, after, 0.);
	ev_timer_start(g->loop, &g->reattach);
}

/* The machine, or ctxd alone, has stood still: clients that came back meanwhile wait to be accepted
 * and read, while the loop calls timers first. They are given a moment, once. */
static bool
stood_still(struct engine *g, int64_t now_ns)
{
	g->reattach_late = !g->reattach_late && now_ns - g->reattach_ns > LATE_NS;
	return g->reattach_late;
}

static void
forget(struct engine *g, struct missing *m)
{
	map_remove(&g->missing, &m->node);
	free(m);
}

static int
add(struct engine *g, uint64_t id, int64_t due_ns)
{
	struct map_node *n = map_find(&g->missing, id);
	struct missing *m = n ? container_of(n, struct missing, node) : calloc(1, sizeof(*m));

	if (!m)
		return err_raise(-ENOMEM, "note that a client is gone");
	m->due_ns = due_ns;
	if (!n && map_insert(&g->missing, id, &m->node) < 0) {
		free(m);
		return err_raise(-ENOMEM, "note that a client is gone");
	}
	return 0;
}

/* ---- gone */

/* 0: canceled now; 1: nothing is to be done (any more); negative errno. */
static int
cancel(struct engine *g, uint64_t id)
{
	struct why why = {CAUSE_CLIENT_GONE, "the client it was bound to went away", -1};
	struct job *j = NULL;
	int r = store_job_get(g->store, id, &j);

	if (r < 0)
		return err_pass(r);
	if (r != 0 || j->state == JOB_STOPPING || job_state_ended(j->state)) {
		(void)job_free(j);
		return 1;
	}
	r = control_cancel(g, j, &why, false, NULL);
	return r < 0 ? err_pass(r) : 0;
}

/* When to look again, in seconds, at those that are not due yet. */
static double
next_due(const struct engine *g, int64_t now_ns)
{
	int64_t first = INT64_MAX;

	for (struct map_node *n = map_next(&g->missing, NULL); n; n = map_next(&g->missing, n)) {
		const struct missing *m = container_of(n, struct missing, node);

		if (m->due_ns < first)
			first = m->due_ns;
	}
	return first > now_ns ? (double)(first - now_ns) / 1e9 + 0.001 : LOOK_AGAIN;
}

static void
bound_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, reattach);
	int64_t now_ns = mono_now().ns;
	struct map_node *n, *next;
	int r = 0, canceled = 0;

	(void)loop, (void)revents;
	if (g->stopping)
		return;
	if (stood_still(g, now_ns)) {
		arm(g, PUT_OFF);
		return;
	}
	for (n = map_next(&g->missing, NULL); n && r >= 0 && canceled < GONE_PER_TURN; n = next) {
		struct missing *m = container_of(n, struct missing, node);

		next = map_next(&g->missing, n);
		if (m->due_ns > now_ns)
			continue;
		r = cancel(g, n->key);
		if (r == 0)
			canceled++;
		else if (r > 0)
			forget(g, m);
	}
	arm(g, r < 0 ? STORAGE_RETRY_SEC : next_due(g, now_ns));
}

void
engine_client_gone(struct engine *g, uint64_t id)
{
	int64_t now_ns = mono_now().ns;

	if (g->stopping)
		return;
	if (add(g, id, now_ns) == 0)
		arm(g, LOOK_AGAIN);
	if (cancel(g, id) == 1)
		bound_forget(g, id);
}

/* ---- back */

void
bound_forget(struct engine *g, uint64_t id)
{
	struct map_node *n = map_find(&g->missing, id);

	if (!n)
		return;
	forget(g, container_of(n, struct missing, node));
	if (g->missing.n == 0)
		ev_timer_stop(g->loop, &g->reattach);
}

void
engine_client_back(struct engine *g, uint64_t id)
{
	if (map_find(&g->missing, id))
		engine_log_about(g, LOG_LVL_DEBUG, id, "job=%ju its client is back", (uintmax_t)id);
	bound_forget(g, id);
}

/* ---- */

void
bound_init(struct engine *g)
{
	ev_init(&g->reattach, bound_on_timer);
}

void
bound_done(struct engine *g)
{
	struct map_node *n;

	ev_timer_stop(g->loop, &g->reattach);
	while ((n = map_next(&g->missing, NULL)))
		forget(g, container_of(n, struct missing, node));
	map_done(&g->missing);
}

int
bound_load(struct engine *g)
{
	int64_t due_ns = mono_add(mono_now(), dur_usec(g->policy->reattach_us)).ns;
	uint64_t ids[BLOCK], after = 0;
	size_t n = 0;

	do {
		int r = store_bound(g->store, after, ids, ARRAY_SIZE(ids), &n);

		for (size_t i = 0; i < n && r == 0; i++) {
			r = add(g, ids[i], due_ns);
			after = ids[i];
		}
		if (r < 0)
			return err_pass(r);
	} while (n == ARRAY_SIZE(ids));
	if (g->missing.n > 0) {
		log_info("%zu jobs are bound to clients that have %.3g s to come back",
			 g->missing.n, (double)g->policy->reattach_us / 1e6);
		arm(g, next_due(g, mono_now().ns));
	}
	return 0;
}
