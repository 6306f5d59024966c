/* store_copy.c - the copy of a damaged database that SQLite works on, see store_copy.h. */
#include "store/store_copy.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "store/store_db.h"
#include "store/store_mend.h"
#include "store/store_salvage.h"

#define WORK_FILE STORE_FILE ".work"

enum { PAGE = STORE_COPY_PAGE };

bool
store_copy_is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* A page that is all zeros, or that the disk cannot give, holds nothing; SQLite would see zeros
 * where the end of a long value lies on it, which cannot be told from a value. So such pages are
 * filled with what no value has (store_salvage.c looks for it). */
static void
mark_lost(uint8_t *page)
{
	if (store_copy_is_zero(page, PAGE))
		memset(page, SALVAGE_LOST, PAGE);
}

/* The page at AT; what the disk cannot give is zeros. The first one stays as it is: who finds no
 * database in it has to find nothing. */
static int
copy_db_page(int in, int out, off_t at)
{
	uint8_t page[PAGE];
	ssize_t n = in < 0 ? 0 : pread(in, page, sizeof(page), at);

	if (n < 0 && errno != EIO)
		return -errno;
	if (n < 0)
		n = 0;
	memset(page + n, n > 0 && at > 0 ? SALVAGE_LOST : 0, sizeof(page) - (size_t)n);
	if (at > 0)
		mark_lost(page);
	return file_write_full(out, page, sizeof(page));
}

/* As many pages as there are, or should be. */
static int
copy_db(int in, int out, uint64_t pages)
{
	struct stat st = {0};
	int r = 0;

	if (in >= 0 && fstat(in, &st) < 0)
		return -errno;
	for (off_t at = 0; r == 0 && (at < st.st_size || (uint64_t)at < pages * PAGE); at += PAGE)
		r = copy_db_page(in, out, at);
	return r;
}

/* It ends where it cannot be read: SQLite takes the commits before that. */
static int
copy_wal(int in, int out)
{
	uint8_t part[PAGE];
	ssize_t n;
	int r = 0;

	while (r == 0 && (n = read(in, part, sizeof(part))) > 0)
		r = file_write_full(out, part, (size_t)n);
	return r;
}

static int
open_both(int dirfd, const char *from, const char *to, int *ret_in, int *ret_out)
{
	*ret_in = openat(dirfd, from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_in < 0 && errno != ENOENT)
		return -errno;
	*ret_out = openat(dirfd, to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	return *ret_out < 0 ? -errno : 0;
}

int
store_copy_make(int dirfd, uint32_t pages)
{
	_close_ int db_in = -1, db_out = -1, wal_in = -1, wal_out = -1;
	int r = open_both(dirfd, STORE_FILE, WORK_FILE, &db_in, &db_out);

	if (r == 0)
		r = open_both(dirfd, STORE_FILE "-wal", WORK_FILE "-wal", &wal_in, &wal_out);
	if (r == 0)
		r = copy_db(db_in, db_out, pages > 0 ? pages : 1);
	if (r == 0 && wal_in >= 0)
		r = copy_wal(wal_in, wal_out);
	return r;
}

int
store_copy_open(const char *dir, sqlite3 **ret)
{
	_free_ char *path = text_format("%s/" WORK_FILE, dir);
	int rc;

	if (!path)
		return -ENOMEM;
	rc = sqlite3_open_v2(path, ret, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (rc != SQLITE_OK)
		return -EIO;
	(void)sqlite3_exec(*ret,
			   "PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;"
			   "PRAGMA writable_schema = ON; PRAGMA wal_autocheckpoint = 0;",
			   NULL, NULL, NULL);
	return 0;
}

int
store_copy_mend(int dirfd, uint32_t *ret_pages)
{
	_close_ int fd = openat(dirfd, WORK_FILE, O_RDWR | O_CLOEXEC);
	struct stat wal;

	*ret_pages = 0;
	if (fd < 0)
		return -errno;
	if (fstatat(dirfd, WORK_FILE "-wal", &wal, AT_SYMLINK_NOFOLLOW) == 0 && wal.st_size > 0)
		return 0;
	return store_mend(fd, ret_pages);
}

void
store_copy_remove(int dirfd)
{
	(void)unlinkat(dirfd, WORK_FILE, 0);
	(void)unlinkat(dirfd, WORK_FILE "-wal", 0);
	(void)unlinkat(dirfd, WORK_FILE "-shm", 0);
}

/* ---- a schema that cannot be read */

static void
put_be32(uint8_t *p, uint32_t x)
{
	x = htobe32(x);
	memcpy(p, &x, sizeof(x));
}

static int
copy_page(int in, int out, uint32_t page, uint32_t pages)
{
	uint8_t p[PAGE];

	if (pread(in, p, sizeof(p), (off_t)(page - 1) * PAGE) != sizeof(p))
		return -EIO;
	if (page == 1) {
		put_be32(p + 28, pages);
		put_be32(p + 32, 0); /* no free pages are needed */
		put_be32(p + 36, 0);
		memcpy(p + 92, p + 24, 4); /* so that the count of pages is believed */
	}
	return pwrite(out, p, sizeof(p), (off_t)(page - 1) * PAGE) == sizeof(p) ? 0 : -EIO;
}

/* Every page of an empty database that is the root of nothing is the schema's. */
int
store_copy_graft(int dirfd, sqlite3 *fresh)
{
	_close_ int in = openat(dirfd, STORE_NEW_FILE, O_RDONLY | O_CLOEXEC);
	_close_ int out = openat(dirfd, WORK_FILE, O_RDWR | O_CLOEXEC);
	sqlite3_stmt *st = NULL;
	struct stat was, is;
	int rc, r = 0;

	if (in < 0 || out < 0 || fstat(in, &is) < 0 || fstat(out, &was) < 0)
		return -errno;
	rc = sqlite3_prepare_v2(fresh,
				"WITH RECURSIVE p(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM p"
				" WHERE n < ?) SELECT n FROM p WHERE n NOT IN"
				" (SELECT rootpage FROM sqlite_schema WHERE rootpage > 1)",
				-1, &st, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_bind_int64(st, 1, is.st_size / PAGE);
	while (rc == SQLITE_OK && r == 0 && sqlite3_step(st) == SQLITE_ROW)
		r = copy_page(
			in, out, (uint32_t)sqlite3_column_int64(st, 0),
			(uint32_t)((was.st_size > is.st_size ? was.st_size : is.st_size) / PAGE));
	(void)sqlite3_finalize(st);
	return rc == SQLITE_OK ? r : -EIO;
}
