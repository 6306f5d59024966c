/* engine.c - the daemon's logic put together, see engine.h and impl.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/forward.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/queue.h"
#include "engine/tell.h"
#include "engine/tree.h"

static void
before_commit(void *arg)
{
	struct engine *g = arg;

	bool broken = store_n_broken(g->store) != g->n_broken; /* these do not count any more */

	g->n_broken = store_n_broken(g->store);
	if (broken || (g->lanes_wrong && !g->sched_held))
		engine_resync(g);
	depend_run(g);
	sched_run(g);
	if (spool_before_commit(g) < 0) /* what is committed must have its input */
		txn_spoil(g->txn);
}

static void
settled(void *arg)
{
	struct engine *g = arg;

	if (g->check)
		engine_check(g);
}

static void
commit_failed(void *arg)
{
	engine_resync(arg);
}

/* The counts in memory ran along with a transaction that did not happen: read them again. */
void
engine_resync(struct engine *g)
{
	int r = lanes_load(&g->lanes, g->store);

	if (r == 0)
		r = outbox_load(g);
	if (r == 0)
		r = control_queue_load(g);
	if (r == 0)
		r = depend_load(g);
	g->lanes_wrong = r < 0;
	if (r < 0) {
		/* Not even reading works: starting jobs by wrong counts would be worse than
		 * waiting. */
		log_err("the queue cannot be read (%s), continuing", strerror(-r));
	}
	sched_overdue_arm(g);
	delay_arm(g);
	scope_arm_later(g);
	sched_hold(g);
	sched_kick(g);
}

int
engine_ids_add(struct engine_ids *ids, uint64_t id)
{
	if (ids->n == ids->cap) {
		size_t cap = ids->cap ? ids->cap * 2 : 64;
		uint64_t *v = reallocarray(ids->v, cap, sizeof(*v));

		if (!v)
			return err_raise(-ENOMEM, "collect ids");
		ids->v = v;
		ids->cap = cap;
	}
	ids->v[ids->n++] = id;
	return 0;
}

static void
committed(void *arg, int64_t ns, int r)
{
	struct engine *g = arg;

	if (r < 0)
		g->metrics.commits_failed++;
	else
		metrics_hist_add(&g->metrics.commit, &metrics_bounds_commit, ns / NSEC_PER_USEC);
}

static void
storage(void *arg, bool ok)
{
	storage_changed(arg, ok);
}

static const struct txn_ops txn_ops = {.before = before_commit,
				       .failed = commit_failed,
				       .committed = committed,
				       .storage = storage,
				       .settled = settled};

static uint64_t
last_seq(void *arg)
{
	struct engine *g = arg;

	return store_seq_last(g->store);
}

static int
open_parts(struct engine *g, const struct engine_options *o, struct ctx_err *e)
{
	struct exec_options x = *o->exec;
	int r;

	r = file_boot_id(g->boot);
	if (r < 0)
		return ctx_err_set(e, 0, r, "the boot id cannot be read: %s", strerror(-r));
	r = store_open(o->state_dir, &g->store, e);
	if (r < 0)
		return r;
	r = output_new(o->state_dir, &g->output);
	if (r < 0)
		return ctx_err_set(e, 0, r, "output directory in %s: %s", o->state_dir,
				   strerror(-r));
	r = spool_open_dir(g, o->state_dir);
	if (r < 0)
		return ctx_err_set(e, 0, r, "directory stdin in %s: %s", o->state_dir,
				   strerror(-r));
	x.uuid = store_uuid(g->store);
	x.ops = recovery_ops;
	x.arg = g;
	r = exec_new(g->loop, &x, &g->exec, e);
	if (r < 0)
		return r;
	r = txn_new(g->loop, g->store, &txn_ops, g, &g->txn);
	if (!r)
		r = lanes_load(&g->lanes, g->store);
	if (!r)
		r = outbox_load(g);
	if (!r)
		r = control_queue_load(g);
	if (!r)
		r = depend_load(g);
	return r < 0 ? ctx_err_set(e, 0, r, "the queue cannot be read: %s", strerror(-r)) : 0;
}

