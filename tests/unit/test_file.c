/* test_file.c - base/file.h: in a temporary directory of its own. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "tap.h"
#include "tmpdir.h"

static void
put(const char *name, const char *text)
{
	_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	need(fd >= 0);
	need(file_write_full(fd, text, strlen(text)) == 0);
}

static bool
exists(const char *name)
{
	return faccessat(dir, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

TEST(write_and_read_all_of_a_pipe)
{
	static char big[300000], back[300001];
	int p[2], status;
	pid_t pid;

	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = (char)(i * 31 >> 3);
	need(pipe2(p, O_CLOEXEC) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		close(p[0]);
		_exit(file_write_full(p[1], big, sizeof(big)) != 0);
	}
	close(p[1]);
	is_int(file_read_full(p[0], back, sizeof(back)), sizeof(big));
	ok(memcmp(big, back, sizeof(big)) == 0);
	is_int(file_read_full(p[0], back, 1), 0);
	close(p[0]);
	need(waitpid(pid, &status, 0) == pid);
	is_int(status, 0);
}

TEST(read_and_write_errors)
{
	int p[2];
	static char big[1 << 20];
	char c;

	is_int(file_read_full(-1, &c, 1), -EBADF);
	is_int(file_write_full(-1, &c, 1), -EBADF);
	is_int(file_write_full(-1, &c, 0), 0);
	need(pipe2(p, O_CLOEXEC | O_NONBLOCK) == 0);
	is_int(file_read_full(p[0], &c, 1), -EAGAIN);
	is_int(file_write_full(p[1], big, sizeof(big)), -EAGAIN);
	close(p[0]);
	close(p[1]);
}

TEST(read_at)
{
	char buf[16];

	put("ten", "0123456789");
	is_int(file_read_at(dir, "ten", buf, sizeof(buf)), 10);
	ok(memcmp(buf, "0123456789", 10) == 0);
	is_int(file_read_at(dir, "ten", buf, 10), 10);
	is_int(file_read_at(dir, "ten", buf, 9), -EFBIG);
	is_int(file_read_at(dir, "ten", buf, 0), -EFBIG);
	put("none", "");
	is_int(file_read_at(dir, "none", buf, 0), 0);
	is_int(file_read_at(dir, "none", buf, 5), 0);
	is_int(file_read_at(dir, "missing", buf, 5), -ENOENT);
}

TEST(read_at_takes_files_only)
{
	char buf[16];

	need(symlinkat("ten", dir, "link") == 0);
	is_int(file_read_at(dir, "link", buf, sizeof(buf)), -ELOOP);
	need(mkdirat(dir, "sub", 0700) == 0);
	is_int(file_read_at(dir, "sub", buf, sizeof(buf)), -EISDIR);
	need(mkfifoat(dir, "fifo", 0600) == 0);
	is_int(file_read_at(dir, "fifo", buf, sizeof(buf)), -EINVAL);
	is_int(file_read_at(AT_FDCWD, "/dev/null", buf, sizeof(buf)), -EINVAL);
}

TEST(read_at_of_proc)
{
	char buf[4096];

	ok(file_read_at(AT_FDCWD, "/proc/self/stat", buf, sizeof(buf)) > 10);
}

TEST(replace)
{
	char buf[16];
	struct stat st;
	mode_t old = umask(077);

	is_int(file_replace_at(dir, "r", "one", 3, 0644), 0);
	umask(old);
	is_int(file_read_at(dir, "r", buf, sizeof(buf)), 3);
	need(fstatat(dir, "r", &st, 0) == 0);
	is_int(st.st_mode & 07777, 0644);
	is_int(file_replace_at(dir, "r", "", 0, 0600), 0);
	is_int(file_read_at(dir, "r", buf, sizeof(buf)), 0);
	need(fstatat(dir, "r", &st, 0) == 0);
	is_int(st.st_mode & 07777, 0600);
	ok(!exists("r.tmp"));
}

TEST(replace_after_a_crash_and_over_a_link)
{
	char buf[16];

	put("victim", "untouched");
	need(symlinkat("victim", dir, "c.tmp") == 0);
	need(symlinkat("victim", dir, "c") == 0);
	is_int(file_replace_at(dir, "c", "new", 3, 0600), 0);
	is_int(file_read_at(dir, "c", buf, sizeof(buf)), 3);
	is_int(file_read_at(dir, "victim", buf, sizeof(buf)), 9);
	put("c.tmp", "left by a killed writer, longer than what comes");
	is_int(file_replace_at(dir, "c", "x", 1, 0600), 0);
	is_int(file_read_at(dir, "c", buf, sizeof(buf)), 1);
	ok(!exists("c.tmp"));
}

TEST(replace_fails_cleanly)
{
	char name[300];

	need(mkdirat(dir, "isdir", 0700) == 0);
	is_int(file_replace_at(dir, "isdir", "x", 1, 0600), -EISDIR);
	ok(!exists("isdir.tmp"));
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	is_int(file_replace_at(dir, name, "x", 1, 0600), -ENAMETOOLONG);
	is_int(file_replace_at(dir, "no/such", "x", 1, 0600), -ENOENT);
}

TEST(open_beneath)
{
	int fd;

	need(mkdirat(dir, "b", 0700) == 0);
	need(mkdirat(dir, "b/deep", 0700) == 0);
	fd = file_open_beneath(dir, "b/deep/f", O_WRONLY | O_CREAT | O_EXCL, 0640);
	need(fd >= 0);
	ok(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	close(fd);
	fd = file_open_beneath(dir, "b//./deep/f", O_RDONLY, 0777);
	ok(fd >= 0);
	close(fd);
	is_int(file_open_beneath(dir, "b/deep/f/", O_RDONLY, 0), -ENOTDIR);
	is_int(file_open_beneath(dir, "", O_RDONLY, 0), -ENOENT);
	fd = file_open_beneath(dir, "b", O_TMPFILE | O_RDWR, 0600);
	ok(fd >= 0 || fd == -EOPNOTSUPP || fd == -EISDIR);
	if (fd >= 0)
		close(fd);
	fd = file_open_beneath(dir, "b/deep", O_RDONLY | O_DIRECTORY, 0);
	ok(fd >= 0);
	close(fd);
	is_int(file_open_beneath(dir, "missing", O_RDONLY, 0), -ENOENT);
	is_int(file_open_beneath(dir, "..", O_RDONLY, 0), -EXDEV);
	is_int(file_open_beneath(dir, "b/../../etc/passwd", O_RDONLY, 0), -EXDEV);
	is_int(file_open_beneath(dir, "/etc/passwd", O_RDONLY, 0), -EXDEV);
	need(symlinkat("deep", dir, "b/inner") == 0);
	need(symlinkat("/etc/passwd", dir, "b/outer") == 0);
	is_int(file_open_beneath(dir, "b/inner", O_RDONLY, 0), -ELOOP);
	fd = file_open_beneath(dir, "b/inner/f", O_RDONLY, 0);
	ok(fd == -ELOOP || fd == -ENOTDIR); /* the latter where there is no openat2 */
	is_int(file_open_beneath(dir, "b/outer", O_RDONLY, 0), -ELOOP);
	is_int(file_open_beneath(dir, "b/outer", O_PATH, 0), -ELOOP);
}

