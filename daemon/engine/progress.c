/* progress.c - what jobs say of themselves, and signals to them.
 *
 * A job may speak as often as it likes; its row is written at most once in PROGRESS_EVERY_NS, with
 * whatever is due of other jobs, in a transaction that nobody waits for. Until then struct live
 * holds it (progress_merge), and so does the run directory, which survives us. READY is written at
 * once.
 *
 * A job can be spoken of in two ways: through its notify socket, where its monitor knows the last
 * of each kind of message, and through ours (engine_progress). So only what is new in the monitor's
 * word since it was last written goes into the row. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "core/deadline.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/tell.h"

enum { FLUSH_MAX = 256 }; /* rows written in one go */
#define PROGRESS_EVERY_NS NSEC_PER_SEC
#define FLUSH_EVERY_NS (100 * NSEC_PER_MSEC) /* of all jobs together */

struct progress_fx {
	struct effect fx;
	struct engine *g;
	uint64_t id;
	uint32_t attempt;
	bool has_progress;
	int64_t extended_ns;
};
struct signal_fx {
	struct effect fx;
	struct engine *g;
	uint64_t id;
	uint32_t attempt, uid;
	int signo;
	bool tree;
};

/* ---- into the row */

static bool
pending(const struct live *l)
{
	return l->has_progress || l->extended_ns != 0;
}

/* What P says and BEFORE did not. */
static int
apply(struct job *j, const struct progress *p, const struct progress *before)
{
	if (p->flags & PROGRESS_HAS_PERCENT && (!(before->flags & PROGRESS_HAS_PERCENT) ||
						before->percent_milli != p->percent_milli)) {
		j->has_percent = true;
		j->percent = p->percent_milli / 1000.0;
	}
	if (p->flags & PROGRESS_READY && j->ready_us == 0)
		j->ready_us = p->ready_us;
	j->progress_us = p->at_us;
	if (strcmp(p->text, before->text) == 0)
		return 0;
	return job_set(&j->progress_text, p->text_size > 0 ? p->text : NULL);
}

/* What its monitor says first to this ctxd may be what the row has from an earlier one. */
static bool
known(const struct live *l, const struct job *j)
{
	return l->progress_saved.magic == 0 && l->progress.at_us <= j->progress_us &&
	       (!(l->progress.flags & PROGRESS_READY) || j->ready_us > 0);
}

int
progress_merge(const struct live *l, struct job *j)
{
	if (l->extended_ns > j->deadline_boot_ns)
		deadline_extend(j, l->extended_ns, wall_now(), mono_now());
	if (!l->has_progress || known(l, j))
		return 0;
	return apply(j, &l->progress, &l->progress_saved);
}

static void
arm(struct live *l, int64_t after_ns)
{
	if (ev_is_active(&l->progress_timer))
		return;
	ev_timer_set(&l->progress_timer, after_ns > 0 ? (double)after_ns / 1e9 : 0.001, 0.);
	ev_timer_start(l->engine->loop, &l->progress_timer);
}

static void
save_run(struct effect *fx, int result)
{
	struct progress_fx *f = container_of(fx, struct progress_fx, fx);
	struct live *l = live_find(f->g, f->id);

	if (l && l->attempt == f->attempt && result < 0) {
		l->has_progress |= f->has_progress;
		if (l->extended_ns < f->extended_ns)
			l->extended_ns = f->extended_ns;
		memset(&l->progress_saved, 0, sizeof(l->progress_saved));
		arm(l, PROGRESS_EVERY_NS);
	} else if (l && l->attempt == f->attempt && f->extended_ns > l->deadline_boot_ns) {
		l->deadline_boot_ns = f->extended_ns;
		live_arm_backstop(l);
	}
	free(f);
}

