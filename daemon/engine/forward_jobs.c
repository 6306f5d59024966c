/* forward_jobs.c - the jobs in memory whose output is sent, see forward.h: watched while there is
 * nothing to send, ready when there is. A job whose file changes waits a moment before it is ready,
 * so that one that writes all the time wakes nobody all the time. */
#include <errno.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "engine/forward.h"
#include "engine/impl.h"

#define FORWARD_MAGIC UINT32_C(0x66776a62)
enum {
	LOAD_MAX = 200, /* at a time */
};

void
forward_unwatch(struct forward_job *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(e->watch); i++)
		follow_remove(e->forward->follow, &e->watch[i]);
}

void
forward_wake(struct forward_job *e)
{
	CHECK_MAGIC(e, FORWARD_MAGIC);
	if (!list_empty(&e->link))
		return;
	list_append(&e->forward->changed, &e->link);
	forward_tick(e->forward);
}

static void
on_change_out(struct follow_watch *w)
{
	forward_wake(container_of(w, struct forward_job, watch[0]));
}

static void
on_change_err(struct follow_watch *w)
{
	forward_wake(container_of(w, struct forward_job, watch[1]));
}

void
forward_ready(struct forward *f, struct forward_job *e)
{
	forward_unwatch(e);
	list_unlink(&e->link);
	list_append(&f->ready, &e->link);
	forward_arm(f);
}

/* ---- a job in memory */

void
forward_set_over(struct forward_job *e, bool over)
{
	if (e->over == over)
		return;
	e->over = over;
	e->forward->n_over = over ? e->forward->n_over + 1 : e->forward->n_over - 1;
}

void
forward_drop(struct forward_job *e)
{
	forward_set_over(e, false);
	forward_unwatch(e);
	list_unlink(&e->link);
	list_unlink(&e->unsure);
	map_remove(&e->forward->jobs, &e->node);
	e->magic = 0;
	free(e);
}

/* Begin with the attempt that ROW is of; OVER: it is. */
void
forward_take(struct forward_job *e, const struct store_forward *row, bool over)
{
	forward_set_over(e, over);
	e->attempt = row->attempt;
	e->keep = row->keep;
	e->all_sent = e->dirty = e->unwritten = false;
	for (size_t i = 0; i < ARRAY_SIZE(e->stream); i++)
		e->stream[i] = (struct forward_stream){.sent = row->stream[i].at,
						       .safe = row->stream[i].at,
						       .round = row->stream[i].round};
}

struct forward_job *
forward_find(const struct forward *f, uint64_t id)
{
	struct map_node *n = f ? map_find(&f->jobs, id) : NULL;

	return n ? container_of(n, struct forward_job, node) : NULL;
}

/* 0 or -ENOMEM. */
int
forward_remember(struct forward *f, const struct store_forward *row, bool over)
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
	forward_take(e, row, over);
	forward_ready(f, e);
	if (!ev_is_active(&f->slow))
		ev_timer_again(f->engine->loop, &f->slow);
	return 0;
}

/* Is the attempt of ROW over, or its job gone? Or negative errno. */
int
forward_is_over(const struct forward *f, const struct store_forward *row)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r = store_job_get(f->engine->store, row->job, &j);

	if (r != 0)
		return r < 0 ? err_pass(r) : 1;
	return job_state_ended(j->state) || j->attempt > row->attempt;
}

/* More of those that wait in the database, while there is room. */
void
forward_load_some(struct forward *f)
{
	uint64_t ids[LOAD_MAX], from = f->cursor;
	struct store_forward row;
	size_t n = 0;
	int r;

	if (!f->more || f->n_over > FORWARD_OVER_MAX / 2)
		return;
	r = store_forward_jobs(f->engine->store, f->cursor, ids, ARRAY_SIZE(ids), &n);
	for (size_t i = 0; i < n && r == 0; i++) {
		if (!forward_find(f, ids[i])) {
			r = store_forward_first(f->engine->store, ids[i], &row);
			if (r == 0)
				r = forward_is_over(f, &row);
			if (r >= 0)
				r = forward_remember(f, &row, r > 0);
		}
		f->cursor = ids[i];
	}
	if (r == 0 && n < ARRAY_SIZE(ids)) {
		f->more = from > 0; /* those before that were not looked at in this walk */
		f->cursor = 0;
	}
}

/* Some may be known to the database alone. */
void
forward_look_again(struct forward *f)
{
	f->more = true;
	if (!ev_is_active(&f->slow))
		ev_timer_again(f->engine->loop, &f->slow);
}
