/* store_swap.c - a new database takes the place of a damaged one, see store_swap.h. */
#include "store/store_swap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "store/store_db.h"

#define DONE_FILE STORE_FILE ".recovered"
#define NO_WAL STORE_FILE ".no-wal"

int
store_swap_complete(int dirfd)
{
	_close_ int fd = openat(dirfd, STORE_NEW_FILE, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0 || renameat(dirfd, STORE_NEW_FILE, dirfd, DONE_FILE) < 0 ||
	    fsync(dirfd) < 0)
		return -errno;
	return 0;
}

int
store_swap_keep(int dirfd, int64_t now_us, char name[STORE_SWAP_NAME])
{
	struct tm tm;
	time_t now = (time_t)(now_us / 1000000);
	char when[24], wal[STORE_SWAP_NAME + 8];
	struct stat st;

	if (!gmtime_r(&now, &tm) || strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", &tm) == 0)
		return -EINVAL;
	for (int i = 0;; i++) {
		(void)snprintf(name, STORE_SWAP_NAME,
			       i > 0 ? STORE_FILE ".damaged-%s.%d" : STORE_FILE ".damaged-%s", when,
			       i);
		(void)snprintf(wal, sizeof(wal), "%s-wal", name);
		if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 &&
		    fstatat(dirfd, wal, &st, AT_SYMLINK_NOFOLLOW) < 0)
			break;
	}
	if (linkat(dirfd, STORE_FILE, dirfd, name, 0) < 0 && errno != ENOENT)
		return -errno;
	if (linkat(dirfd, STORE_FILE "-wal", dirfd, wal, 0) < 0 && errno != ENOENT)
		return -errno;
	return fsync(dirfd) < 0 ? -errno : 0;
}

static int
no_wal(int dirfd, const char *name)
{
	static const uint8_t nothing[32];
	_close_ int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int r;

	if (fd < 0)
		return -errno;
	r = file_write_full(fd, nothing, sizeof(nothing));
	return r == 0 && fsync(fd) < 0 ? -errno : r;
}

int
store_swap_finish(int dirfd)
{
	int r;

	(void)unlinkat(dirfd, NO_WAL, 0);
	r = no_wal(dirfd, NO_WAL);
	if (r == 0 && (renameat(dirfd, NO_WAL, dirfd, STORE_FILE "-wal") < 0 || fsync(dirfd) < 0 ||
		       renameat(dirfd, DONE_FILE, dirfd, STORE_FILE) < 0 || fsync(dirfd) < 0 ||
		       unlinkat(dirfd, STORE_FILE "-wal", 0) < 0 || fsync(dirfd) < 0))
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, NO_WAL, 0);
	return r;
}

int
store_swap(int dirfd)
{
	struct stat st;
	int r = 0;

	if (fstatat(dirfd, STORE_FILE "-wal", &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0) {
		(void)unlinkat(dirfd, STORE_FILE "-wal", 0);
		r = no_wal(dirfd, STORE_FILE "-wal");
	}
	if (r == 0 && unlinkat(dirfd, STORE_FILE, 0) < 0 && errno != ENOENT)
		r = -errno;
	(void)unlinkat(dirfd, STORE_FILE "-shm", 0);
	(void)unlinkat(dirfd, STORE_FILE "-journal", 0);
	if (r == 0 && fsync(dirfd) < 0)
		r = -errno;
	return r == 0 ? store_swap_finish(dirfd) : r;
}

bool
store_swap_half_done(int dirfd)
{
	struct stat st;

	return fstatat(dirfd, STORE_FILE, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
	       fstatat(dirfd, DONE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

void
store_swap_tidy(int dirfd)
{
	(void)unlinkat(dirfd, DONE_FILE, 0);
}
