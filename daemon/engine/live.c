/* live.c - jobs that are running or stopping: what their monitors say, how their ends are kept
 * until they are committed, and ctxd's own backstop behind each deadline. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "core/deadline.h"
#include "engine/impl.h"

#define CLOCK_SLACK_US 100000 /* wall clocks are set */
#define START_AGAIN_US                                                                             \
	INT64_C(1000000) /* the first wait; doubles each time, REQUEUES_MAX times                  \
			  */

enum { LIVE_MAGIC = 0x4c495645 };

struct stop_fx {
	struct effect fx;
	struct engine *g;
	struct job *job; /* that became stopping; owned; NULL: it was that before */
	uint64_t id;
	uint32_t attempt;
	bool tell, now; /* tell the monitor */
};
struct finish_fx {
	struct effect fx;
	struct engine *g;
	struct job *job;   /* owned */
	struct job *ended; /* owned: JOB as it ended, if it has gone on to its next attempt */
	uint32_t attempt;  /* that ended */
	bool was_live;
};

/* ---- the object */

struct live *
live_find(const struct engine *g, uint64_t id)
{
	struct map_node *n = map_find(&g->live, id);

	return n ? container_of(n, struct live, node) : NULL;
}

static void
live_on_backstop(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct live *l = container_of(w, struct live, backstop);
	int64_t due = l->deadline_boot_ns + l->grace_us * NSEC_PER_USEC;

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LIVE_MAGIC);
	if (mono_now().ns < due) { /* extended meanwhile */
		live_arm_backstop(l);
		return;
	}
	log_warn("job %ju: still there after its deadline and grace; its monitor is asked to kill, "
		 "continuing",
		 (uintmax_t)l->id);
	if (exec_stop(l->engine->exec, l->id, l->attempt, true, STOP_CAUSE_DEADLINE) < 0)
		(void)exec_look(l->engine->exec, l->id, l->attempt);
	ev_timer_set(&l->backstop, BACKSTOP_SEC, 0.);
	ev_timer_start(l->engine->loop, &l->backstop);
}

/* ev_timer runs on a clock that stands still in suspend; the callback judges by CLOCK_BOOTTIME. */
void
live_arm_backstop(struct live *l)
{
	int64_t due = l->deadline_boot_ns + l->grace_us * NSEC_PER_USEC;
	double after = (double)(due - mono_now().ns) / 1e9 + BACKSTOP_SEC;

	ev_timer_stop(l->engine->loop, &l->backstop);
	ev_timer_set(&l->backstop, after < 0.001 ? 0.001 : after, 0.);
	ev_timer_start(l->engine->loop, &l->backstop);
}

static void
live_on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct live *l = container_of(w, struct live, again);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LIVE_MAGIC);
	if (l->has_end)
		live_ended(l, &l->end, l->end_by);
	else
		recovery_step(l);
}

void
live_again(struct live *l)
{
	ev_timer_stop(l->engine->loop, &l->again);
	ev_timer_set(&l->again, STORAGE_RETRY_SEC, 0.);
	ev_timer_start(l->engine->loop, &l->again);
}

struct live *
live_new(struct engine *g, const struct job *j)
{
	struct live *l = calloc(1, sizeof(*l));

	if (!l || map_insert(&g->live, j->id, &l->node) < 0) {
		free(l);
		return NULL;
	}
	l->magic = LIVE_MAGIC;
	l->engine = g;
	l->id = j->id;
	l->attempt = j->attempt;
	l->seq = j->seq;
	l->phase = LIVE_UNKNOWN;
	l->deadline_boot_ns = j->deadline_boot_ns;
	l->grace_us = j->grace_us;
	l->cancel = j->cancel_attempt == j->attempt;
	l->cancel_now = l->cancel && j->cancel_now;
	l->found_stopping = j->state == JOB_STOPPING;
	ev_init(&l->backstop, live_on_backstop);
	ev_init(&l->again, live_on_again);
	progress_attach(l);
	live_arm_backstop(l);
	return l;
}

