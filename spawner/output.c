/* output.c - the cap on a job's output file, see output.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "record/result.h"
#include "spawner/output.h"

#define SLACK_MIN (UINT64_C(1) << 20)
#define CAP_MAX (UINT64_MAX / 8)       /* a larger one is none */
#define EVERY_MIN (10 * NSEC_PER_MSEC) /* while it outruns us */
#define EVERY_FIRST (50 * NSEC_PER_MSEC)
#define EVERY_GROWING (250 * NSEC_PER_MSEC)
#define EVERY_QUIET (2 * NSEC_PER_SEC)

void
output_init(struct output *o, int fd, uint64_t max)
{
	struct stat st;
	bool file = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);

	*o = (struct output){.fd = file ? fd : -1, .max = max, .every_ns = EVERY_FIRST};
	if (file)
		o->size = (uint64_t)st.st_size;
}

/* Over this much above head and cap it is worth a punch. */
static uint64_t
slack(const struct output *o)
{
	return o->max / 8 > SLACK_MIN ? o->max / 8 : SLACK_MIN;
}

static uint64_t
kept_most(const struct output *o)
{
	return o->max + OUTPUT_HEAD + slack(o);
}

/* The whole middle each time: what is a hole already costs nothing, and a job may have truncated
 * the file and filled it again. */
static void
punch(struct output *o, uint64_t to)
{
	int r;

	if (to <= OUTPUT_HEAD || o->flags & RESULT_CAP_UNENFORCED)
		return;
	do
		r = fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, OUTPUT_HEAD,
			      (off_t)(to - OUTPUT_HEAD));
	while (r < 0 && errno == EINTR);
	if (r == 0)
		o->hole_end = to;
	else if (errno == EOPNOTSUPP || errno == ENOSYS || errno == ENODEV)
		o->flags |= RESULT_CAP_UNENFORCED;
	else
		o->flags |= RESULT_OUTPUT_FAILED;
}

static void
keep_cap(struct output *o, const struct stat *st)
{
	uint64_t block = st->st_blksize > 0 ? (uint64_t)st->st_blksize : 4096;
	uint64_t allocated = (uint64_t)st->st_blocks * 512, to;

	if (o->hole_end > o->size) /* truncated */
		o->hole_end = 0;
	/* Subtractions, because a cap may be as large as a file can never be. */
	if (o->max == 0 || o->size < o->max || o->size - o->max <= OUTPUT_HEAD + slack(o))
		return;
	to = (o->size - o->max) / block * block;
	if (to > o->hole_end || allocated > kept_most(o))
		punch(o, to);
}

/* A job may also reserve blocks behind the end (FALLOC_FL_KEEP_SIZE), which no size tells of and no
 * hole can be punched into. More than MOST of them are given back. What is appended between the
 * look and that is lost: only a job that holds so much can lose it. */
static void
keep_end(struct output *o, uint64_t most)
{
	uint64_t allocated, within;
	struct stat st;

	if (fstat(o->fd, &st) < 0)
		return;
	allocated = (uint64_t)st.st_blocks * 512;
	within = (uint64_t)st.st_size - output_dropped(o);
	if ((uint64_t)st.st_size < o->hole_end || allocated <= within || allocated - within <= most)
		return;
	if (ftruncate(o->fd, st.st_size) < 0)
		o->flags |= RESULT_OUTPUT_FAILED;
}

static int64_t
next_look(const struct output *o, uint64_t grown)
{
	int64_t every = o->every_ns;

	if (grown > slack(o) / 2)
		return every / 2 > EVERY_MIN ? every / 2 : EVERY_MIN;
	every *= 2;
	if (grown > 0)
		return every < EVERY_GROWING ? every : EVERY_GROWING;
	return every < EVERY_QUIET ? every : EVERY_QUIET;
}

void
output_look(struct output *o)
{
	uint64_t before = o->size;
	struct stat st;

	if (o->fd < 0)
		return;
	if (fstat(o->fd, &st) < 0) {
		o->flags |= RESULT_OUTPUT_FAILED;
		return;
	}
	o->size = (uint64_t)st.st_size;
	keep_cap(o, &st);
	/* Some file systems reserve as much again as there is by themselves. */
	if (o->max > 0 && o->max < CAP_MAX && (uint64_t)st.st_blocks * 512 > 2 * kept_most(o))
		keep_end(o, 2 * kept_most(o));
	o->every_ns = next_look(o, o->size > before ? o->size - before : 0);
}

void
output_end(struct output *o)
{
	output_look(o);
	if (o->fd >= 0 && o->max > 0)
		keep_end(o, SLACK_MIN);
}

uint64_t
output_dropped(const struct output *o)
{
	return o->hole_end ? o->hole_end - OUTPUT_HEAD : 0;
}
