/* place.c - where this ctxd lives, see place.h.
 *
 * In user mode everything lies under $XDG_STATE_HOME, also what is for one boot only: logind
 * deletes $XDG_RUNTIME_DIR at the last logout, which is the very case a detached job is for. The
 * boot id in each row decides what is stale. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "place.h"

enum { LOCK_TRIES = 80, LOCK_WAIT_MS = 25 };

/* An absolute copy of PATH. */
static char *
absolute(const char *path)
{
	_free_ char *cwd = NULL;

	if (path[0] == '/')
		return strdup(path);
	cwd = getcwd(NULL, 0);
	return cwd ? text_format("%s/%s", cwd, path) : NULL;
}

static char *
user_state_dir(struct ctx_err *e)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && state[0] == '/')
		return text_format("%s/ctxd", state);
	if (home && home[0] == '/')
		return text_format("%s/.local/state/ctxd", home);
	(void)ctx_err_set(
		e, 0, -ENOENT,
		"no place for the state: set HOME or XDG_STATE_HOME, or give --state-dir");
	return NULL;
}

/* An uninstalled ctxd finds the spawner beside itself. */
static char *
find_spawner(void)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	_free_ char *beside = NULL;
	char *slash;

	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
		if (slash)
			*slash = '\0';
		beside = text_format("%s/ctx-spawner", self);
		if (beside && access(beside, X_OK) == 0)
			return take_ptr(beside);
	}
	return strdup(CTX_LIBEXECDIR "/ctx-spawner");
}

static char *
session_link(void)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");

	return dir && dir[0] == '/' ? text_format("%s/ctxd/ctxd.sock", dir) : NULL;
}

static int
find_user(const struct place_options *o, struct place *p, struct ctx_err *e)
{
	p->state_dir = o->state_dir ? absolute(o->state_dir) : user_state_dir(e);
	if (!p->state_dir)
		return -ENOENT;
	p->runtime_dir =
		o->runtime_dir ? absolute(o->runtime_dir) : text_format("%s/run", p->state_dir);
	p->spawner = find_spawner();
	if (!o->socket && !o->runtime_dir && !o->state_dir)
		p->session_link = session_link();
	return 0;
}

static void
find_system(const struct place_options *o, struct place *p)
{
	p->state_dir = absolute(o->state_dir ? o->state_dir : "/var/lib/ctxd");
	p->runtime_dir = absolute(o->runtime_dir ? o->runtime_dir : "/run/ctxd");
}

int
place_find(const struct place_options *o, struct place *ret, struct ctx_err *e)
{
	struct place p = {.system_mode = o->system_mode, .state_lock = -1, .runtime_lock = -1};
	int r = 0;

	if (o->system_mode)
		find_system(o, &p);
	else
		r = find_user(o, &p, e);
	if (r == 0 && p.runtime_dir)
		p.socket = o->socket ? absolute(o->socket)
				     : text_format("%s/ctxd.sock", p.runtime_dir);
	if (r == 0 &&
	    (!p.state_dir || !p.runtime_dir || !p.socket || (!p.system_mode && !p.spawner)))
		r = ctx_err_set(e, 0, -ENOMEM, "out of memory");
	if (r < 0) {
		place_done(&p);
		return r;
	}
	*ret = p;
	return 0;
}

static int
check_dir(int fd, const char *path, bool own, struct ctx_err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return ctx_err_set(e, 0, -errno, "%s: %s", path, strerror(errno));
	if (own && st.st_uid != geteuid())
		return ctx_err_set(e, 0, -EPERM,
				   "%s belongs to uid %u, not to uid %u which runs ctxd", path,
				   (unsigned)st.st_uid, (unsigned)geteuid());
	if (own && st.st_mode & 022)
		return ctx_err_set(e, 0, -EPERM, "%s can be written by others: chmod go-w it",
				   path);
	return 0;
}

/* Lock FD. A ctxd that was killed while it started a child leaves the lock to that child until it
 * execs: a moment. So a lock whose holder is dead is waited for, one whose holder lives is not. */
