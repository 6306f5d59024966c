/* prune.c - removing what is over because somebody asks: by id, or by age. A few with each step, so
 * that nobody else waits for it; their files go after the commit (retain.c). */
#include <inttypes.h>

#include "base/err.h"
#include "engine/impl.h"
#include "engine/tell.h"

enum { PRUNE_STEP = 64, PRUNE_LOOK = 1000 /* rows */ };
_Static_assert((int)PRUNE_STEP <= (int)RETAIN_MAX, "a step of prune");

static int
check_one(struct engine *g, const struct requester *who, uint64_t id, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int e = engine_fetch(g, who, id, &j, r);

	if (e)
		return e;
	assert(j);
	if (!job_state_ended(j->state))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "ids",
				   "%" PRIu64 " is %s: only what is over can be pruned", id,
				   job_state_name(j->state));
	if (job_half_processed(j))
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "ids",
				   "%" PRIu64 " is half-processed: resolve it first", id);
	return 0;
}

int
engine_prune_check(struct engine *g, const struct requester *who, const struct engine_prune *p,
		   struct refusal *r)
{
	int e = 0;

	for (size_t i = 0; i < p->n_ids && e == 0; i++)
		e = check_one(g, who, p->ids[i], r);
	return e;
}

/* Those of the ids that are still there: one may have been named twice, or be retried by now. */
static int
next_ids(struct engine *g, const struct requester *who, struct engine_prune *p,
	 struct store_old v[static PRUNE_STEP], size_t *ret_n)
{
	size_t n = 0;

	for (; p->i < p->n_ids && n < PRUNE_STEP; p->i++) {
		_cleanup_(job_freep) struct job *j = NULL;
		struct refusal r = {.id = 0};
		bool twice = false;
		int e = engine_fetch(g, who, p->ids[p->i], &j, &r);

		if (e < 0)
			return err_pass(e);
		for (size_t i = 0; i < n; i++)
			twice |= v[i].id == p->ids[p->i];
		if (e || twice || !job_state_ended(j->state) || job_half_processed(j))
			continue;
		v[n++] = (struct store_old){.id = j->id, .attempt = j->attempt};
		audit_job(g, who, j, "prune");
	}
	*ret_n = n;
	return 0;
}

int
engine_prune_step(struct engine *g, const struct requester *who, struct engine_prune *p,
		  bool *ret_over)
{
	int64_t uid = engine_is_admin(g, who) ? -1 : (int64_t)who->uid;
	struct store_old v[PRUNE_STEP];
	bool over = false;
	size_t n = 0;
	int r;

	if (p->ids) {
		r = next_ids(g, who, p, v, &n);
		over = p->i == p->n_ids;
	} else {
		r = store_old_walk(g->store, p->before_us, uid, &p->cursor, PRUNE_LOOK, v,
				   PRUNE_STEP, &n, &over);
	}
	if (r == 0 && n > 0)
		r = retain_delete(g, v, n);
	if (r < 0)
		return err_pass(r);
	p->pruned += n;
	if (over && !p->ids && uid < 0 && p->pruned > 0)
		audit_pruned(g, who, p->pruned);
	*ret_over = over;
	return 0;
}
