/* forward.c - whose output is sent to the journal, when, and what is known of how far it came; see
 * forward.h.
 *
 * A job with something to send is *ready*; each turn sends a piece of one of them (forward_turn.c),
 * when the loop has nothing else to do, or twenty times a second. A job of which all was sent is
 * watched; when its file changes it waits a moment (`changed`), so that a job that writes all the
 * time wakes nobody all the time.
 *
 * What was sent and not yet read lies in the socket's queue, and would be lost with it: it is
 * `unsure`, and only what is not is written down. When too long nothing is sure, sending stops
 * until all was read. */
#include "engine/forward.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/journal.h"
#include "base/log.h"
#include "engine/impl.h"
#include "engine/live.h"
#include "exec/journal_link.h"
#include "exec/journal_read.h"

#define FORWARD_MAGIC UINT32_C(0x66776a62)
#define TURN_SEC 0.05 /* a turn in this time, whatever else there is to do */
#define TICK_SEC 0.02
#define TICK_MOST 0.5
#define SLOW_SEC 1.0
#define UNSURE_MOST (INT64_C(1) * NSEC_PER_SEC)
enum {
	OVER_MAX = 1000, /* jobs that are over in memory */
	LOAD_MAX = 200,  /* at a time */
	FINISH_MAX = 64, /* in one transaction */
	SAVE_EVERY = 5,  /* slow ticks */
	/* Below journald's default of 10000 entries in 30 s, for all that a user runs. */
	USER_BURST = 5000,
	USER_PER_SEC = 150,
};

struct finished_fx {
	struct effect fx;
	struct forward *forward;
	size_t n;
	struct {
		uint64_t id;
		uint32_t attempt;
	} v[FINISH_MAX];
};

struct written_fx {
	struct effect fx;
	struct forward *forward;
	uint64_t id;
	uint32_t attempt;
};

/* ---- what is to be done when */

static bool
held_back(const struct forward *f)
{
	return f->blocked || (!list_empty(&f->unsure) && f->unsure_ns > 0 &&
			      mono_now().ns - f->unsure_ns > UNSURE_MOST);
}

static void
tick_arm(struct forward *f)
{
	if (ev_is_active(&f->tick) || (list_empty(&f->changed) && list_empty(&f->unsure) &&
				       (list_empty(&f->finished) || f->finishing)))
		return;
	ev_timer_set(&f->tick, list_empty(&f->changed) ? f->tick_after : TICK_SEC, 0.);
	ev_timer_start(f->engine->loop, &f->tick);
}

static void
tick_soon(struct forward *f)
{
	f->tick_after = TICK_SEC;
	ev_timer_stop(f->engine->loop, &f->tick);
	tick_arm(f);
}

static void
arm(struct forward *f)
{
	struct ev_loop *loop = f->engine->loop;

	if (list_empty(&f->ready) || held_back(f)) {
		ev_idle_stop(loop, &f->idle);
		ev_timer_stop(loop, &f->turn);
	} else if (!ev_is_active(&f->idle)) {
		ev_idle_start(loop, &f->idle);
		ev_timer_again(loop, &f->turn);
	}
	tick_arm(f);
}

static void
unwatch(struct forward_job *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(e->watch); i++)
		follow_remove(e->forward->follow, &e->watch[i]);
}

static void
wake(struct forward_job *e)
{
	CHECK_MAGIC(e, FORWARD_MAGIC);
	if (!list_empty(&e->link))
		return;
	list_append(&e->forward->changed, &e->link);
	tick_arm(e->forward);
}

static void
on_change_out(struct follow_watch *w)
{
	wake(container_of(w, struct forward_job, watch[0]));
}

static void
on_change_err(struct follow_watch *w)
{
	wake(container_of(w, struct forward_job, watch[1]));
}

static void
make_ready(struct forward *f, struct forward_job *e)
{
	unwatch(e);
	list_unlink(&e->link);
	list_append(&f->ready, &e->link);
	arm(f);
}

/* ---- a job in memory */

static void
set_over(struct forward_job *e, bool over)
{
	if (e->over == over)
		return;
	e->over = over;
	e->forward->n_over = over ? e->forward->n_over + 1 : e->forward->n_over - 1;
}

static void
forget(struct forward_job *e)
{
	set_over(e, false);
	unwatch(e);
	list_unlink(&e->link);
	list_unlink(&e->unsure);
	map_remove(&e->forward->jobs, &e->node);
	e->magic = 0;
	free(e);
}

