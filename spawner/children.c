/* children.c - who lives below the spawner, see children.h. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "record/about.h"
#include "record/frame.h"
#include "record/rundir.h"
#include "spawner/cgroup.h"
#include "spawner/children.h"
#include "spawner/conn.h"
#include "spawner/jobs.h"
#include "spawner/monitor.h"
#include "spawner/spawner.h"
#include "spawner/tree.h"

#define TICK_EVERY (20 * NSEC_PER_MSEC)
#define SWEEP_LIMIT                                                                                \
	(10 * NSEC_PER_SEC) /* a process that cannot be killed for so long will not be waited for  \
			     */

struct sweep {
	uint64_t conn, id;
	uint32_t attempt;
	uint32_t killed;
	int64_t until_ns;
	bool had_cgroup;
};

static struct child *
find(const struct spawner *s, uint64_t id, uint32_t attempt)
{
	for (size_t i = 0; i < s->children.n; i++) {
		struct child *c = &s->children.list[i];

		if (c->id == id && c->attempt == attempt)
			return c;
	}
	return NULL;
}

static struct child *
find_pid(const struct spawner *s, pid_t pid)
{
	for (size_t i = 0; i < s->children.n; i++) {
		if (s->children.list[i].pid == pid)
			return &s->children.list[i];
	}
	return NULL;
}

static bool
is_monitor(void *arg, pid_t pid)
{
	return find_pid(arg, pid) != NULL;
}

int
children_reserve(struct spawner *s)
{
	struct children *c = &s->children;
	size_t cap = c->cap ? c->cap * 2 : 64;
	struct child *list;

	if (c->n < c->cap)
		return 0;
	list = reallocarray(c->list, cap, sizeof(*list));
	if (!list)
		return -ENOMEM;
	c->list = list;
	c->cap = cap;
	return 0;
}

void
children_add(struct spawner *s, uint64_t id, uint32_t attempt, pid_t pid, struct strv *about)
{
	struct children *c = &s->children;

	assert(c->n < c->cap);
	c->list[c->n++] = (struct child){.id = id, .attempt = attempt, .pid = pid, .about = *about};
	*about = (struct strv){0};
	c->alive++;
}

const struct strv *
children_about(const struct spawner *s, uint64_t id, uint32_t attempt)
{
	const struct child *c = find(s, id, attempt);

	return c ? &c->about : NULL;
}

static void
drop(struct children *c, struct child *e)
{
	strv_done(&e->about);
	*e = c->list[--c->n];
}

bool
children_any(const struct spawner *s)
{
	return s->children.alive > 0 || s->children.orphans || s->children.n_sweeps > 0;
}

bool
children_is_over(const struct spawner *s, uint64_t id, uint32_t attempt)
{
	const struct child *c = find(s, id, attempt);

	return c && c->pid == 0;
}

/* A monitor that is still on its way out keeps its entry: it must not be taken for an orphan. */
void
children_forget(struct spawner *s, uint64_t id, uint32_t attempt)
{
	struct children *c = &s->children;
	struct child *e = find(s, id, attempt);

	if (!e)
		return;
	if (e->pid)
		e->id = 0;
	else
		drop(c, e);
}

static void
tick_soon(struct spawner *s)
{
	s->children.tick_ns = mono_now().ns + TICK_EVERY;
}

/* Kill whatever is below us and no monitor. Whose it was cannot be told: every sweep under way
 * counts it. */
static void
kill_orphans(struct spawner *s)
{
	struct tree_skip skip = {is_monitor, s};
	size_t found = 0, n = tree_kill(&skip, &found);

	for (size_t i = 0; i < s->children.n_sweeps; i++)
		s->children.sweeps[i].killed += (uint32_t)n;
	s->children.orphans = found > 0;
	if (found > 0)
		tick_soon(s);
}

/* cgroup of an attempt: fd, or -ENOENT. */
static int
open_cgroup(const struct spawner *s, uint64_t id, uint32_t attempt)
{
	char name[RUNDIR_NAME];

	return s->cgroup_fd < 0 ? -ENOENT
				: cgroup_open(s->cgroup_fd, rundir_name(id, attempt, name));
}

static void
kill_cgroup(const struct spawner *s, uint64_t id, uint32_t attempt)
{
	_close_ int fd = open_cgroup(s, id, attempt);

	if (fd >= 0)
		(void)cgroup_kill(fd);
}

