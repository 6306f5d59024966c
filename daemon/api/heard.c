/* heard.c - see heard.h. The walk goes by the rows: progress is written there within a second or
 * so. */
#include <errno.h>
#include <stdlib.h>

#include "api/heard.h"
#include "base/mem.h"

enum { ROWS_PER_WALK = 2000 }; /* examined in one go */

struct heard_job {
	struct map_node node;
	int64_t at_us;
	uint32_t attempt;
	uint32_t walk; /* that met it last */
};

struct walk {
	struct heard *h;
	heard_fn fn;
	void *arg;
};

static struct heard_job *
entry(struct heard *h, uint64_t id)
{
	struct map_node *n = map_find(&h->jobs, id);
	struct heard_job *e;

	if (n)
		return container_of(n, struct heard_job, node);
	e = calloc(1, sizeof(*e));
	if (!e || map_insert(&h->jobs, id, &e->node) < 0) {
		free(e);
		return NULL;
	}
	return e;
}

int
heard_new(struct heard *h, const struct job *job)
{
	struct heard_job *e;

	if (job->progress_us == 0)
		return 0;
	e = entry(h, job->id);
	if (!e)
		return -ENOMEM;
	e->walk = h->walk;
	if (e->at_us == job->progress_us && e->attempt == job->attempt)
		return 0;
	e->at_us = job->progress_us;
	e->attempt = job->attempt;
	return 1;
}

static int
walk_row(void *arg, const struct job *job)
{
	struct walk *w = arg;
	int r = heard_new(w->h, job);

	w->h->after = job->id;
	return r > 0 ? w->fn(w->arg, job) : r;
}

/* Those that this walk did not meet run no more. */
static void
forget(struct heard *h, bool all)
{
	struct map_node *n = map_next(&h->jobs, NULL);

	while (n) {
		struct heard_job *e = container_of(n, struct heard_job, node);

		n = map_next(&h->jobs, n);
		if (!all && e->walk == h->walk)
			continue;
		map_remove(&h->jobs, &e->node);
		free(e);
	}
}

int
heard_walk(struct heard *h, struct engine *g, const struct requester *who, heard_fn fn, void *arg,
	   struct refusal *r)
{
	struct walk w = {h, fn, arg};
	struct store_filter f = {.states = UINT32_C(1) << JOB_RUNNING | UINT32_C(1) << JOB_STOPPING,
				 .after = h->after,
				 .budget = ROWS_PER_WALK};
	uint64_t next = 0;
	int e = engine_list(g, who, &f, walk_row, &w, &next, r);

	if (e != 0)
		return e;
	h->after = next;
	if (next)
		return HEARD_E_AGAIN;
	forget(h, false);
	h->walk++;
	return 0;
}

void
heard_done(struct heard *h)
{
	forget(h, true);
	map_done(&h->jobs);
}