/* Begin with the attempt that ROW is of; OVER: it is. */
static void
take_row(struct forward_job *e, const struct store_forward *row, bool over)
{
	set_over(e, over);
	e->attempt = row->attempt;
	e->keep = row->keep;
	e->all_sent = e->dirty = e->unwritten = false;
	for (size_t i = 0; i < ARRAY_SIZE(e->stream); i++)
		e->stream[i] = (struct forward_stream){.sent = row->stream[i].at,
						       .safe = row->stream[i].at,
						       .round = row->stream[i].round};
}

static struct forward_job *
find(const struct forward *f, uint64_t id)
{
	struct map_node *n = f ? map_find(&f->jobs, id) : NULL;

	return n ? container_of(n, struct forward_job, node) : NULL;
}

/* 0 or -ENOMEM. */
static int
remember(struct forward *f, const struct store_forward *row, bool over)
{
	struct forward_job *e = calloc(1, sizeof(*e));

	if (!e || map_insert(&f->jobs, row->job, &e->node) < 0) {
		free(e);
		return err_raise(-ENOMEM, "follow the output of a job");
	}
	e->magic = FORWARD_MAGIC;
	e->forward = f;
	e->id = row->job;
	list_init(&e->link);
	list_init(&e->unsure);
	e->watch[0].on_change = on_change_out;
	e->watch[1].on_change = on_change_err;
	for (size_t i = 0; i < ARRAY_SIZE(e->watch); i++)
		list_init(&e->watch[i].link);
	take_row(e, row, over);
	make_ready(f, e);
	if (!ev_is_active(&f->slow))
		ev_timer_again(f->engine->loop, &f->slow);
	return 0;
}

/* Is the attempt of ROW over, or its job gone? Or negative errno. */
static int
is_over(const struct forward *f, const struct store_forward *row)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r = store_job_get(f->engine->store, row->job, &j);

	if (r != 0)
		return r < 0 ? err_pass(r) : 1;
	return job_state_ended(j->state) || j->attempt > row->attempt;
}

/* More of those that wait in the database, while there is room. */
static void
load_some(struct forward *f)
{
	uint64_t ids[LOAD_MAX], from = f->cursor;
	struct store_forward row;
	size_t n = 0;
	int r;

	if (!f->more || f->n_over > OVER_MAX / 2)
		return;
	r = store_forward_jobs(f->engine->store, f->cursor, ids, ARRAY_SIZE(ids), &n);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (!find(f, ids[i])) {
			r = store_forward_first(f->engine->store, ids[i], &row);
			if (r == 0)
				r = is_over(f, &row);
			if (r >= 0)
				r = remember(f, &row, r > 0);
		}
		f->cursor = ids[i];
	}
	if (r == 0 && n < ARRAY_SIZE(ids)) {
		f->more = from > 0; /* those before that were not looked at in this walk */
		f->cursor = 0;
	}
}

/* Some may be known to the database alone. */
static void
look_again(struct forward *f)
{
	f->more = true;
	if (!ev_is_active(&f->slow))
		ev_timer_again(f->engine->loop, &f->slow);
}

/* ---- what the journal has for certain */

/* E is about to send. */
static void
note_unsure(struct forward *f, struct forward_job *e)
{
	if (!list_empty(&e->unsure))
		return;
	if (list_empty(&f->unsure)) {
		f->unsure_ns = mono_now().ns;
		f->tick_after = TICK_SEC;
	}
	list_append(&f->unsure, &e->unsure);
}

/* It may have sent nothing. */
static void
note_sure(struct forward_job *e)
{
	bool sure = true;

	for (size_t i = 0; i < ARRAY_SIZE(e->stream); i++)
		sure &= e->stream[i].safe == e->stream[i].sent;
	if (sure)
		list_unlink(&e->unsure);
}

static void
finished(struct forward *f, struct forward_job *e)
{
	unwatch(e);
	list_unlink(&e->link);
	list_append(&f->finished, &e->link);
}

static void
confirm(struct forward *f)
{
	struct list *l;

	if (list_empty(&f->unsure) || !journal_link_taken(f->link))
		return;
	while ((l = list_pop(&f->unsure))) {
		struct forward_job *e = list_entry(l, struct forward_job, unsure);

		for (size_t i = 0; i < ARRAY_SIZE(e->stream); i++)
			e->stream[i].safe = e->stream[i].sent;
		e->dirty = true;
		if (e->all_sent)
			finished(f, e);
	}
	f->unsure_ns = 0;
}