void
live_free(struct live *l)
{
	ev_timer_stop(l->engine->loop, &l->backstop);
	ev_timer_stop(l->engine->loop, &l->again);
	progress_detach(l);
	recovery_known(l);
	map_remove(&l->engine->live, &l->node);
	l->magic = 0;
	free(l);
}

/* ---- stopping */

static void
stop_run(struct effect *fx, int result)
{
	struct stop_fx *f = container_of(fx, struct stop_fx, fx);
	struct live *l = live_find(f->g, f->id);

	if (result == 0 && f->tell && l && l->attempt == f->attempt) {
		l->cancel = true;
		l->cancel_now |= f->now;
		/* No link now: it is sent again when the monitor says HELLO. */
		(void)exec_stop(f->g->exec, f->id, f->attempt, f->now, STOP_CAUSE_REQUEST);
	}
	if (result == 0 && f->job)
		log_job_edge(f->job, "stopping");
	(void)job_free(f->job);
	free(f);
}

static struct stop_fx *
stop_fx_new(struct engine *g, const struct job *j, bool tell, bool now)
{
	struct stop_fx *f = calloc(1, sizeof(*f));

	if (f)
		*f = (struct stop_fx){.fx.run = stop_run,
				      .g = g,
				      .id = j->id,
				      .attempt = j->attempt,
				      .tell = tell,
				      .now = now};
	else
		(void)err_raise(-ENOMEM, "stop a job");
	return f;
}

/* Takes J. */
static int
become_stopping(struct engine *g, struct job *j, const struct why *why, bool tell, bool now)
{
	struct stop_fx *f = stop_fx_new(g, j, tell, now);
	int r = f ? lifecycle_set(g, j, JOB_STOPPING, why) : -ENOMEM;

	if (r < 0) {
		(void)job_free(j);
		free(f);
		return err_pass(r);
	}
	f->job = j;
	CRASH_COMMIT("ctxd.stop");
	txn_defer(g->txn, &f->fx);
	return 0;
}

int
live_stop(struct engine *g, struct job *j, const struct why *why, bool now)
{
	j->cancel_attempt = j->attempt;
	j->cancel_now = now;
	return become_stopping(g, j, why, true, now);
}

int
live_hurry(struct engine *g, struct job *j)
{
	struct stop_fx *f;
	int r;

	if (j->cancel_now && j->cancel_attempt == j->attempt)
		return 0;
	f = stop_fx_new(g, j, true, true);
	if (!f)
		return -ENOMEM;
	j->cancel_attempt = j->attempt;
	j->cancel_now = true;
	r = lifecycle_save(g, j);
	if (r < 0) {
		free(f);
		return err_pass(r);
	}
	txn_defer(g->txn, &f->fx);
	return 0;
}

enum job_state
live_stop_end(const struct job *j)
{
	bool late = j->cause_code == CAUSE_DEADLINE || j->cause_code == CAUSE_PARENT_DEADLINE;

	if (j->cause_code == CAUSE_SHUTDOWN)
		return JOB_INTERRUPTED;
	return late ? JOB_DEADLINE_EXCEEDED : JOB_CANCELED;
}

/* AT_US is when the monitor began to stop it. An extension that was granted just then has come too
 * late. */
static const char *
deadline_text(const struct job *j, int64_t at_us, char *buf, size_t size)
{
	char d[CLOCK_TEXT];

	if (j->deadline_rule == RULE_EXTENDED && at_us > 0 &&
	    at_us < j->deadline_us - CLOCK_SLACK_US) {
		(void)snprintf(
			buf, size,
			"the deadline passed after %s, before the extension reached the monitor",
			dur_format(dur_usec(at_us - j->started_us), d, sizeof(d)));
		return buf;
	}
	(void)snprintf(buf, size, "the deadline passed after %s (rule %s)",
		       dur_format(dur_usec(j->deadline_us - j->started_us), d, sizeof(d)),
		       job_rule_name(j->deadline_rule));
	return buf;
}

