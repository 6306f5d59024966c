/* spool.c - standard input of jobs: collected in a file without a name, which gets one in
 * stdin/<id/1000>/<id> of the state directory when a job is made of it. Until then it goes with
 * whoever has it open, a crash of ours included. Where the file system has no nameless files, it
 * has a temporary name, which sweep.c removes after a crash.
 *
 * The bytes are synced before the job's row is written, the entries of the directories in one go
 * before its commit: a committed job has its input. A crash in between leaves a file without a job,
 * never a job without its file. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/crash.h"
#include "base/err.h"
#include "engine/impl.h"

enum {
	SPOOL_PATH = 64,
	SPOOL_PER_DIR = 1000,
	SPOOL_USER_FILES = 256, /* of one user, that are no job's yet */
	SPOOL_USER_MOST = 8,    /* their bytes: as many as this many of the largest hold */
	SPOOL_BEHIND = 1 << 20, /* bytes that may be on their way to the disk */
};
/* FNV-1a, 64 bits. It tells whether a user who asks again under a key of theirs sends the same
 * input again; who makes two inputs collide deceives nobody but themselves. */
#define SPOOL_HASH_START UINT64_C(0xcbf29ce484222325)
#define SPOOL_HASH_PRIME UINT64_C(0x100000001b3)

struct spool_user {
	struct map_node node; /* in engine->spools.users, by uid */
	uint64_t bytes;
	uint32_t files;
};
struct spool {
	struct engine *engine;
	struct spool_user *user; /* NULL once it is empty */
	int fd;                  /* -1: a job has it */
	uint64_t temp;           /* number in its temporary name; 0: nameless */
	uint64_t bytes, hash;
	uint64_t written; /* bytes that the disk has; of those behind it nothing is known */
	int error;        /* -errno: the disk refused some of it, and says so only once; 0: none */
};
struct keep_fx {
	struct effect fx;
	struct engine *g;
	uint64_t id;
};

static const char *
dir_name(uint64_t number, char *buf)
{
	(void)snprintf(buf, SPOOL_PATH, "%" PRIu64, number);
	return buf;
}

static const char *
file_path(uint64_t id, char *buf)
{
	(void)snprintf(buf, SPOOL_PATH, "%" PRIu64 "/%" PRIu64, id / SPOOL_PER_DIR, id);
	return buf;
}

static const char *
temp_name(uint64_t n, char *buf)
{
	(void)snprintf(buf, SPOOL_PATH, ".new.%" PRIu64, n);
	return buf;
}

void
spool_init(struct engine *g)
{
	g->spools = (struct spools){.dir_fd = -1, .dirty_fd = -1};
}

void
spool_done(struct engine *g)
{
	map_done(&g->spools.users);
	if (g->spools.dirty_fd >= 0)
		(void)close(g->spools.dirty_fd);
	if (g->spools.dir_fd >= 0)
		(void)close(g->spools.dir_fd);
	g->spools.dir_fd = g->spools.dirty_fd = -1;
}

