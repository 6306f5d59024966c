/* lanes.h - how many jobs queue and run, by class and by user; whose turn it is. In memory alone;
 * knows the database and the configuration, not the engine. */
#ifndef CTXD_ENGINE_LANES_H
#define CTXD_ENGINE_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/map.h"

struct policy;
struct store;
struct strv;

/* Jobs of one class that queue (and wait for nothing but a slot) or run. */
struct lane_class {
	struct list link; /* in lanes->classes */
	char name[33];
	uint64_t queued, running;
	/* during lanes_pick */
	bool full;
	int64_t priority;
	struct lane *next; /* whose turn it is */
};
struct lane_user {
	struct map_node node; /* in lanes->users, by uid */
	struct list *list;    /* lanes->waiting, ->idle, or NULL */
	struct list link;     /* in that */
	struct list lanes;    /* of struct lane */
	uint32_t uid;
	uint64_t queued, running, delayed;
	uint64_t turn; /* when a job of theirs was started last; 0: longer ago than anybody's */
};
/* Those of one class and one user. */
struct lane {
	struct list link; /* in user->lanes */
	struct lane_class *class;
	struct lane_user *user;
	uint64_t queued, running;
	bool head_known;
	uint64_t head_id;
	int32_t head_priority;
};
struct lanes {
	struct map users;
	struct list classes;
	struct list waiting; /* users with something in a lane's queue */
	struct list idle;    /* users with nothing at all, longest so first */
	size_t n_idle;
	uint64_t turns;
	const struct strv *paused;         /* classes of which nothing is started; not owned */
	uint64_t queued, running, delayed; /* QUEUED: those in lanes; DELAYED: wait for more than a
					      slot */
};

/* ---- lanes.c */
void lanes_init(struct lanes *l);
void lanes_done(struct lanes *l);
int lanes_load(struct lanes *l, struct store *s); /* forget everything, read it again */
int
lanes_queued(struct lanes *l, const char *class_name, uint32_t uid, uint64_t id, int32_t priority);
void lanes_unqueued(struct lanes *l, const char *class_name, uint32_t uid, uint64_t id);
int lanes_delayed(struct lanes *l, uint32_t uid); /* queued, but waits for a time */
void lanes_undelayed(struct lanes *l, uint32_t uid);
int lanes_running(struct lanes *l, const char *class_name, uint32_t uid);
void lanes_ended(struct lanes *l, const char *class_name, uint32_t uid);
uint64_t lanes_user_queued(const struct lanes *l, uint32_t uid);
/* What there is of a class; NULL: nothing queues or runs. */
const struct lane_class *lanes_class(const struct lanes *l, const char *class_name);
/* What there is of a user; NULL: nothing at all. */
const struct lane_user *lanes_user(const struct lanes *l, uint32_t uid);
void lanes_check(const struct lanes *l); /* for engine_check */

/* ---- lanes_pick.c */
/* Is there a slot for one more of this class and user? */
bool
lanes_slot(const struct lanes *l, const struct policy *p, const char *class_name, uint32_t uid);
/* Is the class among those of which nothing is started? */
bool lanes_paused(const struct lanes *l, const char *class_name);
/* The job whose turn it is among those with a slot. 0, LANES_E_NONE, or -errno. */
enum { LANES_E_NONE = 1 };
int lanes_pick(struct lanes *l, const struct policy *p, struct store *s, uint64_t *ret_id);

#endif