void
live_deadline_why(struct engine *g, const struct job *j, int64_t at_us, struct why *ret, char *text,
		  size_t size)
{
	*ret = (struct why){CAUSE_DEADLINE, text, -1};
	if (j->deadline_rule != RULE_INHERITED) {
		(void)deadline_text(j, at_us, text, size);
		return;
	}
	ret->code = CAUSE_PARENT_DEADLINE;
	(void)snprintf(text, size, "parent %" PRIu64 " deadline exceeded",
		       context_deadline_origin(g, j));
}

static void
watchdog_why(const struct job *j, struct why *ret, char *text, size_t size)
{
	char d[CLOCK_TEXT];

	*ret = (struct why){CAUSE_WATCHDOG, text, -1};
	(void)snprintf(text, size, "no sign of life for %s (watchdog)",
		       dur_format(dur_usec(j->watchdog_us), d, sizeof(d)));
}

/* The monitor sent TERM because of the deadline or for want of a sign of life: the row follows. A
 * request's STOPPING was committed before it was sent. */
void
live_stopping(struct live *l, const struct frame_stopping *s)
{
	struct job *j = NULL;
	char text[160];
	struct why why;
	int r;

	if ((s->stop_cause != STOP_CAUSE_DEADLINE && s->stop_cause != STOP_CAUSE_WATCHDOG) ||
	    l->has_end)
		return;
	r = store_job_get(l->engine->store, l->id, &j);
	if (r != 0 || j->state != JOB_RUNNING || j->attempt != l->attempt) {
		(void)job_free(j);
		return;
	}
	if (s->stop_cause == STOP_CAUSE_WATCHDOG)
		watchdog_why(j, &why, text, sizeof(text));
	else
		live_deadline_why(l->engine, j, s->at_us, &why, text, sizeof(text));
	j->stop.asked_us = s->at_us;
	r = become_stopping(l->engine, j, &why, false, false);
	if (r == 0)
		(void)tree_done(l->engine, j, -1, false, NULL);
	/* If it cannot be written now the end will say the same. */
}

/* ---- the end */

/* Whoever followed the output was told the end, and how long it is, just before. */
static void
spare_output(struct engine *g, const struct job *j)
{
	bool known = j->known_by == KNOWN_BY_MONITOR || j->known_by == KNOWN_BY_RESULT_FILE;

	if (!g->system_mode && job_state_ended(j->state) && known && j->out_bytes == 0)
		output_spare(g->output, j->id, j->attempt);
}

static void
finish_run(struct effect *fx, int result)
{
	struct finish_fx *f = container_of(fx, struct finish_fx, fx);
	struct engine *g = f->g;
	struct live *l = live_find(g, f->job->id);

	if (l)
		l->in_txn = false;
	if (result < 0) {
		if (l) /* kept here and in the run directory, until it can be written */
			live_again(l);
	} else {
		if (f->was_live) {
			exec_unlink(g->exec, f->job->id, f->attempt);
			(void)exec_forget(g->exec, f->job->id, f->attempt);
		}
		if (l)
			live_free(l);
		if (f->job->kind == JOB_KIND_SCOPE)
			scope_arm(g);
		if (job_state_ended(f->job->state)) {
			bound_forget(g, f->job->id);
			lifecycle_ended(g, f->job);
			spare_output(g, f->job);
		} else {
			if (f->ended)
				log_job_edge(f->ended, job_state_name(f->ended->state));
			log_job_edge(f->job, "queued again");
			if (f->job->attempt != f->attempt) {
				metrics_retried(&g->metrics, f->job);
				watch_again(g, f->job->id);
			}
		}
	}
	(void)job_free(f->job);
	(void)job_free(f->ended);
	free(f);
}

/* *RET: what is done after the commit, until then. */
static int
finish(struct engine *g, struct job *j, enum job_state to, const struct why *why,
       struct finish_fx **ret)
{
	struct finish_fx *f = calloc(1, sizeof(*f));
	struct live *l = live_find(g, j->id);
	int r;