/* The journal is gone, and with it what it had not read. */
static void
on_lost(void *arg)
{
	struct forward *f = arg;
	struct list *l;

	while ((l = list_pop(&f->unsure))) {
		struct forward_job *e = list_entry(l, struct forward_job, unsure);

		for (size_t i = 0; i < ARRAY_SIZE(e->stream); i++) {
			e->stream[i].sent = e->stream[i].safe;
			e->stream[i].held = false;
		}
		e->all_sent = false;
		unwatch(e);
		list_unlink(&e->link);
		list_append(&f->ready, &e->link);
	}
	f->unsure_ns = 0;
}

static void
on_link(void *arg)
{
	struct forward *f = arg;

	f->blocked = false;
	arm(f);
}

/* ---- places, written down */

static void
row_of(const struct forward_job *e, struct store_forward *ret)
{
	*ret = (struct store_forward){.job = e->id, .attempt = e->attempt, .keep = e->keep};
	for (size_t i = 0; i < ARRAY_SIZE(e->stream); i++) {
		ret->stream[i].at = e->stream[i].safe;
		ret->stream[i].round = e->stream[i].round;
	}
}

/* In the open transaction. If that fails the place in the row is only further behind. */
static int
save_one(struct forward *f, struct forward_job *e)
{
	struct store_forward row;

	row_of(e, &row);
	e->dirty = false;
	return store_forward_place(f->engine->store, &row);
}

void
forward_save(struct engine *g)
{
	struct forward *f = g->forward;
	int r = 0;

	if (!f)
		return;
	confirm(f);
	for (struct map_node *n = map_next(&f->jobs, NULL); n && r == 0;
	     n = map_next(&f->jobs, n)) {
		struct forward_job *e = container_of(n, struct forward_job, node);

		if (!e->dirty)
			continue;
		r = txn_write(g->txn, __func__);
		if (r == 0)
			r = save_one(f, e);
	}
	if (r < 0)
		(void)err_pass(r);
}

int
forward_ending(struct engine *g, uint64_t id)
{
	struct forward_job *e = find(g->forward, id);

	if (!e)
		return 0;
	confirm(g->forward);
	return e->dirty ? save_one(g->forward, e) : 0;
}

/* ---- attempts of which the journal has all */

/* What its files hold, and what counts for its user. */
static uint64_t
kept_bytes(const struct engine *g, const struct forward_job *e)
{
	static const enum output_stream streams[] = {OUTPUT_OUT, OUTPUT_ERR};
	uint64_t sum = 0;

	for (size_t i = 0; i < ARRAY_SIZE(streams); i++) {
		_close_ int fd = output_open(g->output, e->id, e->attempt, streams[i]);
		uint64_t bytes = 0, dropped = 0;

		if (fd >= 0 && output_measure(fd, &bytes, &dropped) == 0)
			sum += bytes - (dropped < bytes ? dropped : bytes);
	}
	return sum;
}

/* Its next attempt, if that waits to be sent, too. */
static void
go_on(struct forward *f, struct forward_job *e)
{
	struct store_forward row;
	int r = store_forward_first(f->engine->store, e->id, &row);

	if (r == 0) {
		r = is_over(f, &row);
		if (r >= 0) {
			take_row(e, &row, r > 0);
			make_ready(f, e);
			return;
		}
	}
	if (r < 0)
		look_again(f);
	forget(e);
}

static void
finished_run(struct effect *fx, int result)
{
	struct finished_fx *x = container_of(fx, struct finished_fx, fx);
	struct forward *f = x->forward;

	f->finishing = false;
	for (size_t i = 0; i < x->n && result == 0; i++) {
		struct forward_job *e = find(f, x->v[i].id);

		if (!e || e->attempt != x->v[i].attempt)
			continue; /* pruned meanwhile */
		if (!e->keep)
			(void)output_remove(f->engine->output, e->id, e->attempt);
		go_on(f, e);
	}
	load_some(f);
	f->tick_after = result < 0 ? STORAGE_RETRY_SEC : TICK_SEC;
	arm(f);
	free(x);
}

static int
write_finished(struct forward *f, struct finished_fx *x)
{
	struct engine *g = f->engine;
	int r = txn_write(g->txn, __func__);

	list_for_each (l, &f->finished) {
		const struct forward_job *e = list_entry(l, struct forward_job, link);
		struct store_forward row;

		if (r < 0 || x->n == ARRAY_SIZE(x->v))
			break;
		row_of(e, &row);
		r = store_forward_done(g->store, &row, e->keep ? 0 : kept_bytes(g, e));
		x->v[x->n].id = e->id;
		x->v[x->n++].attempt = e->attempt;
	}
	return r;
}

