/* output.c - output files, see output.h. They lie under the state directory, which only the daemon
 * writes; names are made of numbers alone, so nothing here is built from what a stranger sent. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "exec/output.h"
#include "record/rundir.h"

enum { OUTPUT_PATH = 64, OUTPUT_PER_DIR = 1000, SPARE_MAX = 64, READS_MAX = 4 };
enum { TAIL_BLOCK = 4096, TAIL_BLOCKS = 256 }; /* of one call */

struct output {
	int dir_fd; /* output/ */
	size_t n_spare;
	struct spare {
		uint64_t id;
		uint32_t attempt;
	} spare[SPARE_MAX]; /* empty files of jobs that are over */
	uint64_t made;      /* subdirectory known to exist, + 1; 0: none yet */
};

static const char *
sub_dir(uint64_t id, char *buf)
{
	(void)snprintf(buf, OUTPUT_PATH, "%" PRIu64, id / OUTPUT_PER_DIR);
	return buf;
}

static const char *
file_path(uint64_t id, uint32_t attempt, enum output_stream stream, char *buf)
{
	(void)snprintf(buf, OUTPUT_PATH, "%" PRIu64 "/%" PRIu64 ".%" PRIu32 ".%s",
		       id / OUTPUT_PER_DIR, id, attempt, stream == OUTPUT_ERR ? "err" : "log");
	return buf;
}

