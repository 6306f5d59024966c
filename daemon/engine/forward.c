/* forward.c - what the rest of the engine has to do with output that goes to the journal, see
 * forward.h. */
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

enum {
	/* Below journald's default of 10000 entries in 30 s, for all that a user runs. */
	USER_BURST = 5000,
	USER_PER_SEC = 150,
};

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
	list_init(&f->ready);
	list_init(&f->changed);
	list_init(&f->unsure);
	list_init(&f->finished);
	forward_run_init(f);
	f->piece = malloc(FORWARD_PIECE);
	f->follow = follow_new(g->loop);
	f->link = journal_link_new(g->loop, journal_socket(), forward_again, forward_lost, f);
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
		forward_drop(container_of(n, struct forward_job, node));
	map_done(&f->jobs);
	forward_run_done(f);
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
			r = forward_remember(g->forward, &row, false);
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
		forward_look_again(g->forward);
		forward_load_some(g->forward);
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
	struct forward_job *e = forward_find(g->forward, j->id);
	struct store_forward row;
	int r;

	if (!g->forward)
		return;
	r = store_forward_first(g->store, j->id, &row);
	if (e && (r != 0 || e->attempt == j->attempt)) { /* that never ran */
		forward_drop(e);
		e = NULL;
	}
	if (r == 0 && !e)
		r = forward_remember(g->forward, &row, row.attempt < j->attempt);
	if (r < 0)
		forward_look_again(g->forward);
}

void
forward_over(struct engine *g, uint64_t id, uint32_t attempt)
{
	struct forward *f = g->forward;
	struct forward_job *e = forward_find(f, id);

	if (!e || e->over || e->attempt != attempt)
		return;
	if (f->n_over >= FORWARD_OVER_MAX) { /* when there is room again */
		forward_look_again(f);
		forward_drop(e);
		return;
	}
	forward_set_over(e, true);
	if (list_empty(&e->link))
		forward_ready(f, e);
}

void
forward_forget(struct engine *g, uint64_t id)
{
	struct forward_job *e = forward_find(g->forward, id);

	if (e)
		forward_drop(e);
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
