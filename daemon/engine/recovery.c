/* recovery.c - the recovery table (RECOVERY.md): what became of a job whose row says running or
 * stopping.
 *
 * Run for every such row at the start, on every new connection to the spawner, and whenever a
 * monitor's connection ends. Every verdict rests on something that is there, never on absence
 * alone. The order of the steps matters; the model in the tests shows what each reversal breaks:
 *
 *   1 another boot                               -> interrupted (reboot)
 *   2 connect to ctl: HELLO                      -> alive: adopted; a committed cancel is told
 *     refused                                    -> 3
 *   3 result there, and the command was executed -> its true end
 *   4 else SWEEP, which makes `swept` of `fresh`, and after SWEPT look again:
 *   5 result there now                           -> its true end
 *   6 `swept`, or no directory and `seen` below the row's sequence -> it never ran
 *   7 anything else                              -> interrupted (monitor_lost, evidence_lost)
 *
 * A SWEEP goes out only over a spawner connection that was WELCOMEd before the refused connect of
 * step 2: on_up makes every job that has no link LIVE_UNKNOWN again. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "core/deadline.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/queue.h"
#include "engine/tell.h"

static bool
hopeless(int error)
{
	return error == EPERM || error == EINVAL || error == E2BIG || error == EPROTO;
}

/* What is short now may be there later: no reason to give a job up. */
static bool
scarce(int error)
{
	return error == ENOSPC || error == EDQUOT || error == EROFS || error == EAGAIN ||
	       error == ENOMEM || error == EMFILE || error == ENFILE;
}

static int
give_up(struct engine *g, struct job *j, const char *text, int error)
{
	struct why why = {CAUSE_EXEC, text, -1};

	j->exec_errno = error;
	j->known_by = KNOWN_BY_RECOVERY;
	j->has_exit_code = true;
	j->exit_code = 126;
	return finish_job(g, j, JOB_FAILED, &why);
}

int
recovery_never_ran(struct engine *g, struct job *j, const char *text, int error)
{
	struct why why = {CAUSE_NONE, NULL, -1};

	if (j->state == JOB_STOPPING) {
		j->known_by = KNOWN_BY_RECOVERY;
		return finish_job(g, j, judge_stopped(j), &why);
	}
	if (hopeless(error) || (!scarce(error) && j->requeues >= REQUEUES_MAX))
		return give_up(g, j, text, error);
	why.text = text;
	if (!scarce(error) || j->requeues == 0)
		j->requeues++;
	j->started_us = 0;
	j->pid = 0;
	j->deadline_boot_ns = 0;
	j->deadline_us = deadline_latest(j);
	return finish_job(g, j, JOB_QUEUED, &why);
}

static int
interrupted(struct engine *g, struct job *j, enum cause_code code, const char *text, bool survivors)
{
	struct why why = {code, text, -1};
	const struct live *l = live_find(g, j->id);

	if (l && progress_merge(l, j) < 0) {
		(void)job_free(j);
		return err_raise(-ENOMEM, "take the last progress of a job");
	}

	if (l && l->pid)
		j->pid = l->pid;
	if (l)
		j->seen_us = l->seen_us;
	query_output(g, j);
	j->known_by = KNOWN_BY_RECOVERY;
	j->survivors_possible = survivors;
	return finish_job(g, j, JOB_INTERRUPTED, &why);
}

static void
on_note(void *arg, enum log_level l, uint64_t id, uint32_t attempt, const char *what)
{
	engine_log_about(arg, l, id, "job %" PRIu64 ".%" PRIu32 ": %s", id, attempt, what);
}

