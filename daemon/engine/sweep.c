/* sweep.c - removes files that no job needs, found once after the start: what a crash left between
 * the file of an input and the commit of its job, or between a commit that takes input or output
 * from a job and the removal of the files. A few files at a time, so that the loop is never held
 * up. Afterwards each file is removed by name, when its job needs it no more.
 *
 * What is removed is what the committed rows say, so nothing is looked at while a transaction is
 * open. As long as a damaged database lies beside a recovered one, output stays: it may be all that
 * is left of jobs whose rows were lost. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/impl.h"

enum { SWEEP_PER_TURN = 64, NUMBERS_PER_DIR = 1000 };
#define SWEEP_PAUSE 0.02 /* seconds between two turns */
#define DAMAGED "ctxd.db.damaged-"

/* Of an ended job its input is kept as long as its environment, for a retry. */
static bool
input_needed(struct engine *g, uint64_t id)
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

/* ---- a file in the directory of a thousand */

static void
look_at_input(struct engine *g, const char *name)
{
	uint64_t id;

	if (text_u64(name, &id) == 0 && id / NUMBERS_PER_DIR == g->sweep.number &&
	    !input_needed(g, id))
		spool_remove(g, id);
}

/* The commit says that it is gone, its removal was not come to. */
static bool
is_in_journal(struct engine *g, uint64_t id, uint32_t attempt)
{
	struct store_forward f;

	return store_forward_get(g->store, id, attempt, &f) == 0 && f.done;
}

/* ID.ATTEMPT.log or .err */
static void
look_at_output(struct engine *g, const char *name)
{
	uint32_t attempt;
	uint64_t id;

	if (output_parse(name, &id, &attempt) == 0 && id / NUMBERS_PER_DIR == g->sweep.number &&
	    (store_output_kept(g->store, id) == 0 || is_in_journal(g, id, attempt)))
		(void)output_remove(g->output, id, attempt);
}

/* ---- */

/* An entry of stdin/ or output/. Temporary names of this run are in use. */
static void
look_at_entry(struct engine *g, const char *name)
{
	static const char temp[] = ".new.";
	struct sweep *p = &g->sweep;
	uint64_t n;

	if (!p->outputs && strncmp(name, temp, strlen(temp)) == 0) {
		if (text_u64(name + strlen(temp), &n) == 0 && n <= (uint64_t)g->started_us)
			(void)unlinkat(g->spools.dir_fd, name, 0);
	} else if (text_u64(name, &n) == 0) {
		p->sub = open_dir(dirfd(p->top), name);
		p->number = n;
	}
}

static bool
open_outputs(struct engine *g)
{
	struct sweep *p = &g->sweep;

	if (p->outputs || !p->want_outputs)
		return false;
	(void)closedir(p->top);
	p->outputs = true;
	p->top = open_dir(output_dirfd(g->output), ".");
	if (!p->top)
		(void)err_raise(-errno, "read output/");
	return p->top != NULL;
}

/* The next entry; false when there is no more. */
static bool
step(struct engine *g)
{
	struct sweep *p = &g->sweep;
	const struct dirent *e = readdir(p->sub ? p->sub : p->top);

	if (!p->sub && e) {
		look_at_entry(g, e->d_name);
	} else if (!p->sub) {
		return open_outputs(g);
	} else if (!e) {
		(void)closedir(p->sub);
		p->sub = NULL;
	} else if (p->outputs) {
		look_at_output(g, e->d_name);
	} else {
		look_at_input(g, e->d_name);
	}
	return true;
}

static void
sweep_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct engine *g = container_of(w, struct engine, sweep.timer);
	bool more = true;

	(void)revents;
	for (int i = 0; i < SWEEP_PER_TURN && more && !store_in_txn(g->store); i++)
		more = step(g);
	if (!more) {
		sweep_done(g);
		return;
	}
	ev_timer_set(w, SWEEP_PAUSE, 0.);
	ev_timer_start(loop, w);
}

/* 1: there is one; 0, or negative errno. */
static int
find_damaged(const struct engine *g)
{
	DIR *d = open_dir(g->state_fd, ".");
	const struct dirent *e;

	if (!d)
		return -errno;
	do
		e = readdir(d);
	while (e && strncmp(e->d_name, DAMAGED, strlen(DAMAGED)) != 0);
	(void)closedir(d);
	return e != NULL;
}

void
sweep_init(struct engine *g)
{
	ev_init(&g->sweep.timer, sweep_on_timer);
}

void
sweep_start(struct engine *g)
{
	int r = find_damaged(g);

	if (r < 0)
		(void)err_raise(r, "read the state directory");
	if (r > 0)
		log_info(
			"output of jobs that are not on record stays as long as there is a " DAMAGED
			"... in the state directory");
	g->sweep.want_outputs = r == 0;
	g->sweep.top = open_dir(g->spools.dir_fd, ".");
	if (!g->sweep.top) {
		(void)err_raise(-errno, "read stdin/");
		return;
	}
	ev_timer_set(&g->sweep.timer, SWEEP_PAUSE, 0.);
	ev_timer_start(g->loop, &g->sweep.timer);
}

void
sweep_done(struct engine *g)
{
	struct sweep *p = &g->sweep;

	ev_timer_stop(g->loop, &p->timer);
	if (p->sub)
		(void)closedir(p->sub);
	if (p->top)
		(void)closedir(p->top);
	p->sub = p->top = NULL;
}