	if (!f) {
		(void)job_free(j);
		return err_raise(-ENOMEM, "end a job");
	}
	*f = (struct finish_fx){.fx.run = finish_run,
				.g = g,
				.job = j,
				.attempt = j->attempt,
				.was_live = j->state == JOB_RUNNING || j->state == JOB_STOPPING};
	r = lifecycle_set(g, j, to, why);
	if (!r && to == JOB_SUCCEEDED)
		r = store_env_drop(g->store, j->id);
	if (r < 0) {
		(void)job_free(j);
		free(f);
		return err_pass(r);
	}
	if (l)
		l->in_txn = true;
	CRASH_COMMIT(to == JOB_QUEUED ? "ctxd.requeue" : f->was_live ? "ctxd.end" : "ctxd.over");
	/* Most jobs end unwatched, and no other waits for the slot: that end can share a commit. */
	if (job_state_ended(to) && g->lanes.queued == 0 && !watch_any(g, j->id))
		txn_defer_lazy(g->txn, &f->fx);
	else
		txn_defer(g->txn, &f->fx);
	*ret = f;
	return 0;
}

int
live_finish_one(struct engine *g, struct job *j, enum job_state to, const struct why *why)
{
	struct finish_fx *f;

	return finish(g, j, to, why, &f);
}

int
live_finish(struct engine *g, struct job *j, enum job_state to, const struct why *why)
{
	bool itself = j->state == JOB_RUNNING || shutdown_stops(j); /* nobody wanted it to end */
	struct finish_fx *f = NULL;
	int r = finish(g, j, to, why, &f);

	if (r < 0)
		return err_pass(r); /* J is gone */
	if (job_state_ended(to)) {
		r = tree_done(g, j, why->by_uid, false, NULL);
		if (r == 0 && itself)
			r = retry_itself(g, j, &f->ended);
		if (r == 0)
			r = hook_run(g, j);
		if (r < 0) /* all of it, or nothing */
			txn_spoil(g->txn);
	}
	return r < 0 ? err_pass(r) : 0;
}

static void
take_cgroup(struct job *j, const struct result *res)
{
	j->has_memory_peak = res->flags & RESULT_HAS_MEMORY_PEAK;
	j->memory_peak_bytes = j->has_memory_peak ? res->memory_peak_bytes : 0;
	j->has_io = res->flags & RESULT_HAS_IO;
	j->io_read_bytes = j->has_io ? res->io_read_bytes : 0;
	j->io_write_bytes = j->has_io ? res->io_write_bytes : 0;
	j->unenforced = res->unenforced;
}

static void
take_stop(struct job *j, const struct result *res)
{
	j->stop.term_us = res->flags & RESULT_TERM_SENT ? res->term_us : 0;
	j->stop.kill_us = res->flags & RESULT_KILL_SENT ? res->kill_us : 0;
	if (j->stop.asked_us == 0 && res->stop_cause != STOP_CAUSE_NONE) /* by its monitor */
		j->stop.asked_us = j->stop.term_us ? j->stop.term_us : j->stop.kill_us;
	j->stop.main_ended_us = res->main_ended_us;
	j->stop.has_counts = res->version >= 2;
	j->stop.term_processes = j->stop.has_counts ? res->term_processes : 0;
	j->stop.kill_processes = j->stop.has_counts ? res->kill_processes : 0;
}

