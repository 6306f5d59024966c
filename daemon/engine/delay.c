/* delay.c - queued jobs that must not start before a moment: they are in no lane until it comes.
 *
 * The moment is the wall clock's, for it outlives the machine. One that is farther off than any
 * delay may be shows that the clock was set back: then it has come, too. The timer looks again at
 * least once a minute, so that a clock that is set, or a suspend, costs no more than that. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/queue.h"

enum { DUE_PER_TURN = 64 };
#define LOOK_AGAIN 60.0 /* seconds */
#define SOON 0.001

static void
arm(struct engine *g, double after)
{
	ev_timer_stop(g->loop, &g->delayed);
	if (g->stopping)
		return;
	ev_timer_set(&g->delayed, after, 0.);
	ev_timer_start(g->loop, &g->delayed);
}

void
delay_arm(struct engine *g)
{
	double after, least = txn_ok(g->txn) ? SOON : STORAGE_RETRY_SEC;
	int64_t us = 0;

	if (store_delayed_next(g->store, &us) != 0) {
		ev_timer_stop(g->loop, &g->delayed);
		return;
	}
	after = (double)(us - wall_to_usec(wall_now())) / 1e6;
	arm(g, after < least ? least : after > LOOK_AGAIN ? LOOK_AGAIN : after);
}

static int
due(struct engine *g, uint64_t id)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r = store_job_get(g->store, id, &j);

	if (r != 0)
		return err_fold(r);
	if (j->state != JOB_QUEUED || j->not_before_us == 0)
		return 0;
	j->not_before_us = 0;
	return lifecycle_waits(g, j, true);
}

static void
delay_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, delayed);
	uint64_t ids[DUE_PER_TURN];
	size_t n = 0;
	int r = store_delayed_due(g->store, wall_to_usec(wall_now()), RETRY_BACKOFF_MOST_US, ids,
				  ARRAY_SIZE(ids), &n);

	(void)loop, (void)revents;
	for (size_t i = 0; i < n && r == 0; i++)
		r = due(g, ids[i]);
	if (r < 0)
		arm(g, STORAGE_RETRY_SEC);
	else
		delay_arm(g);
}

void
delay_init(struct engine *g)
{
	ev_init(&g->delayed, delay_on_timer);
}

void
delay_done(struct engine *g)
{
	ev_timer_stop(g->loop, &g->delayed);
}
