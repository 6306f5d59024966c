/* store_file.c - the database file and its WAL as they lie there, read without SQLite and without
 * touching anything.
 *
 * SQLite opens a file that was cut, and finds out much later; it recovers the WAL of a file that is
 * not ours; a last connection that closes writes. So before it may see the files: is this an SQLite
 * database, whose is it, of which version, and is every page there that the last commit says is
 * there - in the file or in the WAL? Formats: sqlite.org/fileformat2.html.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/mem.h"
#include "store/store_db.h"

enum { HEADER = 100, WAL_HEADER = 32, FRAME_HEADER = 24, PAGE_MIN = 512, PAGE_MAX = 65536 };
#define WAL_MAGIC UINT32_C(0x377f0682) /* last bit: checksums over big endian words */
#define WAL_FORMAT 3007000

struct wal {
	int fd;
	uint32_t page_size;
	bool big_endian;
	uint32_t salt[2];
	uint32_t sum[2];    /* running checksum */
	uint64_t committed; /* frames up to the last commit */
	uint32_t pages;     /* of the database after the last commit */
	uint64_t head;      /* frame of the newest page 1, counted from 1; 0: none */
	uint8_t *frame;     /* owned; one frame */
};

static uint32_t
be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return be32toh(v);
}

/* N bytes at OFFSET: 1 all, 0 the file ends before, or negative errno. */
static int
read_at(int fd, void *p, size_t n, uint64_t offset)
{
	size_t done = 0;
	ssize_t k;

	while (done < n) {
		k = pread(fd, (char *)p + done, n - done, (off_t)(offset + done));
		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_raise(-errno, "cannot read the database file");
		if (k == 0)
			return 0;
		done += (size_t)k;
	}
	return 1;
}

static bool
page_size_valid(uint32_t n)
{
	return n >= PAGE_MIN && n <= PAGE_MAX && (n & (n - 1)) == 0;
}

static void
wal_sum(struct wal *w, const uint8_t *p, size_t n)
{
	uint32_t a, b;

	for (size_t i = 0; i < n; i += 8) {
		memcpy(&a, p + i, sizeof(a));
		memcpy(&b, p + i + 4, sizeof(b));
		w->sum[0] += (w->big_endian ? be32toh(a) : le32toh(a)) + w->sum[1];
		w->sum[1] += (w->big_endian ? be32toh(b) : le32toh(b)) + w->sum[0];
	}
}

/* 1: a WAL that SQLite would use; 0: none such. */
static int
wal_start(struct wal *w, uint32_t page_size)
{
	uint8_t h[WAL_HEADER];
	int r;

	r = read_at(w->fd, h, sizeof(h), 0);
	if (r <= 0)
		return r;
	w->page_size = page_size;
	w->big_endian = be32(h) & 1;
	wal_sum(w, h, 24);
	if ((be32(h) & ~UINT32_C(1)) != WAL_MAGIC || be32(h + 4) != WAL_FORMAT ||
	    be32(h + 8) != page_size || be32(h + 24) != w->sum[0] || be32(h + 28) != w->sum[1])
		return 0;
	w->salt[0] = be32(h + 16);
	w->salt[1] = be32(h + 20);
	w->frame = malloc(FRAME_HEADER + page_size);
	return w->frame ? 1 : err_raise(-ENOMEM, "no memory for a page");
}

static uint64_t
frame_at(const struct wal *w, uint64_t i)
{
	return WAL_HEADER + i * (FRAME_HEADER + (uint64_t)w->page_size);
}

/* Follow the chain of checksums, as SQLite's recovery does, to the last commit. */
static int
wal_scan(struct wal *w)
{
	uint64_t head = 0;
	const uint8_t *f = w->frame;
	int r;

	for (uint64_t i = 0;; i++) {
		r = read_at(w->fd, w->frame, FRAME_HEADER + w->page_size, frame_at(w, i));
		if (r <= 0)
			return r;
		if (be32(f) == 0 || be32(f + 8) != w->salt[0] || be32(f + 12) != w->salt[1])
			return 0;
		wal_sum(w, f, 8);
		wal_sum(w, f + FRAME_HEADER, w->page_size);
		if (be32(f + 16) != w->sum[0] || be32(f + 20) != w->sum[1])
			return 0;
		if (be32(f) == 1)
			head = i + 1;
		if (be32(f + 4) != 0) {
			w->committed = i + 1;
			w->pages = be32(f + 4);
			w->head = head;
		}
	}
}