static int
lock_dir(int fd, pid_t *ret_pid)
{
	int r = file_lock(fd, ret_pid);

	for (int i = 0; r == -EWOULDBLOCK && i < LOCK_TRIES; i++) {
		if (*ret_pid > 0 && (kill(*ret_pid, 0) == 0 || errno != ESRCH))
			break;
		(void)poll(NULL, 0, LOCK_WAIT_MS);
		r = file_lock(fd, ret_pid);
	}
	return r;
}

/* Whoever may open a directory may hold its lock, and that of system mode is for everybody to open:
 * PID (0: not known) keeps us from starting only if it may be a ctxd. Two with one database meet at
 * the lock of the state directory, which is for us alone; of two with another the spawner takes
 * one. */
static bool
is_stranger(pid_t pid)
{
	char path[32];
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	return pid <= 0 || stat(path, &st) < 0 || (st.st_uid != geteuid() && st.st_uid != 0);
}

/* Open DIR and lock it. OWN: it must be ours and writable; it is made if missing. */
static int
take_dir(const char *path, const char *what, bool own, struct ctx_err *e)
{
	_close_ int fd = -1;
	pid_t pid = 0;
	int r;

	r = own ? file_mkdirs(path, 0700) : 0;
	if (r < 0)
		return ctx_err_set(e, 0, r, "make the %s directory %s: %s", what, path,
				   strerror(-r));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return ctx_err_set(e, 0, -errno, "%s directory %s: %s", what, path,
				   strerror(errno));
	r = check_dir(fd, path, own, e);
	if (r < 0)
		return r;
	if (own && faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		return ctx_err_set(e, 0, -errno, "%s directory %s cannot be written: %s", what,
				   path, strerror(errno));
	r = lock_dir(fd, &pid);
	if (r == -EWOULDBLOCK && !own && is_stranger(pid)) {
		log_warn("the %s directory %s is locked by process %d, which is no ctxd, "
			 "continuing",
			 what, path, (int)pid);
		return take_fd(fd);
	}
	if (r == -EWOULDBLOCK && pid > 0)
		return ctx_err_set(e, 0, r, "another ctxd (pid %d) uses the %s directory %s",
				   (int)pid, what, path);
	if (r < 0)
		return ctx_err_set(e, 0, r, "the %s directory %s cannot be locked: %s", what, path,
				   r == -EWOULDBLOCK ? "another ctxd uses it" : strerror(-r));
	return take_fd(fd);
}

int
place_take(struct place *p, struct ctx_err *e)
{
	p->state_lock = take_dir(p->state_dir, "state", true, e);
	if (p->state_lock < 0)
		return p->state_lock;
	if (!p->system_mode && strcmp(p->state_dir, p->runtime_dir) == 0)
		return ctx_err_set(e, 0, -EINVAL,
				   "state and run directory must not be the same: %s",
				   p->state_dir);
	/* System mode: made by tmpfiles, root's; only to be looked at. */
	p->runtime_lock = take_dir(p->runtime_dir, "run", !p->system_mode, e);
	return p->runtime_lock < 0 ? p->runtime_lock : 0;
}

void
place_link(const struct place *p)
{
	_free_ char *dir = NULL;
	char *slash;

	if (!p->session_link)
		return;
	dir = strdup(p->session_link);
	slash = dir ? strrchr(dir, '/') : NULL;
	if (!slash)
		return;
	*slash = '\0';
	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		log_info("no link in %s: %s", dir, strerror(errno));
		return;
	}
	(void)unlink(p->session_link);
	if (symlink(p->socket, p->session_link) < 0)
		log_info("no link %s: %s", p->session_link, strerror(errno));
}

void
place_unlink(const struct place *p)
{
	char target[4096];
	ssize_t n;

	if (!p->session_link)
		return;
	n = readlink(p->session_link, target, sizeof(target) - 1);
	if (n <= 0)
		return;
	target[n] = '\0';
	if (strcmp(target, p->socket) == 0)
		(void)unlink(p->session_link);
}

void
place_done(struct place *p)
{
	free(p->state_dir);
	free(p->runtime_dir);
	free(p->socket);
	free(p->spawner);
	free(p->session_link);
	if (p->state_lock >= 0)
		(void)close(p->state_lock);
	if (p->runtime_lock >= 0)
		(void)close(p->runtime_lock);
	*p = (struct place){.state_lock = -1, .runtime_lock = -1};
}