int
engine_new(struct ev_loop *loop, const struct engine_options *o, struct engine **ret,
	   struct ctx_err *e)
{
	struct engine *g = calloc(1, sizeof(*g));
	const char *check = getenv("CTXD_CHECK");
	int r;

	if (!g)
		return ctx_err_set(e, 0, -ENOMEM, "out of memory");
	g->loop = loop;
	g->policy = o->policy;
	g->system_mode = o->system_mode;
	g->on_storage = o->on_storage;
	g->on_storage_arg = o->on_storage_arg;
	g->check = check && strcmp(check, "1") == 0;
	g->started_us = wall_to_usec(wall_now());
	g->started_ns = mono_now().ns;
	g->state_fd = open(o->state_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	g->run_fd = open(o->exec->runtime_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	lanes_init(&g->lanes);
	sched_init(g);
	events_init(g);
	delay_init(g);
	depend_init(g);
	spool_init(g);
	sweep_init(g);
	storage_init(g);
	scope_init(g);
	bound_init(g);
	shutdown_init(g);
	g->socket_path = strdup(o->socket_path);
	r = g->socket_path ? open_parts(g, o, e) : ctx_err_set(e, 0, -ENOMEM, "out of memory");
	if (r < 0) {
		(void)engine_free(g);
		return r;
	}
	*ret = g;
	return 0;
}

struct engine *
engine_free(struct engine *g)
{
	struct map_node *n;

	if (!g)
		return NULL;
	g->stopping = true;
	sched_done(g);
	delay_done(g);
	storage_done(g);
	scope_done(g);
	shutdown_done(g);
	if (g->started)
		retain_done(g);
	if (g->txn)
		forward_save(g);
	if (g->txn)
		before_commit(g);
	g->txn = txn_free(g->txn);
	g->forward = forward_free(g->forward);
	sweep_done(g);
	spool_done(g);
	g->exec = exec_free(g->exec);
	while ((n = map_next(&g->live, NULL)))
		live_free(container_of(n, struct live, node));
	map_done(&g->live);
	watch_done(g);
	bound_done(g);
	lanes_done(&g->lanes);
	metrics_done(&g->metrics);
	strv_done(&g->paused.classes);
	depend_done(g);
	g->output = output_free(g->output);
	g->store = store_close(g->store);
	g->policy = policy_free(g->policy);
	if (g->state_fd >= 0)
		(void)close(g->state_fd);
	if (g->run_fd >= 0)
		(void)close(g->run_fd);
	free(g->socket_path);
	free(g);
	return NULL;
}

void
engine_start(struct engine *g)
{
	int r = recovery_load(g);

	if (r < 0)
		log_err("the running jobs cannot be read (%s), continuing", strerror(-r));
	r = bound_load(g);
	if (r < 0)
		log_err("the jobs bound to clients cannot be read (%s), continuing", strerror(-r));
	r = scope_load(g);
	if (r < 0)
		log_err("the open scopes cannot be read (%s), continuing", strerror(-r));
	r = forward_load(g);
	if (r < 0)
		log_err("which output is to go to the journal cannot be read (%s), continuing",
			strerror(-r));
	g->started = true;
	sched_overdue_arm(g);
	delay_arm(g);
	retain_init(g);
	sweep_start(g);
	exec_start(g->exec, last_seq);
}

void
engine_stop(struct engine *g)
{
	g->stopping = true;
}

uint64_t
engine_running(const struct engine *g)
{
	return g->lanes.running;
}

void
engine_policy_set(struct engine *g, struct policy *p)
{
	(void)policy_free(g->policy);
	g->policy = p;
	limits_warn(g);
	forward_policy(g);
	sched_kick(g);
	retain_soon(g);
}

const struct policy *
engine_policy(const struct engine *g)
{
	return g->policy;
}

/* A user's own daemon is that user's to steer. */
bool
engine_is_admin(const struct engine *g, const struct requester *who)
{
	return who->uid == 0 || (!g->system_mode && who->uid == geteuid()) ||
	       policy_is_admin(g->policy, who->uid, who->gid, who->groups, who->n_groups);
}

void
engine_defer(struct engine *g, struct effect *fx)
{
	txn_defer_reply(g->txn, fx);
}
