/* metrics.c - what is counted, see metrics.h. A class that cannot be remembered is not counted: it
 * is not worth failing for. */
#include <stdlib.h>
#include <string.h>

#include "core/metrics.h"

#define MS INT64_C(1000)
#define S INT64_C(1000000)

const struct metrics_bounds metrics_bounds_job = {
	.n = 10,
	.us = {10 * MS, 100 * MS, 1 * S, 10 * S, 60 * S, 300 * S, 1800 * S, 7200 * S, 21600 * S,
	       86400 * S},
};
const struct metrics_bounds metrics_bounds_commit = {
	.n = 11,
	.us = {100, 250, 500, 1 * MS, 2500, 5 * MS, 10 * MS, 50 * MS, 250 * MS, 1 * S, 10 * S},
};

void
metrics_hist_add(struct metrics_hist *h, const struct metrics_bounds *b, int64_t us)
{
	size_t i = 0;

	if (us < 0)
		us = 0;
	while (i < b->n && us > b->us[i])
		i++;
	h->n[i]++;
	h->sum_us += (uint64_t)us;
}

struct metrics_class *
metrics_class(struct metrics *m, const char *name)
{
	struct metrics_class **at = &m->classes, *c;

	for (; *at; at = &(*at)->next)
		if (strcmp((*at)->name, name) == 0)
			return *at;
	if (m->n_classes == METRICS_CLASSES_MAX || strlen(name) >= sizeof(c->name))
		return NULL;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	memcpy(c->name, name, strlen(name) + 1);
	m->n_classes++;
	*at = c;
	return c;
}

void
metrics_done(struct metrics *m)
{
	struct metrics_class *next;

	for (; m->classes; m->classes = next) {
		next = m->classes->next;
		free(m->classes);
	}
	*m = (struct metrics){0};
}

void
metrics_started(struct metrics *m, const struct job *j)
{
	struct metrics_class *c = metrics_class(m, j->class_name);

	if (!c)
		return;
	c->started++;
	if (j->attempt == 1)
		metrics_hist_add(&c->delay, &metrics_bounds_job, j->started_us - j->submitted_us);
}

void
metrics_ended(struct metrics *m, const struct job *j)
{
	struct metrics_class *c = metrics_class(m, j->class_name);

	if (!c)
		return;
	c->ended[j->state]++;
	if (j->started_us > 0)
		metrics_hist_add(&c->run, &metrics_bounds_job, j->ended_us - j->started_us);
}

void
metrics_retried(struct metrics *m, const struct job *j)
{
	struct metrics_class *c = metrics_class(m, j->class_name);

	if (c)
		c->retried++;
}