TEST(mkdirs)
{
	char path[200];
	struct stat st;
	mode_t old = umask(022);

	snprintf(path, sizeof(path), "%s/m//one/two/three/", dir_path);
	is_int(file_mkdirs(path, 0700), 0);
	need(fstatat(dir, "m/one/two/three", &st, 0) == 0);
	is_int(st.st_mode & 07777, 0700);
	need(fchmodat(dir, "m/one", 0755, 0) == 0);
	is_int(file_mkdirs(path, 0711), 0);
	need(fstatat(dir, "m/one", &st, 0) == 0);
	is_int(st.st_mode & 07777, 0755);
	put("m/file", "");
	snprintf(path, sizeof(path), "%s/m/file", dir_path);
	is_int(file_mkdirs(path, 0700), -ENOTDIR);
	snprintf(path, sizeof(path), "%s/m/file/below", dir_path);
	is_int(file_mkdirs(path, 0700), -ENOTDIR);
	need(symlinkat("one", dir, "m/link") == 0);
	snprintf(path, sizeof(path), "%s/m/link/four", dir_path);
	is_int(file_mkdirs(path, 0700), 0);
	ok(exists("m/one/four"));
	is_int(file_mkdirs("/", 0700), 0);
	is_int(file_mkdirs("relative", 0700), -EINVAL);
	is_int(file_mkdirs("", 0700), -EINVAL);
	is_int(file_mkdirs("/proc/no/such", 0700), -ENOENT);
	umask(old);
}

TEST(mkdirs_of_a_very_long_path)
{
	static char path[5000];

	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	is_int(file_mkdirs(path, 0700), -ENAMETOOLONG);
	path[300] = '\0';
	is_int(file_mkdirs(path, 0700), -ENAMETOOLONG);
}

