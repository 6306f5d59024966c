/* queue.h - what waits, and when it is started. */
#ifndef CTXD_ENGINE_QUEUE_H
#define CTXD_ENGINE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

struct engine;
struct job;
struct refusal;
struct requester;
struct submit_args;

/* ---- sched.c */
void sched_init(struct engine *g);
void sched_done(struct engine *g);
void sched_kick(struct engine *g); /* look for work before the loop sleeps */
void sched_hold(struct engine *g); /* something needed for starting failed: wait a moment */
/* Can a job be started now, slots aside? */
bool sched_may_start(const struct engine *g);
void sched_run(struct engine *g); /* called by the transaction's `before` */
void sched_overdue_arm(struct engine *g);

/* ---- delay.c */
void delay_init(struct engine *g);
void delay_done(struct engine *g);
void delay_arm(struct engine *g); /* look again when the next one waits for */

/* ---- depend.c */
enum { DEPEND_MAX = 64 }; /* jobs that one may wait for */
void depend_init(struct engine *g);
void depend_done(struct engine *g);
/* Forget what was to be looked at, and look for it anew: at the start, after a commit that failed.
 */
int depend_load(struct engine *g);
/* What A asks J, which is being made, to wait for: 0 with J->waits and *RET filled (the caller's),
 * ENGINE_E_REFUSED, or negative errno. */
struct depend {
	uint64_t on[DEPEND_MAX];
	enum store_need need[DEPEND_MAX];
	size_t n;
};
int depend_take(struct engine *g, const struct requester *who, const struct submit_args *a,
		struct job *j, struct depend *ret, struct refusal *r);
int depend_keep(struct engine *g, const struct job *j, const struct depend *d); /* J is inserted */
int depend_drop(struct engine *g, uint64_t id); /* ID waits for nothing any more */
/* The job ID has ended, or it is settled how: who waits for it is looked at before the commit. */
void depend_settled(struct engine *g, uint64_t id);
void depend_run(struct engine *g); /* called by the transaction's `before` */

/* ---- control_queue.c */
int control_queue_load(struct engine *g);
bool control_queue_stands(const struct engine *g);  /* nothing is started */
bool control_queue_refuses(const struct engine *g); /* nothing new is taken */
bool control_queue_paused(const struct engine *g, const char *class_name);

#endif
