/* jobs.c - the spawner's side of the run directory, see jobs.h.
 *
 * In system mode our fsgid is ctxd's group (main.c), so all that is made here belongs to root:ctxd
 * by itself. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "record/rundir.h"
#include "spawner/jobs.h"
#include "spawner/spare.h"
#include "spawner/spawner.h"

#define SEEN_ASIDE RUNDIR_ASIDE RUNDIR_SEEN
enum { CTL_BACKLOG = 16 };

static int
open_jobs(struct spawner *s)
{
	mode_t mode = s->system ? 0711 : 0700;
	_close_ int fd = -1;
	struct stat st;
	bool made = mkdirat(s->dir_fd, RUNDIR_JOBS, mode) == 0;

	if (!made && errno != EEXIST)
		return -errno;
	fd = openat(s->dir_fd, RUNDIR_JOBS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || st.st_mode & 022)
		return -EPERM;
	if (made && (fchown(fd, (uid_t)-1, getegid()) < 0 || fchmod(fd, mode) < 0))
		return -errno;
	return take_fd(fd);
}

/* A file that a power cut left empty says as little as one that is not there. */
static bool
is_missing(int r, const char *name)
{
	if (r == -EPROTO)
		log_warn("%s/%s is malformed; continuing as if it were not there", RUNDIR_JOBS,
			 name);
	return r == -EPROTO || r == -ENOENT;
}

static int
check_uuid(int jobs, const uint8_t uuid[16], uint8_t ret_uuid[16])
{
	uint8_t owner[16];
	int r = rundir_uuid_read(jobs, owner);

	if (is_missing(r, RUNDIR_UUID))
		return rundir_uuid_write(jobs, uuid);
	if (r < 0)
		return r;
	if (memcmp(owner, uuid, sizeof(owner)) == 0)
		return 0;
	memcpy(ret_uuid, owner, sizeof(owner));
	return JOBS_E_FOREIGN;
}

/* A file renamed over another one makes some file systems write it out at once, a millisecond or
 * more, and `seen` is raised with each job. So two files change places instead, which is as atomic:
 * one is `seen`, the other is written. */
static void
seen_close(struct spawner *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(s->seen_fds); i++) {
		if (s->seen_fds[i] >= 0)
			(void)close(s->seen_fds[i]);
		s->seen_fds[i] = -1;
	}
}

