/* tree.c - all processes below this one, see tree.h.
 *
 * /proc/PID/task/TID/children gives the children of a thread. The kernel promises a complete list
 * only while none of them goes away; for our own list that holds, because only we reap. A process
 * that is stopped before its list is read can add nothing to it afterwards (fork fails while a
 * signal is pending). Where the kernel has no such files, all of /proc is read instead.
 *
 * A pid may be used again as soon as its parent has reaped it. Our own children cannot vanish under
 * us; anything deeper is held by a pidfd while its parent is looked up again, so that no stranger
 * is ever signalled. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "spawner/tree.h"

/* PID_LIMIT is the kernel's PID_MAX_LIMIT on 64 bit. */
enum { PID_LIMIT = 4 * 1024 * 1024, FREEZE_PASSES = 64, PATH_SIZE = 64, CLIMBS = 3, DEPTH = 256 };

static int own_children = -1; /* see tree_open */

struct proc {
	pid_t pid, ppid;
	unsigned threads;
	char state; /* as in /proc/PID/stat */
};

struct tree {
	struct proc *procs; /* owned */
	size_t n, cap;
	uint8_t *seen; /* owned; a bit for each pid in procs; NULL: out of memory */
	pid_t self;
	bool freeze;   /* SIGSTOP whatever moves as soon as it is found */
	size_t frozen; /* how many were still moving */
};

static void
tree_done(struct tree *t)
{
	free(t->procs);
	if (t->seen)
		(void)munmap(t->seen, PID_LIMIT / 8);
	*t = (struct tree){0};
}

/* The bitmap is 512 KiB of address space, of which only the touched pages exist. */
static void
tree_init(struct tree *t, bool freeze)
{
	void *p = mmap(NULL, PID_LIMIT / 8, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	*t = (struct tree){.self = getpid(), .freeze = freeze, .seen = p == MAP_FAILED ? NULL : p};
}

static bool
is_seen(const struct tree *t, pid_t pid)
{
	return t->seen && t->seen[pid / 8] & 1u << pid % 8;
}

static bool
is_living(const struct proc *p)
{
	return p->state != 'Z' && p->state != 'X' && p->state != 'x';
}

static bool
is_moving(const struct proc *p)
{
	return is_living(p) && p->state != 'T' && p->state != 't';
}

/* PATH is a stat file of a process or thread. 0 or -errno; -ENOENT or -ESRCH when it is gone. */
static int
read_stat_file(const char *path, struct proc *ret)
{
	char text[512], *p;
	struct proc proc = {.pid = ret->pid};
	ssize_t n;

	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = file_read_full(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	text[n] = '\0';
	/* A process may call itself anything, ") R 1" included. */
	p = strrchr(text, ')');
	if (!p ||
	    sscanf(p, ") %c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %u",
		   &proc.state, &proc.ppid, &proc.threads) != 3)
		return -EPROTO;
	*ret = proc;
	return 0;
}

/* State of a process whose first thread has ended: that of another thread, if one lives. */
static char
thread_state(pid_t pid)
{
	char path[PATH_SIZE], state = 'Z';
	struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	while (d && state == 'Z' && (e = readdir(d))) {
		struct proc thread = {.pid = pid};
		uint64_t tid;

		if (text_u64(e->d_name, &tid) < 0 || tid == (uint64_t)pid)
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/task/%ju/stat", (int)pid,
			       (uintmax_t)tid);
		if (read_stat_file(path, &thread) == 0 && is_living(&thread))
			state = thread.state;
	}
	if (d)
		(void)closedir(d);
	return state;
}

/* 0 or -errno; -ENOENT or -ESRCH when it is gone. */
static int
read_stat(pid_t pid, struct proc *ret)
{
	char path[PATH_SIZE];
	struct proc proc = {.pid = pid};
	int r;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	r = read_stat_file(path, &proc);
	if (r < 0)
		return r;
	if (proc.state == 'Z' && proc.threads > 1)
		proc.state = thread_state(pid);
	*ret = proc;
	return 0;
}

/* Signal a process that is not necessarily our child: only if it is still the one below the parent
 * we know. */
static int
signal_deep(const struct tree *t, const struct proc *p, int sig)
{
	_close_ int fd = pidfd_open(p->pid, 0);
	struct proc now = {0};
	int r;

	if (fd < 0)
		return -errno;
	r = read_stat(p->pid, &now);
	if (r < 0)
		return r;
	if (now.ppid != t->self && now.ppid != p->ppid && !is_seen(t, now.ppid))
		return -ESRCH;
	return pidfd_send_signal(fd, sig, NULL, 0) < 0 ? -errno : 0;
}

static int
signal_proc(const struct tree *t, const struct proc *p, int sig)
{
	if (p->ppid != t->self)
		return signal_deep(t, p, sig);
	return kill(p->pid, sig) < 0 ? -errno : 0;
}

/* Of a child of ours that /proc does not show: it hides it, or there is no descriptor to look. */
static char
child_state(pid_t pid)
{
	const int what = WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL;
	siginfo_t si = {0};

	if (waitid(P_PID, (id_t)pid, &si, what) < 0 || si.si_pid == 0)
		return 'R';
	return si.si_code == CLD_STOPPED || si.si_code == CLD_TRAPPED ? 'T' : 'Z';
}

/* Without memory we go on with what we have: the caller comes again. */
static void
add_proc(struct tree *t, const struct proc *p)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct proc *procs = reallocarray(t->procs, cap, sizeof(*procs));

		if (!procs)
			return;
		t->procs = procs;
		t->cap = cap;
	}
	t->procs[t->n++] = *p;
	if (t->seen)
		t->seen[p->pid / 8] |= (uint8_t)(1u << p->pid % 8);
}

