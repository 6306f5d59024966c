/* judge.c - what an end means: the facts that a monitor left, and the state and cause that follow
 * from them. An end without facts is judged in recovery.c. Writes nothing but the job it is given.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "core/deadline.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/tree.h"

#define CLOCK_SLACK_US 100000 /* wall clocks are set */

/* ---- why */

enum job_state
judge_stopped(const struct job *j)
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
judge_deadline(struct engine *g, const struct job *j, int64_t at_us, struct why *ret, char *text,
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

void
judge_watchdog(const struct job *j, struct why *ret, char *text, size_t size)
{
	char d[CLOCK_TEXT];

	*ret = (struct why){CAUSE_WATCHDOG, text, -1};
	(void)snprintf(text, size, "no sign of life for %s (watchdog)",
		       dur_format(dur_usec(j->watchdog_us), d, sizeof(d)));
}

/* ---- the facts */

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

/* The command could not be executed: report what a shell would. */
static void
shell_code(struct job *j, const struct result *res)
{
	if (res->exec_error == 0)
		return;
	j->has_exit_code = true;
	j->exit_code = res->exec_step == EXEC_STEP_EXEC && res->exec_error == ENOENT ? 127 : 126;
}

/* What the monitor measured and what the job said last, without any judgement. */
int
judge_facts(const struct live *l, struct job *j, const struct result *res, enum known_by by)
{
	if (res->flags & RESULT_HAS_STATUS) {
		j->has_exit_code = WIFEXITED(res->wait_status);
		j->exit_code = j->has_exit_code ? WEXITSTATUS(res->wait_status) : 0;
		j->signal = WIFSIGNALED(res->wait_status) ? WTERMSIG(res->wait_status) : 0;
	}
	shell_code(j, res);
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

/* ---- the judgement */

const char *
judge_exec_text(const struct job *j, const struct result *res, char *buf, size_t size)
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
enum job_state
judge_end(const struct live *l, const struct job *j, struct why *why, char *text, size_t size)
{
	const struct result *res = &l->end;

	*why = (struct why){CAUSE_NONE, NULL, -1};
	if (j->state == JOB_STOPPING && !ended_before_stop(l, res) &&
	    !ended_before_shutdown(j, res))
		return judge_stopped(j); /* keeps its cause */
	if (res->stop_cause == STOP_CAUSE_DEADLINE) {
		judge_deadline(l->engine, j, res->term_us, why, text, size);
		return JOB_DEADLINE_EXCEEDED;
	}
	if (res->stop_cause == STOP_CAUSE_WATCHDOG) {
		judge_watchdog(j, why, text, size);
		return JOB_CANCELED;
	}
	if (res->exec_error != 0) {
		*why = (struct why){CAUSE_EXEC, judge_exec_text(j, res, text, size), -1};
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

/* Its process could not be made, or not be made the command, for want of what may be there later.
 * (No memory to execute it may well mean that it never fits.) */
bool
judge_unborn(const struct result *res)
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
