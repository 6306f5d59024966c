/* tree.c - the end of a context is the end of all that is attached below it.
 *
 * Breadth first, a level at a time, all in the open transaction of this iteration: what queues and
 * what is a scope ends at once, what runs goes to stopping and is told after the commit, the top
 * first. Each context is read once and written once. The cause is the same for all of them, and so
 * is the end: it names the context where it began.
 *
 * What is left to itself: what is over or being stopped already keeps its cause (and with it all
 * that is below: that was reached then), what is detached. Therefore no context that is attached,
 * not over and not being stopped ever has a parent that is over or being stopped: nobody can attach
 * to one, and tree_check looks for it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/tell.h"
#include "engine/tree.h"

enum {
	BLOCK = 256,      /* ids asked of the store at a time */
	CHECK_ROWS = 32,  /* that one check looks at */
	CAUSE_TEXT = 1200 /* a cause of the longest kind, and what is put ahead of it */
};

struct walk {
	struct engine *g;
	struct why why;
	enum job_state end;
	bool now;
	uint64_t origin;            /* the context where it began */
	struct engine_ids *reached; /* may be NULL */
	struct engine_ids todo;     /* contexts whose children are to be visited; owned */
};

/* ---- what follows for those below */

/* J took its cause from a context above it: so do those below. */
static bool
passed_on(const struct job *j)
{
	return j->cause &&
	       (j->cause_code == CAUSE_PARENT || j->cause_code == CAUSE_PARENT_DEADLINE ||
		j->cause_code == CAUSE_SCOPE_CLOSED);
}

static const char *
colon(const struct job *j)
{
	return j->cause && *j->cause ? ": " : "";
}

static const char *
cause_text(const struct job *j)
{
	return j->cause ? j->cause : "";
}

static enum cause_code
stopped_cause(const struct job *j, char *text, size_t size)
{
	if (passed_on(j)) {
		(void)snprintf(text, size, "%s", j->cause);
		return j->cause_code;
	}
	if (judge_stopped(j) == JOB_DEADLINE_EXCEEDED) {
		(void)snprintf(text, size, "parent %" PRIu64 " deadline exceeded", j->id);
		return CAUSE_PARENT_DEADLINE;
	}
	(void)snprintf(text, size, "parent %" PRIu64 " %s%s%s", j->id,
		       job_state_name(judge_stopped(j)), colon(j), cause_text(j));
	return CAUSE_PARENT;
}

/* Why what is attached to J ends, into TEXT. */
static enum cause_code
cause_below(const struct job *j, char *text, size_t size)
{
	switch (j->state) {
	case JOB_STOPPING:
	case JOB_CANCELED:
	case JOB_DEADLINE_EXCEEDED:
		return stopped_cause(j, text, size);
	case JOB_CLOSED:
		(void)snprintf(text, size, "scope %" PRIu64 " closed%s%s", j->id, colon(j),
			       cause_text(j));
		return CAUSE_SCOPE_CLOSED;
	case JOB_SUCCEEDED:
	case JOB_FAILED:
	case JOB_INTERRUPTED:
		(void)snprintf(text, size, "parent %" PRIu64 " ended: %s", j->id,
			       job_state_name(j->state));
		return CAUSE_PARENT;
	case JOB_QUEUED:
	case JOB_RUNNING:
	case JOB_OPEN:
		break;
	}
	assert_not_reached("a context that goes on ends nothing");
}

/* ---- the walk */

/* Takes J. RET_REACHED: it ends by this. */
static int
visit_job(struct walk *w, struct job *j, bool *ret_reached)
{
	*ret_reached = true;
	switch (j->state) {
	case JOB_QUEUED:
	case JOB_OPEN:
		return finish_one(w->g, j, w->end, &w->why);
	case JOB_RUNNING:
		return stop_job(w->g, j, &w->why, w->now);
	case JOB_STOPPING: /* and so is all that is below: see stopping_below */
	case JOB_SUCCEEDED:
	case JOB_FAILED:
	case JOB_CANCELED:
	case JOB_DEADLINE_EXCEEDED:
	case JOB_INTERRUPTED:
	case JOB_CLOSED:
		break;
	}
	*ret_reached = false;
	(void)job_free(j);
	return 0;
}

static int
visit(struct walk *w, uint64_t id)
{
	struct job *j = NULL;
	bool reached;
	int r = store_job_get(w->g->store, id, &j);

	if (r != 0)
		return err_fold(r);
	if (j->stop.asked_us == 0)
		j->stop.parent = w->origin;
	r = visit_job(w, j, &reached);
	CRASH_POINT("ctxd.tree.child");
	if (r == 0 && reached && w->reached)
		r = engine_ids_add(w->reached, id);
	if (r == 0 && reached)
		r = engine_ids_add(&w->todo, id);
	return r < 0 ? err_pass(r) : 0;
}

static int
visit_children(struct walk *w, uint64_t parent)
{
	uint64_t ids[BLOCK], after = 0;
	size_t n = 0;

	do {
		int r = store_attached(w->g->store, parent, after, ids, ARRAY_SIZE(ids), &n);

		if (r < 0)
			return err_pass(r);
		for (size_t i = 0; i < n; i++) {
			r = visit(w, ids[i]);
			if (r < 0)
				return r;
			after = ids[i];
		}
	} while (n == ARRAY_SIZE(ids));
	return 0;
}