/* A process found below PPID. */
static void
found(struct tree *t, pid_t pid, pid_t ppid, const struct tree_skip *skip)
{
	struct proc p = {0};
	int r;

	if (pid <= 0 || pid >= PID_LIMIT || is_seen(t, pid))
		return;
	if (ppid == t->self && skip && skip->fn && skip->fn(skip->arg, pid))
		return;
	r = read_stat(pid, &p);
	if (r < 0 && ppid != t->self)
		return;
	if (r < 0) /* a child of ours is there until we reap it */
		p = (struct proc){
			.pid = pid, .ppid = ppid, .threads = 1, .state = child_state(pid)};
	if (p.ppid != ppid && p.ppid != t->self && !is_seen(t, p.ppid))
		return; /* another process got this pid meanwhile */
	if (t->freeze && is_moving(&p) && signal_proc(t, &p, SIGSTOP) == 0)
		t->frozen++;
	add_proc(t, &p);
}

static int
open_children(pid_t pid, pid_t tid)
{
	char path[PATH_SIZE];
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* The children of one thread. 0 or -errno. */
static int
scan_thread(struct tree *t, pid_t pid, pid_t tid, const struct tree_skip *skip)
{
	bool own = pid == t->self && own_children >= 0;
	_close_ int opened = own ? -1 : open_children(pid, tid);
	int fd = own ? own_children : opened;
	pid_t child = 0;
	char text[4096];
	ssize_t n;

	if (fd < 0)
		return fd;
	if (own && lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	while ((n = read(fd, text, sizeof(text))) > 0) {
		for (ssize_t i = 0; i < n; i++) {
			if (text[i] >= '0' && text[i] <= '9') {
				child = child * 10 + (text[i] - '0');
				continue;
			}
			found(t, child, pid, skip);
			child = 0;
		}
	}
	return n < 0 ? -errno : 0;
}

/* 0: it is no pid. */
static pid_t
pid_of_name(const char *name)
{
	uint64_t v;

	return text_u64(name, &v) == 0 && v < PID_LIMIT ? (pid_t)v : 0;
}

/* Children belong to the thread that forked them. */
static void
scan_threads(struct tree *t, pid_t pid)
{
	char path[PATH_SIZE];
	struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	d = opendir(path);
	if (!d)
		return;
	while ((e = readdir(d))) {
		pid_t tid = pid_of_name(e->d_name);

		if (tid > 0)
			(void)scan_thread(t, pid, tid, NULL);
	}
	(void)closedir(d);
}

/* Walk down; after each walk our own list is read again, for what lost its parent meanwhile. */
static int
scan_down(struct tree *t, const struct tree_skip *skip)
{
	size_t next = 0, before;
	int r;

	do {
		before = t->n;
		r = scan_thread(t, t->self, t->self, skip);
		if (r < 0)
			return r;
		for (; next < t->n; next++) {
			if (t->procs[next].threads > 1)
				scan_threads(t, t->procs[next].pid);
			else
				(void)scan_thread(t, t->procs[next].pid, t->procs[next].pid, NULL);
		}
	} while (t->n > before && t->seen);
	return 0;
}

/* One pass over /proc adds whatever has a parent that is known already. */
static bool
scan_proc_once(struct tree *t, const struct tree_skip *skip)
{
	size_t before = t->n;
	struct dirent *e;
	DIR *d = opendir("/proc");

	if (!d)
		return false;
	while ((e = readdir(d))) {
		pid_t pid = pid_of_name(e->d_name);
		struct proc p = {0};

		if (pid <= 0 || read_stat(pid, &p) < 0)
			continue;
		if (p.ppid == t->self || is_seen(t, p.ppid))
			found(t, p.pid, p.ppid, skip);
	}
	(void)closedir(d);
	return t->n > before;
}

/* Until two passes running found nothing new: a process may have been handed up behind the first
 * one's back. */
static void
scan_proc(struct tree *t, const struct tree_skip *skip)
{
	int passes = t->seen ? FREEZE_PASSES : 1;

	for (int idle = 0; idle < 2 && passes > 0; passes--)
		idle = scan_proc_once(t, skip) ? 0 : idle + 1;
}

static void
tree_scan(struct tree *t, bool freeze, const struct tree_skip *skip)
{
	tree_init(t, freeze);
	if (scan_down(t, skip) < 0)
		scan_proc(t, skip);
}

int
tree_available(void)
{
	struct proc p = {0};

	return read_stat(getpid(), &p);
}

int
tree_open(void)
{
	int fd = open_children(getpid(), getpid());

	own_children = fd < 0 ? -1 : fd;
	return fd < 0 && fd != -ENOENT ? fd : 0;
}

size_t
tree_count(const struct tree_skip *skip)
{
	_cleanup_(tree_done) struct tree t;
	size_t n = 0;

	tree_scan(&t, false, skip);
	for (size_t i = 0; i < t.n; i++)
		n += is_living(&t.procs[i]);
	return n;
}

static size_t
signal_all(const struct tree *t, int sig)
{
	size_t n = 0;

	for (size_t i = 0; i < t->n; i++) {
		if (is_living(&t->procs[i]))
			n += signal_proc(t, &t->procs[i], sig) == 0;
	}
	return n;
}

size_t
tree_signal(const struct tree_skip *skip, int sig)
{
	_cleanup_(tree_done) struct tree t;
	size_t n;

	tree_scan(&t, false, skip);
	n = signal_all(&t, sig);
	(void)signal_all(&t, SIGCONT);
	return n;
}

size_t
tree_send(const struct tree_skip *skip, int sig)
{
	_cleanup_(tree_done) struct tree t;

	tree_scan(&t, false, skip);
	return signal_all(&t, sig);
}

/* Up from PID to SELF: 1, 0 (ends elsewhere), or -EAGAIN: who was above it went meanwhile. */
static int
climb(pid_t pid, pid_t self)
{
	struct proc p = {.ppid = pid};

	for (int depth = 0; depth < DEPTH; depth++) {
		pid_t above = p.ppid;

		p = (struct proc){0};
		if (read_stat(above, &p) < 0)
			return above == pid ? 0 : -EAGAIN;
		if (p.ppid == self)
			return 1;
		if (p.ppid <= 1)
			return 0;
	}
	return 0;
}

bool
tree_has(pid_t pid)
{
	pid_t self = getpid();
	int r = -EAGAIN;

	for (int i = 0; i < CLIMBS && r == -EAGAIN; i++)
		r = climb(pid, self);
	return r == 1;
}

size_t
tree_kill(const struct tree_skip *skip, size_t *ret_found)
{
	size_t n = 0;
	bool again = true;

	for (int pass = 0; again && pass < FREEZE_PASSES; pass++) {
		_cleanup_(tree_done) struct tree t;

		tree_scan(&t, true, skip);
		again = t.frozen > 0 && pass + 1 < FREEZE_PASSES;
		if (!again)
			n = signal_all(&t, SIGKILL);
		if (ret_found)
			*ret_found = t.n;
	}
	return n;
}