static void
finish_some(struct forward *f)
{
	struct finished_fx *x;

	if (list_empty(&f->finished) || f->finishing)
		return;
	x = calloc(1, sizeof(*x));
	if (!x || write_finished(f, x) < 0) { /* later */
		free(x);
		f->tick_after = STORAGE_RETRY_SEC;
		return;
	}
	x->fx.run = finished_run;
	x->forward = f;
	f->finishing = true;
	txn_defer(f->engine->txn, &x->fx);
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
	note_unsure(f, e);
	switch (forward_turn(f, e)) {
	case FORWARD_MORE:
		list_append(&f->ready, &e->link);
		break;
	case FORWARD_IDLE:
		if (forward_watch(f, e))
			wake(e);
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
		forget(e);
		look_again(f);
		return;
	}
	note_sure(e);
	if (e->all_sent && list_empty(&e->unsure))
		finished(f, e);
}

static void
on_idle(struct ev_loop *loop, ev_idle *w, int revents)
{
	struct forward *f = container_of(w, struct forward, idle);

	(void)revents;
	if (held_back(f))
		confirm(f);
	if (!held_back(f))
		take_turn(f);
	else
		tick_soon(f);
	ev_timer_again(loop, &f->turn);
	arm(f);
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
	confirm(f);
	finish_some(f);
	while ((l = list_pop(&f->changed))) {
		struct forward_job *e = list_entry(l, struct forward_job, link);

		unwatch(e);
		list_append(&f->ready, &e->link);
	}
	arm(f);
}

/* ---- now and then */

static void
written_run(struct effect *fx, int result)
{
	struct written_fx *x = container_of(fx, struct written_fx, fx);
	struct forward_job *e = find(x->forward, x->id);

	if (e && e->attempt == x->attempt && result == 0) {
		e->unwritten = false;
		if (list_empty(&e->link))
			make_ready(x->forward, e);
	}
	free(x);
}

/* E was cut off by its job: its row is to say so before anything else of it is sent. */
static void
write_round(struct forward *f, struct forward_job *e)
{
	struct written_fx *x = calloc(1, sizeof(*x));
	int r = x ? txn_write(f->engine->txn, __func__) : -ENOMEM;

	if (r == 0)
		r = save_one(f, e);
	if (r < 0) { /* in a second */
		free(x);
		return;
	}
	*x = (struct written_fx){.forward = f, .id = e->id, .attempt = e->attempt};
	x->fx.run = written_run;
	txn_defer(f->engine->txn, &x->fx);
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
			write_round(f, e);
		else if ((e->stream[0].held || e->stream[1].held) && list_empty(&e->link))
			make_ready(f, e);
	}
	if (++f->slow_n % SAVE_EVERY == 0)
		forward_save(f->engine);
	load_some(f);
	if (f->jobs.n == 0 && !f->more)
		ev_timer_stop(loop, w);
}

/* ---- for the rest of the engine */

static void
name_store(const struct engine *g, char name[static 33])
{
	const uint8_t *uuid = store_uuid(g->store);

	for (size_t i = 0; i < 16; i++)
		(void)snprintf(name + 2 * i, 3, "%02x", uuid[i]);
}

static int
forward_need(struct engine *g)
{
	struct forward *f;

	if (g->forward)
		return 0;
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_raise(-ENOMEM, "send output to the journal");
	f->engine = g;
	f->tick_after = TICK_SEC;
	list_init(&f->ready);
	list_init(&f->changed);
	list_init(&f->unsure);
	list_init(&f->finished);
	ev_idle_init(&f->idle, on_idle);
	ev_set_priority(&f->idle, EV_MINPRI);
	ev_init(&f->turn, on_turn);
	f->turn.repeat = TURN_SEC;
	ev_init(&f->tick, on_tick);
	ev_init(&f->slow, on_slow);
	f->slow.repeat = SLOW_SEC;
	f->piece = malloc(FORWARD_PIECE);
	f->follow = follow_new(g->loop);
	f->link = journal_link_new(g->loop, journal_socket(), on_link, on_lost, f);
	name_store(g, f->store_id);
	if (!f->piece || !f->follow || !f->link) {
		(void)forward_free(f);
		return err_raise(-ENOMEM, "send output to the journal");
	}
	/* The system's unit is exempt from journald's limit, that of a user cannot be. */
	if (!g->system_mode && strcmp(journal_socket(), JOURNAL_SOCKET) == 0)
		journal_link_pace(f->link, USER_PER_SEC, USER_BURST);
	g->forward = f;
	return 0;
}