/* Does the WAL hold every page from FIRST to the last one (pages count from 1)? */
static int
wal_covers(struct wal *w, uint64_t first)
{
	_free_ uint8_t *seen = NULL;
	uint8_t h[4];
	uint64_t missing, n;
	int r;

	if (first > w->pages)
		return 1;
	missing = w->pages - first + 1;
	if (missing > w->committed)
		return 0;
	seen = calloc(missing / 8 + 1, 1);
	if (!seen)
		return err_raise(-ENOMEM, "no memory to check the database file");
	for (uint64_t i = 0; i < w->committed; i++) {
		r = read_at(w->fd, h, sizeof(h), frame_at(w, i));
		if (r <= 0)
			return r;
		if (be32(h) < first || be32(h) > w->pages)
			continue;
		n = be32(h) - first;
		if (!(seen[n / 8] & 1 << n % 8)) {
			seen[n / 8] = (uint8_t)(seen[n / 8] | 1 << n % 8);
			missing--;
		}
	}
	return missing == 0;
}

static void
wal_done(struct wal *w)
{
	mem_closep(&w->fd);
	free(w->frame);
}

static void
header_read(const uint8_t *h, struct store_file *f)
{
	f->user_version = be32(h + 60);
	f->application_id = be32(h + 68);
}

/* Is all of the database there? The file has BYTES; H is its header. */
static int
whole(struct wal *w, uint8_t *h, uint32_t page_size, struct store_file *f, const char **ret_why)
{
	uint64_t pages = be32(h + 28);
	int r;

	if (w->committed > 0) {
		/* After a crash in a checkpoint the file may be longer or shorter than the last
		 * commit says. */
		r = wal_covers(w, f->bytes / page_size + 1);
		*ret_why =
			"is shorter than its last commit says, and its WAL does not hold the rest";
		return r < 0 ? r : r ? 0 : STORE_FILE_BAD;
	}
	/* As in SQLite: the header's count is valid only if the writer that changed the file last
	 * kept it. */
	if (pages == 0 || memcmp(h + 24, h + 92, 4) != 0)
		pages = (f->bytes + page_size - 1) / page_size;
	*ret_why = f->bytes < pages * page_size ? "is shorter than its header says: it was cut"
						: "is longer than its header says";
	return f->bytes == pages * page_size ? 0 : STORE_FILE_BAD;
}

static int
look(int fd, struct wal *w, struct store_file *f, const char **ret_why)
{
	uint8_t h[HEADER];
	uint32_t page_size;
	int r;

	*ret_why = "is not an SQLite database";
	r = read_at(fd, h, sizeof(h), 0);
	if (r <= 0)
		return r < 0 ? r : STORE_FILE_BAD;
	page_size = (uint32_t)h[16] << 8 | h[17];
	if (page_size == 1)
		page_size = PAGE_MAX;
	if (memcmp(h, "SQLite format 3", 16) != 0)
		return STORE_FILE_BAD;
	header_read(h, f);
	/* Someone else's database may be in any state. */
	if (f->application_id != STORE_APPLICATION_ID)
		return 0;
	*ret_why = "has a damaged header";
	if (!page_size_valid(page_size))
		return STORE_FILE_BAD;
	r = w->fd < 0 ? 0 : wal_start(w, page_size);
	if (r > 0)
		r = wal_scan(w);
	if (r < 0)
		return r;
	f->wal = w->committed > 0;
	r = whole(w, h, page_size, f, ret_why);
	if (r != 0 || w->head == 0)
		return r;
	/* The newest header lies in the WAL. */
	r = read_at(w->fd, h, sizeof(h), frame_at(w, w->head - 1) + FRAME_HEADER);
	if (r > 0)
		header_read(h, f);
	return r < 0 ? r : 0;
}

int
store_file_look(int dirfd, struct store_file *ret, const char **ret_why)
{
	_cleanup_(wal_done) struct wal w = {.fd = -1};
	struct store_file f = {0};
	struct stat st;
	_close_ int fd = -1;
	int r;

	w.fd = openat(dirfd, STORE_FILE "-wal", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (w.fd < 0 && errno != ENOENT)
		return err_raise(-errno, "cannot open " STORE_FILE "-wal");
	fd = openat(dirfd, STORE_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT) {
		if (w.fd < 0 || fstat(w.fd, &st) < 0 || st.st_size == 0)
			return STORE_FILE_ABSENT;
		*ret_why = "is missing, but its WAL is there and may hold jobs";
		return STORE_FILE_BAD;
	}
	*ret_why = "is not a regular file";
	if (fd < 0 && errno == ELOOP)
		return STORE_FILE_ALIEN;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_raise(-errno, "cannot open " STORE_FILE);
	if (!S_ISREG(st.st_mode))
		return STORE_FILE_ALIEN;
	f.bytes = (uint64_t)st.st_size;
	*ret_why = "is empty";
	if (f.bytes == 0 && (w.fd < 0 || fstat(w.fd, &st) < 0 || st.st_size == 0))
		return STORE_FILE_ALIEN;
	r = look(fd, &w, &f, ret_why);
	if (r == 0)
		*ret = f;
	return r;
}
