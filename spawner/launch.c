/* launch.c - SPAWN, see launch.h.
 *
 * The order is the protocol: the directory with `fresh` and a listening `ctl` appears as a whole;
 * `seen` is raised; then the fork; then our copy of `ctl` is closed, for a kept copy would make a
 * dead monitor look alive. In system mode the sender has fewer rights than we: nothing it sends is
 * believed but whose job it is, and a descriptor gets it nothing that it could not do itself. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "record/about.h"
#include "record/rundir.h"
#include "record/spec.h"
#include "spawner/cgroup.h"
#include "spawner/children.h"
#include "spawner/jobs.h"
#include "spawner/launch.h"
#include "spawner/limits.h"
#include "spawner/monitor.h"
#include "spawner/spawner.h"

enum { FD_SPEC, FD_LINK, FD_IN, FD_OUT, FD_ERR };
_Static_assert(FD_ERR + 1 == FRAME_SPAWN_FDS, "descriptors of SPAWN");

/* 0, or -errno and what is wrong. */
static int
wrong(int r, const char *why, const char **ret_why)
{
	*ret_why = why;
	return r;
}

static int
check_spec(const struct spawner *s, const struct frame_spawn *f, const struct spec *spec,
	   const char **ret_why)
{
	if (spec->id != f->head.id || spec->attempt != f->head.attempt)
		return wrong(-EPROTO, "the spec is of another job", ret_why);
	if (f->seq == 0)
		return wrong(-EPROTO, "its sequence number is 0", ret_why);
	if (!s->system && spec->uid != geteuid())
		return wrong(-EPERM, "it is to run as another user", ret_why);
	if (s->system && spec->uid == 0 && !s->allow_root)
		return wrong(-EPERM, "it is to run as root, and --allow-root was not given",
			     ret_why);
	if (s->system && spec->out_gid != UINT32_MAX && spec->out_gid != s->group)
		return wrong(-EPERM, "its output is to be of a group that is not ctxd's", ret_why);
	return 0;
}

static int
int_option(int fd, int option)
{
	int v = -1;
	socklen_t size = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, option, &v, &size) < 0 ? -errno : v;
}

static int
check_link(int fd)
{
	int type = int_option(fd, SO_TYPE);

	if (type < 0)
		return type;
	return type == SOCK_SEQPACKET && int_option(fd, SO_DOMAIN) == AF_UNIX &&
			       int_option(fd, SO_ACCEPTCONN) == 0
		       ? 0
		       : -EPROTOTYPE;
}

/* Another user's file may be neither read for a job nor given to it. */
static int
check_owner(const struct spawner *s, const struct spec *spec, const struct stat *st)
{
	if (st->st_uid == s->owner || st->st_uid == spec->uid)
		return 0;
	return -EPERM;
}

static int
check_input(const struct spawner *s, const struct spec *spec, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if ((flags & O_ACCMODE) == O_WRONLY || flags & O_PATH)
		return -EBADF;
	if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) /* /dev/null */
		return 0;
	return S_ISREG(st.st_mode) ? check_owner(s, spec, &st) : -EBADF;
}

/* The monitor will give this file to the job's user: so it must be ctxd's own, and open for
 * writing. */
static int
check_output(const struct spawner *s, const struct spec *spec, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (flags & O_ACCMODE) == O_RDONLY || flags & O_PATH)
		return -EBADF;
	return check_owner(s, spec, &st);
}

static int
check_fds(const struct spawner *s, const struct spec *spec, const int *fds, const char **ret_why)
{
	int r = check_link(fds[FD_LINK]);

	if (r < 0)
		return wrong(r, "its connection is no connected SOCK_SEQPACKET socket", ret_why);
	if (!s->system) /* it could do all this itself */
		return 0;
	r = check_input(s, spec, fds[FD_IN]);
	if (r < 0)
		return wrong(r, "its input is neither /dev/null nor a file to be read", ret_why);
	for (int i = FD_OUT; i <= FD_ERR; i++) {
		r = check_output(s, spec, fds[i]);
		if (r < 0)
			return wrong(r, "its output is no file of ctxd's to be written", ret_why);
	}
	return 0;
}

static void
reopen_parent(struct spawner *s)
{
	if (s->cgroup_fd >= 0)
		(void)close(s->cgroup_fd);
	s->cgroup_fd = cgroup_open_parent(s->cgroup_path);
	if (s->cgroup_fd < 0)
		s->cgroup_fd = -1;
	s->controllers = s->cgroup_fd < 0 ? 0 : limits_enable(s->cgroup_fd);
}

/* The unit that holds the parent may be started later than we, or again: then the old directory is
 * a dead one. */
static int
make_cgroup(struct spawner *s, const struct spec *spec)
{
	char name[RUNDIR_NAME];
	int fd = -ENOENT;

	(void)rundir_name(spec->id, spec->attempt, name);
	if (s->cgroup_fd >= 0)
		fd = cgroup_make(s->cgroup_fd, name);
	if (fd == -ENOENT || fd == -ENODEV) {
		reopen_parent(s);
		fd = s->cgroup_fd < 0 ? fd : cgroup_make(s->cgroup_fd, name);
	}
	return fd;
}

