/* retain.c - retention: old outputs, records and environments go, a few at a time, so that neither
 * the loop nor the file system is held up (mass deletes make later file creation slow on ext4).
 * Jobs that were interrupted and not resolved stay. Spooled input goes with the environment:
 * without that the job cannot be started anew. */
#include <errno.h>
#include <stdlib.h>

#include "base/crash.h"
#include "base/err.h"
#include "engine/forward.h"
#include "engine/impl.h"

enum { RETAIN_JOBS = 16, RETAIN_OVER = 32, RETAIN_ENVS = 64 };
#define RETAIN_IDLE 60.0
#define RETAIN_MORE 0.25 /* seconds to the next step while there is more */

struct remove_fx {
	struct effect fx;
	struct engine *g;
	size_t n, n_outputs; /* in V: first those that lose their output alone */
	struct store_old v[RETAIN_MAX];
	size_t n_inputs;
	uint64_t inputs[RETAIN_ENVS];
};
_Static_assert(RETAIN_JOBS * 2 + RETAIN_OVER <= (int)RETAIN_MAX, "outputs and jobs of one step");

static void
remove_run(struct effect *fx, int result)
{
	struct remove_fx *f = container_of(fx, struct remove_fx, fx);

	/* Output that outlives its record is found by nobody: so the record goes last in time, but
	 * its commit comes first; a crash in between leaves a file behind, never a record without
	 * its file. */
	for (size_t i = 0; i < f->n && result == 0; i++)
		forward_forget(f->g, f->v[i].id);
	for (size_t i = 0; i < f->n && result == 0; i++)
		for (uint32_t a = f->v[i].attempt; a > 0; a--)
			(void)output_remove(f->g->output, f->v[i].id, a);
	for (size_t i = f->n_outputs; i < f->n && result == 0; i++)
		spool_remove(f->g, f->v[i].id);
	for (size_t i = 0; i < f->n_inputs && result == 0; i++)
		spool_remove(f->g, f->inputs[i]);
	free(f);
}

static struct remove_fx *
remove_new(struct engine *g)
{
	struct remove_fx *f = calloc(1, sizeof(*f));

	if (f) {
		f->fx.run = remove_run;
		f->g = g;
	}
	return f;
}

void
retain_soon(struct engine *g)
{
	if (!g->started || ev_timer_remaining(g->loop, &g->retain) <= RETAIN_MORE)
		return;
	ev_timer_stop(g->loop, &g->retain);
	ev_timer_set(&g->retain, RETAIN_MORE, 0.);
	ev_timer_start(g->loop, &g->retain);
}

void
retain_output(struct engine *g, const struct job *j)
{
	struct store_kept kept;

	if (g->policy->keep_output_per_user == 0 || j->out_bytes + j->err_bytes == 0)
		return;
	if (store_kept(g->store, j->uid, &kept) == 0 &&
	    kept.output > g->policy->keep_output_per_user)
		retain_soon(g);
}

int
retain_delete(struct engine *g, const struct store_old *v, size_t n)
{
	struct remove_fx *f = remove_new(g);
	int r = f ? txn_write(g->txn, __func__) : -ENOMEM;

	assert(n <= RETAIN_MAX);
	for (size_t i = 0; i < n && r == 0; i++) {
		r = store_job_delete(g->store, v[i].id);
		f->v[f->n++] = v[i];
	}
	if (r < 0) {
		free(f);
		return err_pass(r);
	}
	CRASH_COMMIT("ctxd.prune");
	txn_defer(g->txn, &f->fx);
	retain_soon(g); /* there is room to give back, maybe */
	return 0;
}

static int
old_outputs(struct engine *g, struct remove_fx *f, int64_t before, size_t *ret_n)
{
	int r = store_old_outputs(g->store, before, f->v, RETAIN_JOBS, ret_n);

	for (size_t i = 0; i < *ret_n && r == 0; i++) {
		r = txn_write(g->txn, __func__);
		if (!r)
			r = store_output_gone(g->store, f->v[i].id);
	}
	if (r == 0)
		f->n = f->n_outputs = *ret_n;
	return r;
}

