/* recoverdb.c - ctxd --recover-db: what else than the database shows what ctxd has done.
 *
 * Output files and the run directory tell which numbers were given out, whose run directory it is,
 * and which jobs were started although the database says that they wait. */
#include "recoverdb.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/text.h"
#include "place.h"
#include "record/rundir.h"
#include "store/store_recover.h"

enum { PATH_ROOM = 96, IDS_PER_DIR = 1000 };

struct traces {
	int output; /* directories; -1: not there */
	int jobs;
	uint64_t max_id;
};

static void
say(void *arg, const char *line)
{
	(void)arg;
	(void)printf("%s\n", line);
}

static void
closedirp(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

/* FN for each name in the directory PATH below DIRFD. */
static void
each_name(int dirfd, const char *path, void (*fn)(struct traces *t, int fd, const char *name),
	  struct traces *t)
{
	_cleanup_(closedirp) DIR *d = NULL;
	struct dirent *e;
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	d = fdopendir(fd);
	if (!d) {
		(void)close(fd);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			fn(t, fd, e->d_name);
}

static void
saw(struct traces *t, uint64_t id)
{
	if (id > t->max_id && id < UINT64_C(1) << 48)
		t->max_id = id;
}

/* "1234.1.log", "1234.1", "1234": all begin with the id. */
static void
on_name(struct traces *t, int fd, const char *name)
{
	char digits[24];
	size_t n = strcspn(name, ".");
	uint64_t id;

	(void)fd;
	if (n >= sizeof(digits))
		return;
	memcpy(digits, name, n);
	digits[n] = '\0';
	if (text_u64(digits, &id) == 0)
		saw(t, id);
}

static void
on_sub_dir(struct traces *t, int fd, const char *name)
{
	uint64_t n;

	if (text_u64(name, &n) == 0 && (n + 1) * IDS_PER_DIR > t->max_id)
		each_name(fd, name, on_name, t);
}

static bool
begun(void *arg, uint64_t id, uint32_t attempt, bool again)
{
	const struct traces *t = arg;
	struct rundir_evidence ev;
	char path[PATH_ROOM];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%" PRIu64 "/%" PRIu64 ".%" PRIu32 ".log",
		       id / IDS_PER_DIR, id, attempt);
	if (t->output >= 0 && fstatat(t->output, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (!again || st.st_size > 0))
		return true;
	if (t->jobs < 0 || rundir_look(t->jobs, id, attempt, &ev) < 0)
		return false;
	return ev.started || ev.has_result;
}

static int
open_below(const char *dir, const char *name)
{
	_free_ char *path = text_format("%s/%s", dir, name);

	return path ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
}

int
recoverdb(const struct place *p, struct ctx_err *e)
{
	struct traces t = {.output = open_below(p->state_dir, "output"),
			   .jobs = open_below(p->runtime_dir, RUNDIR_JOBS)};
	struct store_recover_options o = {
		.now_us = wall_to_usec(wall_now()), .begun = begun, .say = say, .arg = &t};
	uint8_t uuid[16];
	int r;

	if (t.output >= 0)
		each_name(t.output, ".", on_sub_dir, &t);
	if (t.jobs >= 0) {
		each_name(t.jobs, ".", on_name, &t);
		if (rundir_uuid_read(t.jobs, uuid) == 0)
			o.uuid = uuid;
		if (rundir_seen_read(t.jobs, &o.seq_floor) < 0)
			o.seq_floor = 0;
	}
	o.id_floor = t.max_id;
	r = store_recover(p->state_dir, &o, e);
	if (r == STORE_RECOVER_WHOLE) {
		say(NULL, "the database is whole: nothing was done");
		r = 0;
	}
	if (t.output >= 0)
		(void)close(t.output);
	if (t.jobs >= 0)
		(void)close(t.jobs);
	if (r == 0 && fflush(stdout) != 0)
		(void)fprintf(stderr, "ctxd: the report cannot be written\n");
	return r;
}