/* The job starts later: what is short will be there again, or something of it is still alive. */
static bool
is_passing(int error)
{
	return error == -ENOMEM || error == -EMFILE || error == -ENFILE || error == -EBUSY ||
	       error == -ENOTEMPTY;
}

/* 0 and the cgroup's directory in RET, or -1 there: none is to be had, and the tree is watched over
 * without. Said once, and to ctxd with each job. */
static int
need_cgroup(struct spawner *s, const struct spec *spec, int *ret)
{
	int fd = s->cgroup_path ? make_cgroup(s, spec) : -ENOENT;

	*ret = fd < 0 ? -1 : fd;
	if (fd < 0 && is_passing(fd))
		return fd;
	if (fd < 0 && s->cgroup_path && !s->cgroup_missing)
		log_warn("no cgroup can be made in %s: %s; jobs run without, continuing",
			 s->cgroup_path, strerror(-fd));
	else if (fd >= 0 && s->cgroup_missing)
		log_info("jobs get cgroups again");
	s->cgroup_missing = fd < 0 && s->cgroup_path;
	return 0;
}

static pid_t
fork_monitor(struct spawner *s, const struct launch *l, struct strv *about)
{
	pid_t pid;
	int r = children_reserve(s);

	if (r < 0)
		return r;
	pid = fork();
	if (pid == 0)
		monitor_run(l);
	if (pid < 0)
		return -errno;
	children_add(s, l->spec->id, l->spec->attempt, pid, about);
	CRASH_POINT("spawner.monitor.forked");
	return pid;
}

static pid_t
launch(struct spawner *s, const struct frame_spawn *f, const int *fds, struct spec *spec,
       struct strv *about, enum spawn_step *ret_step)
{
	_cleanup_(jobs_fds_close) struct jobs_fds made = {-1, -1, -1};
	_close_ int cgroup = -1;
	pid_t pid;
	int r;

	r = jobs_build(s, spec->id, spec->attempt, spec->uid, &made);
	if (r != 0) {
		*ret_step = r == JOBS_E_EXISTS ? SPAWN_STEP_EXISTS : SPAWN_STEP_DIR;
		return r < 0 ? r : -EEXIST;
	}
	*ret_step = SPAWN_STEP_SEEN;
	CRASH_POINT("spawner.dir.renamed");
	r = jobs_raise_seen(s, f->seq);
	if (r < 0)
		return r;
	CRASH_POINT("spawner.seen.raised");
	*ret_step = SPAWN_STEP_CGROUP;
	r = need_cgroup(s, spec, &cgroup);
	if (r < 0)
		return r;
	CRASH_POINT("spawner.cgroup.made");
	*ret_step = SPAWN_STEP_FORK;
	pid = fork_monitor(s,
			   &(struct launch){
				   .spec = spec,
				   .about = about,
				   .dir_fd = made.dir,
				   .ctl_fd = made.ctl,
				   .notify_fd = made.notify,
				   .link_fd = fds[FD_LINK],
				   .in_fd = fds[FD_IN],
				   .out_fd = fds[FD_OUT],
				   .err_fd = fds[FD_ERR],
				   .cgroup_fd = cgroup,
				   .unenforced = limits_cgroup(cgroup, s->controllers, spec),
				   .owner = s->owner,
				   .system = s->system,
				   .reset_oom = s->reset_oom,
			   },
			   about);
	return pid;
}

/* The spec, if it is one and may be run. 0, or -errno with what was wrong. */
static int
take_spec(const struct spawner *s, const struct frame_spawn *f, const int *fds, size_t n_fds,
	  struct spec *ret, const char **ret_why)
{
	int r;

	if (n_fds != FRAME_SPAWN_FDS)
		return wrong(-EBADF, "it came without its descriptors", ret_why);
	r = spec_read(fds[FD_SPEC], ret);
	if (r < 0)
		return wrong(r, "its spec is malformed or not sealed", ret_why);
	r = check_spec(s, f, ret, ret_why);
	return r ? r : check_fds(s, ret, fds, ret_why);
}

pid_t
launch_spawn(struct spawner *s, const struct frame_spawn *f, const int *fds, size_t n_fds,
	     enum spawn_step *ret_step)
{
	_cleanup_(spec_done) struct spec spec = {0};
	_cleanup_(strv_done) struct strv about = {0};
	const struct frame_head *h = &f->head;
	const char *why = NULL;
	pid_t pid;

	CRASH_POINT("spawner.spawn.read");
	*ret_step = SPAWN_STEP_FRAME;
	pid = take_spec(s, f, fds, n_fds, &spec, &why);
	if (spec.id)                             /* it could be read */
		(void)about_take(&about, &spec); /* no memory: a line without them */
	if (pid == 0)
		pid = launch(s, f, fds, &spec, &about, ret_step);
	if (pid > 0)
		about_log(LOG_LVL_INFO, children_about(s, h->id, h->attempt), "running",
			  "job=%ju.%u starts uid=%u gid=%u monitor=%d", (uintmax_t)h->id,
			  h->attempt, spec.uid, spec.gid, (int)pid);
	else
		about_log(LOG_LVL_WARN, &about, "running", "job=%ju.%u %s (step %d): %s%s%s",
			  (uintmax_t)h->id, h->attempt, why ? "is refused" : "cannot be started",
			  (int)*ret_step, why ? why : "", why ? ": " : "", strerror(-pid));
	return pid;
}
