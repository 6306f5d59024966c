/* action.c - what a monitor does in which state: the matrix, and the actions it names. See
 * action.h. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "record/about.h"
#include "record/rundir.h"
#include "spawner/action.h"
#include "spawner/alarm.h"
#include "spawner/cgroup.h"
#include "spawner/limits.h"
#include "spawner/link.h"
#include "spawner/monitor.h"
#include "spawner/monitor_state.h"
#include "spawner/notify.h"
#include "spawner/tree.h"

#define TICK_MIN (10 * NSEC_PER_MSEC)
#define TICK_MAX (200 * NSEC_PER_MSEC)
#define RETRY_EVERY NSEC_PER_SEC

typedef void (*action_fn)(struct monitor *m, const struct detail *d);

static int64_t
now_us(void)
{
	return wall_to_usec(wall_now());
}

static void
tick_after(struct monitor *m, int64_t ns)
{
	m->tick_every_ns = ns;
	m->tick_ns = mono_now().ns + ns;
}

static void
tick_slower(struct monitor *m)
{
	int64_t ns = m->tick_every_ns * 2;

	tick_after(m, ns < TICK_MIN ? TICK_MIN : ns > TICK_MAX ? TICK_MAX : ns);
}

static uint32_t
count32(size_t n)
{
	return n < UINT32_MAX ? (uint32_t)n : UINT32_MAX;
}

static void
act_none(struct monitor *m, const struct detail *d)
{
	(void)m, (void)d;
}

static void
send_term(struct monitor *m)
{
	m->result.term_processes = count32(tree_signal(NULL, m->stop_signal));
	m->result.flags |= RESULT_TERM_SENT;
	m->result.term_us = now_us();
	CRASH_POINT("monitor.term.sent");
	alarm_grace(m, mono_add(mono_now(), (struct dur){m->grace_ns}).ns);
	link_stopping(m, m->result.term_us);
	CRASH_POINT("monitor.stopping.sent");
}

static void
act_term(struct monitor *m, const struct detail *d)
{
	m->state = S_STOPPING;
	m->phase = PHASE_STOPPING;
	m->result.stop_cause = d->cause;
	send_term(m);
}

static void
kill_all(struct monitor *m)
{
	if (m->cgroup >= 0)
		(void)cgroup_kill(m->cgroup);
	(void)tree_kill(NULL, NULL);
}

static void
act_kill(struct monitor *m, const struct detail *d)
{
	/* The first cause wins; and what came when the main process had ended by itself stopped
	 * nothing but leftovers. */
	if (m->state == S_RUNNING)
		m->result.stop_cause = d->cause;
	m->state = S_KILLING;
	m->phase = PHASE_KILLING;
	m->result.kill_processes = count32(tree_count(NULL));
	kill_all(m);
	CRASH_POINT("monitor.kill.sent");
	m->result.flags |= RESULT_KILL_SENT;
	m->result.kill_us = now_us();
	alarm_grace(m, 0);
	tick_after(m, TICK_MIN);
	link_stopping(m, m->result.kill_us);
}

static void
act_kill_again(struct monitor *m, const struct detail *d)
{
	(void)d;
	kill_all(m);
	tick_slower(m);
}

static void
act_extend(struct monitor *m, const struct detail *d)
{
	m->deadline_ns = d->deadline_ns;
	alarm_deadline(m);
	CRASH_POINT("monitor.deadline.moved");
	if (d->by_job) {
		m->result.flags |= RESULT_SELF_EXTENDED;
		m->extended_us = now_us();
		m->untold |= UNTOLD_EXTENDED;
	} else {
		m->result.flags &= ~(uint32_t)RESULT_SELF_EXTENDED;
		m->untold &= ~(uint32_t)UNTOLD_EXTENDED;
	}
}

/* Until it is reaped, its pid is its own. */
static void
act_signal(struct monitor *m, const struct detail *d)
{
	if (m->main == 0)
		return;
	if (d->tree)
		(void)tree_send(NULL, d->signo);
	else
		(void)kill(m->main, d->signo);
}

/* Nothing tells when a cgroup is empty of processes that are no children of ours. */
static void
act_watch(struct monitor *m, const struct detail *d)
{
	(void)d;
	if (m->cgroup >= 0)
		tick_slower(m);
}

/* The main process ended by itself and waitpid knows of others. None of them may be seen: one that
 * is dying right now is given a moment, then whatever keeps the tree from being empty is stopped.
 */
static void
act_leftovers(struct monitor *m, const struct detail *d)
{
	size_t n = tree_count(NULL);
	bool first = m->state == S_RUNNING;

	if (m->result.flags & RESULT_TERM_SENT) {
		act_watch(m, d);
		return;
	}
	m->state = S_EMPTYING;
	m->phase = PHASE_EMPTYING;
	alarm_grace(m, 0);
	tick_after(m, TICK_MIN);
	if (n == 0 && first)
		return;
	m->result.leftovers = n == 0 ? 1 : count32(n);
	send_term(m);
}