int
output_new(const char *state_dir, struct output **ret)
{
	_close_ int state = open(state_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct output *o;
	int fd;

	if (state < 0)
		return err_raise(-errno, "open '%s'", state_dir);
	/* A job opens its own file through /dev/stdout, which needs no way to it. */
	if (mkdirat(state, "output", 0700) < 0 && errno != EEXIST)
		return err_raise(-errno, "make '%s/output'", state_dir);
	fd = openat(state, "output", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_raise(-errno, "open '%s/output'", state_dir);
	o = calloc(1, sizeof(*o));
	if (!o) {
		(void)close(fd);
		return -ENOMEM;
	}
	o->dir_fd = fd;
	*ret = o;
	return 0;
}

int
output_dirfd(const struct output *o)
{
	return o->dir_fd;
}

struct output *
output_free(struct output *o)
{
	if (!o)
		return NULL;
	(void)close(o->dir_fd);
	free(o);
	return NULL;
}

void
output_spare(struct output *o, uint64_t id, uint32_t attempt)
{
	if (o->n_spare < SPARE_MAX)
		o->spare[o->n_spare++] = (struct spare){id, attempt};
}

/* An empty file under a new name: making one costs ext4 several times as much, and dozens of times
 * where many were deleted lately. fd, or -1 when there is none that is as we left it. */
static int
take_spare(struct output *o, const char *path)
{
	char old[OUTPUT_PATH];
	_close_ int fd = -1;
	const struct spare *s;
	struct stat st;

	if (o->n_spare == 0)
		return -1;
	s = &o->spare[--o->n_spare];
	if (renameat(o->dir_fd, file_path(s->id, s->attempt, OUTPUT_OUT, old), o->dir_fd, path) < 0)
		return -1;
	fd = openat(o->dir_fd, path, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size != 0 ||
	    st.st_nlink != 1 || st.st_uid != geteuid() || (st.st_mode & 07777) != 0640) {
		(void)unlinkat(o->dir_fd, path, 0);
		return -1;
	}
	return take_fd(fd);
}

static int
create(struct output *o, const char *path)
{
	return openat(o->dir_fd, path,
		      O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0640);
}

int
output_create(struct output *o, uint64_t id, uint32_t attempt, enum output_stream stream)
{
	char path[OUTPUT_PATH];
	int fd;

	if (o->made != id / OUTPUT_PER_DIR + 1) {
		if (mkdirat(o->dir_fd, sub_dir(id, path), 0700) < 0 && errno != EEXIST)
			return err_raise(-errno, "make output/%s", path);
		o->made = id / OUTPUT_PER_DIR + 1;
	}
	fd = take_spare(o, file_path(id, attempt, stream, path));
	if (fd >= 0)
		return fd;
	fd = create(o, path);
	if (fd < 0 && errno == EACCES && unlinkat(o->dir_fd, path, 0) == 0)
		fd = create(o, path); /* it was given to a user already, whose job never ran */
	if (fd < 0) {
		o->made = 0;
		return err_raise(-errno, "create output/%s", path);
	}
	return fd;
}

int
output_open(struct output *o, uint64_t id, uint32_t attempt, enum output_stream stream)
{
	char path[OUTPUT_PATH];
	_close_ int fd = openat(o->dir_fd, file_path(id, attempt, stream, path),
				O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? -ENOENT : err_raise(-errno, "open output/%s", path);
	if (fstat(fd, &st) < 0)
		return err_raise(-errno, "stat output/%s", path);
	/* In user mode a job can put anything there, also what would keep us waiting. */
	if (!S_ISREG(st.st_mode))
		return err_raise(-EBADF, "output/%s is no file any more", path);
	return take_fd(fd);
}

int
output_parse(const char *name, uint64_t *ret_id, uint32_t *ret_attempt)
{
	const char *dot = strrchr(name, '.');
	char stem[OUTPUT_PATH];

	if (!dot || (strcmp(dot, ".log") != 0 && strcmp(dot, ".err") != 0) ||
	    (size_t)(dot - name) >= sizeof(stem))
		return -EINVAL;
	memcpy(stem, name, (size_t)(dot - name));
	stem[dot - name] = '\0';
	return rundir_parse(stem, ret_id, ret_attempt) == 0 ? 0 : -EINVAL;
}

int
output_remove(struct output *o, uint64_t id, uint32_t attempt)
{
	static const enum output_stream both[] = {OUTPUT_ERR, OUTPUT_OUT};
	char path[OUTPUT_PATH];

	for (size_t i = 0; i < ARRAY_SIZE(both); i++)
		if (unlinkat(o->dir_fd, file_path(id, attempt, both[i], path), 0) < 0 &&
		    errno != ENOENT)
			return err_raise(-errno, "remove output/%s", path);
	/* The last one of its thousand takes the directory along; it is made again when needed. */
	if (unlinkat(o->dir_fd, sub_dir(id, path), AT_REMOVEDIR) == 0)
		o->made = 0;
	return 0;
}

/* Where data begins, from OFFSET on; the end of the file if nothing but a hole is left of it: a job
 * can make that as large as a file may be. -1: OFFSET is not within the file, or not known. */
static off_t
data_from(int fd, off_t offset)
{
	off_t data = lseek(fd, offset, SEEK_DATA);
	struct stat st;

	if (data >= 0 || errno != ENXIO)
		return data;
	/* Once more, behind the size: what is written meanwhile lies beyond that. */
	if (fstat(fd, &st) < 0 || offset >= st.st_size)
		return -1;
	data = lseek(fd, offset, SEEK_DATA);
	return data < 0 && errno == ENXIO ? st.st_size : data;
}

/* The monitor punches one hole at a fixed place, so the first hole is all there is. */
int
output_measure(int fd, uint64_t *ret_bytes, uint64_t *ret_dropped)
{
	struct stat st;
	off_t hole, data;

	if (fstat(fd, &st) < 0)
		return err_raise(-errno, "stat an output file");
	*ret_bytes = (uint64_t)st.st_size;
	*ret_dropped = 0;
	hole = lseek(fd, 0, SEEK_HOLE);
	if (hole < 0 || hole >= st.st_size)
		return 0;
	data = data_from(fd, hole);
	if (data > hole)
		*ret_dropped = (uint64_t)(data - hole);
	return 0;
}

/* One attempt. *RET_AGAIN: what was read was punched meanwhile. */
static ssize_t
read_once(int fd, uint64_t *offset, void *p, size_t n, uint64_t *dropped, bool *ret_again)
{
	off_t data = data_from(fd, (off_t)*offset), hole;
	ssize_t got;

	if (data > (off_t)*offset) {
		*dropped += (uint64_t)data - *offset;
		*offset = (uint64_t)data;
	}
	hole = lseek(fd, (off_t)*offset, SEEK_HOLE);
	if (hole > (off_t)*offset && (uint64_t)hole - *offset < n)
		n = (size_t)((uint64_t)hole - *offset);
	got = pread(fd, p, n, (off_t)*offset);
	if (got < 0)
		return err_raise(-errno, "read an output file");
	hole = data >= 0 ? lseek(fd, (off_t)*offset, SEEK_HOLE) : -1;
	*ret_again = got > 0 && hole >= 0 && hole < (off_t)*offset + got;
	return got;
}

ssize_t
output_read(int fd, uint64_t *offset, void *p, size_t n, uint64_t *ret_dropped)
{
	bool again = true;
	ssize_t got = 0;

	*ret_dropped = 0;
	if (*offset > INT64_MAX - n) /* no file ends there */
		return 0;
	for (int i = 0; i < READS_MAX && again && got >= 0; i++)
		got = read_once(fd, offset, p, n, ret_dropped, &again);
	if (got > 0)
		*offset += (uint64_t)got;
	return got;
}

bool
output_truncated(int fd, uint64_t offset)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size < offset;
}

int
output_tail_begin(int fd, uint64_t n, struct output_tail *ret)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_raise(-errno, "stat an output file");
	*ret = (struct output_tail){.lines = n, .size = st.st_size, .end = st.st_size};
	return 0;
}

/* One block. */
static int
tail_block(int fd, struct output_tail *t, uint64_t *ret_offset)
{
	char p[TAIL_BLOCK];
	off_t from = t->end > (off_t)sizeof(p) ? t->end - (off_t)sizeof(p) : 0;
	off_t data = data_from(fd, from);
	bool hole = data > from;
	ssize_t got;

	if (hole) /* what was punched is not walked through */
		from = data < t->end ? data : t->end;
	got = pread(fd, p, (size_t)(t->end - from), from);
	if (got < 0)
		return err_raise(-errno, "read an output file");
	*ret_offset = hole ? (uint64_t)from : 0;
	if (got != t->end - from) /* its owner truncated it meanwhile */
		return 0;
	for (ssize_t i = got - 1; i >= 0; i--) {
		/* The newline that ends the last line is not one before it. */
		if (p[i] != '\n' || from + i + 1 == t->size || --t->lines > 0)
			continue;
		*ret_offset = (uint64_t)(from + i + 1);
		return 0;
	}
	t->end = from;
	return hole || from == 0 ? 0 : OUTPUT_E_AGAIN;
}

int
output_tail(int fd, struct output_tail *t, uint64_t *ret_offset)
{
	int r = OUTPUT_E_AGAIN;

	if (t->lines == 0 || t->end == 0) {
		*ret_offset = (uint64_t)t->end;
		return 0;
	}
	for (int i = 0; i < TAIL_BLOCKS && r == OUTPUT_E_AGAIN; i++)
		r = tail_block(fd, t, ret_offset);
	return r;
}
