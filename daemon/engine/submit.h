/* submit.h - what is accepted, and what is not. */
#ifndef CTXD_ENGINE_SUBMIT_H
#define CTXD_ENGINE_SUBMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/engine.h"

/* ---- submit.c: what a scope is asked, too */
int
submit_check_names(struct engine *g, const char *name, const char *class_name, struct refusal *r);
/* A job of the daemon's own, with a key: once. Its environment is taken as it is. 0, also if there
 * is one of that key; ENGINE_E_REFUSED, or negative errno. */
int submit_own(struct engine *g, const struct requester *who, const struct submit_args *a,
	       struct refusal *r);
int submit_check_times(int64_t timeout_us, int64_t deadline_us, struct refusal *r);
int submit_copy_who(struct job *j, const struct requester *who); /* 0 or -ENOMEM */
/* Whose job that of A will be. */
const struct requester *submit_owner(const struct requester *who, const struct submit_args *a);
void submit_notice_clamp(const struct job *j, struct notices *n);

/* ---- submit_check.c: 0, or ENGINE_E_REFUSED with R filled */
/* What is wrong at any time, of any daemon. */
int submit_check_request(const struct submit_args *a, struct refusal *r);
int submit_check_priority(int32_t priority, struct refusal *r);
/* May WHO submit A, for whomever it is? */
int submit_check_as(struct engine *g, const struct requester *who, const struct submit_args *a,
		    struct refusal *r);
/* What is wrong here and now: asked of new jobs alone, for a key names its job whatever has changed
 * since. */
int submit_check_moment(struct engine *g, const struct requester *who, const struct submit_args *a,
			struct refusal *r);
/* Is there room in the queue for one more of UID? */
int submit_check_room(struct engine *g, uint32_t uid, struct refusal *r);
/* May the standard input of J be kept for its user? Or negative errno. */
int submit_check_input(struct engine *g, const struct job *j, struct refusal *r);

/* ---- key.c */
/* The job that A's key names: 0 with *RET (with IF_EXISTS_RETRY: started anew, if it had ended
 * without success), KEY_E_NEW when there is none, ENGINE_E_REFUSED (KeyConflict and what speaks
 * against a retry), or negative errno. */
enum { KEY_E_NEW = 2 };
int key_find(struct engine *g, const struct requester *who, const struct submit_args *a,
	     struct job **ret, struct refusal *r);

/* ---- notice.c */
/* One more for the submitter; beyond NOTICES_MAX they are dropped. */
void notice_add(struct notices *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