/* ---- what is being stopped already */

static int
collect_stopping(void *arg, const struct job *j)
{
	bool attached = j->parent != 0 && j->inherit & INHERIT_CANCEL;

	return attached && j->state == JOB_STOPPING ? engine_ids_add(arg, j->id) : 0;
}

/* A context above one that is being stopped. */
struct above {
	struct map_node node;
	bool below; /* TOP, or TOP itself */
};

static void
above_done(struct map *m)
{
	struct map_node *n;

	while ((n = map_next(m, NULL))) {
		map_remove(m, n);
		free(container_of(n, struct above, node));
	}
	map_done(m);
}

static struct above *
above_add(struct map *m, uint64_t id)
{
	struct above *a = calloc(1, sizeof(*a));

	if (a && map_insert(m, id, &a->node) < 0) {
		free(a);
		a = NULL;
	}
	return a;
}

/* What ID is attached to; 0: nothing, or its row is gone. */
static int
attached_to(struct engine *g, uint64_t id, uint64_t *ret)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r = store_job_get(g->store, id, &j);

	if (r < 0)
		return err_pass(r);
	*ret = r == 0 && j->inherit & INHERIT_CANCEL ? j->parent : 0;
	return 0;
}

/* Is ID attached to TOP, directly or through others, over or not? Ways up that meet are gone once:
 * KNOWN are those that were met. */
static int
is_below(struct engine *g, struct map *known, uint64_t id, uint64_t top, bool *ret)
{
	struct engine_ids way = {0};
	struct map_node *n = NULL;
	int r = 0;

	while (r == 0 && id != 0 && id != top && !(n = map_find(known, id))) {
		r = above_add(known, id) ? engine_ids_add(&way, id)
					 : err_raise(-ENOMEM, "look upwards");
		if (r == 0)
			r = attached_to(g, id, &id);
	}
	*ret = id == top || (n && container_of(n, struct above, node)->below);
	for (size_t i = 0; i < way.n && r == 0; i++)
		container_of(map_find(known, way.v[i]), struct above, node)->below = *ret;
	free(way.v);
	return r;
}

static int
visit_stopping(struct walk *w, uint64_t id)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r = w->reached ? engine_ids_add(w->reached, id) : 0;

	if (r < 0 || !w->now)
		return r;
	r = store_job_get(w->g->store, id, &j);
	return r != 0 ? err_fold(r) : stop_hurry(w->g, j);
}

/* It keeps its cause, and may be hurried. What it hung on may be over by now: so it is looked for
 * from below. Nothing is stopped but what runs, which bounds this. */
static int
stopping_below(struct walk *w, uint64_t top)
{
	struct engine_ids ids = {0};
	struct map known = {0};
	int r = store_live_each(w->g->store, collect_stopping, &ids);

	for (size_t i = 0; i < ids.n && r == 0; i++) {
		bool below;

		if (ids.v[i] == top)
			continue;
		r = is_below(w->g, &known, ids.v[i], top, &below);
		if (r == 0 && below)
			r = visit_stopping(w, ids.v[i]);
	}
	above_done(&known);
	free(ids.v);
	return r < 0 ? err_pass(r) : 0;
}

/* ---- all of it */

int
tree_done(struct engine *g, const struct job *j, int64_t by_uid, bool now,
	  struct engine_ids *reached)
{
	char text[CAUSE_TEXT];
	struct walk w = {.g = g, .now = now, .reached = reached};
	int r = 0;

	w.why = (struct why){cause_below(j, text, sizeof(text)), text, by_uid};
	w.origin = passed_on(j) && j->stop.parent ? j->stop.parent : j->id;
	w.end = w.why.code == CAUSE_PARENT_DEADLINE ? JOB_DEADLINE_EXCEEDED : JOB_CANCELED;
	if (now || reached)
		r = stopping_below(&w, j->id);
	if (r == 0)
		r = visit_children(&w, j->id);
	for (size_t i = 0; i < w.todo.n && r == 0; i++)
		r = visit_children(&w, w.todo.v[i]);
	free(w.todo.v);
	if (r < 0) /* all of them, or none */
		txn_spoil(g->txn);
	return r;
}

/* ---- is it so? */

static int
check_one(void *arg, const struct job *j)
{
	struct engine *g = arg;
	_cleanup_(job_freep) struct job *parent = NULL;

	if (!(j->inherit & INHERIT_CANCEL) || j->parent == 0 ||
	    store_job_get(g->store, j->parent, &parent) != 0)
		return 0;
	if (!job_state_ended(parent->state) && parent->state != JOB_STOPPING)
		return 0;
	log_job(LOG_LVL_ERR, j, "internal check: it is %s, attached to %" PRIu64 ", which is %s",
		job_state_name(j->state), parent->id, job_state_name(parent->state));
	abort();
}

/* Some rows at a time, in turns: such an orphan would stay until it is found. */
void
tree_check(struct engine *g)
{
	struct store_filter f = {.states = 1u << JOB_QUEUED | 1u << JOB_RUNNING | 1u << JOB_OPEN,
				 .after = g->tree_checked,
				 .budget = CHECK_ROWS};
	uint64_t next = 0;

	if (store_list(g->store, &f, check_one, g, &next) == 0)
		g->tree_checked = next;
}
