/* monitor.c - one process a job, see monitor.h.
 *
 * Order, which recovery rests upon: space for `result` is reserved; `fresh` becomes `started`; only
 * if that succeeded the command is executed. At the end the tree is emptied, `result` is written,
 * it is reported on whatever connection is open, and only then `ctl` is closed, by going away.
 * While `result` cannot be written, `ctl` stays open and the answer in memory.
 *
 * Hundreds of these wait at once, so a waiting monitor keeps its pages to a few: no stdio, no heap,
 * a shallow stack. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/ready.h"
#include "record/about.h"
#include "record/result.h"
#include "record/rundir.h"
#include "record/spec.h"
#include "spawner/action.h"
#include "spawner/alarm.h"
#include "spawner/cgroup.h"
#include "spawner/confine.h"
#include "spawner/exec.h"
#include "spawner/link.h"
#include "spawner/monitor.h"
#include "spawner/monitor_state.h"
#include "spawner/notify.h"
#include "spawner/output.h"
#include "spawner/tree.h"

static void
main_ended(struct monitor *m, int status)
{
	m->main = 0;
	m->result.wait_status = status;
	m->result.flags |= RESULT_HAS_STATUS;
	m->result.main_ended_us = wall_to_usec(wall_now());
	CRASH_POINT("monitor.main.reaped");
}

/* Take in all that ended. True when waitpid says that nobody is left. */
static bool
reap(struct monitor *m)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);

		if (pid == 0)
			return false;
		if (pid > 0 && pid == m->main)
			main_ended(m, status);
		if (pid < 0 && errno != EINTR)
			return errno == ECHILD;
	}
}

/* What the job has said until now, its last words among it: once reaped, nobody can tell whose they
 * were. */
static void
hear(struct monitor *m)
{
	siginfo_t si = {0};

	notify_read(m);
	if (m->rest_ns && m->main &&
	    waitid(P_PID, (id_t)m->main, &si, WEXITED | WNOHANG | WNOWAIT) == 0 && si.si_pid)
		notify_read_last(m);
}

static void
look(struct monitor *m)
{
	bool had_main = m->main != 0;

	hear(m);
	if (reap(m) && (m->cgroup < 0 || cgroup_populated(m->cgroup_events) == 0))
		action_step(m, E_EMPTY, NULL);
	else if (had_main && m->main == 0)
		action_step(m, E_MAIN, NULL);
}

static void
on_signal(struct monitor *m)
{
	struct signalfd_siginfo si[4];

	(void)!read(m->signals, si, sizeof(si));
	look(m);
}

static void
on_times(struct monitor *m)
{
	int64_t now = mono_now().ns;

	if (m->output_ns && m->output_ns <= now) {
		int64_t every = INT64_MAX;

		for (size_t i = 0; i < ARRAY_SIZE(m->out); i++) {
			output_look(&m->out[i]);
			if (m->out[i].fd >= 0 && m->out[i].every_ns < every)
				every = m->out[i].every_ns;
		}
		m->output_ns = now + every;
	}
	if (m->rest_ns && m->rest_ns <= now)
		notify_read(m);
	if (m->tell_ns && m->tell_ns <= now)
		notify_tell(m);
	if (m->accept_ns && m->accept_ns <= now)
		m->accept_ns = 0;
	if (m->tick_ns && m->tick_ns <= now) {
		enum state before = m->state;

		m->tick_ns = 0;
		look(m);
		if (m->state == before)
			action_step(m, E_TICK, NULL);
	}
}