/* Of users for whom too much is kept: the oldest first. */
static int
outputs_over(struct engine *g, struct remove_fx *f, size_t *ret_n)
{
	int64_t most = g->policy->keep_output_per_user;
	uint32_t uid;
	int r = 0;

	for (*ret_n = 0; most > 0 && *ret_n < RETAIN_OVER && r == 0; (*ret_n)++) {
		r = store_kept_over(g->store, most, &uid);
		if (r == STORE_E_NOT_FOUND)
			return 0;
		if (r == 0)
			r = store_kept_oldest(g->store, uid, &f->v[f->n]);
		if (r > 0)
			return err_fold(r);
		if (r == 0)
			r = txn_write(g->txn, __func__);
		if (r == 0)
			r = store_output_gone(g->store, f->v[f->n].id);
		if (r == 0)
			f->n_outputs = ++f->n;
	}
	return r;
}

/* How many records are there beyond those that may be. */
static int
excess(struct engine *g, uint64_t *ret)
{
	struct store_counts c;
	uint64_t n = 0;
	int r = store_counts(g->store, &c);

	*ret = 0;
	if (r < 0 || g->policy->keep_max_jobs == 0)
		return r;
	for (unsigned s = 1; s <= JOB_STATE_MAX; s++)
		if (job_state_ended((enum job_state)s))
			n += c.by_state[s];
	n -= c.half_processed;
	if (n > (uint64_t)g->policy->keep_max_jobs)
		*ret = n - (uint64_t)g->policy->keep_max_jobs;
	return 0;
}

static int
old_jobs(struct engine *g, struct remove_fx *f, int64_t before, size_t *ret_n)
{
	uint64_t most = 0;
	int r = store_old_jobs(g->store, before, f->v + f->n, RETAIN_JOBS, ret_n);

	if (r == 0 && *ret_n == 0)
		r = excess(g, &most);
	if (r == 0 && most > 0) /* the oldest of all */
		r = store_old_jobs(g->store, INT64_MAX, f->v + f->n,
				   most < RETAIN_JOBS ? (size_t)most : RETAIN_JOBS, ret_n);

	for (size_t i = 0; i < *ret_n && r == 0; i++) {
		r = txn_write(g->txn, __func__);
		if (!r)
			r = store_job_delete(g->store, f->v[f->n + i].id);
	}
	if (r == 0)
		f->n += *ret_n;
	return r;
}

static int
old_envs(struct engine *g, struct remove_fx *f, int64_t before, size_t *ret_n)
{
	int r = txn_write(g->txn, __func__);

	if (!r)
		r = store_env_expire(g->store, before, f->inputs, RETAIN_ENVS, ret_n);
	if (r == 0)
		f->n_inputs = *ret_n;
	return r;
}

/* Room in the database that its records have left: also a bit at a time. */
static bool
give_back(struct engine *g)
{
	bool more = false;
	int r = txn_write(g->txn, __func__);

	if (!r)
		r = store_give_back(g->store, &more);
	if (r < 0)
		(void)err_pass(r);
	return more;
}

static bool
step(struct engine *g)
{
	struct remove_fx *f = remove_new(g);
	int64_t now = wall_to_usec(wall_now());
	size_t a = 0, b = 0, c = 0, d = 0;
	bool more = false;
	int r;

	if (!f)
		return false;
	r = old_outputs(g, f, now - g->policy->keep_output_us, &a);
	if (!r)
		r = outputs_over(g, f, &d);
	if (!r)
		r = old_jobs(g, f, now - g->policy->keep_jobs_us, &b);
	if (!r)
		r = old_envs(g, f, now - g->policy->env_keep_us, &c);
	if (r < 0)
		(void)err_pass(r);
	if (r == 0 && a + b + c + d == 0)
		more = give_back(g);
	if (f->n > 0 || f->n_inputs > 0)
		txn_defer(g->txn, &f->fx);
	else
		free(f);
	return more || a + b + c + d > 0;
}

static void
retain_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, retain);

	(void)revents;
	ev_timer_set(w, step(g) ? RETAIN_MORE : RETAIN_IDLE, 0.);
	ev_timer_start(loop, w);
}

void
retain_init(struct engine *g)
{
	ev_timer_init(&g->retain, retain_on_timer, 2.0, 0.);
	ev_timer_start(g->loop, &g->retain);
}

void
retain_done(struct engine *g)
{
	ev_timer_stop(g->loop, &g->retain);
}
