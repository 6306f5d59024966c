/* spare.c - directories kept for the next job, see spare.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "spawner/spare.h"
#include "spawner/spawner.h"

#define KEEP_FOR NSEC_PER_SEC
enum { REMOVE_TRIES = 4 };

const char *
spare_name(uint64_t id, uint32_t attempt, char *buf)
{
	memcpy(buf, RUNDIR_ASIDE, sizeof(RUNDIR_ASIDE));
	(void)rundir_name(id, attempt, buf + sizeof(RUNDIR_ASIDE) - 1);
	return buf;
}

bool
spare_take(struct spawner *s, char *buf)
{
	if (s->n_spares == 0)
		return false;
	s->n_spares--;
	(void)spare_name(s->spares[s->n_spares].id, s->spares[s->n_spares].attempt, buf);
	return true;
}

static bool
rename_in(int jobs, const char *dir, const char *from, const char *to)
{
	char a[SPARE_NAME + 16], b[SPARE_NAME + 16];

	(void)snprintf(a, sizeof(a), "%s/%s", dir, from);
	(void)snprintf(b, sizeof(b), "%s/%s", dir, to);
	return renameat(jobs, a, jobs, b) == 0;
}

/* What an attempt may have left or not. */
static bool
unlink_in(int jobs, const char *dir, const char *name, bool must)
{
	char path[SPARE_NAME + 16];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	return unlinkat(jobs, path, 0) == 0 || (!must && errno == ENOENT);
}

bool
spare_put(struct spawner *s, uint64_t id, uint32_t attempt)
{
	char name[SPARE_NAME];

	if (s->n_spares == SPARE_MAX)
		return false;
	(void)spare_name(id, attempt, name);
	/* Exactly what an attempt leaves that ran to its end; anything else is not worth a thought.
	 */
	if (!unlink_in(s->jobs_fd, name, RUNDIR_CTL, true) ||
	    !unlink_in(s->jobs_fd, name, RUNDIR_NOTIFY, true) ||
	    !unlink_in(s->jobs_fd, name, RUNDIR_PROGRESS, false) ||
	    !rename_in(s->jobs_fd, name, RUNDIR_STARTED, RUNDIR_FRESH) ||
	    !rename_in(s->jobs_fd, name, RUNDIR_RESULT, RUNDIR_RESULT_TMP))
		return false;
	s->spares[s->n_spares++] = (struct spare){.id = id, .attempt = attempt};
	s->spare_until_ns = mono_now().ns + KEEP_FOR;
	return true;
}

int
spare_remove(struct spawner *s, const char *name)
{
	int r = -ENOTEMPTY;

	for (int i = 0; i < REMOVE_TRIES && r == -ENOTEMPTY; i++)
		r = file_rmdir_flat(s->jobs_fd, name);
	return r;
}

void
spare_drop(struct spawner *s)
{
	char name[SPARE_NAME];

	s->spare_until_ns = 0;
	while (spare_take(s, name))
		(void)spare_remove(s, name);
}