/* What the monitor measured and what the job said last, without any judgement. */
static int
take_facts(const struct live *l, struct job *j, const struct result *res, enum known_by by)
{
	if (res->flags & RESULT_HAS_STATUS) {
		j->has_exit_code = WIFEXITED(res->wait_status);
		j->exit_code = j->has_exit_code ? WEXITSTATUS(res->wait_status) : 0;
		j->signal = WIFSIGNALED(res->wait_status) ? WTERMSIG(res->wait_status) : 0;
	}
	j->pid = res->pid;
	if (res->started_us > 0)
		j->started_us = res->started_us;
	j->ended_us = res->ended_us;
	j->has_leftovers = true;
	j->leftovers = res->leftovers;
	j->known_by = by;
	j->exec_errno = res->exec_error;
	j->out_bytes = res->out_bytes;
	j->out_dropped = res->out_dropped;
	j->err_bytes = res->err_bytes;
	j->err_dropped = res->err_dropped;
	j->has_usage = true;
	j->user_us = res->user_us;
	j->system_us = res->system_us;
	j->max_rss_bytes = res->max_rss_bytes;
	take_cgroup(j, res);
	take_stop(j, res);
	if (res->flags & RESULT_SELF_EXTENDED && res->deadline_ns > j->deadline_boot_ns)
		deadline_extend(j, res->deadline_ns, wall_now(), mono_now());
	return progress_merge(l, j);
}

static const char *
exec_text(const struct job *j, const struct result *res, char *buf, size_t size)
{
	static const char *const what[] = {
		[EXEC_STEP_NONE] = "start",           [EXEC_STEP_SETUP] = "prepare the process",
		[EXEC_STEP_USER] = "become the user", [EXEC_STEP_CHDIR] = "change to the directory",
		[EXEC_STEP_EXEC] = "execute",         [EXEC_STEP_FORK] = "make a process",
	};
	const char *object = res->exec_step == EXEC_STEP_CHDIR  ? j->cwd
			     : res->exec_step == EXEC_STEP_EXEC ? strv_first(&j->argv)
								: "";
	char quoted[96];

	(void)snprintf(buf, size, "cannot %s%s%s: %s",
		       res->exec_step < ARRAY_SIZE(what) ? what[res->exec_step] : "start",
		       *object ? " " : "",
		       *object ? text_escape(object, quoted, sizeof(quoted)) : "",
		       strerror(res->exec_error));
	return buf;
}

/* Its cgroup is killed as a whole, so it was that which ended the main process. */
static const char *
oom_text(const struct result *res, char *buf, size_t size)
{
	char limit[CLOCK_TEXT];

	if (res->flags & RESULT_OOM_AT_LIMIT && res->memory_max_bytes)
		(void)snprintf(buf, size, "out of memory: limit %s",
			       text_size_format(res->memory_max_bytes, limit, sizeof(limit)));
	else
		(void)snprintf(buf, size,
			       "out of memory: not by a limit of its own, but for all jobs or the "
			       "whole machine");
	return buf;
}

/* It had ended by itself before this ctxd began, which only then wrote that it is being stopped,
 * not knowing (what it is attached to had ended in the meantime). Nobody stopped it: the true end
 * counts. */
static bool
ended_before_stop(const struct live *l, const struct result *res)
{
	return !l->found_stopping && res->stop_cause == STOP_CAUSE_NONE &&
	       res->ended_us < l->engine->started_us;
}

/* It was asked to stop because the machine goes down, but ended before it was told, or for its
 * deadline. */
static bool
ended_before_shutdown(const struct job *j, const struct result *res)
{
	return shutdown_stops(j) && res->stop_cause != STOP_CAUSE_REQUEST;
}

/* The judgement: the state and cause that follow from the row and the facts. First cause wins, and
 * the first one that was committed is the first. */