/* Write J, the row of L, with what is pending. */
static int
save(struct live *l, struct job *j)
{
	struct progress_fx *f = calloc(1, sizeof(*f));
	int r;

	if (!f)
		return err_raise(-ENOMEM, "write down progress");
	*f = (struct progress_fx){.fx.run = save_run,
				  .g = l->engine,
				  .id = l->id,
				  .attempt = l->attempt,
				  .has_progress = l->has_progress,
				  .extended_ns = l->extended_ns};
	r = progress_merge(l, j);
	if (!r)
		r = lifecycle_save(l->engine, j);
	if (r < 0) {
		free(f);
		return err_pass(r);
	}
	l->progress_saved = l->progress;
	l->has_progress = false;
	l->extended_ns = 0;
	CRASH_COMMIT("ctxd.progress");
	txn_defer_lazy(l->engine->txn, &f->fx);
	events_changed(l->engine);
	return 0;
}

/* At its end all is written along with that. */
static int
save_row(struct live *l)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r;

	ev_timer_stop(l->engine->loop, &l->progress_timer);
	if (!pending(l) || l->in_txn || l->has_end)
		return 0;
	l->progress_saved_ns = mono_now().ns;
	r = store_job_get(l->engine->store, l->id, &j);
	if (r != 0)
		return err_fold(r);
	if (j->attempt != l->attempt || (j->state != JOB_RUNNING && j->state != JOB_STOPPING))
		return 0;
	if (l->has_progress && known(l, j)) {
		l->progress_saved = l->progress;
		l->has_progress = false;
	}
	return pending(l) ? save(l, j) : 0;
}

void
progress_settle(struct live *l)
{
	if (save_row(l) < 0)
		arm(l, PROGRESS_EVERY_NS);
}

/* L, and others that have waited long enough: they share the commit. */
static void
flush(struct live *l)
{
	struct engine *g = l->engine;
	int64_t now = mono_now().ns;
	int n = 1;

	g->progress_ns = now;
	progress_settle(l);
	for (struct map_node *m = map_next(&g->live, NULL); m && n < FLUSH_MAX;
	     m = map_next(&g->live, m)) {
		struct live *o = container_of(m, struct live, node);

		if (!pending(o) || now - o->progress_saved_ns < PROGRESS_EVERY_NS)
			continue;
		progress_settle(o);
		n++;
	}
}

static void
progress_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct live *l = container_of(w, struct live, progress_timer);

	(void)loop, (void)revents;
	flush(l);
}

void
progress_attach(struct live *l)
{
	ev_init(&l->progress_timer, progress_on_timer);
}

void
progress_detach(struct live *l)
{
	ev_timer_stop(l->engine->loop, &l->progress_timer);
}

/* ---- what is heard */

static void
soon(struct live *l)
{
	int64_t now = mono_now().ns;
	int64_t mine = l->progress_saved_ns + PROGRESS_EVERY_NS - now;
	int64_t all = l->engine->progress_ns + FLUSH_EVERY_NS - now;

	if (mine <= 0 && all <= 0)
		flush(l);
	else
		arm(l, mine > all ? mine : all);
}

void
progress_found(struct live *l, const struct progress *p)
{
	l->progress = *p;
	l->has_progress = memcmp(p, &l->progress_saved, sizeof(*p)) != 0;
}

void
progress_heard(struct live *l, const struct progress *p)
{
	bool ready = p->flags & PROGRESS_READY && !(l->progress.flags & PROGRESS_READY);

	progress_found(l, p);
	if (ready)
		progress_settle(l);
	else if (l->has_progress)
		soon(l);
}

void
progress_extended(struct live *l, int64_t deadline_ns)
{
	if (deadline_ns <= l->deadline_boot_ns || deadline_ns <= l->extended_ns)
		return;
	l->extended_ns = deadline_ns;
	soon(l);
}

/* ---- told over the socket */

static int
check_progress(bool has_percent, double percent, const char *text, struct refusal *r)
{
	if (!has_percent && !text)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "percent",
				   "give percent, text, or both");
	if (has_percent && !(percent >= 0 && percent <= 100))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "percent",
				   "must be within 0 and 100");
	if (!text)
		return 0;
	if (strlen(text) >= PROGRESS_TEXT)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "text", "longer than %d bytes",
				   PROGRESS_TEXT - 1);
	for (const char *p = text; *p; p++) {
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "text",
					   "holds a control character");
	}
	return 0;
}

