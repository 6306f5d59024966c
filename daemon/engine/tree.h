/* tree.h - contexts: what a new one takes from its parent, and what an end does to those below. */
#ifndef CTXD_ENGINE_TREE_H
#define CTXD_ENGINE_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/job.h"

struct context_args;
struct engine;
struct engine_ids;
struct notices;
struct refusal;
struct requester;
struct why;

/* ---- context.c */
/* Fill J (parent, inherit, values, trace, tracestate, baggage, inherited_us) from what is asked and
 * from the parent. A parent must be the requester's (or an administrator asks). 0,
 * ENGINE_E_REFUSED, or negative errno. */
int context_derive(struct engine *g, const struct requester *who, const struct context_args *a,
		   struct job *j, struct notices *n, struct refusal *r);
/* The context where the deadline that J inherited began: its parent, or one further up from which
 * the parent has it. 0: J inherited none. */
uint64_t context_deadline_origin(struct engine *g, const struct job *j);

/* ---- tree.c: every function works in the open transaction of this iteration */
/* J, a context that is being cancelled, was closed, or has ended, as its row now says: ends all
 * attached contexts below it that are not over, each with the cause that follows from it. NOW: KILL
 * at once. REACHED may be NULL. The stops are sent after the commit, the top first. */
int tree_done(struct engine *g, const struct job *j, int64_t by_uid, bool now,
	      struct engine_ids *reached);
void tree_check(struct engine *g); /* for engine_check */

/* ---- scope.c */
void scope_init(struct engine *g);
void scope_done(struct engine *g);
int
scope_load(struct engine *g); /* at start: deadlines of an earlier boot become those of this one */
void scope_arm(struct engine *g);
void scope_arm_later(struct engine *g); /* after a commit that failed */
/* Take the open scope J to its end. Takes J. */
int scope_end(struct engine *g, struct job *j, enum job_state to, const struct why *why, bool now,
	      struct engine_ids *reached, struct job **ret);

/* ---- bound.c */
void bound_init(struct engine *g);
void bound_done(struct engine *g);
int bound_load(struct engine *g); /* at start */
void bound_forget(struct engine *g, uint64_t id);

#endif