struct forward *
forward_free(struct forward *f)
{
	struct map_node *n;

	if (!f)
		return NULL;
	while ((n = map_next(&f->jobs, NULL)))
		forget(container_of(n, struct forward_job, node));
	map_done(&f->jobs);
	ev_idle_stop(f->engine->loop, &f->idle);
	ev_timer_stop(f->engine->loop, &f->turn);
	ev_timer_stop(f->engine->loop, &f->tick);
	ev_timer_stop(f->engine->loop, &f->slow);
	f->link = journal_link_free(f->link);
	f->follow = follow_free(f->follow);
	free(f->piece);
	free(f);
	return NULL;
}

/* Said when it is configured, not with each job. */
void
forward_policy(struct engine *g)
{
	int r;

	if (g->policy->output_to == OUTPUT_TO_FILE)
		return;
	r = journal_link_look(journal_socket());
	if (r < 0)
		log_warn("[output] to asks for the journal, but %s takes nothing (%s): output "
			 "stays in the files until it does, continuing",
			 journal_socket(), strerror(-r));
}

static int
load_running(struct engine *g)
{
	struct store_forward row;
	int r = 0;

	for (struct map_node *n = map_next(&g->live, NULL); n && r >= 0;
	     n = map_next(&g->live, n)) {
		r = store_forward_first(g->store, n->key, &row);
		if (r == 0)
			r = remember(g->forward, &row, false);
	}
	return r < 0 ? r : 0;
}

int
forward_load(struct engine *g)
{
	uint64_t n;
	int r = store_forward_count(g->store, &n);

	forward_policy(g);
	if (r < 0 || n == 0)
		return r;
	r = forward_need(g);
	if (r == 0)
		r = load_running(g);
	if (r == 0) {
		look_again(g->forward);
		load_some(g->forward);
	}
	return r;
}

int
forward_row(struct engine *g, const struct job *j)
{
	struct store_forward row = {.job = j->id,
				    .attempt = j->attempt,
				    .keep = g->policy->output_to == OUTPUT_TO_BOTH};
	int r;

	if (g->policy->output_to == OUTPUT_TO_FILE) /* of an attempt begun before, maybe */
		return g->forward ? store_forward_drop(g->store, j->id, j->attempt) : 0;
	r = forward_need(g);
	return r == 0 ? store_forward_add(g->store, &row) : r;
}

void
forward_started(struct engine *g, const struct job *j)
{
	struct forward_job *e = find(g->forward, j->id);
	struct store_forward row;
	int r;

	if (!g->forward)
		return;
	r = store_forward_first(g->store, j->id, &row);
	if (e && (r != 0 || e->attempt == row.attempt)) { /* that never ran */
		forget(e);
		e = NULL;
	}
	if (r == 0 && !e)
		r = remember(g->forward, &row, row.attempt < j->attempt);
	if (r < 0)
		look_again(g->forward);
}

void
forward_over(struct engine *g, uint64_t id, uint32_t attempt)
{
	struct forward *f = g->forward;
	struct forward_job *e = find(f, id);

	if (!e || e->over || e->attempt != attempt)
		return;
	if (f->n_over >= OVER_MAX) { /* when there is room again */
		look_again(f);
		forget(e);
		return;
	}
	set_over(e, true);
	if (list_empty(&e->link))
		make_ready(f, e);
}

void
forward_forget(struct engine *g, uint64_t id)
{
	struct forward_job *e = find(g->forward, id);

	if (e)
		forget(e);
}

bool
forward_ok(struct engine *g, uint64_t *ret_waiting)
{
	bool there =
		g->policy->output_to == OUTPUT_TO_FILE || journal_link_look(journal_socket()) == 0;

	*ret_waiting = 0;
	if (!g->forward)
		return there;
	if (store_forward_count(g->store, ret_waiting) < 0)
		*ret_waiting = g->forward->jobs.n;
	return there && journal_link_ok(g->forward->link);
}

int
engine_journaled(struct engine *g, const struct job *j, bool err, struct journal_query *ret)
{
	struct store_forward f;
	int r = store_forward_get(g->store, j->id, j->attempt, &f);

	if (r != 0 || !f.done)
		return r < 0 ? err_pass(r) : 0;
	*ret = (struct journal_query){.job = j->id,
				      .attempt = j->attempt,
				      .round = f.stream[err].round,
				      .stream = forward_stream_name(j, err),
				      .bytes = err ? j->err_bytes : j->out_bytes};
	name_store(g, ret->store_id);
	return 1;
}
