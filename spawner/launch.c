/* launch.c - SPAWN, see launch.h.
 *
 * The order is the protocol: the directory with `fresh` and a listening `ctl` appears as a whole;
 * `seen` is raised; then the fork; then our copy of `ctl` is closed, for a kept copy would make a
 * dead monitor look alive. In system mode the sender has fewer rights than we: a descriptor it
 * sends gets it nothing that it could not do itself. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/mem.h"
#include "record/rundir.h"
#include "record/spec.h"
#include "spawner/cgroup.h"
#include "spawner/children.h"
#include "spawner/jobs.h"
#include "spawner/launch.h"
#include "spawner/monitor.h"
#include "spawner/spawner.h"

enum { FD_SPEC, FD_LINK, FD_IN, FD_OUT, FD_ERR };
_Static_assert(FD_ERR + 1 == FRAME_SPAWN_FDS, "descriptors of SPAWN");

static int
check_spec(const struct spawner *s, const struct frame_spawn *f, const struct spec *spec)
{
	if (spec->id != f->head.id || spec->attempt != f->head.attempt || f->seq == 0)
		return -EPROTO;
	if (!s->system)
		return spec->uid == geteuid() ? 0 : -EPERM;
	return spec->uid == 0 && !s->allow_root ? -EPERM : 0;
}

static int
check_link(int fd)
{
	int type = 0;
	socklen_t size = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
		return -errno;
	return type == SOCK_SEQPACKET ? 0 : -EPROTOTYPE;
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
	return st.st_uid == s->owner || st.st_uid == spec->uid ? 0 : -EPERM;
}

static int
check_fds(const struct spawner *s, const struct spec *spec, const int *fds)
{
	int r = check_link(fds[FD_LINK]);

	if (r == 0 && s->system)
		r = check_output(s, spec, fds[FD_OUT]);
	if (r == 0 && s->system)
		r = check_output(s, spec, fds[FD_ERR]);
	return r;
}

static void
reopen_parent(struct spawner *s)
{
	if (s->cgroup_fd >= 0)
		(void)close(s->cgroup_fd);
	s->cgroup_fd = cgroup_open_parent(s->cgroup_path);
	if (s->cgroup_fd < 0)
		s->cgroup_fd = -1;
}

/* 0 and the cgroup's directory in RET, or -1 there: none is to be had. The unit that holds the
 * parent may be started later than we, or again: then the old directory is a dead one. */
static int
make_cgroup(struct spawner *s, const struct spec *spec, int *ret)
{
	char name[RUNDIR_NAME];
	int fd = -ENOENT;

	*ret = -1;
	if (!s->cgroup_path)
		return 0;
	(void)rundir_name(spec->id, spec->attempt, name);
	if (s->cgroup_fd >= 0)
		fd = cgroup_make(s->cgroup_fd, name);
	if (fd == -ENOENT || fd == -ENODEV) {
		reopen_parent(s);
		if (s->cgroup_fd < 0)
			return 0;
		fd = cgroup_make(s->cgroup_fd, name);
	}
	if (fd < 0)
		return fd;
	*ret = fd;
	return 0;
}

static pid_t
fork_monitor(struct spawner *s, const struct launch *l)
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
	children_add(s, l->spec->id, l->spec->attempt, pid);
	CRASH_POINT("spawner.monitor.forked");
	return pid;
}

static pid_t
launch(struct spawner *s, const struct frame_spawn *f, const int *fds, struct spec *spec,
       enum spawn_step *ret_step)
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
	r = make_cgroup(s, spec, &cgroup);
	if (r < 0)
		return r;
	CRASH_POINT("spawner.cgroup.made");
	*ret_step = SPAWN_STEP_FORK;
	pid = fork_monitor(s, &(struct launch){
				      .spec = spec,
				      .dir_fd = made.dir,
				      .ctl_fd = made.ctl,
				      .notify_fd = made.notify,
				      .link_fd = fds[FD_LINK],
				      .in_fd = fds[FD_IN],
				      .out_fd = fds[FD_OUT],
				      .err_fd = fds[FD_ERR],
				      .cgroup_fd = cgroup,
				      .owner = s->owner,
				      .system = s->system,
				      .reset_oom = s->reset_oom,
			      });
	return pid;
}

pid_t
launch_spawn(struct spawner *s, const struct frame_spawn *f, const int *fds,
	     enum spawn_step *ret_step)
{
	_cleanup_(spec_done) struct spec spec = {0};
	int r;

	CRASH_POINT("spawner.spawn.read");
	*ret_step = SPAWN_STEP_FRAME;
	r = spec_read(fds[FD_SPEC], &spec);
	if (r == 0)
		r = check_spec(s, f, &spec);
	if (r == 0)
		r = check_fds(s, &spec, fds);
	return r < 0 ? r : launch(s, f, fds, &spec, ret_step);
}