static int
write_result(struct monitor *m)
{
	int r = 0;

	if (m->result_fd < 0)
		m->result_fd = openat(m->dir, RUNDIR_RESULT_TMP,
				      O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	if (m->result_fd < 0)
		return -errno;
	r = file_write_full(m->result_fd, &m->result, sizeof(m->result));
	(void)close(m->result_fd);
	m->result_fd = -1;
	CRASH_POINT("monitor.result.written");
	if (r == 0 && renameat(m->dir, RUNDIR_RESULT_TMP, m->dir, RUNDIR_RESULT) < 0)
		r = -errno;
	CRASH_POINT("monitor.result.renamed");
	return r;
}

/* Removed by FORGET, so ctxd has committed the end; or wiped, so nobody can find us any more. */
static bool
dir_is_gone(const struct monitor *m)
{
	struct stat st;

	return fstat(m->dir, &st) == 0 && st.st_nlink == 0;
}

static void
act_retry(struct monitor *m, const struct detail *d)
{
	(void)d;
	if (write_result(m) == 0 || dir_is_gone(m))
		_exit(MONITOR_EXIT_EMPTY);
	tick_after(m, RETRY_EVERY);
}

static void
close_books(struct monitor *m)
{
	struct rusage u;

	m->result.ended_us = now_us();
	for (size_t i = 0; i < ARRAY_SIZE(m->out); i++) {
		output_end(&m->out[i]);
		m->result.flags |= m->out[i].flags;
	}
	m->result.out_bytes = m->out[0].size;
	m->result.out_dropped = output_dropped(&m->out[0]);
	m->result.err_bytes = m->out[1].size;
	m->result.err_dropped = output_dropped(&m->out[1]);
	m->result.deadline_ns = m->deadline_ns;
	if (getrusage(RUSAGE_CHILDREN, &u) == 0) {
		m->result.user_us =
			(uint64_t)u.ru_utime.tv_sec * 1000000 + (uint64_t)u.ru_utime.tv_usec;
		m->result.system_us =
			(uint64_t)u.ru_stime.tv_sec * 1000000 + (uint64_t)u.ru_stime.tv_usec;
		m->result.max_rss_bytes = (uint64_t)u.ru_maxrss * 1024;
	}
	if (m->cgroup >= 0)
		limits_usage(m->cgroup, &m->result);
}

static void
act_end(struct monitor *m, const struct detail *d)
{
	int r;

	(void)d;
	CRASH_POINT("monitor.tree.empty");
	m->state = S_ENDED;
	m->output_ns = 0;
	alarm_grace(m, 0);
	notify_end(m);
	close_books(m);
	r = write_result(m);
	link_end(m);
	CRASH_POINT("monitor.end.sent");
	if (r == 0 || dir_is_gone(m))
		_exit(MONITOR_EXIT_EMPTY);
	about_log(LOG_LVL_ERR, &m->about, action_state(m),
		  "job %ju.%u has ended, but its result cannot be written: %s; keeping it in "
		  "memory and trying again",
		  (uintmax_t)m->result.id, m->result.attempt, strerror(-r));
	tick_after(m, RETRY_EVERY);
}

static const action_fn actions[N_STATES][N_EVENTS] = {
	[S_RUNNING] =
		{
			[E_DEADLINE] = act_term,
			[E_GRACE] = act_none,
			[E_STOP] = act_term,
			[E_STOP_NOW] = act_kill,
			[E_EXTEND] = act_extend,
			[E_MAIN] = act_leftovers,
			[E_EMPTY] = act_end,
			[E_TICK] = act_none,
			[E_WATCHDOG] = act_term,
			[E_WARN] = act_signal,
			[E_SIGNAL] = act_signal,
		},
	[S_STOPPING] =
		{
			[E_DEADLINE] = act_none,
			[E_GRACE] = act_kill,
			[E_STOP] = act_none,
			[E_STOP_NOW] = act_kill,
			[E_EXTEND] = act_none,
			[E_MAIN] = act_watch,
			[E_EMPTY] = act_end,
			[E_TICK] = act_watch,
			[E_WATCHDOG] = act_none,
			[E_WARN] = act_none,
			[E_SIGNAL] = act_signal,
		},
	[S_KILLING] =
		{
			[E_DEADLINE] = act_none,
			[E_GRACE] = act_none,
			[E_STOP] = act_none,
			[E_STOP_NOW] = act_none,
			[E_EXTEND] = act_none,
			[E_MAIN] = act_none,
			[E_EMPTY] = act_end,
			[E_TICK] = act_kill_again,
			[E_WATCHDOG] = act_none,
			[E_WARN] = act_none,
			[E_SIGNAL] = act_signal,
		},
	[S_EMPTYING] =
		{
			[E_DEADLINE] = act_none,
			[E_GRACE] = act_kill,
			[E_STOP] = act_none,
			[E_STOP_NOW] = act_kill,
			[E_EXTEND] = act_none,
			[E_MAIN] = act_none,
			[E_EMPTY] = act_end,
			[E_TICK] = act_leftovers,
			[E_WATCHDOG] = act_none,
			[E_WARN] = act_none,
			[E_SIGNAL] = act_none,
		},
	[S_ENDED] =
		{
			[E_DEADLINE] = act_none,
			[E_GRACE] = act_none,
			[E_STOP] = act_none,
			[E_STOP_NOW] = act_none,
			[E_EXTEND] = act_none,
			[E_MAIN] = act_none,
			[E_EMPTY] = act_none,
			[E_TICK] = act_retry,
			[E_WATCHDOG] = act_none,
			[E_WARN] = act_none,
			[E_SIGNAL] = act_none,
		},
};
_Static_assert(N_STATES == 5, "the matrix has a row for each state");
_Static_assert(N_EVENTS == 11, "the matrix has a column for each event");

const char *
action_state(const struct monitor *m)
{
	return m->result.stop_cause == STOP_CAUSE_NONE ? "running" : "stopping";
}

void
action_step(struct monitor *m, enum event e, const struct detail *d)
{
	static const struct detail none;

	assert(actions[m->state][e]);
	actions[m->state][e](m, d ? d : &none);
}
