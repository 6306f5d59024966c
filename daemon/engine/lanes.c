/* lanes.c - how many jobs queue and run, by class and by user; and which queued one comes next.
 *
 * The queue itself stays in the database. A lane (one class, one user) keeps a count and, once
 * asked for, its head: the next job is the best head among the lanes that have a slot. Lanes are as
 * many as class-user pairs that queue at the moment. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "engine/impl.h"

static struct lane *
find_lane(struct lanes *l, const char *class_name, uint32_t uid)
{
	list_for_each (it, &l->lanes) {
		struct lane *lane = list_entry(it, struct lane, link);

		if (lane->uid == uid && strcmp(lane->class_name, class_name) == 0)
			return lane;
	}
	return NULL;
}

static struct lane *
need_lane(struct lanes *l, const char *class_name, uint32_t uid)
{
	struct lane *lane = find_lane(l, class_name, uid);

	if (lane)
		return lane;
	lane = calloc(1, sizeof(*lane));
	if (!lane)
		return NULL;
	strncpy(lane->class_name, class_name, sizeof(lane->class_name) - 1);
	lane->uid = uid;
	list_append(&l->lanes, &lane->link);
	return lane;
}

static struct share *
find_share(const struct list *shares, const char *class_name, uint32_t uid)
{
	for (struct list *it = shares->next; it != shares; it = it->next) {
		struct share *s = list_entry(it, struct share, link);

		if (s->uid == uid && strcmp(s->class_name, class_name) == 0)
			return s;
	}
	return NULL;
}

static int
add_share(struct list *shares, const char *class_name, uint32_t uid)
{
	struct share *s = find_share(shares, class_name, uid);

	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return -ENOMEM;
		strncpy(s->class_name, class_name, sizeof(s->class_name) - 1);
		s->uid = uid;
		list_append(shares, &s->link);
	}
	s->running++;
	return 0;
}

static void
sub_share(struct list *shares, const char *class_name, uint32_t uid)
{
	struct share *s = find_share(shares, class_name, uid);

	if (!s)
		return;
	if (--s->running > 0)
		return;
	list_unlink(&s->link);
	free(s);
}

void
lanes_init(struct lanes *l)
{
	*l = (struct lanes){0};
	list_init(&l->lanes);
	list_init(&l->classes);
	list_init(&l->users);
	list_init(&l->delayed_users);
}

static void
free_shares(struct list *shares)
{
	struct list *it;

	while ((it = list_pop(shares)))
		free(list_entry(it, struct share, link));
}

void
lanes_done(struct lanes *l)
{
	struct list *it;

	while ((it = list_pop(&l->lanes)))
		free(list_entry(it, struct lane, link));
	free_shares(&l->classes);
	free_shares(&l->users);
	free_shares(&l->delayed_users);
	l->queued = l->running = l->delayed = 0;
}

static int
load_lane(void *arg, const struct store_lane *row)
{
	struct lanes *l = arg;
	struct lane *lane = need_lane(l, row->class_name, row->uid);

	if (!lane)
		return -ENOMEM;
	lane->queued = row->n;
	l->queued += row->n;
	return 0;
}

static int
load_delayed(void *arg, const struct store_lane *row)
{
	int r = 0;

	for (uint64_t i = 0; i < row->n && r == 0; i++)
		r = lanes_delayed(arg, row->uid);
	return r;
}

static int
load_running(void *arg, const struct job *j)
{
	return lanes_running(arg, j->class_name, j->uid);
}

int
lanes_load(struct lanes *l, struct store *s)
{
	int r;

	lanes_done(l);
	r = store_lanes_each(s, load_lane, l);
	if (!r)
		r = store_delayed_each(s, load_delayed, l);
	if (!r)
		r = store_live_each(s, load_running, l);
	return r < 0 ? err_pass(r) : 0;
}

int
lanes_queued(struct lanes *l, const char *class_name, uint32_t uid, uint64_t id, int32_t priority)
{
	struct lane *lane = need_lane(l, class_name, uid);

	if (!lane)
		return -ENOMEM;
	lane->queued++;
	l->queued++;
	if (lane->head_known && (priority > lane->head_priority ||
				 (priority == lane->head_priority && id < lane->head_id)))
		lane->head_known = false;
	return 0;
}

void
lanes_unqueued(struct lanes *l, const char *class_name, uint32_t uid, uint64_t id)
{
	struct lane *lane = find_lane(l, class_name, uid);

	if (!lane)
		return;
	if (lane->head_id == id)
		lane->head_known = false;
	l->queued--;
	if (--lane->queued > 0)
		return;
	list_unlink(&lane->link);
	free(lane);
}

int
lanes_delayed(struct lanes *l, uint32_t uid)
{
	int r = add_share(&l->delayed_users, "", uid);

	if (r == 0)
		l->delayed++;
	return r;
}

void
lanes_undelayed(struct lanes *l, uint32_t uid)
{
	sub_share(&l->delayed_users, "", uid);
	if (l->delayed > 0)
		l->delayed--;
}

int
lanes_running(struct lanes *l, const char *class_name, uint32_t uid)
{
	int r = add_share(&l->classes, class_name, 0);

	if (!r) {
		r = add_share(&l->users, "", uid);
		if (r < 0)
			sub_share(&l->classes, class_name, 0);
	}
	if (!r)
		l->running++;
	return r;
}

void
lanes_ended(struct lanes *l, const char *class_name, uint32_t uid)
{
	sub_share(&l->classes, class_name, 0);
	sub_share(&l->users, "", uid);
	if (l->running > 0)
		l->running--;
}

static uint64_t
share_running(const struct list *shares, const char *class_name, uint32_t uid)
{
	const struct share *s = find_share(shares, class_name, uid);

	return s ? s->running : 0;
}

uint64_t
lanes_user_queued(const struct lanes *l, uint32_t uid)
{
	uint64_t n = share_running(&l->delayed_users, "", uid);

	for (struct list *it = l->lanes.next; it != &l->lanes; it = it->next) {
		const struct lane *lane = list_entry(it, struct lane, link);

		if (lane->uid == uid)
			n += lane->queued;
	}
	return n;
}

bool
lanes_slot(const struct lanes *l, const struct policy *p, const char *class_name, uint32_t uid)
{
	const struct policy_class *c;

	if (l->running >= (uint64_t)p->running)
		return false;
	if (p->running_per_user > 0 &&
	    share_running(&l->users, "", uid) >= (uint64_t)p->running_per_user)
		return false;
	c = policy_class_find(p, class_name);
	return !c || c->running == 0 ||
	       share_running(&l->classes, class_name, 0) < (uint64_t)c->running;
}

static int
know_head(struct lane *lane, struct store *s)
{
	int r;

	if (lane->head_known)
		return 0;
	r = store_lane_head(s, lane->class_name, lane->uid, &lane->head_id, &lane->head_priority);
	if (r != 0)
		return err_fold(r);
	lane->head_known = true;
	return 0;
}

int
lanes_pick(struct lanes *l, const struct policy *p, struct store *s, uint64_t *ret_id)
{
	const struct lane *best = NULL;
	int r;

	if (l->running >= (uint64_t)p->running)
		return LANES_E_NONE;
	list_for_each (it, &l->lanes) {
		struct lane *lane = list_entry(it, struct lane, link);

		if (!lanes_slot(l, p, lane->class_name, lane->uid))
			continue;
		r = know_head(lane, s);
		if (r < 0)
			return err_pass(r);
		if (!best || lane->head_priority > best->head_priority ||
		    (lane->head_priority == best->head_priority && lane->head_id < best->head_id))
			best = lane;
	}
	if (!best)
		return LANES_E_NONE;
	*ret_id = best->head_id;
	return 0;
}
