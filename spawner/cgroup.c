/* cgroup.c - a cgroup v2 for each attempt, see cgroup.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "spawner/cgroup.h"

/* A job may have made cgroups of its own below; the kernel sets no limit, our stack does. */
enum { DEPTH_MAX = 32, KILL_PASSES = 16, PATH_ROOM = 1024 };

int
cgroup_open_parent(const char *path)
{
	_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return -EMEDIUMTYPE;
	return take_fd(fd);
}

int
cgroup_open(int parent_fd, const char *name)
{
	int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int
cgroup_make(int parent_fd, const char *name)
{
	if (mkdirat(parent_fd, name, 0755) < 0) {
		int r = -errno;

		if (r != -EEXIST)
			return r;
		r = cgroup_remove(parent_fd, name);
		if (r < 0)
			return r;
		if (mkdirat(parent_fd, name, 0755) < 0)
			return -errno;
	}
	return cgroup_open(parent_fd, name);
}

int
cgroup_open_procs(int cgroup_fd)
{
	int fd = openat(cgroup_fd, "cgroup.procs", O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Before Linux 5.14: each process, until a pass finds none. Cgroups below are left to the tree's
 * own kill. */
static int
kill_listed(int cgroup_fd)
{
	for (int pass = 0; pass < KILL_PASSES; pass++) {
		char text[4096];
		ssize_t n = file_read_at(cgroup_fd, "cgroup.procs", text, sizeof(text) - 1);

		if (n == -EFBIG)
			n = sizeof(text) - 1;
		if (n < 0)
			return n == -ENOENT || n == -ENODEV ? 0 : (int)n;
		if (n == 0)
			return 0;
		text[n] = '\0';
		for (char *p = text, *nl; (nl = strchr(p, '\n')); p = nl + 1) {
			uint64_t pid;

			*nl = '\0';
			if (text_u64(p, &pid) == 0 && pid > 1 && pid <= INT32_MAX)
				(void)kill((pid_t)pid, SIGKILL);
		}
	}
	return 0;
}

int
cgroup_kill(int cgroup_fd)
{
	_close_ int fd = openat(cgroup_fd, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return errno == ENOENT ? kill_listed(cgroup_fd) : -errno;
	r = file_write_full(fd, "1", 1);
	return r == -ENODEV ? 0 : r;
}

int
cgroup_open_events(int cgroup_fd)
{
	int fd = openat(cgroup_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENODEV ? -ENOENT : -errno;
	return fd;
}

int
cgroup_populated(int events_fd)
{
	char text[256];
	ssize_t n = pread(events_fd, text, sizeof(text) - 1, 0);

	if (n < 0)
		return errno == ENODEV ? 0 : -errno;
	text[n] = '\0';
	return strstr(text, "populated 1") ? 1 : 0;
}

/* The path of PID's cgroup below the root of the hierarchy; in TEXT. NULL: not known. */
static char *
path_of(pid_t pid, char *text, size_t size)
{
	char name[32], *path, *nl;
	ssize_t n;

	(void)snprintf(name, sizeof(name), "/proc/%d/cgroup", (int)pid);
	n = file_read_at(AT_FDCWD, name, text, size - 1);
	if (n <= 0)
		return NULL;
	text[n] = '\0';
	path = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
	if (!path)
		return NULL;
	path = strchr(path, '/');
	nl = path ? strchr(path, '\n') : NULL;
	if (!nl)
		return NULL;
	*nl = '\0';
	return path;
}

static bool
is_mount_point(const char *path, size_t len)
{
	char above[PATH_ROOM + 4];
	struct statfs fs;

	(void)snprintf(above, sizeof(above), "%.*s/..", (int)len, path);
	return statfs(above, &fs) == 0 && fs.f_type != CGROUP2_SUPER_MAGIC;
}

/* /proc names a cgroup from the root of the hierarchy, our descriptor from that of the file system:
 * what is left of ours in front is where the hierarchy is mounted. */
bool
cgroup_has(int cgroup_fd, pid_t pid)
{
	char name[32], own[PATH_ROOM], text[4096], *path = path_of(pid, text, sizeof(text));
	size_t len = path ? strlen(path) : 0;
	ssize_t n;

	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", cgroup_fd);
	n = readlink(name, own, sizeof(own));
	if (!path || n <= 0 || (size_t)n == sizeof(own))
		return false;
	for (; len > 1; len = (size_t)((char *)memrchr(path, '/', len) - path)) {
		if ((size_t)n > len && memcmp(own + (size_t)n - len, path, len) == 0)
			return is_mount_point(own, (size_t)n - len);
	}
	return false;
}

static int
remove_below(int fd, int depth)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;
	int r = 0;

	if (!d) {
		r = -errno;
		if (copy >= 0)
			(void)close(copy);
		return r;
	}
	while (r == 0 && (e = readdir(d))) {
		_close_ int sub = -1;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		sub = cgroup_open(fd, e->d_name);
		if (sub < 0)
			continue;
		r = depth < DEPTH_MAX ? remove_below(sub, depth + 1) : -ELOOP;
		if (r == 0 && unlinkat(fd, e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			r = -errno;
	}
	(void)closedir(d);
	return r;
}

int
cgroup_remove(int parent_fd, const char *name)
{
	_close_ int fd = -1;
	int r;

	if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	fd = cgroup_open(parent_fd, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = remove_below(fd, 0);
	if (r < 0)
		return r;
	return unlinkat(parent_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}