__attribute__((format(printf, 5, 6))) static void
note(struct engine *g, enum log_level l, uint64_t id, uint32_t attempt, const char *fmt, ...)
{
	char text[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	on_note(g, l, id, attempt, text);
}

/* Steps 3 and 5 (SWEPT). 0 and *RET_DONE, or negative errno: nothing can be concluded now. A result
 * after which the same attempt is made again is no last word before SWEPT: that start may be under
 * way already, with the FORGET of this directory, from a ctxd that has died. */
static int
take_result(struct live *l, struct rundir_evidence *ev, bool swept, bool *ret_done)
{
	int r = exec_evidence(l->engine->exec, l->id, l->attempt, ev);

	*ret_done = false;
	if (r == -EPROTO) { /* a result that is none: it proves nothing */
		on_note(l->engine, LOG_LVL_ERR, l->id, l->attempt, "its result file is malformed");
		r = 0;
	}
	if (r < 0)
		return err_pass(r);
	if (ev->has_progress)
		progress_found(l, &ev->progress);
	if (ev->has_result && (swept || !judge_unborn(&ev->result))) {
		live_ended(l, &ev->result, KNOWN_BY_RESULT_FILE);
		*ret_done = true;
	}
	return 0;
}

static void
silent(struct live *l)
{
	struct rundir_evidence ev;
	bool done;

	if (take_result(l, &ev, false, &done) < 0) {
		live_again(l);
		return;
	}
	if (!done && exec_sweep(l->engine->exec, l->id, l->attempt) == 0)
		l->phase = LIVE_SWEEPING; /* else: on_up starts anew */
	if (l->phase == LIVE_SWEEPING)
		CRASH_POINT("ctxd.sweep.sent");
}

static bool
never_ran(struct live *l, const struct rundir_evidence *ev)
{
	uint64_t seen;

	if (ev->swept)
		return true;
	if (ev->dir)
		return false;
	/* What `seen` said when the spawner was linked stands: it is raised by jobs that are put
	 * back and started anew while others still wait for their verdict. */
	return l->unseen || (exec_seen(l->engine->exec, &seen) == 0 && seen < l->seq);
}

/* Steps 6 and 7. */
static int
verdict(struct live *l, const struct rundir_evidence *ev)
{
	struct engine *g = l->engine;
	_cleanup_(job_freep) struct job *j = NULL;
	char text[160];
	int r = store_job_get(g->store, l->id, &j);

	if (r != 0)
		return err_fold(r);
	if (never_ran(l, ev)) {
		if (l->spawn_error != 0)
			(void)snprintf(
				text, sizeof(text), "could not be started: %s%s",
				strerror(l->spawn_error),
				l->spawn_error == EPERM && j->uid == 0
					? " (the spawner runs no job as root without --allow-root)"
					: "");
		else
			(void)snprintf(text, sizeof(text), "found not to have run");
		return recovery_never_ran(g, take_ptr(j), text, l->spawn_error);
	}
	if (ev->started)
		return interrupted(
			g, take_ptr(j), CAUSE_MONITOR_LOST,
			"its monitor is gone and left no result; the command had been started",
			l->uncertain);
	return interrupted(g, take_ptr(j), CAUSE_EVIDENCE_LOST,
			   ev->dir ? "its run directory holds neither a mark nor a result"
				   : "its run directory is gone: whether it ran cannot be known",
			   l->uncertain);
}

static void
conclude(struct live *l)
{
	struct rundir_evidence ev;
	bool done;
	int r = take_result(l, &ev, true, &done);

	if (r == 0 && !done && ev.fresh) { /* the spawner could not bar it: it may still start */
		l->phase = LIVE_UNKNOWN;
		live_again(l);
		return;
	}
	if (r == 0 && !done && !l->in_txn) {
		if (l->spawn_error != 0)
			sched_hold(l->engine);
		r = verdict(l, &ev);
	}
	if (r < 0)
		live_again(l);
}

void
recovery_step(struct live *l)
{
	switch (l->phase) {
	case LIVE_UNKNOWN:
		if (exec_look(l->engine->exec, l->id, l->attempt) < 0)
			live_again(l);
		return;
	case LIVE_SILENT:
		silent(l);
		return;
	case LIVE_SWEPT:
		conclude(l);
		return;
	case LIVE_LINKED:
	case LIVE_SWEEPING:
		return;
	}
	assert_not_reached("phase");
}

/* ---- what exec reports */

static struct live *
live_of(struct engine *g, uint64_t id, uint32_t attempt)
{
	struct live *l = live_find(g, id);

	return l && l->attempt == attempt ? l : NULL;
}

/* Its monitor lives, at this moment. */
static void
heard(struct live *l)
{
	l->seen_us = wall_to_usec(wall_now());
}

void
recovery_known(struct live *l)
{
	if (!l->unseen)
		return;
	l->unseen = false;
	if (--l->engine->unseen == 0)
		sched_kick(l->engine);
}

static void
on_up(void *arg, uint32_t flags, uint64_t seen)
{
	struct engine *g = arg;

	log_info("spawner %s%s; %zu jobs to look after",
		 exec_is_old(g->exec) ? "connected, but it can start nothing" : "ready",
		 flags & WELCOME_CGROUP ? ", with cgroups" : "", g->live.n);
	limits_warn(g);
	for (struct map_node *n = map_next(&g->live, NULL); n; n = map_next(&g->live, n)) {
		struct live *l = container_of(n, struct live, node);

		recovery_known(l);
		if (exec_linked(g->exec, l->id, l->attempt) || l->has_end)
			continue;
		l->phase = LIVE_UNKNOWN;
		l->unseen = seen < l->seq;
		g->unseen += l->unseen;
		recovery_step(l);
	}
	sched_kick(g);
}

static void
on_down(void *arg)
{
	struct engine *g = arg;

	if (!g->stopping)
		log_warn("the spawner is gone; running jobs go on, new ones wait, continuing");
}

static void
on_dir(void *arg, uint64_t id, uint32_t attempt)
{
	struct engine *g = arg;

	/* Of a row that cannot be read nobody knows whether this is its evidence. */
	if (!live_of(g, id, attempt) && !store_broken(g->store, id))
		(void)exec_forget(g->exec, id, attempt);
}

static void
on_spawn_failed(void *arg, uint64_t id, uint32_t attempt, int error, enum spawn_step step)
{
	struct engine *g = arg;
	struct live *l = live_of(g, id, attempt);

	note(g, LOG_LVL_WARN, id, attempt,
	     "the spawner could not start it: %s (step %d), continuing", strerror(error),
	     (int)step);
	if (l)
		l->spawn_error = error;
}

static void
on_hello(void *arg, const struct frame_hello *h)
{
	struct engine *g = arg;
	struct live *l = live_of(g, h->head.id, h->head.attempt);
	struct frame_stopping s = {.phase = h->phase, .stop_cause = h->stop_cause};
	bool itself;

	if (!l) {
		on_note(g, LOG_LVL_ERR, h->head.id, h->head.attempt,
			"a monitor lives whose job is not running: ignored");
		return;
	}
	CRASH_POINT("ctxd.hello.read");
	l->phase = LIVE_LINKED;
	recovery_known(l);
	heard(l);
	l->pid = h->pid;
	l->spawn_error = 0;
	itself = h->flags & HELLO_SELF_EXTENDED && h->deadline_ns > l->deadline_boot_ns;
	if (itself) { /* the job moved its deadline while nobody listened */
		progress_extended(l, h->deadline_ns);
		progress_settle(l);
	}
	if (l->cancel)
		(void)exec_stop(g->exec, l->id, l->attempt, l->cancel_now, STOP_CAUSE_REQUEST);
	else if (h->phase == PHASE_RUNNING && h->deadline_ns != l->deadline_boot_ns && !itself)
		(void)exec_extend(g->exec, l->id, l->attempt, l->deadline_boot_ns);
	stop_heard(l, &s);
	(void)limits_heard(l, h->unenforced);
}

static void
on_stopping(void *arg, const struct frame_stopping *s)
{
	struct live *l = live_of(arg, s->head.id, s->head.attempt);

	if (!l)
		return;
	CRASH_POINT("ctxd.stopping.read");
	progress_settle(l); /* the deadline as the job had moved it */
	stop_heard(l, s);
}

static void
on_progress(void *arg, const struct progress *p)
{
	struct live *l = live_of(arg, p->id, p->attempt);

	CRASH_POINT("ctxd.progress.read");
	if (l)
		progress_heard(l, p);
}

static void
on_extended(void *arg, const struct frame_extended *x)
{
	struct live *l = live_of(arg, x->head.id, x->head.attempt);

	CRASH_POINT("ctxd.extended.read");
	if (l)
		progress_extended(l, x->deadline_ns);
}

static void
on_end(void *arg, const struct result *r)
{
	struct live *l = live_of(arg, r->id, r->attempt);

	if (l)
		live_ended(l, r, KNOWN_BY_MONITOR);
}

static void
on_silent(void *arg, uint64_t id, uint32_t attempt)
{
	struct live *l = live_of(arg, id, attempt);

	if (!l || l->has_end)
		return;
	CRASH_POINT("ctxd.monitor.silent");
	if (l->phase == LIVE_LINKED) /* until now */
		heard(l);
	l->phase = LIVE_SILENT;
	recovery_step(l);
}

static void
on_swept(void *arg, uint64_t id, uint32_t attempt, bool certain, uint32_t killed)
{
	struct live *l = live_of(arg, id, attempt);

	if (killed > 0)
		note(arg, LOG_LVL_INFO, id, attempt, "%u processes left behind were killed",
		     killed);
	if (!l || l->phase != LIVE_SWEEPING)
		return;
	CRASH_POINT("ctxd.swept.read");
	l->uncertain = !certain;
	l->phase = LIVE_SWEPT;
	recovery_step(l);
}

const struct exec_ops recovery_ops = {
	.on_up = on_up,
	.on_down = on_down,
	.on_dir = on_dir,
	.on_spawn_failed = on_spawn_failed,
	.on_hello = on_hello,
	.on_stopping = on_stopping,
	.on_progress = on_progress,
	.on_extended = on_extended,
	.on_end = on_end,
	.on_silent = on_silent,
	.on_swept = on_swept,
	.on_note = on_note,
};

/* ---- at the start */

struct found_job {
	struct job *job; /* owned copy */
};
struct found {
	struct found_job *v; /* owned */
	size_t n, cap;
};

static int
collect(void *arg, const struct job *j)
{
	struct found *f = arg;

	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 64;
		struct found_job *v = reallocarray(f->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		f->v = v;
		f->cap = cap;
	}
	f->v[f->n].job = job_copy(j);
	return f->v[f->n++].job ? 0 : -ENOMEM;
}

static int
load_one(struct engine *g, struct job *j)
{
	struct live *l;

	if (memcmp(j->boot, g->boot, sizeof(g->boot)) != 0) /* step 1 */
		return interrupted(g, j, CAUSE_REBOOT, "the machine was started anew while it ran",
				   false);
	l = live_new(g, j);
	(void)job_free(j);
	if (!l)
		return err_raise(-ENOMEM, "follow a running job");
	recovery_step(l);
	return 0;
}

int
recovery_load(struct engine *g)
{
	struct found f = {0};
	int r = store_live_each(g->store, collect, &f);

	/* The newest first: a context is older than what is attached to it, whose row its end may
	 * change. */
	for (size_t i = f.n; i-- > 0;) {
		struct job *j = take_ptr(f.v[i].job);

		if (r == 0 && j)
			r = load_one(g, j);
		else
			(void)job_free(j);
	}
	if (f.n > 0)
		log_info("%zu jobs were running when ctxd stopped; looking for them", f.n);
	free(f.v);
	return r < 0 ? err_pass(r) : 0;
}