static void
seen_open(struct spawner *s)
{
	s->seen_fds[0] = openat(s->jobs_fd, RUNDIR_SEEN, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	s->seen_fds[1] = openat(s->jobs_fd, SEEN_ASIDE,
				O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	if (s->seen_fds[0] < 0 || s->seen_fds[1] < 0)
		seen_close(s);
}

int
jobs_claim(struct spawner *s, const uint8_t uuid[16], uint64_t last_seq, uint8_t ret_uuid[16])
{
	_close_ int jobs = open_jobs(s);
	uint64_t seen = last_seq;
	int r;

	if (jobs < 0)
		return jobs;
	r = check_uuid(jobs, uuid, ret_uuid);
	if (r != 0)
		return r;
	CRASH_POINT("spawner.claim.uuid");
	r = rundir_seen_read(jobs, &seen);
	if (is_missing(r, RUNDIR_SEEN))
		r = rundir_seen_write(jobs, seen);
	if (r < 0)
		return r;
	spare_drop(s);
	if (s->jobs_fd >= 0)
		(void)close(s->jobs_fd);
	s->jobs_fd = take_fd(jobs);
	s->seen = seen;
	seen_close(s);
	seen_open(s);
	return 0;
}

static int
make_aside(struct spawner *s, const char *aside)
{
	mode_t mode = s->system ? 0751 : 0700;

	if (mkdirat(s->jobs_fd, aside, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	(void)spare_remove(s, aside);
	return mkdirat(s->jobs_fd, aside, mode) < 0 ? -errno : 0;
}

static int
make_fresh(int dir)
{
	int fd = openat(dir, RUNDIR_FRESH, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

	if (fd < 0)
		return -errno;
	(void)close(fd);
	return 0;
}

/* Nobody finds it before the directory has its name, so nothing is received without credentials.
 */
static int
make_notify(int dir, uid_t uid)
{
	_close_ int fd = sock_bind_at(dir, RUNDIR_NOTIFY, SOCK_DGRAM, 0600);
	int on = 1;

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -errno;
	if (uid != geteuid() &&
	    fchownat(dir, RUNDIR_NOTIFY, uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return take_fd(fd);
}

static void
close_fd(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
}

void
jobs_fds_close(struct jobs_fds *f)
{
	close_fd(&f->dir);
	close_fd(&f->ctl);
	close_fd(&f->notify);
}

/* How the directory of an attempt is built: under the name ASIDE, to be shown as NAME. */
struct plan {
	const char *aside, *name;
	bool has_fresh; /* it holds that file already */
	uid_t uid;      /* the job's */
};

static int
build(struct spawner *s, const struct plan *p, struct jobs_fds *ret)
{
	_cleanup_(jobs_fds_close) struct jobs_fds f = {-1, -1, -1};
	int r;

	f.dir = openat(s->jobs_fd, p->aside, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (f.dir < 0)
		return -errno;
	CRASH_POINT("spawner.dir.made");
	r = p->has_fresh ? 0 : make_fresh(f.dir);
	if (r < 0)
		return r;
	f.ctl = sock_listen_at(f.dir, RUNDIR_CTL, SOCK_SEQPACKET, s->system ? 0660 : 0600,
			       CTL_BACKLOG);
	if (f.ctl < 0)
		return f.ctl;
	f.notify = make_notify(f.dir, p->uid);
	if (f.notify < 0)
		return f.notify;
	CRASH_POINT("spawner.dir.filled");
	if (renameat2(s->jobs_fd, p->aside, s->jobs_fd, p->name, RENAME_NOREPLACE) < 0)
		return errno == EEXIST ? JOBS_E_EXISTS : -errno;
	ret->dir = take_fd(f.dir);
	ret->ctl = take_fd(f.ctl);
	ret->notify = take_fd(f.notify);
	return 0;
}

/* The same, and nothing stays aside if it fails. */
static int
build_or_remove(struct spawner *s, const struct plan *p, struct jobs_fds *ret)
{
	int r = build(s, p, ret);

	if (r != 0)
		(void)spare_remove(s, p->aside);
	return r;
}

int
jobs_build(struct spawner *s, uint64_t id, uint32_t attempt, uid_t uid, struct jobs_fds *ret)
{
	char name[RUNDIR_NAME], aside[SPARE_NAME];
	struct plan p = {.aside = aside, .name = name, .uid = uid};
	int r;

	(void)rundir_name(id, attempt, name);
	p.has_fresh = spare_take(s, aside);
	if (p.has_fresh) {
		r = build_or_remove(s, &p, ret);
		if (r >= 0)
			return r;
		spare_drop(s); /* someone wiped it: so not this way */
		p.has_fresh = false;
	}
	r = make_aside(s, spare_name(id, attempt, aside));
	return r < 0 ? r : build_or_remove(s, &p, ret);
}

static int
seen_exchange(struct spawner *s, uint64_t seq)
{
	char text[32];
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", seq), visible = s->seen_fds[0];

	if (s->seen_fds[1] < 0)
		return -EBADF;
	/* Numbers only grow, so nothing of the last but one remains behind it. */
	if (pwrite(s->seen_fds[1], text, (size_t)n, 0) != n)
		return -EIO;
	CRASH_POINT("spawner.seen.written");
	if (renameat2(s->jobs_fd, SEEN_ASIDE, s->jobs_fd, RUNDIR_SEEN, RENAME_EXCHANGE) < 0)
		return -errno;
	s->seen_fds[0] = s->seen_fds[1];
	s->seen_fds[1] = visible;
	return 0;
}

int
jobs_raise_seen(struct spawner *s, uint64_t seq)
{
	int r;

	if (seq <= s->seen)
		return 0;
	r = seen_exchange(s, seq);
	if (r < 0) { /* wiped, or a file system that cannot */
		seen_close(s);
		r = rundir_seen_write(s->jobs_fd, seq);
		if (r == 0)
			seen_open(s);
	}
	if (r == 0)
		s->seen = seq;
	return r;
}

int
jobs_bar(struct spawner *s, uint64_t id, uint32_t attempt)
{
	char name[RUNDIR_NAME], from[RUNDIR_NAME + sizeof("/" RUNDIR_FRESH)],
		to[RUNDIR_NAME + sizeof("/" RUNDIR_SWEPT)];

	(void)rundir_name(id, attempt, name);
	(void)snprintf(from, sizeof(from), "%s/%s", name, RUNDIR_FRESH);
	(void)snprintf(to, sizeof(to), "%s/%s", name, RUNDIR_SWEPT);
	if (renameat(s->jobs_fd, from, s->jobs_fd, to) == 0 || errno == ENOENT)
		return 0;
	return -errno;
}

int
jobs_remove(struct spawner *s, uint64_t id, uint32_t attempt, bool keep)
{
	char name[RUNDIR_NAME], aside[SPARE_NAME];
	int r = 0;

	(void)rundir_name(id, attempt, name);
	(void)spare_name(id, attempt, aside);
	/* Aside first: nobody shall read half of it. */
	if (renameat(s->jobs_fd, name, s->jobs_fd, aside) < 0)
		r = -errno;
	if (r == -ENOTEMPTY || r == -EEXIST) {
		spare_drop(s); /* it may be one of these */
		(void)spare_remove(s, aside);
		r = renameat(s->jobs_fd, name, s->jobs_fd, aside) < 0 ? -errno : 0;
	}
	CRASH_POINT("spawner.forget.renamed");
	if (r == 0 && !(keep && spare_put(s, id, attempt)))
		r = spare_remove(s, aside);
	return r == -ENOENT ? 0 : r;
}

int
jobs_list_open(struct spawner *s, DIR **ret)
{
	_close_ int fd = openat(s->jobs_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d)
		return -errno;
	(void)take_fd(fd);
	*ret = d;
	return 0;
}

int
jobs_list_next(struct spawner *s, DIR *d, uint64_t *ret_id, uint32_t *ret_attempt)
{
	struct dirent *e;

	while ((e = readdir(d))) {
		if (strcmp(e->d_name, SEEN_ASIDE) == 0)
			continue;
		if (strncmp(e->d_name, RUNDIR_ASIDE, sizeof(RUNDIR_ASIDE) - 1) == 0)
			(void)spare_remove(s, e->d_name);
		else if (rundir_parse(e->d_name, ret_id, ret_attempt) == 0)
			return 1;
	}
	return 0;
}
