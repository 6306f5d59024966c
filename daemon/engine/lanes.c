/* lanes.c - how many jobs queue and run, by class and by user. Whose turn it is: lanes_pick.c.
 *
 * The queue itself stays in the database. A lane (one class, one user) keeps counts and, once asked
 * for, its head. When somebody started last is kept in memory only, and for a while after the last
 * job: else whoever submits one job after another would come as a newcomer each time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "core/job.h"
#include "engine/lanes.h"
#include "store/store.h"

enum { IDLE_MAX = 1024 }; /* users without jobs whose last start is remembered */

/* ---- objects */

static struct lane_class *
find_class(const struct lanes *l, const char *name)
{
	for (struct list *it = l->classes.next; it != &l->classes; it = it->next) {
		struct lane_class *c = list_entry(it, struct lane_class, link);

		if (strcmp(c->name, name) == 0)
			return c;
	}
	return NULL;
}

static struct lane_class *
need_class(struct lanes *l, const char *name)
{
	struct lane_class *c = find_class(l, name);

	if (c)
		return c;
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	strncpy(c->name, name, sizeof(c->name) - 1);
	list_append(&l->classes, &c->link);
	return c;
}

static void
drop_class(struct lane_class *c)
{
	if (c->queued > 0 || c->running > 0)
		return;
	list_unlink(&c->link);
	free(c);
}

static struct lane_user *
find_user(const struct lanes *l, uint32_t uid)
{
	struct map_node *n = map_find(&l->users, uid);

	return n ? container_of(n, struct lane_user, node) : NULL;
}

static struct lane_user *
need_user(struct lanes *l, uint32_t uid)
{
	struct lane_user *u = find_user(l, uid);

	if (u)
		return u;
	u = calloc(1, sizeof(*u));
	if (!u || map_insert(&l->users, uid, &u->node) < 0) {
		free(u);
		return NULL;
	}
	u->uid = uid;
	list_init(&u->lanes);
	list_init(&u->link);
	return u;
}

static void
free_user(struct lanes *l, struct lane_user *u)
{
	list_unlink(&u->link);
	map_remove(&l->users, &u->node);
	free(u);
}

static void
trim(struct lanes *l)
{
	for (; l->n_idle > IDLE_MAX; l->n_idle--)
		free_user(l, list_entry(l->idle.next, struct lane_user, link));
}

/* Into the list where U now belongs: who queues, and who has nothing at all. */
static void
place_user(struct lanes *l, struct lane_user *u)
{
	struct list *to = NULL;

	if (u->queued > 0)
		to = &l->waiting;
	else if (u->running == 0 && u->delayed == 0)
		to = &l->idle;
	if (u->list == to)
		return;
	l->n_idle -= u->list == &l->idle;
	list_unlink(&u->link);
	u->list = to;
	if (to)
		list_append(to, &u->link);
	l->n_idle += to == &l->idle;
	trim(l);
}

static struct lane *
find_lane(const struct lane_user *u, const char *class_name)
{
	for (struct list *it = u->lanes.next; it != &u->lanes; it = it->next) {
		struct lane *lane = list_entry(it, struct lane, link);

		if (strcmp(lane->class->name, class_name) == 0)
			return lane;
	}
	return NULL;
}

/* The lane of this class and user, made if it is not there; the caller counts something in it. */
static struct lane *
need_lane(struct lanes *l, const char *class_name, uint32_t uid)
{
	struct lane_user *u = need_user(l, uid);
	struct lane_class *c;
	struct lane *lane;

	if (!u)
		return NULL;
	lane = find_lane(u, class_name);
	if (lane)
		return lane;
	c = need_class(l, class_name);
	lane = c ? calloc(1, sizeof(*lane)) : NULL;
	if (!lane) {
		if (c)
			drop_class(c);
		place_user(l, u);
		return NULL;
	}
	lane->class = c;
	lane->user = u;
	list_append(&u->lanes, &lane->link);
	return lane;
}

/* Something was counted down. */
static void
settle(struct lanes *l, struct lane *lane)
{
	struct lane_class *c = lane->class;
	struct lane_user *u = lane->user;

	if (lane->queued == 0 && lane->running == 0) {
		list_unlink(&lane->link);
		free(lane);
	}
	drop_class(c);
	place_user(l, u);
}

void
lanes_init(struct lanes *l)
{
	*l = (struct lanes){0};
	list_init(&l->classes);
	list_init(&l->waiting);
	list_init(&l->idle);
}

/* Forget what was counted, but not who had a turn. */
static void
clear(struct lanes *l)
{
	struct list *it;

	for (struct map_node *n = map_next(&l->users, NULL); n; n = map_next(&l->users, n)) {
		struct lane_user *u = container_of(n, struct lane_user, node);

		while ((it = list_pop(&u->lanes)))
			free(list_entry(it, struct lane, link));
		u->queued = u->running = u->delayed = 0;
		if (u->list == &l->idle)
			continue;
		list_unlink(&u->link);
		list_append(&l->idle, &u->link);
		u->list = &l->idle;
		l->n_idle++;
	}
	while ((it = list_pop(&l->classes)))
		free(list_entry(it, struct lane_class, link));
	l->queued = l->running = l->delayed = 0;
}

void
lanes_done(struct lanes *l)
{
	struct map_node *n;

	clear(l);
	while ((n = map_next(&l->users, NULL)))
		free_user(l, container_of(n, struct lane_user, node));
	map_done(&l->users);
	l->n_idle = 0;
}

/* ---- counting */

static void
count_queued(struct lanes *l, struct lane *lane, uint64_t n)
{
	lane->queued += n;
	lane->class->queued += n;
	lane->user->queued += n;
	l->queued += n;
	place_user(l, lane->user);
}