/* A child that has taken the lock through FD's file and waits to be killed. */
static pid_t
holder_of(int fd)
{
	char path[64], c;
	int p[2];
	pid_t pid;

	need(pipe2(p, O_CLOEXEC) == 0);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		int mine;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		mine = open(path, O_RDWR | O_CLOEXEC);
		if (mine < 0 || file_lock(mine, NULL) != 0 || write(p[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(p[1]);
	is_int(read(p[0], &c, 1), 1);
	close(p[0]);
	return pid;
}

static void
kill_holder(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

TEST(lock_tells_the_holder)
{
	_close_ int fd = memfd_create("lock", MFD_CLOEXEC);
	pid_t pid, got = -5;

	need(fd >= 0);
	pid = holder_of(fd);
	is_int(file_lock(fd, &got), -EWOULDBLOCK);
	is_int(got, pid);
	is_int(file_lock(fd, NULL), -EWOULDBLOCK);
	kill_holder(pid);
	got = -5;
	is_int(file_lock(fd, &got), 0);
	is_int(got, -5);
	is_int(file_lock(fd, &got), 0);
	is_int(file_lock(-1, &got), -EBADF);
}

TEST(lock_of_a_real_file)
{
	_close_ int fd = -1, other = -1;
	pid_t pid, got = -5;

	put("lock", "");
	fd = openat(dir, "lock", O_RDWR | O_CLOEXEC);
	need(fd >= 0);
	pid = holder_of(fd);
	is_int(file_lock(fd, &got), -EWOULDBLOCK);
	ok(got == pid || got == 0); /* some file systems have another device in /proc/locks */
	kill_holder(pid);
	is_int(file_lock(fd, &got), 0);
	other = openat(dir, "lock", O_RDWR | O_CLOEXEC);
	need(other >= 0);
	is_int(file_lock(other, &got), -EWOULDBLOCK);
	ok(got == getpid() || got == 0);
}

TEST(boot_id)
{
	uint8_t a[16], b[16];
	static const uint8_t zero[16];
	char text[64], want[64];
	ssize_t n;

	is_int(file_boot_id(a), 0);
	is_int(file_boot_id(b), 0);
	ok(memcmp(a, b, 16) == 0 && memcmp(a, zero, 16) != 0);
	n = file_read_at(AT_FDCWD, "/proc/sys/kernel/random/boot_id", want, sizeof(want) - 1);
	need(n > 0);
	want[n - 1] = '\0';
	snprintf(text, sizeof(text),
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", a[0], a[1],
		 a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14],
		 a[15]);
	is_str(text, want);
}

TEST(rmdir_flat)
{
	char name[32];

	need(mkdirat(dir, "flat", 0700) == 0);
	put("keep", "");
	for (int i = 0; i < 500; i++) {
		snprintf(name, sizeof(name), "flat/f%d", i);
		put(name, "");
	}
	need(symlinkat("../keep", dir, "flat/link") == 0);
	need(symlinkat("../sub", dir, "flat/dirlink") == 0);
	need(mkfifoat(dir, "flat/fifo", 0600) == 0);
	put("flat/.hidden", "");
	is_int(file_rmdir_flat(dir, "flat"), 0);
	ok(!exists("flat") && exists("keep"));
	is_int(file_rmdir_flat(dir, "flat"), -ENOENT);
}

TEST(rmdir_flat_refuses)
{
	need(mkdirat(dir, "tree", 0700) == 0);
	need(mkdirat(dir, "tree/below", 0700) == 0);
	put("tree/f", "");
	put("tree/below/g", "");
	is_int(file_rmdir_flat(dir, "tree"), -ENOTEMPTY);
	ok(exists("tree/below/g"));
	put("plain", "");
	is_int(file_rmdir_flat(dir, "plain"), -ENOTDIR);
	need(symlinkat("tree", dir, "treelink") == 0);
	is_int(file_rmdir_flat(dir, "treelink"), -ENOTDIR);
	ok(exists("tree") && exists("treelink"));
}

TEST(no_descriptor_is_lost)
{
	int before = dup(dir), after;
	char buf[4];

	need(before >= 0);
	close(before);
	(void)file_read_at(dir, "ten", buf, sizeof(buf));
	(void)file_read_at(dir, "sub", buf, sizeof(buf));
	(void)file_replace_at(dir, "isdir", "x", 1, 0600);
	(void)file_rmdir_flat(dir, "tree");
	(void)file_rmdir_flat(dir, "plain");
	after = dup(dir);
	is_int(after, before);
	close(after);
}