static int
poll_timeout(const struct monitor *m)
{
	const int64_t times[] = {m->output_ns, m->tick_ns, m->rest_ns, m->tell_ns, m->accept_ns};
	int64_t at = 0, left;

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		if (at == 0 || (times[i] && times[i] < at))
			at = times[i];
	}
	if (at == 0)
		return -1;
	left = at - mono_now().ns;
	return left <= 0 ? 0 : (int)((left + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

_Noreturn static void
loop(struct monitor *m)
{
	enum { AT_SIGNALS, AT_TIMER, AT_NOTIFY, AT_CTL, AT_LINKS };
	struct pollfd p[AT_LINKS + LINKS_MAX];

	p[AT_SIGNALS] = (struct pollfd){.fd = m->signals, .events = POLLIN};
	p[AT_TIMER] = (struct pollfd){.fd = m->timer, .events = POLLIN};
	for (;;) {
		p[AT_CTL] = (struct pollfd){.fd = m->accept_ns ? -1 : m->ctl, .events = POLLIN};
		for (size_t i = 0; i < LINKS_MAX; i++)
			p[AT_LINKS + i] = (struct pollfd){.fd = m->links[i], .events = POLLIN};
		p[AT_NOTIFY] = (struct pollfd){.fd = m->rest_ns ? -1 : m->notify, .events = POLLIN};
		if (ready_poll(p, ARRAY_SIZE(p), poll_timeout(m)) < 0)
			continue;
		/* First what was said, then what follows from time and silence. */
		if (p[AT_NOTIFY].revents || p[AT_TIMER].revents)
			notify_read(m);
		if (p[AT_SIGNALS].revents)
			on_signal(m);
		if (p[AT_TIMER].revents)
			alarm_fire(m);
		for (size_t i = 0; i < LINKS_MAX; i++) {
			/* It may have been closed meanwhile; reading another one's early does no
			 * harm. */
			if (p[AT_LINKS + i].revents && m->links[i] >= 0)
				link_read(m, &m->links[i]);
		}
		if (p[AT_CTL].revents)
			link_accept(m);
		on_times(m);
	}
}

static int
by_number(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* Everything that the spawner had open for itself. */
static void
close_others(const struct launch *l)
{
	int keep[] = {2,
		      l->dir_fd,
		      l->ctl_fd,
		      l->notify_fd,
		      l->link_fd,
		      l->in_fd,
		      l->out_fd,
		      l->err_fd,
		      l->cgroup_fd < 0 ? 2 : l->cgroup_fd};

	qsort(keep, ARRAY_SIZE(keep), sizeof(keep[0]), by_number);
	for (size_t i = 0; i < ARRAY_SIZE(keep); i++) {
		unsigned from = (unsigned)keep[i] + 1;
		unsigned to = i + 1 < ARRAY_SIZE(keep) ? (unsigned)keep[i + 1] : ~0U;

		if (from < to)
			(void)close_range(from, to == ~0U ? to : to - 1, 0);
	}
}

/* The space is taken by writing: from then on an end can be recorded on a full disk, for the bytes
 * are only written over. (fallocate promises no more, and on ext4 costs ten times as much when the
 * file goes, which it mostly does unwritten.) The file is there already in a directory that serves
 * again. */
static int
reserve_result(int dir)
{
	static const char zeros[sizeof(struct result)];
	_close_ int fd = openat(dir, RUNDIR_RESULT_TMP, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
	int r;

	if (fd < 0)
		return -errno;
	r = file_write_full(fd, zeros, sizeof(zeros));
	if (r == 0 && lseek(fd, 0, SEEK_SET) < 0)
		r = -errno;
	return r < 0 ? r : take_fd(fd);
}

/* What killing the job and telling its end takes is open from the start: there may be no
 * descriptors when it matters. */
static int
open_watch(struct monitor *m)
{
	m->cgroup_events = m->cgroup < 0 ? -1 : cgroup_open_events(m->cgroup);
	if (m->cgroup >= 0 && m->cgroup_events < 0)
		return m->cgroup_events;
	return tree_open();
}

/* All that can fail comes before `started`: then the attempt provably never ran. */
static int
prepare(struct monitor *m, const struct launch *l)
{
	sigset_t chld;
	int r;

	(void)sigemptyset(&chld);
	(void)sigaddset(&chld, SIGCHLD);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return -errno;
	m->signals = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
	m->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (m->signals < 0 || m->timer < 0)
		return -errno;
	r = open_watch(m);
	if (r < 0)
		return r;
	m->result_fd = reserve_result(l->dir_fd);
	if (m->result_fd < 0)
		return m->result_fd;
	CRASH_POINT("monitor.result.reserved");
	if (renameat(l->dir_fd, RUNDIR_FRESH, l->dir_fd, RUNDIR_STARTED) < 0)
		return -errno;
	return 0;
}

static bool
same_file(int a, int b)
{
	struct stat sa, sb;

	return fstat(a, &sa) == 0 && fstat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
	       sa.st_ino == sb.st_ino;
}

/* The job shall be able to open /dev/stderr by name. launch.c has made sure that the file was
 * ctxd's to give. ctxd can read it all the time: as its owner, then as its group, whose right is
 * there before. */
static int
give_output(int fd, const struct spec *s)
{
	if (fchmod(fd, 0640) < 0 || fchown(fd, s->uid, s->out_gid) < 0)
		return -errno;
	return 0;
}

static int
give_outputs(const struct launch *l)
{
	int r = 0;

	if (l->system)
		r = give_output(l->out_fd, l->spec);
	if (l->system && r == 0 && !same_file(l->out_fd, l->err_fd))
		r = give_output(l->err_fd, l->spec);
	return r;
}

/* Pid of the main process, or -errno: RET says why, nothing of it is left. */
static pid_t
execute(const struct launch *l, struct exec_fault *ret)
{
	_free_ char **argv = strv_pointers(&l->spec->argv);
	_free_ char **envp = strv_pointers(&l->spec->env);
	_close_ int procs = l->cgroup_fd < 0 ? -1 : cgroup_open_procs(l->cgroup_fd);
	struct exec_plan plan = {
		.spec = l->spec,
		.argv = argv,
		.envp = envp,
		.ctl_fd = l->ctl_fd,
		.cgroup_procs_fd = procs,
		.in_fd = l->in_fd,
		.out_fd = l->out_fd,
		.err_fd = l->err_fd,
		.switch_user = l->system,
		.reset_oom = l->reset_oom,
	};
	int r = !argv || !envp ? -ENOMEM : l->cgroup_fd >= 0 && procs < 0 ? procs : give_outputs(l);
	pid_t pid;

	if (r < 0) {
		*ret = (struct exec_fault){.error = -r, .step = EXEC_STEP_SETUP};
		return r;
	}
	pid = exec_start(&plan, ret);
	if (pid < 0 || !ret->error)
		return pid;
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return -ret->error;
}

static void
watch_output(struct monitor *m, const struct launch *l)
{
	bool one = same_file(l->out_fd, l->err_fd);

	output_init(&m->out[0], l->out_fd, l->spec->out_max);
	output_init(&m->out[1], one ? -1 : l->err_fd, l->spec->out_max);
	if (one)
		(void)close(l->err_fd);
	if (m->out[0].fd >= 0 || m->out[1].fd >= 0)
		m->output_ns = mono_now().ns + m->out[0].every_ns;
}

/* The command has what it needs; a waiting monitor keeps nothing of it. */
static void
release(const struct launch *l)
{
	(void)close(l->in_fd);
	spec_done(l->spec);
	(void)malloc_trim(0);
}

static void
start(struct monitor *m, const struct launch *l)
{
	struct exec_fault fault = {0};
	pid_t pid;

	m->result.started_us = wall_to_usec(wall_now());
	m->started_ns = mono_now().ns;
	CRASH_POINT("monitor.started");
	pid = execute(l, &fault);
	CRASH_POINT("monitor.executed");
	if (pid > 0) {
		m->main = pid;
		m->result.pid = (uint32_t)pid;
	}
	m->result.unenforced = l->unenforced | fault.unenforced;
	m->result.memory_max_bytes =
		l->unenforced & SPEC_LIMIT_MEMORY_MAX ? 0 : l->spec->memory_max;
	m->result.exec_error = fault.error;
	m->result.exec_step = fault.step;
	watch_output(m, l);
	release(l);
	alarm_start(m);
	confine_monitor(m->dir, m->cgroup);
	link_hello(m, &m->links[0]);
	CRASH_POINT("monitor.hello.sent");
	if (pid < 0)
		action_step(m, E_EMPTY, NULL);
}

_Noreturn void
monitor_run(const struct launch *l)
{
	static struct monitor m;
	int r;

	close_others(l);
	(void)prctl(PR_SET_NAME, "ctx-monitor");
	CRASH_PROCESS();
	CRASH_POINT("monitor.born");
	m = (struct monitor){
		.state = S_RUNNING,
		.phase = PHASE_RUNNING,
		.owner = l->owner,
		.dir = l->dir_fd,
		.ctl = l->ctl_fd,
		.notify = l->notify_fd,
		.progress_fd = -1,
		.cgroup_events = -1,
		.cgroup = l->cgroup_fd,
		.deadline_ns = l->spec->deadline_ns,
		.grace_ns = l->spec->grace_ns,
		.limit_ns = l->spec->limit_ns,
		.warn_ns = l->spec->warn_ns,
		.watchdog_ns = l->spec->watchdog_ns,
		.stop_signal = l->spec->stop_signal,
		.warn_signal = l->spec->warn_signal,
		.about = *l->about,
	};
	m.links[0] = l->link_fd;
	for (size_t i = 1; i < LINKS_MAX; i++)
		m.links[i] = -1;
	result_init(&m.result, l->spec->id, l->spec->attempt);
	progress_init(&m.progress, l->spec->id, l->spec->attempt);
	r = prepare(&m, l);
	if (r < 0) {
		about_log(LOG_LVL_WARN, l->about, "running", "job %ju.%u was not started: %s",
			  (uintmax_t)l->spec->id, l->spec->attempt, strerror(-r));
		link_unused(&m, -r);
		_exit(MONITOR_EXIT_UNUSED);
	}
	start(&m, l);
	loop(&m);
}
