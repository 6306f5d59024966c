/* lanes_pick.c - whose turn it is, when there is a slot.
 *
 *   1  Each user with a job that has a slot offers one: that of the largest priority, and of those
 *      the oldest. So a priority orders its user's own jobs, in whatever classes, and nobody gets
 *      ahead of another user by asking for a larger one.
 *   2  Of those who offer a job of the same class, the one with the fewest jobs running in it; of
 *      those the one whose last start was longest ago.
 *   3  Between classes, the one with the larger `priority` in the configuration; of those, the user
 *      with the fewest jobs running at all, then the one whose last start was longest ago.
 *
 * Ties go to the older job. All of it is one walk over the lanes of those who queue. */
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/policy.h"
#include "engine/lanes.h"
#include "store/store.h"

static bool
user_slot(const struct policy *p, const struct lane_user *u)
{
	return p->running_per_user == 0 || !u || u->running < (uint64_t)p->running_per_user;
}

bool
lanes_paused(const struct lanes *l, const char *class_name)
{
	for (const char *s = l->paused ? strv_first(l->paused) : NULL; s;
	     s = strv_next(l->paused, s))
		if (strcmp(s, class_name) == 0)
			return true;
	return false;
}

/* C NULL: nothing of the class CONF runs or queues. */
static bool
class_slot(const struct policy_class *conf, const struct lane_class *c)
{
	return !conf || conf->running == 0 || !c || c->running < (uint64_t)conf->running;
}

bool
lanes_slot(const struct lanes *l, const struct policy *p, const char *class_name, uint32_t uid)
{
	return l->running < (uint64_t)p->running && user_slot(p, lanes_user(l, uid)) &&
	       !lanes_paused(l, class_name) &&
	       class_slot(policy_class_find(p, class_name), lanes_class(l, class_name));
}

static int
know_head(struct lane *lane, struct store *s)
{
	int r;

	if (lane->head_known)
		return 0;
	r = store_lane_head(s, lane->class->name, lane->user->uid, &lane->head_id,
			    &lane->head_priority);
	if (r != 0)
		return err_fold(r);
	lane->head_known = true;
	return 0;
}

/* The lane whose head U offers: NULL if none has a slot. */
static int
offer(struct lane_user *u, struct store *s, struct lane **ret)
{
	struct lane *best = NULL;

	list_for_each (it, &u->lanes) {
		struct lane *lane = list_entry(it, struct lane, link);
		int r;

		if (lane->queued == 0 || lane->class->full)
			continue;
		r = know_head(lane, s);
		if (r < 0)
			return err_pass(r);
		if (!best || lane->head_priority > best->head_priority ||
		    (lane->head_priority == best->head_priority && lane->head_id < best->head_id))
			best = lane;
	}
	*ret = best;
	return 0;
}

/* Is A, with A_RUNNING jobs, before B? */
static bool
before(const struct lane *a, uint64_t a_running, const struct lane *b, uint64_t b_running)
{
	if (a_running != b_running)
		return a_running < b_running;
	if (a->user->turn != b->user->turn)
		return a->user->turn < b->user->turn;
	return a->head_id < b->head_id;
}

static void
look_at_classes(struct lanes *l, const struct policy *p)
{
	list_for_each (it, &l->classes) {
		struct lane_class *c = list_entry(it, struct lane_class, link);
		const struct policy_class *conf = policy_class_find(p, c->name);

		c->next = NULL;
		c->full = !class_slot(conf, c) || lanes_paused(l, c->name);
		c->priority = conf && conf->has_priority ? conf->priority : 0;
	}
}

int
lanes_pick(struct lanes *l, const struct policy *p, struct store *s, uint64_t *ret_id)
{
	const struct lane *best = NULL;
	int r;

	if (l->running >= (uint64_t)p->running)
		return LANES_E_NONE;
	look_at_classes(l, p);
	list_for_each (it, &l->waiting) {
		struct lane_user *u = list_entry(it, struct lane_user, link);
		struct lane *lane = NULL;

		r = user_slot(p, u) ? offer(u, s, &lane) : 0;
		if (r < 0)
			return err_pass(r);
		if (lane && (!lane->class->next || before(lane, lane->running, lane->class->next,
							  lane->class->next->running)))
			lane->class->next = lane;
	}
	list_for_each (it, &l->classes) {
		const struct lane *lane = list_entry(it, struct lane_class, link)->next;

		if (!lane || (best && lane->class->priority < best->class->priority))
			continue;
		if (!best || lane->class->priority > best->class->priority ||
		    before(lane, lane->user->running, best, best->user->running))
			best = lane;
	}
	if (!best)
		return LANES_E_NONE;
	*ret_id = best->head_id;
	return 0;
}