static enum job_state
judge(const struct live *l, const struct job *j, struct why *why, char *text, size_t size)
{
	const struct result *res = &l->end;

	*why = (struct why){CAUSE_NONE, NULL, -1};
	if (j->state == JOB_STOPPING && !ended_before_stop(l, res) &&
	    !ended_before_shutdown(j, res))
		return live_stop_end(j); /* keeps its cause */
	if (res->stop_cause == STOP_CAUSE_DEADLINE) {
		live_deadline_why(l->engine, j, res->term_us, why, text, size);
		return JOB_DEADLINE_EXCEEDED;
	}
	if (res->stop_cause == STOP_CAUSE_WATCHDOG) {
		watchdog_why(j, why, text, size);
		return JOB_CANCELED;
	}
	if (res->exec_error != 0) {
		*why = (struct why){CAUSE_EXEC, exec_text(j, res, text, size), -1};
		return JOB_FAILED;
	}
	if (j->signal == SIGKILL && res->oom_kills > 0) {
		*why = (struct why){CAUSE_OOM, oom_text(res, text, size), -1};
		return JOB_FAILED;
	}
	if (j->signal != 0) {
		char name[16];

		(void)snprintf(text, size, "killed by signal %d (%s)", j->signal,
			       text_signal_name(j->signal, name, sizeof(name)));
		*why = (struct why){CAUSE_SIGNAL, text, -1};
		return JOB_FAILED;
	}
	*why = (struct why){CAUSE_EXIT, NULL, -1};
	return j->exit_code == 0 ? JOB_SUCCEEDED : JOB_FAILED;
}

/* The command could not be executed: report what a shell would. */
static void
shell_code(struct job *j, const struct result *res)
{
	if (res->exec_error == 0)
		return;
	j->has_exit_code = true;
	j->exit_code = res->exec_step == EXEC_STEP_EXEC && res->exec_error == ENOENT ? 127 : 126;
}

/* Its process could not be made, or not be made the command, for want of what may be there later.
 * (No memory to execute it may well mean that it never fits.) */
bool
live_unborn(const struct result *res)
{
	switch (res->exec_error) {
	case EAGAIN:
	case EMFILE:
	case ENFILE:
		return true;
	case ENOMEM:
		return res->exec_step != EXEC_STEP_EXEC;
	default:
		return false;
	}
}

/* Nothing of J ever ran: the same attempt again, when it has waited by itself, for what is short
 * may be short for its user alone. Takes J. */
static int
start_over(struct live *l, struct job *j)
{
	struct engine *g = l->engine;
	char why[200], text[240];
	int r;

	(void)snprintf(text, sizeof(text), "could not be started: %s",
		       exec_text(j, &l->end, why, sizeof(why)));
	log_job(LOG_LVL_WARN, j, "%s; it waits, continuing", text);
	j->not_before_us = wall_to_usec(wall_now()) + (START_AGAIN_US << j->requeues);
	if (j->requeues > 0 && j->requeues < REQUEUES_MAX)
		j->requeues++;
	r = recovery_never_ran(g, j, text, l->end.exec_error);
	if (r == 0)
		delay_arm(g);
	return r;
}

/* L may be gone afterwards. */
static int
commit_end(struct live *l)
{
	struct engine *g = l->engine;
	_cleanup_(job_freep) struct job *j = NULL;
	char text[200];
	struct why why;
	enum job_state to;
	int r = store_job_get(g->store, l->id, &j);

	if (r != 0)
		return err_fold(r);
	if (j->attempt != l->attempt || (j->state != JOB_RUNNING && j->state != JOB_STOPPING)) {
		log_err("job %ju.%u: an end came for a row that is %s (attempt %u): ignored",
			(uintmax_t)l->id, l->attempt, job_state_name(j->state), j->attempt);
		exec_unlink(g->exec, l->id, l->attempt);
		live_free(l);
		return 0;
	}
	if (j->state == JOB_RUNNING && live_unborn(&l->end) && j->requeues <= REQUEUES_MAX)
		return start_over(l, take_ptr(j));
	r = take_facts(l, j, &l->end, l->end_by);
	if (r < 0)
		return err_pass(r);
	shell_code(j, &l->end);
	to = judge(l, j, &why, text, sizeof(text));
	return live_finish(g, take_ptr(j), to, &why);
}

void
live_ended(struct live *l, const struct result *res, enum known_by by)
{
	int r;

	if (l->in_txn)
		return;
	if (&l->end != res)
		l->end = *res;
	l->has_end = true;
	l->end_by = by;
	CRASH_POINT("ctxd.end.known");
	r = commit_end(l);
	if (r < 0)
		live_again(l);
}
