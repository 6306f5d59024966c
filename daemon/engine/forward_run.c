/* forward_run.c - when it is whose turn to send, see forward.h: when the loop has nothing else to
 * do, and in any case twenty times a second. When too long nothing is certain to have been read,
 * sending stops until it is. */
#include "base/clock.h"
#include "base/mem.h"
#include "engine/forward.h"
#include "engine/impl.h"
#include "exec/journal_link.h"

#define TURN_SEC 0.05 /* a turn in this time, whatever else there is to do */
#define TICK_MOST 0.5
#define SLOW_SEC 1.0
#define UNSURE_MOST (INT64_C(1) * NSEC_PER_SEC)
enum { SAVE_EVERY = 5 /* slow ticks */ };

static bool
held_back(const struct forward *f)
{
	return f->blocked || (!list_empty(&f->unsure) && f->unsure_ns > 0 &&
			      mono_now().ns - f->unsure_ns > UNSURE_MOST);
}

void
forward_tick(struct forward *f)
{
	if (ev_is_active(&f->tick) || (list_empty(&f->changed) && list_empty(&f->unsure) &&
				       (list_empty(&f->finished) || f->finishing)))
		return;
	ev_timer_set(&f->tick, list_empty(&f->changed) ? f->tick_after : FORWARD_TICK_SEC, 0.);
	ev_timer_start(f->engine->loop, &f->tick);
}

static void
tick_soon(struct forward *f)
{
	f->tick_after = FORWARD_TICK_SEC;
	ev_timer_stop(f->engine->loop, &f->tick);
	forward_tick(f);
}

void
forward_arm(struct forward *f)
{
	struct ev_loop *loop = f->engine->loop;

	if (list_empty(&f->ready) || held_back(f)) {
		ev_idle_stop(loop, &f->idle);
		ev_timer_stop(loop, &f->turn);
	} else if (!ev_is_active(&f->idle)) {
		ev_idle_start(loop, &f->idle);
		ev_timer_again(loop, &f->turn);
	}
	forward_tick(f);
}

void
forward_again(void *arg)
{
	struct forward *f = arg;

	f->blocked = false;
	forward_arm(f);
}

/* ---- turns */

static void
take_turn(struct forward *f)
{
	struct list *l = list_pop(&f->ready);
	struct forward_job *e;

	if (!l)
		return;
	e = list_entry(l, struct forward_job, link);
	forward_unsure(f, e);
	switch (forward_turn(f, e)) {
	case FORWARD_MORE:
		list_append(&f->ready, &e->link);
		break;
	case FORWARD_IDLE:
		if (forward_watch(f, e))
			forward_wake(e);
		break;
	case FORWARD_BLOCKED:
		f->blocked = true;
		if (list_empty(&e->link)) /* on_lost may have done it */
			list_append(&f->ready, &e->link);
		break;
	case FORWARD_ALL:
		e->all_sent = true;
		break;
	case FORWARD_GONE:
		forward_drop(e);
		forward_look_again(f);
		return;
	}
	forward_sure(e);
	if (e->all_sent && list_empty(&e->unsure))
		forward_finished(f, e);
}

static void
on_idle(struct ev_loop *loop, ev_idle *w, int revents)
{
	struct forward *f = container_of(w, struct forward, idle);

	(void)revents;
	if (held_back(f))
		forward_confirm(f);
	if (!held_back(f))
		take_turn(f);
	else
		tick_soon(f);
	ev_timer_again(loop, &f->turn);
	forward_arm(f);
}

static void
on_turn(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct forward *f = container_of(w, struct forward, turn);

	on_idle(loop, &f->idle, revents);
}

static void
on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct forward *f = container_of(w, struct forward, tick);
	struct list *l;

	(void)loop, (void)revents;
	f->tick_after = f->tick_after * 2 < TICK_MOST ? f->tick_after * 2 : TICK_MOST;
	forward_confirm(f);
	forward_finish_some(f);
	while ((l = list_pop(&f->changed))) {
		struct forward_job *e = list_entry(l, struct forward_job, link);

		forward_unwatch(e);
		list_append(&f->ready, &e->link);
	}
	forward_arm(f);
}

/* Lines that have not got their end for a second are sent without. */
static void
on_slow(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct forward *f = container_of(w, struct forward, slow);

	(void)revents;
	for (struct map_node *n = map_next(&f->jobs, NULL); n; n = map_next(&f->jobs, n)) {
		struct forward_job *e = container_of(n, struct forward_job, node);

		if (e->unwritten)
			forward_write_round(f, e);
		else if ((e->stream[0].held || e->stream[1].held) && list_empty(&e->link))
			forward_ready(f, e);
	}
	if (++f->slow_n % SAVE_EVERY == 0)
		forward_save(f->engine);
	forward_load_some(f);
	if (f->jobs.n == 0 && !f->more)
		ev_timer_stop(loop, w);
}

void
forward_run_init(struct forward *f)
{
	f->tick_after = FORWARD_TICK_SEC;
	ev_idle_init(&f->idle, on_idle);
	ev_set_priority(&f->idle, EV_MINPRI);
	ev_init(&f->turn, on_turn);
	f->turn.repeat = TURN_SEC;
	ev_init(&f->tick, on_tick);
	ev_init(&f->slow, on_slow);
	f->slow.repeat = SLOW_SEC;
}

void
forward_run_done(struct forward *f)
{
	ev_idle_stop(f->engine->loop, &f->idle);
	ev_timer_stop(f->engine->loop, &f->turn);
	ev_timer_stop(f->engine->loop, &f->tick);
	ev_timer_stop(f->engine->loop, &f->slow);
}
