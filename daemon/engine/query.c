/* query.c - looking at jobs: one, many, their output, the daemon as a whole. */
#include <errno.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/err.h"
#include "engine/forward.h"
#include "engine/impl.h"
#include "engine/live.h"
#include "engine/queue.h"
#include "engine/tell.h"

static void
measure(struct engine *g, const struct job *j, enum output_stream stream, uint64_t *ret_bytes,
	uint64_t *ret_dropped)
{
	_close_ int fd = output_open(g->output, j->id, j->attempt, stream);

	if (fd >= 0)
		(void)output_measure(fd, ret_bytes, ret_dropped);
}

void
query_output(struct engine *g, struct job *j)
{
	measure(g, j, OUTPUT_OUT, &j->out_bytes, &j->out_dropped);
	if (j->split_output)
		measure(g, j, OUTPUT_ERR, &j->err_bytes, &j->err_dropped);
}

void
engine_live_facts(struct engine *g, struct job *j)
{
	const struct live *l = live_find(g, j->id);

	if (j->state == JOB_QUEUED) {
		j->paused = control_queue_paused(g, j->class_name);
		if (j->waits > 0)
			(void)store_after_first(g->store, j->id, &j->waits_on);
	}
	if (!l || l->attempt != j->attempt || job_state_ended(j->state))
		return;
	j->pid = l->pid;
	(void)progress_merge(l, j); /* without memory for it: as in the row */
	query_output(g, j);
}

int
engine_get(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	   struct refusal *r)
{
	int e = engine_fetch(g, who, id, ret, r);

	if (e == 0)
		engine_live_facts(g, *ret);
	return e;
}

bool
query_narrow(const struct engine *g, const struct requester *who, bool *has_uid, uint32_t *uid)
{
	if (engine_is_admin(g, who))
		return true;
	if (*has_uid && *uid != who->uid)
		return false;
	*has_uid = true;
	*uid = who->uid;
	return true;
}

struct listing {
	struct engine *g;
	store_job_fn fn;
	void *arg;
};

/* Of one that queues no string is changed, so its copy need not be deep. */
static int
list_one(void *arg, const struct job *j)
{
	const struct listing *l = arg;
	_cleanup_(job_freep) struct job *copy = NULL;
	struct job queued;

	if (j->state == JOB_QUEUED) {
		queued = *j;
		engine_live_facts(l->g, &queued);
		return l->fn(l->arg, &queued);
	}
	if (job_state_ended(j->state) || !live_find(l->g, j->id))
		return l->fn(l->arg, j);
	copy = job_copy(j);
	if (!copy)
		return err_raise(-ENOMEM, "list a job");
	engine_live_facts(l->g, copy);
	return l->fn(l->arg, copy);
}

int
engine_list(struct engine *g, const struct requester *who, const struct store_filter *f,
	    store_job_fn fn, void *arg, uint64_t *ret_next, struct refusal *r)
{
	struct listing listing = {g, fn, arg};
	struct store_filter mine = *f;
	int e;

	(void)r;
	*ret_next = 0;
	if (!query_narrow(g, who, &mine.has_uid, &mine.uid))
		return 0;
	e = store_list(g->store, &mine, list_one, &listing, ret_next);
	return e < 0 ? err_pass(e) : e;
}

int
engine_output(struct engine *g, const struct requester *who, uint64_t id, bool err,
	      struct job **ret, int *ret_fd, struct refusal *r)
{
	int e = engine_fetch(g, who, id, ret, r);
	int fd;

	if (e)
		return e;
	fd = output_open(g->output, id, (*ret)->attempt, err ? OUTPUT_ERR : OUTPUT_OUT);
	if (fd < 0 && fd != -ENOENT) {
		*ret = job_free(*ret);
		return refusal_set(r, REFUSAL_NOT_READY, NULL, "its output cannot be opened: %s",
				   strerror(-fd));
	}
	*ret_fd = fd < 0 ? -1 : fd;
	return 0;
}

static struct engine_space
space(int dirfd)
{
	struct statvfs v;

	if (dirfd < 0 || fstatvfs(dirfd, &v) < 0)
		return (struct engine_space){-1, -1};
	return (struct engine_space){(int64_t)(v.f_bavail * v.f_frsize),
				     (int64_t)(v.f_blocks * v.f_frsize)};
}

/* How far the wall clock was set since the start: the time that has passed by it, less what has. */
static int64_t
clock_step(const struct engine *g)
{
	int64_t wall = wall_to_usec(wall_now()) - g->started_us;

	return wall - (mono_now().ns - g->started_ns) / NSEC_PER_USEC;
}

/* A private spawner leaves when it has nothing to do. */
static bool
spawner_missing(const struct engine *g)
{
	bool work = g->lanes.running > 0 || (g->lanes.queued > 0 && !control_queue_stands(g));

	return (!exec_is_up(g->exec) || exec_is_old(g->exec)) && (g->system_mode || work);
}

int
engine_stats(struct engine *g, struct engine_stats *ret)
{
	*ret = (struct engine_stats){
		.started_us = g->started_us,
		.db_bytes = store_size(g->store),
		.wal_bytes = store_wal_size(g->store),
		.state = space(g->state_fd),
		.output = space(output_dirfd(g->output)),
		.run = space(g->run_fd),
		.clock_step_us = clock_step(g),
		.spawner_up = exec_is_up(g->exec),
		.spawner_old = exec_is_old(g->exec),
		.spawner_missing = spawner_missing(g),
		.cgroup = exec_is_up(g->exec) && exec_flags(g->exec) & WELCOME_CGROUP,
		.unenforced = limits_missing(g),
		.storage_ok = txn_ok(g->txn),
		.draining = g->draining,
		.broken_rows = store_n_broken(g->store),
		.monitors = exec_n_links(g->exec),
	};
	ret->journal_ok = forward_ok(g, &ret->journal_waiting);
	return store_counts(g->store, &ret->counts);
}
