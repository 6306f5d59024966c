/* depend.c - jobs that wait for others to end.
 *
 * A job can only wait for one that is there, so with a smaller id: a circle cannot be made. Who
 * waits is written beside the job; when a job is over, those that wait for it are looked at before
 * the commit, some at a time: one that ends because of that may have others waiting for it, however
 * many in a row. What a death leaves undone is found at the start. An interrupted job is not over
 * until somebody says what became of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/queue.h"

enum { PER_TURN = 256, PAGE = 64 };

enum judgement { MET, NEVER, NOT_YET };

/* What the end of J means for who needs NEED of it. */
static enum judgement
judge(const struct job *j, enum store_need need)
{
	const char *as = j->resolution_as;
	bool good = j->state == JOB_SUCCEEDED || j->state == JOB_CLOSED ||
		    (as && strcmp(as, "succeeded") == 0);

	if (!job_is_settled(j))
		return NOT_YET;
	if (need == STORE_NEED_ANY)
		return MET;
	return good == (need == STORE_NEED_OK) ? MET : NEVER;
}

static const char *
need_name(enum store_need need)
{
	return need == STORE_NEED_OK ? "ok" : need == STORE_NEED_FAILED ? "failed" : "any";
}

/* ---- asked for */

/* TEXT is ID or ID:NEED. 0 or -EINVAL. */
static int
parse(const char *text, uint64_t *ret_id, enum store_need *ret_need)
{
	const char *colon = strchr(text, ':');
	char id[24];
	size_t n = colon ? (size_t)(colon - text) : strlen(text);

	if (n == 0 || n >= sizeof(id))
		return -EINVAL;
	memcpy(id, text, n);
	id[n] = '\0';
	if (text_u64(id, ret_id) < 0 || *ret_id == 0 || *ret_id > INT64_MAX)
		return -EINVAL;
	*ret_need = STORE_NEED_OK;
	if (!colon || strcmp(colon, ":ok") == 0)
		return 0;
	*ret_need = strcmp(colon, ":any") == 0 ? STORE_NEED_ANY : STORE_NEED_FAILED;
	return strcmp(colon, ":any") == 0 || strcmp(colon, ":failed") == 0 ? 0 : -EINVAL;
}

static int
take_one(struct engine *g, const struct requester *who, const char *text, struct depend *d,
	 struct refusal *r)
{
	_cleanup_(job_freep) struct job *on = NULL;
	enum store_need need = STORE_NEED_OK;
	uint64_t id = 0;
	int e;

	if (parse(text, &id, &need) < 0)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "after",
				   "must be ID, ID:ok, ID:any or ID:failed");
	for (size_t i = 0; i < d->n; i++)
		if (d->on[i] == id)
			return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "after",
					   "job %" PRIu64 " is named twice", id);
	e = engine_fetch(g, who, id, &on, r);
	if (e)
		return e;
	switch (judge(on, need)) {
	case MET:
		return 0;
	case NEVER:
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "after",
				   "job %" PRIu64 " has ended already (%s), and not as asked (%s)",
				   id, job_state_name(on->state), need_name(need));
	case NOT_YET:
		break;
	}
	if (d->n == DEPEND_MAX)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "after", "more than %d jobs",
				   DEPEND_MAX);
	d->on[d->n] = id;
	d->need[d->n++] = need;
	return 0;
}

int
depend_take(struct engine *g, const struct requester *who, const struct submit_args *a,
	    struct job *j, struct depend *ret, struct refusal *r)
{
	int e = 0;

	ret->n = 0;
	for (const char *s = strv_first(&a->after); s && e == 0; s = strv_next(&a->after, s))
		e = take_one(g, who, s, ret, r);
	j->waits = (uint32_t)ret->n;
	return e;
}

int
depend_keep(struct engine *g, const struct job *j, const struct depend *d)
{
	int r = 0;

	for (size_t i = 0; i < d->n && r == 0; i++) {
		r = store_after_add(g->store, j->id, d->on[i], d->need[i]);
		g->depend.rows += r == 0;
	}
	return r < 0 ? err_pass(r) : 0;
}

int
depend_drop(struct engine *g, uint64_t id)
{
	uint64_t n = 0;
	int r = store_after_drop(g->store, id, &n);

	g->depend.rows -= n < g->depend.rows ? n : g->depend.rows;
	return r < 0 ? err_pass(r) : 0;
}

/* ---- somebody is over */

