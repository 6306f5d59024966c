/* forward_place.c - how much of the output the journal has, as far as is certain; and how that is
 * written down, see forward.h.
 *
 * What was sent and not yet read lies in the socket's queue, and would be lost with it: its job is
 * `unsure`. All of them become sure when the queue is empty; when the journal goes, they begin anew
 * where they were sure last. */
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/err.h"
#include "base/mem.h"
#include "engine/forward.h"
#include "engine/impl.h"
#include "exec/journal_link.h"

enum { FINISH_MAX = 64 /* in one transaction */ };

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

/* ---- what the journal has for certain */

/* E is about to send. */
void
forward_unsure(struct forward *f, struct forward_job *e)
{
	if (!list_empty(&e->unsure))
		return;
	if (list_empty(&f->unsure)) {
		f->unsure_ns = mono_now().ns;
		f->tick_after = FORWARD_TICK_SEC;
	}
	list_append(&f->unsure, &e->unsure);
}

/* It may have sent nothing. */
void
forward_sure(struct forward_job *e)
{
	bool sure = true;

	for (size_t i = 0; i < ARRAY_SIZE(e->stream); i++)
		sure &= e->stream[i].safe == e->stream[i].sent;
	if (sure)
		list_unlink(&e->unsure);
}

void
forward_finished(struct forward *f, struct forward_job *e)
{
	forward_unwatch(e);
	list_unlink(&e->link);
	list_append(&f->finished, &e->link);
}

void
forward_confirm(struct forward *f)
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
			forward_finished(f, e);
	}
	f->unsure_ns = 0;
	CRASH_POINT("ctxd.lines.taken");
}

/* The journal is gone, and with it what it had not read. */
void
forward_lost(void *arg)
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
		forward_unwatch(e);
		list_unlink(&e->link);
		list_append(&f->ready, &e->link);
	}
	f->unsure_ns = 0;
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
	CRASH_COMMIT("ctxd.place");
	return store_forward_place(f->engine->store, &row);
}

void
forward_save(struct engine *g)
{
	struct forward *f = g->forward;
	int r = 0;

	if (!f)
		return;
	forward_confirm(f);
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
	struct forward_job *e = forward_find(g->forward, id);

	if (!e)
		return 0;
	forward_confirm(g->forward);
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
		r = forward_is_over(f, &row);
		if (r >= 0) {
			forward_take(e, &row, r > 0);
			forward_ready(f, e);
			return;
		}
	}
	if (r < 0)
		forward_look_again(f);
	forward_drop(e);
}

static void
finished_run(struct effect *fx, int result)
{
	struct finished_fx *x = container_of(fx, struct finished_fx, fx);
	struct forward *f = x->forward;

	f->finishing = false;
	for (size_t i = 0; i < x->n && result == 0; i++) {
		struct forward_job *e = forward_find(f, x->v[i].id);

		if (!e || e->attempt != x->v[i].attempt)
			continue; /* pruned meanwhile */
		if (!e->keep)
			(void)output_remove(f->engine->output, e->id, e->attempt);
		go_on(f, e);
	}
	forward_load_some(f);
	f->tick_after = result < 0 ? STORAGE_RETRY_SEC : FORWARD_TICK_SEC;
	forward_arm(f);
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
		CRASH_COMMIT("ctxd.forwarded");
		r = store_forward_done(g->store, &row, e->keep ? 0 : kept_bytes(g, e));
		x->v[x->n].id = e->id;
		x->v[x->n++].attempt = e->attempt;
	}
	return r;
}

void
forward_finish_some(struct forward *f)
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

/* ---- cut off */

static void
written_run(struct effect *fx, int result)
{
	struct written_fx *x = container_of(fx, struct written_fx, fx);
	struct forward_job *e = forward_find(x->forward, x->id);

	if (e && e->attempt == x->attempt && result == 0) {
		e->unwritten = false;
		if (list_empty(&e->link))
			forward_ready(x->forward, e);
	}
	free(x);
}

/* E was cut off by its job: its row is to say so before anything else of it is sent. */
void
forward_write_round(struct forward *f, struct forward_job *e)
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
