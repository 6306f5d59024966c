/* rundir.c - names and small files of the run directory, see rundir.h. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "record/rundir.h"

enum { UUID_HEX = 32, SEEN_TEXT = 24 };

const char *
rundir_name(uint64_t id, uint32_t attempt, char *buf)
{
	(void)snprintf(buf, RUNDIR_NAME, "%" PRIu64 ".%" PRIu32, id, attempt);
	return buf;
}

int
rundir_parse(const char *name, uint64_t *ret_id, uint32_t *ret_attempt)
{
	char id[RUNDIR_NAME], again[RUNDIR_NAME];
	const char *dot = strchr(name, '.');
	uint64_t i, a;

	if (!dot || (size_t)(dot - name) >= sizeof(id))
		return -EINVAL;
	memcpy(id, name, (size_t)(dot - name));
	id[dot - name] = '\0';
	if (text_u64(id, &i) < 0 || text_u64(dot + 1, &a) < 0 || i == 0 || a == 0 || a > UINT32_MAX)
		return -EINVAL;
	/* There is one spelling only. */
	if (strcmp(rundir_name(i, (uint32_t)a, again), name) != 0)
		return -EINVAL;
	*ret_id = i;
	*ret_attempt = (uint32_t)a;
	return 0;
}

int
rundir_seen_read(int jobs_fd, uint64_t *ret)
{
	char text[SEEN_TEXT];
	ssize_t n = file_read_at(jobs_fd, RUNDIR_SEEN, text, sizeof(text) - 1);
	uint64_t v;

	if (n == -EFBIG)
		return -EPROTO;
	if (n < 0)
		return (int)n;
	if (n < 2 || text[n - 1] != '\n')
		return -EPROTO;
	text[n - 1] = '\0';
	if (strlen(text) != (size_t)n - 1 || text_u64(text, &v) < 0)
		return -EPROTO;
	*ret = v;
	return 0;
}

int
rundir_seen_write(int jobs_fd, uint64_t seen)
{
	char text[SEEN_TEXT];
	int n = snprintf(text, sizeof(text), "%" PRIu64 "\n", seen);

	return file_replace_at(jobs_fd, RUNDIR_SEEN, text, (size_t)n, 0644);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int
rundir_uuid_read(int jobs_fd, uint8_t ret[16])
{
	char text[UUID_HEX];
	uint8_t uuid[16];
	ssize_t n = file_read_at(jobs_fd, RUNDIR_UUID, text, sizeof(text));

	if (n == -EFBIG)
		return -EPROTO;
	if (n < 0)
		return (int)n;
	if (n != UUID_HEX)
		return -EPROTO;
	for (size_t i = 0; i < sizeof(uuid); i++) {
		int hi = hex_digit(text[2 * i]), lo = hex_digit(text[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EPROTO;
		uuid[i] = (uint8_t)(hi << 4 | lo);
	}
	memcpy(ret, uuid, sizeof(uuid));
	return 0;
}

int
rundir_uuid_write(int jobs_fd, const uint8_t uuid[16])
{
	static const char digits[] = "0123456789abcdef";
	char text[UUID_HEX];

	for (size_t i = 0; i < 16; i++) {
		text[2 * i] = digits[uuid[i] >> 4];
		text[2 * i + 1] = digits[uuid[i] & 15];
	}
	return file_replace_at(jobs_fd, RUNDIR_UUID, text, sizeof(text), 0644);
}

/* 1 there, 0 not there, or -errno. */
static int
is_there(int dirfd, const char *name)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return errno == ENOENT ? 0 : -errno;
}

static int
look_markers(int dir, struct rundir_evidence *e)
{
	int r;

	/* In the order in which monitor or spawner change them: a rename in between shows both,
	 * never neither. */
	r = is_there(dir, RUNDIR_FRESH);
	if (r < 0)
		return r;
	e->fresh = r;
	r = is_there(dir, RUNDIR_STARTED);
	if (r < 0)
		return r;
	e->started = r;
	r = is_there(dir, RUNDIR_SWEPT);
	if (r < 0)
		return r;
	e->swept = r && !e->started;
	if (e->started || e->swept)
		e->fresh = false;
	return 0;
}

static void
look_progress(int dir, uint64_t id, uint32_t attempt, struct rundir_evidence *e)
{
	ssize_t n = file_read_at(dir, RUNDIR_PROGRESS, &e->progress, sizeof(e->progress));

	e->has_progress = n >= 0 && progress_check(&e->progress, (size_t)n, id, attempt) == 0;
}

int
rundir_look(int jobs_fd, uint64_t id, uint32_t attempt, struct rundir_evidence *ret)
{
	char name[RUNDIR_NAME];
	struct rundir_evidence e = {0};
	_close_ int dir = -1;
	ssize_t n;
	int bad = 0, r;

	dir = openat(jobs_fd, rundir_name(id, attempt, name),
		     O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 && errno != ENOENT)
		return -errno;
	if (dir < 0) {
		*ret = e;
		return 0;
	}
	e.dir = true;
	n = file_read_at(dir, RUNDIR_RESULT, &e.result, sizeof(e.result));
	if (n == -EFBIG)
		bad = -EPROTO;
	else if (n < 0 && n != -ENOENT)
		return (int)n;
	else if (n >= 0)
		bad = result_check(&e.result, (size_t)n, id, attempt);
	e.has_result = n >= 0 && bad == 0;
	r = look_markers(dir, &e);
	if (r < 0)
		return r;
	look_progress(dir, id, attempt, &e);
	*ret = e;
	return bad;
}