/* A monitor is gone. */
static void
monitor_ended(struct spawner *s, struct child *c, int status)
{
	bool in_order = WIFEXITED(status) && (WEXITSTATUS(status) == MONITOR_EXIT_EMPTY ||
					      WEXITSTATUS(status) == MONITOR_EXIT_UNUSED);

	CRASH_POINT("spawner.monitor.reaped");
	if (!in_order) {
		about_log(LOG_LVL_WARN, &c->about, "running",
			  "job %ju.%u: its monitor (pid %d) was lost, status 0x%x; killing what it "
			  "left; continuing",
			  (uintmax_t)c->id, c->attempt, (int)c->pid, (unsigned)status);
		if (c->id)
			kill_cgroup(s, c->id, c->attempt);
		s->children.orphans = true;
	}
	c->pid = 0;
	s->children.alive--;
	if (c->id == 0)
		drop(&s->children, c);
}

static void answer_sweeps(struct spawner *s);

void
children_reap(struct spawner *s)
{
	struct child *c;
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0 || (pid < 0 && errno == EINTR)) {
		if (pid < 0)
			continue;
		c = find_pid(s, pid);
		if (c)
			monitor_ended(s, c, status);
		else
			s->children.orphans = true; /* it may have had children */
	}
	if (s->children.orphans)
		kill_orphans(s);
	answer_sweeps(s);
}

void
children_tick(struct spawner *s)
{
	s->children.tick_ns = 0;
	children_reap(s);
	if (s->children.orphans || s->children.n_sweeps)
		tick_soon(s);
}

/* Never executed, and never will be: the mark says so. A directory that is not there says nothing,
 * somebody may have removed it. */
static bool
never_ran(const struct spawner *s, const struct sweep *w)
{
	struct rundir_evidence e;

	return s->jobs_fd >= 0 && rundir_look(s->jobs_fd, w->id, w->attempt, &e) == 0 && e.swept;
}

/* Provably: nothing of it is alive. */
static bool
cgroup_is_empty(const struct spawner *s, const struct sweep *w)
{
	_close_ int fd = open_cgroup(s, w->id, w->attempt);
	_close_ int events = fd < 0 ? fd : cgroup_open_events(fd);

	return events == -ENOENT || (events >= 0 && cgroup_populated(events) == 0);
}

/* Is all done that can be? RET_CERTAIN: nothing of the attempt is alive, provably. */
static bool
sweep_done(const struct spawner *s, const struct sweep *w, bool *ret_certain)
{
	const struct child *c = find(s, w->id, w->attempt);
	bool orphans = s->children.orphans, empty = !w->had_cgroup || cgroup_is_empty(s, w);

	/* Forked here and reaped: all it had below it came to us, and nobody is left there.
	 * Otherwise only its cgroup can tell, or that it never got so far. */
	if (c)
		*ret_certain = c->pid == 0 && !orphans && empty;
	else
		*ret_certain = w->had_cgroup ? empty : never_ran(s, w);
	return (!c || c->pid == 0) && !orphans && empty;
}

static void
answer_sweeps(struct spawner *s)
{
	struct children *c = &s->children;
	int64_t now = c->n_sweeps ? mono_now().ns : 0;
	size_t kept = 0;

	for (size_t i = 0; i < c->n_sweeps; i++) {
		struct sweep w = c->sweeps[i];
		bool certain = false, done = sweep_done(s, &w, &certain);

		if (done || now >= w.until_ns)
			conn_swept(s, w.conn, w.id, w.attempt, certain ? SWEPT_CERTAIN : 0,
				   w.killed);
		else
			c->sweeps[kept++] = w;
	}
	c->n_sweeps = kept;
}

int
children_sweep(struct spawner *s, uint64_t conn, uint64_t id, uint32_t attempt)
{
	struct children *c = &s->children;
	struct sweep *list = reallocarray(c->sweeps, c->n_sweeps + 1, sizeof(*list));
	struct child *m = find(s, id, attempt);
	struct sweep w = {.conn = conn, .id = id, .attempt = attempt};
	_close_ int cgroup = -1;
	int r;

	if (!list)
		return -ENOMEM;
	c->sweeps = list;
	CRASH_POINT("spawner.sweep.read");
	/* A monitor that we cannot reach, of an earlier spawner, may be about to start. */
	r = jobs_bar(s, id, attempt);
	if (r < 0)
		about_log(LOG_LVL_WARN, m ? &m->about : NULL, "running",
			  "job %ju.%u cannot be kept from starting: %s; continuing", (uintmax_t)id,
			  attempt, strerror(-r));
	CRASH_POINT("spawner.sweep.barred");
	w.until_ns = mono_now().ns + SWEEP_LIMIT;
	if (m && m->pid && kill(m->pid, SIGKILL) == 0)
		w.killed++;
	cgroup = open_cgroup(s, id, attempt);
	w.had_cgroup = cgroup >= 0;
	if (w.had_cgroup)
		(void)cgroup_kill(cgroup);
	c->sweeps[c->n_sweeps++] = w;
	kill_orphans(s);
	CRASH_POINT("spawner.sweep.killed");
	tick_soon(s);
	children_reap(s);
	return 0;
}