static void
soon(struct engine *g, double after)
{
	ev_timer_stop(g->loop, &g->depend.again);
	ev_timer_set(&g->depend.again, after, 0.);
	ev_timer_start(g->loop, &g->depend.again);
}

static void
depend_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)w, (void)revents; /* the commit that follows does the work */
}

void
depend_settled(struct engine *g, uint64_t id)
{
	if (g->depend.rows == 0)
		return;
	if (engine_ids_add(&g->depend.work, id) < 0)
		txn_spoil(g->txn); /* or nobody would look */
}

/* J waits for ON no more. Takes J. */
static int
met(struct engine *g, struct job *j, uint64_t on)
{
	int r = txn_write(g->txn, __func__);

	if (!r)
		r = store_after_met(g->store, j->id, on);
	if (!r) {
		g->depend.rows -= g->depend.rows > 0;
		j->waits -= j->waits > 0;
		r = lifecycle_waits(g, j, true);
	}
	(void)job_free(j);
	return r < 0 ? err_pass(r) : 0;
}

/* ON is NULL where its record is gone. */
static int
look_at(struct engine *g, uint64_t on_id, const struct job *on, const struct store_after *a)
{
	struct job *j = NULL;
	struct why why = {CAUSE_DEPENDENCY, NULL, -1};
	char text[128];
	int r = store_job_get(g->store, a->job, &j);

	if (r == STORE_E_NOT_FOUND || (r == 0 && (j->state != JOB_QUEUED || j->waits == 0))) {
		(void)job_free(j);
		r = txn_write(g->txn, __func__);
		return r < 0 ? err_pass(r) : depend_drop(g, a->job);
	}
	if (r != 0)
		return err_fold(r);
	if (on && judge(on, a->need) == MET)
		return met(g, j, on_id);
	(void)snprintf(text, sizeof(text), "job %" PRIu64 " %s, and %s was asked", on_id,
		       on ? job_state_name(on->state) : "is gone", need_name(a->need));
	why.text = text;
	return finish_job(g, j, JOB_CANCELED, &why);
}

/* Who waits for ID, at most LEFT of them. *RET_OVER: there are no more. */
static int
look_at_all(struct engine *g, uint64_t id, size_t *left, bool *ret_over)
{
	_cleanup_(job_freep) struct job *on = NULL;
	struct store_after v[PAGE];
	size_t n = 0;
	int r = store_job_get(g->store, id, &on);

	*ret_over = true;
	if (r != 0 && r != STORE_E_NOT_FOUND)
		return err_fold(r);
	if (on && !job_is_settled(on)) /* started anew meanwhile, or nobody knows */
		return 0;
	r = store_after_each(g->store, id, g->depend.after, v, *left < PAGE ? *left : PAGE, &n);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = look_at(g, id, on, &v[i]);
		g->depend.after = v[i].job;
	}
	*left -= n;
	*ret_over = n < PAGE;
	return r < 0 ? err_pass(r) : 0;
}

void
depend_run(struct engine *g)
{
	size_t left = PER_TURN;
	bool over;

	while (g->depend.next < g->depend.work.n && left > 0) {
		if (look_at_all(g, g->depend.work.v[g->depend.next], &left, &over) < 0) {
			txn_spoil(g->txn); /* depend_load looks for it again */
			soon(g, STORAGE_RETRY_SEC);
			return;
		}
		if (!over)
			continue;
		g->depend.next++;
		g->depend.after = 0;
	}
	if (g->depend.next < g->depend.work.n) {
		soon(g, 0.);
		return;
	}
	g->depend.work.n = g->depend.next = 0;
}

/* ---- the beginning and the end */

static int
add_work(void *arg, uint64_t id)
{
	return engine_ids_add(arg, id);
}

int
depend_load(struct engine *g)
{
	int r;

	g->depend.work.n = g->depend.next = 0;
	g->depend.after = 0;
	r = store_after_count(g->store, &g->depend.rows);
	if (r == 0 && g->depend.rows > 0)
		r = store_after_ended_each(g->store, add_work, &g->depend.work);
	if (r == 0 && g->depend.work.n > 0)
		soon(g, 0.);
	return r < 0 ? err_pass(r) : 0;
}

void
depend_init(struct engine *g)
{
	ev_init(&g->depend.again, depend_on_timer);
}

void
depend_done(struct engine *g)
{
	ev_timer_stop(g->loop, &g->depend.again);
	free(g->depend.work.v);
	g->depend.work = (struct engine_ids){0};
}