/* A wall clock that was set back does not make the newer word older. */
static int
tell(struct engine *g, struct job *j, bool has_percent, double percent, const char *text)
{
	int64_t now = wall_to_usec(wall_now());
	int r = text ? job_set(&j->progress_text, *text ? text : NULL) : 0;

	if (has_percent) {
		j->has_percent = true;
		j->percent = percent;
	}
	if (j->progress_us < now)
		j->progress_us = now;
	events_changed(g);
	return r ? r : lifecycle_save(g, j);
}

static int
refuse_ended(const struct job *j, struct refusal *r)
{
	r->id = j->id;
	r->state = j->state;
	return refusal_set(r, REFUSAL_ALREADY_ENDED, NULL, "already ended");
}

int
engine_progress(struct engine *g, const struct requester *who, uint64_t id, bool has_percent,
		double percent, const char *text, struct job **ret, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct live *l = live_find(g, id);
	int e = check_progress(has_percent, percent, text, r);

	e = e ? e : engine_fetch(g, who, id, &j, r);
	if (e != 0)
		return e;
	assert(j);
	if (job_state_ended(j->state))
		return refuse_ended(j, r);
	if (l && l->attempt == j->attempt && pending(l))
		e = save(l, j);
	e = e ? e : tell(g, j, has_percent, percent, text);
	if (e < 0)
		return err_pass(e);
	audit_job(g, who, j, "progress");
	*ret = take_ptr(j);
	return 0;
}

/* ---- signals */

static void
signal_run(struct effect *fx, int result)
{
	struct signal_fx *f = container_of(fx, struct signal_fx, fx);
	char name[16];
	int r = result < 0 ? result : exec_signal(f->g->exec, f->id, f->attempt, f->signo, f->tree);

	(void)text_signal_name(f->signo, name, sizeof(name));
	if (r == 0)
		engine_log_about(f->g, LOG_LVL_INFO, f->id,
				 "job=%" PRIu64 " signal=%s to=%s by uid=%u", f->id, name,
				 f->tree ? "tree" : "main", f->uid);
	else
		engine_log_about(f->g, LOG_LVL_WARN, f->id,
				 "job=%" PRIu64
				 " signal=%s by uid=%u could not be sent: %s, continuing",
				 f->id, name, f->uid, strerror(-r));
	free(f);
}

static int
check_signal(struct engine *g, const struct job *j, struct refusal *r)
{
	const struct live *l = live_find(g, j->id);

	if (job_state_ended(j->state))
		return refuse_ended(j, r);
	if (j->kind == JOB_KIND_SCOPE)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				   "a scope has no process of its own");
	if (j->state == JOB_QUEUED)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id",
				   "the job is queued: it has no process yet");
	if (!l || l->attempt != j->attempt || l->has_end ||
	    !exec_linked(g->exec, j->id, j->attempt))
		return refusal_set(
			r, REFUSAL_NOT_READY, NULL,
			"there is no link to the monitor of job %" PRIu64 " at this moment", j->id);
	return 0;
}

int
engine_signal(struct engine *g, const struct requester *who, uint64_t id, int signo, bool tree,
	      struct job **ret, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	struct signal_fx *f;
	int e;

	if (signo < 1 || signo > 64)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "signal", "no such signal");
	e = engine_fetch(g, who, id, &j, r);
	if (e != 0)
		return e;
	assert(j);
	e = check_signal(g, j, r);
	if (e)
		return e;
	f = calloc(1, sizeof(*f));
	if (!f)
		return err_raise(-ENOMEM, "send a signal");
	*f = (struct signal_fx){.fx.run = signal_run,
				.g = g,
				.id = id,
				.attempt = j->attempt,
				.uid = who->uid,
				.signo = signo,
				.tree = tree};
	txn_defer(g->txn, &f->fx);
	audit_job(g, who, j, "signal");
	*ret = take_ptr(j);
	return 0;
}