int
spool_open_dir(struct engine *g, const char *state_dir)
{
	_close_ int state = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int fd;

	if (state < 0)
		return err_raise(-errno, "open '%s'", state_dir);
	if (mkdirat(state, "stdin", 0700) == 0) {
		if (fsync(state) < 0)
			return err_raise(-errno, "sync '%s'", state_dir);
	} else if (errno != EEXIST) {
		return err_raise(-errno, "make '%s/stdin'", state_dir);
	}
	fd = openat(state, "stdin", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_raise(-errno, "open '%s/stdin'", state_dir);
	g->spools.dir_fd = fd;
	g->spools.temp = (uint64_t)g->started_us; /* not those of an earlier run */
	return 0;
}

/* ---- collecting */

static struct spool_user *
need_user(struct engine *g, uint32_t uid)
{
	struct map_node *n = map_find(&g->spools.users, uid);
	struct spool_user *u;

	if (n)
		return container_of(n, struct spool_user, node);
	u = calloc(1, sizeof(*u));
	if (!u || map_insert(&g->spools.users, uid, &u->node) < 0) {
		free(u);
		return NULL;
	}
	return u;
}

static void
leave_user(struct spool *s)
{
	struct spool_user *u = take_ptr(s->user);

	if (!u)
		return;
	u->bytes -= s->bytes;
	if (--u->files > 0)
		return;
	map_remove(&s->engine->spools.users, &u->node);
	free(u);
}

/* fd, with TEMP set if the file has a name; or -errno. */
static int
open_file(struct spools *p, uint64_t *ret_temp)
{
	char path[SPOOL_PATH];
	int fd = openat(p->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	*ret_temp = 0;
	if (fd >= 0)
		return fd;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return err_raise(-errno, "make a file in stdin/");
	p->temp++;
	fd = openat(p->dir_fd, temp_name(p->temp, path),
		    O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_raise(-errno, "make stdin/%s", path);
	*ret_temp = p->temp;
	return fd;
}

int
engine_spool_new(struct engine *g, const struct requester *who, struct spool **ret)
{
	struct spool *s = calloc(1, sizeof(*s));
	struct spool_user *u = s ? need_user(g, who->uid) : NULL;

	if (!u) {
		free(s);
		return err_raise(-ENOMEM, "spool the input of a job");
	}
	*s = (struct spool){.engine = g, .user = u, .fd = -1, .hash = SPOOL_HASH_START};
	u->files++;
	if (u->files > SPOOL_USER_FILES) {
		(void)spool_free(s);
		return -EDQUOT;
	}
	s->fd = open_file(&g->spools, &s->temp);
	if (s->fd < 0) {
		int r = s->fd;

		(void)spool_free(s);
		return r;
	}
	*ret = s;
	return 0;
}

static int
write_at(int fd, const char *p, size_t n, uint64_t offset)
{
	while (n > 0) {
		ssize_t put = pwrite(fd, p, n, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return err_raise(-errno, "write the input of a job");
		p += put;
		n -= (size_t)put;
		offset += (uint64_t)put;
	}
	return 0;
}

/* The disk begins with what was added, and is never more than SPOOL_BEHIND bytes behind: so a
 * slow one holds up the loop for a moment with each piece, and not for seconds when all is synced
 * for the job. 0, or -errno: what it could not write is lost. */
static int
write_behind(struct spool *s, size_t added)
{
	const unsigned all =
		SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
	uint64_t to = s->bytes > SPOOL_BEHIND ? s->bytes - SPOOL_BEHIND : 0;

	(void)sync_file_range(s->fd, (off_t)(s->bytes - added), (off_t)added,
			      SYNC_FILE_RANGE_WRITE);
	if (to <= s->written)
		return 0;
	if (sync_file_range(s->fd, (off_t)s->written, (off_t)(to - s->written), all) < 0 &&
	    errno != ENOSYS && errno != EINVAL) /* else the sync at the end does it all */
		return err_raise(-errno, "write the input of a job to the disk");
	s->written = to;
	return 0;
}

static uint64_t
hash_on(uint64_t hash, const unsigned char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ p[i]) * SPOOL_HASH_PRIME;
	return hash;
}

int
engine_spool_add(struct engine *g, struct spool *s, const void *p, size_t n)
{
	uint64_t most = (uint64_t)g->policy->stdin_max;
	int r;

	if (!s->user)
		return err_raise(-EBADF, "add to input that went to a job");
	if (s->error < 0)
		return s->error;
	if (s->bytes > most || n > most - s->bytes)
		return -EFBIG;
	if (s->user->bytes + n > most * SPOOL_USER_MOST)
		return -EDQUOT;
	r = write_at(s->fd, p, n, s->bytes);
	if (r < 0) {
		/* Give back what a part of it took. If not: spool_sync cuts it off. */
		(void)!ftruncate(s->fd, (off_t)s->bytes);
		return err_pass(r);
	}
	s->hash = hash_on(s->hash, p, n);
	s->bytes += n;
	s->user->bytes += n;
	s->error = write_behind(s, n);
	return s->error;
}

uint64_t
spool_bytes(const struct spool *s)
{
	return s->bytes;
}

uint64_t
spool_hash(const struct spool *s)
{
	return s->hash;
}

struct spool *
spool_free(struct spool *s)
{
	char path[SPOOL_PATH];

	if (!s)
		return NULL;
	if (s->fd >= 0) {
		(void)close(s->fd);
		if (s->temp)
			(void)unlinkat(s->engine->spools.dir_fd, temp_name(s->temp, path), 0);
	}
	leave_user(s);
	free(s);
	return NULL;
}

/* ---- a job has it */

int
spool_sync(struct spool *s)
{
	if (s->fd < 0)
		return -EBADF;
	if (s->error < 0)
		return s->error;
	/* Another user's job can open it anew, as /dev/stdin. */
	if (ftruncate(s->fd, (off_t)s->bytes) < 0 || fchmod(s->fd, 0444) < 0 ||
	    fdatasync(s->fd) < 0)
		return err_raise(-errno, "sync the input of a job");
	CRASH_POINT("ctxd.stdin.synced");
	return 0;
}

int
spool_before_commit(struct engine *g)
{
	_close_ int fd = take_fd(g->spools.dirty_fd);

	if (fd >= 0 && fsync(fd) < 0)
		return err_raise(-errno, "sync a directory of stdin/");
	if (fd >= 0)
		CRASH_POINT("ctxd.stdin.listed");
	return 0;
}

/* The directory NUMBER is there, and will be synced before the commit. */
static int
need_dir(struct engine *g, uint64_t number)
{
	struct spools *p = &g->spools;
	char path[SPOOL_PATH];
	int r;

	if (p->dirty_fd >= 0 && p->dirty == number)
		return 0;
	r = spool_before_commit(g);
	if (r < 0)
		return err_pass(r);
	if (mkdirat(p->dir_fd, dir_name(number, path), 0700) == 0) {
		if (fsync(p->dir_fd) < 0)
			return err_raise(-errno, "sync stdin/");
	} else if (errno != EEXIST) {
		return err_raise(-errno, "make stdin/%s", path);
	}
	p->dirty_fd = openat(p->dir_fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	p->dirty = number;
	return p->dirty_fd < 0 ? err_raise(-errno, "open stdin/%s", path) : 0;
}

/* Give the file its name. What has that name already is of an id that a crash kept from being
 * committed. */
static int
give_name(struct spools *p, struct spool *s, uint64_t id)
{
	char path[SPOOL_PATH], from[SPOOL_PATH];

	(void)file_path(id, path);
	if (s->temp)
		return renameat(p->dir_fd, temp_name(s->temp, from), p->dir_fd, path) < 0 ? -errno
											  : 0;
	(void)snprintf(from, sizeof(from), "/proc/self/fd/%d", s->fd);
	if (linkat(AT_FDCWD, from, p->dir_fd, path, AT_SYMLINK_FOLLOW) == 0)
		return 0;
	if (errno != EEXIST || unlinkat(p->dir_fd, path, 0) < 0)
		return -errno;
	return linkat(AT_FDCWD, from, p->dir_fd, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static void
keep_run(struct effect *fx, int result)
{
	struct keep_fx *f = container_of(fx, struct keep_fx, fx);

	if (result < 0) /* there is no such job */
		spool_remove(f->g, f->id);
	free(f);
}

int
spool_keep(struct engine *g, struct spool *s, const struct job *j)
{
	struct keep_fx *f = calloc(1, sizeof(*f));
	int r = f ? need_dir(g, j->id / SPOOL_PER_DIR) : -ENOMEM;

	if (!r)
		r = give_name(&g->spools, s, j->id);
	if (r < 0) {
		free(f);
		return err_raise(r, "keep the input of job %" PRIu64, j->id);
	}
	*f = (struct keep_fx){.fx.run = keep_run, .g = g, .id = j->id};
	CRASH_POINT("ctxd.stdin.named");
	txn_defer(g->txn, &f->fx);
	(void)close(take_fd(s->fd));
	leave_user(s);
	return 0;
}

int
spool_open(struct engine *g, uint64_t id)
{
	char path[SPOOL_PATH];
	int fd = openat(g->spools.dir_fd, file_path(id, path), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ENOENT : err_raise(-errno, "open stdin/%s", path);
}

bool
spool_kept(struct engine *g, uint64_t id)
{
	char path[SPOOL_PATH];
	struct stat st;

	return fstatat(g->spools.dir_fd, file_path(id, path), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void
spool_remove(struct engine *g, uint64_t id)
{
	char path[SPOOL_PATH];

	if (unlinkat(g->spools.dir_fd, file_path(id, path), 0) < 0 && errno != ENOENT)
		(void)err_raise(-errno, "remove stdin/%s", path);
	/* The last one of its thousand takes the directory along; it is made again when needed. */
	(void)unlinkat(g->spools.dir_fd, dir_name(id / SPOOL_PER_DIR, path), AT_REMOVEDIR);
}
