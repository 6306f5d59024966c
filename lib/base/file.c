/* file.c - files and directories. Nothing here waits: not for a lock, and not on a FIFO put where a
 * file should be. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

enum { BENEATH_TRIES = 16, LOCKS_LINE = 256 };

ssize_t
file_read_full(int fd, void *p, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, (char *)p + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int
file_write_full(int fd, const void *p, size_t size)
{
	const char *from = p;

	while (size > 0) {
		ssize_t n = write(fd, from, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		from += n;
		size -= (size_t)n;
	}
	return 0;
}

ssize_t
file_read_at(int dirfd, const char *path, void *p, size_t size)
{
	_close_ int fd = -1;
	struct stat st;
	ssize_t n, more;
	char extra;

	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	n = file_read_full(fd, p, size);
	if (n < 0 || (size_t)n < size)
		return n;
	more = file_read_full(fd, &extra, 1);
	return more < 0 ? more : more > 0 ? -EFBIG : n;
}

static int
write_new(int dirfd, const char *tmp, const void *p, size_t size, mode_t mode)
{
	int r, fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return -errno;
	r = file_write_full(fd, p, size);
	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	/* Some file systems report a failed write only here. */
	if (close(fd) < 0 && r == 0)
		r = -errno;
	return r;
}

int
file_replace_at(int dirfd, const char *name, const void *p, size_t size, mode_t mode)
{
	char tmp[PATH_MAX];
	int r, n = snprintf(tmp, sizeof(tmp), "%s.tmp", name);

	if (n < 0 || (size_t)n >= sizeof(tmp))
		return -ENAMETOOLONG;
	/* Left behind by a writer that was killed. */
	if (unlinkat(dirfd, tmp, 0) < 0 && errno != ENOENT)
		return -errno;
	r = write_new(dirfd, tmp, p, size, mode);
	if (r == 0 && renameat(dirfd, tmp, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, tmp, 0);
	return r;
}

/* Open NAME, which is no symlink: O_PATH alone would take one as it is. */
static int
open_last(int dirfd, const char *name, int flags, mode_t mode)
{
	_close_ int fd = openat(dirfd, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (flags & O_PATH) {
		if (fstat(fd, &st) < 0)
			return -errno;
		if (S_ISLNK(st.st_mode))
			return -ELOOP;
	}
	return take_fd(fd);
}

/* The same without openat2: component by component, each a real directory. A path with ".." is
 * refused, because only the kernel can tell that it stays beneath while others rename. */
static int
walk_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	_close_ int at = -1;
	char name[NAME_MAX + 1];

	if (*path == '/')
		return -EXDEV;
	for (;;) {
		size_t n = strcspn(path, "/");
		const char *rest = path + n + strspn(path + n, "/");
		int fd;

		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = '\0';
		if (strcmp(name, "..") == 0)
			return -EXDEV;
		if (*rest == '\0')
			return open_last(at < 0 ? dirfd : at, name,
					 path[n] == '/' ? flags | O_DIRECTORY : flags, mode);
		fd = openat(at < 0 ? dirfd : at, name,
			    O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		mem_closep(&at);
		at = fd;
		path = rest;
	}
}

int
file_open_beneath(int dirfd, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
		.mode = flags & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY)) ? mode : 0,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	static bool missing;

	/* EAGAIN: something was renamed during the walk, and the kernel could not tell that it
	 * stayed beneath. */
	for (int i = 0; i < BENEATH_TRIES && !missing; i++) {
		long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

		if (fd >= 0)
			return (int)fd;
		missing = errno == ENOSYS; /* older containers filter it out */
		if (!missing && errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return missing ? walk_beneath(dirfd, path, flags, mode) : -EAGAIN;
}

static int
make_dir(const char *path, mode_t mode)
{
	struct stat st;
	int r = 0;

	if (mkdir(path, mode) < 0)
		r = -errno;
	/* A directory that is there will do, whatever mkdir says: EEXIST, EROFS, EACCES. */
	if (r < 0 && stat(path, &st) == 0)
		r = S_ISDIR(st.st_mode) ? 0 : -ENOTDIR;
	return r;
}

int
file_mkdirs(const char *path, mode_t mode)
{
	size_t n = strlen(path);
	char buf[PATH_MAX];
	int r;

	if (path[0] != '/')
		return -EINVAL;
	if (n >= sizeof(buf))
		return -ENAMETOOLONG;
	memcpy(buf, path, n + 1);
	for (char *p = buf + 1;; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		r = make_dir(buf, mode);
		*p = c;
		if (r < 0 || c == '\0')
			return r;
	}
}

/* Pid of the holder of an flock on the file of ST, or 0. Lines read "1: FLOCK  ADVISORY  WRITE 4711
 * 08:01:1234 0 EOF"; waiters have "->" in the second place. Some file systems show another device
 * here than fstat does: not known then. */
static pid_t
lock_holder(const struct stat *st)
{
	FILE *f = fopen("/proc/locks", "re");
	char line[LOCKS_LINE];
	unsigned maj, min;
	unsigned long long ino;
	int pid, holder = 0;

	if (!f)
		return 0;
	while (!holder && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%llu", &pid, &maj, &min, &ino) == 4 &&
		    pid > 0 && maj == major(st->st_dev) && min == minor(st->st_dev) &&
		    ino == st->st_ino)
			holder = pid;
	(void)fclose(f);
	return holder;
}

int
file_lock(int fd, pid_t *ret_pid)
{
	struct stat st;
	int r;

	do
		r = flock(fd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return 0;
	r = -errno;
	if (r == -EWOULDBLOCK && ret_pid)
		*ret_pid = fstat(fd, &st) == 0 ? lock_holder(&st) : 0;
	return r;
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The 32 hex digits of a UUID; its dashes may be anywhere. */
static int
parse_uuid(const char *s, size_t n, uint8_t ret[16])
{
	size_t got = 0;

	for (size_t i = 0; i < n && s[i] != '\n'; i++) {
		int v = hex_value(s[i]);

		if (s[i] == '-')
			continue;
		if (v < 0 || got == 32)
			return -EBADMSG;
		ret[got / 2] = (uint8_t)(got % 2 ? ret[got / 2] << 4 | v : v);
		got++;
	}
	return got == 32 ? 0 : -EBADMSG;
}

int
file_boot_id(uint8_t ret[16])
{
	static uint8_t kept[16];
	static bool have;
	uint8_t id[16] = {0};
	char text[64] = "";
	ssize_t n;
	int r;

	if (!have) {
		n = file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text, sizeof(text));
		if (n < 0)
			return (int)n;
		r = parse_uuid(text, (size_t)n, id);
		if (r < 0)
			return r;
		memcpy(kept, id, sizeof(kept));
		have = true;
	}
	memcpy(ret, kept, sizeof(kept));
	return 0;
}

static int
remove_files(DIR *d)
{
	struct dirent *e;
	int r = 0;

	while ((errno = 0, e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(d), e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		r = errno == EISDIR ? -ENOTEMPTY : -errno;
	}
	return errno ? -errno : r;
}

int
file_rmdir_flat(int dirfd, const char *name)
{
	int r, fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d) {
		r = -errno;
		(void)close(fd);
		return r;
	}
	r = remove_files(d);
	(void)closedir(d);
	if (r == 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}