static int
load_lane(void *arg, const struct store_lane *row)
{
	struct lanes *l = arg;
	struct lane *lane = need_lane(l, row->class_name, row->uid);

	if (!lane)
		return -ENOMEM;
	count_queued(l, lane, row->n);
	return 0;
}

static int
count_delayed(struct lanes *l, uint32_t uid, uint64_t n)
{
	struct lane_user *u = need_user(l, uid);

	if (!u)
		return -ENOMEM;
	u->delayed += n;
	l->delayed += n;
	place_user(l, u);
	return 0;
}

static int
load_delayed(void *arg, const struct store_lane *row)
{
	return count_delayed(arg, row->uid, row->n);
}

static int
count_running(struct lanes *l, const char *class_name, uint32_t uid)
{
	struct lane *lane = need_lane(l, class_name, uid);

	if (!lane)
		return -ENOMEM;
	lane->running++;
	lane->class->running++;
	lane->user->running++;
	l->running++;
	place_user(l, lane->user);
	return 0;
}

static int
load_running(void *arg, const struct job *j)
{
	return count_running(arg, j->class_name, j->uid);
}

int
lanes_load(struct lanes *l, struct store *s)
{
	int r;

	clear(l);
	r = store_lanes_each(s, load_lane, l);
	if (!r)
		r = store_blocked_each(s, load_delayed, l);
	if (!r)
		r = store_live_each(s, load_running, l);
	trim(l);
	return r < 0 ? err_pass(r) : 0;
}

int
lanes_queued(struct lanes *l, const char *class_name, uint32_t uid, uint64_t id, int32_t priority)
{
	struct lane *lane = need_lane(l, class_name, uid);

	if (!lane)
		return -ENOMEM;
	count_queued(l, lane, 1);
	if (lane->head_known && (priority > lane->head_priority ||
				 (priority == lane->head_priority && id < lane->head_id)))
		lane->head_known = false;
	return 0;
}

void
lanes_unqueued(struct lanes *l, const char *class_name, uint32_t uid, uint64_t id)
{
	struct lane_user *u = find_user(l, uid);
	struct lane *lane = u ? find_lane(u, class_name) : NULL;

	if (!lane || lane->queued == 0)
		return;
	if (lane->head_id == id)
		lane->head_known = false;
	lane->queued--;
	lane->class->queued--;
	u->queued--;
	l->queued--;
	settle(l, lane);
}

int
lanes_delayed(struct lanes *l, uint32_t uid)
{
	return count_delayed(l, uid, 1);
}

void
lanes_undelayed(struct lanes *l, uint32_t uid)
{
	struct lane_user *u = find_user(l, uid);

	if (!u || u->delayed == 0)
		return;
	u->delayed--;
	l->delayed--;
	place_user(l, u);
}

int
lanes_running(struct lanes *l, const char *class_name, uint32_t uid)
{
	int r = count_running(l, class_name, uid);

	if (r == 0)
		find_user(l, uid)->turn = ++l->turns;
	return r;
}

void
lanes_ended(struct lanes *l, const char *class_name, uint32_t uid)
{
	struct lane_user *u = find_user(l, uid);
	struct lane *lane = u ? find_lane(u, class_name) : NULL;

	if (!lane || lane->running == 0)
		return;
	lane->running--;
	lane->class->running--;
	u->running--;
	l->running--;
	settle(l, lane);
}

const struct lane_class *
lanes_class(const struct lanes *l, const char *class_name)
{
	return find_class(l, class_name);
}

const struct lane_user *
lanes_user(const struct lanes *l, uint32_t uid)
{
	return find_user(l, uid);
}

uint64_t
lanes_user_queued(const struct lanes *l, uint32_t uid)
{
	const struct lane_user *u = find_user(l, uid);

	return u ? u->queued + u->delayed : 0;
}

/* ---- checking */

static void
check_class(const struct lanes *l, const struct lane_class *c)
{
	uint64_t queued = 0, running = 0;

	for (struct map_node *n = map_next(&l->users, NULL); n; n = map_next(&l->users, n)) {
		const struct lane *lane =
			find_lane(container_of(n, struct lane_user, node), c->name);

		queued += lane ? lane->queued : 0;
		running += lane ? lane->running : 0;
		assert(!lane || lane->class == c);
	}
	assert(queued == c->queued && running == c->running && queued + running > 0);
}

static void
check_user(const struct lanes *l, const struct lane_user *u)
{
	uint64_t queued = 0, running = 0;

	for (struct list *it = u->lanes.next; it != &u->lanes; it = it->next) {
		const struct lane *lane = list_entry(it, struct lane, link);

		assert(lane->user == u && lane->queued + lane->running > 0);
		queued += lane->queued;
		running += lane->running;
	}
	assert(queued == u->queued && running == u->running);
	assert((u->list == &l->waiting) == (queued > 0));
	assert((u->list == &l->idle) == (queued + running + u->delayed == 0));
}

void
lanes_check(const struct lanes *l)
{
	uint64_t queued = 0, running = 0, delayed = 0;

	for (struct map_node *n = map_next(&l->users, NULL); n; n = map_next(&l->users, n)) {
		const struct lane_user *u = container_of(n, struct lane_user, node);

		check_user(l, u);
		queued += u->queued;
		running += u->running;
		delayed += u->delayed;
	}
	assert(queued == l->queued && running == l->running && delayed == l->delayed);
	for (struct list *it = l->classes.next; it != &l->classes; it = it->next)
		check_class(l, list_entry(it, struct lane_class, link));
}
