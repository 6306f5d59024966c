/* sweep.c - removes standard input that no job needs, found once after the start: what a crash left
 * between the file and the commit of its job, or between a job's end and the removal of its file. A
 * few files at a time, so that the loop is never held up. Afterwards each file is removed by name,
 * when its job needs it no more. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/text.h"
#include "engine/impl.h"

enum { SWEEP_PER_TURN = 64 };
#define SWEEP_PAUSE 0.02 /* seconds between two turns */

/* Of an ended job its input is kept as long as its environment, for a retry. */
static bool
needed(struct engine *g, uint64_t id)
{
	_cleanup_(job_freep) struct job *j = NULL;
	_cleanup_(strv_done) struct strv env = {0};
	int r = store_job_get(g->store, id, &j);

	if (r != 0)
		return r < 0; /* not known now: it stays */
	if (!j->has_stdin || j->state == JOB_SUCCEEDED)
		return false;
	return !job_state_ended(j->state) || store_env_get(g->store, id, &env) != STORE_E_NOT_FOUND;
}

static DIR *
open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d && fd >= 0)
		(void)close(fd);
	return d;
}

/* A file in the directory of a thousand. */
static void
look_at_file(struct engine *g, const char *name)
{
	uint64_t id;

	if (text_u64(name, &id) == 0 && id / 1000 == g->spools.sub_number && !needed(g, id))
		spool_remove(g, id);
}

/* An entry of stdin/. Temporary names of this run are in use. */
static void
look_at_entry(struct engine *g, const char *name)
{
	static const char temp[] = ".new.";
	struct spools *p = &g->spools;
	uint64_t n;

	if (strncmp(name, temp, strlen(temp)) == 0) {
		if (text_u64(name + strlen(temp), &n) == 0 && n <= (uint64_t)g->started_us)
			(void)unlinkat(p->dir_fd, name, 0);
	} else if (text_u64(name, &n) == 0) {
		p->sub = open_dir(p->dir_fd, name);
		p->sub_number = n;
	}
}

/* The next entry; false when there is no more. */
static bool
step(struct engine *g)
{
	struct spools *p = &g->spools;
	const struct dirent *e;

	if (p->sub) {
		e = readdir(p->sub);
		if (e) {
			look_at_file(g, e->d_name);
		} else {
			(void)closedir(p->sub);
			p->sub = NULL;
		}
		return true;
	}
	e = readdir(p->top);
	if (e)
		look_at_entry(g, e->d_name);
	return e != NULL;
}

static void
sweep_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, spools.sweep);
	bool more = true;

	(void)revents;
	for (int i = 0; i < SWEEP_PER_TURN && more; i++)
		more = step(g);
	if (!more) {
		sweep_done(g);
		return;
	}
	ev_timer_set(w, SWEEP_PAUSE, 0.);
	ev_timer_start(loop, w);
}

void
sweep_init(struct engine *g)
{
	ev_init(&g->spools.sweep, sweep_on_timer);
}

void
sweep_start(struct engine *g)
{
	g->spools.top = open_dir(g->spools.dir_fd, ".");
	if (!g->spools.top) {
		(void)err_raise(-errno, "read stdin/");
		return;
	}
	ev_timer_set(&g->spools.sweep, SWEEP_PAUSE, 0.);
	ev_timer_start(g->loop, &g->spools.sweep);
}

void
sweep_done(struct engine *g)
{
	struct spools *p = &g->spools;

	ev_timer_stop(g->loop, &p->sweep);
	if (p->sub)
		(void)closedir(p->sub);
	if (p->top)
		(void)closedir(p->top);
	p->sub = p->top = NULL;
}
