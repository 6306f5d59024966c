/* lifecycle.h - who takes a job from one state to another. */
#ifndef CTXD_ENGINE_LIFECYCLE_H
#define CTXD_ENGINE_LIFECYCLE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/job.h"
#include "exec/exec.h"

struct engine;
struct live;
struct refusal;
struct requester;
struct strv;

/* ---- lifecycle.c */
struct why {
	enum cause_code code;
	const char *text; /* may be NULL */
	int64_t by_uid;   /* -1: the daemon */
};
/* Insert J (state QUEUED, RUNNING, or OPEN for a scope) with its first history row. */
int lifecycle_create(struct engine *g, struct job *j, const struct strv *env, int64_t by_uid);
/* Take J, whose row has state FROM, to state TO: checks the edge, writes row (all mutable fields of
 * J) and history, keeps the counts. Opens the transaction. 0 or negative errno. STORE_E_STALE is
 * folded: the row was read in this iteration. */
int lifecycle_set(struct engine *g, struct job *j, enum job_state to, const struct why *why);
/* WHO is about to stop J, from this process of theirs; unless somebody has before. */
void lifecycle_asker(struct job *j, const struct requester *who);
/* Write J without an edge. */
int lifecycle_save(struct engine *g, struct job *j);
/* What J, which is queued, waits for has changed in it: written, and into its lane or out of it.
 * WAS_BLOCKED: as job_blocked said before. */
int lifecycle_waits(struct engine *g, struct job *j, bool was_blocked);
int lifecycle_reprioritize(struct engine *g, struct job *j, int32_t priority); /* J is queued */
/* A row of history for J without a change of state. */
int lifecycle_note(struct engine *g, const struct job *j, const struct why *why);
/* After the commit: the line of the log that J, as it is now, is WHAT (a literal). Without memory
 * for it there is none. */
void lifecycle_log(struct engine *g, const struct job *j, const char *what);
/* After the commit that ended J: tell watchers, log. Called from effects. */
void lifecycle_ended(struct engine *g, const struct job *j);

/* ---- stop.c */
void stop_heard(struct live *l, const struct frame_stopping *s); /* says its monitor */
/* Take J, which runs, to stopping; after the commit: tell its monitor, and the log. Takes J, also
 * on failure; on success it stays valid until the commit, as with finish_job. */
int stop_job(struct engine *g, struct job *j, const struct why *why, bool now);
/* J is being stopped: KILL at once, unless that has been said. */
int stop_hurry(struct engine *g, struct job *j);

/* ---- finish.c */
/* Take J to state TO, an end or back to QUEUED; after the commit: let go of directory, link and
 * struct live, tell watchers. Takes J, also on failure; on success it stays valid until the commit.
 * An end reaches what is attached below. */
int finish_job(struct engine *g, struct job *j, enum job_state to, const struct why *why);
/* The same, but what is attached below is for the caller to end: tree_done. */
int finish_one(struct engine *g, struct job *j, enum job_state to, const struct why *why);

/* ---- control.c */
/* Cancel J in whatever state; takes J; *RET may be NULL. What is attached below it is reached too.
 */
int
control_cancel(struct engine *g, struct job *j, const struct why *why, bool now, struct job **ret);

/* ---- retry.c */
enum { RETRY_INTERRUPTED_DEFAULT = 2 }; /* attempts added to an interrupted one, if nobody says */
#define RETRY_BACKOFF_MOST_US (INT64_C(3600) * 1000000)
/* Has J ended, and not well? What a person resolved as succeeded has ended well. */
bool retry_possible(const struct job *j);
/* Back to the queue as a new attempt. J, of which that is possible, is changed. 0, ENGINE_E_REFUSED
 * (FIELD of the request is named), or negative errno. */
int retry_asked(struct engine *g, const struct requester *who, struct job *j, const char *field,
		struct refusal *r);
/* J has just ended, in the open transaction: back to the queue if it, or its class, wants that. 0
 * or negative errno; its state tells. Then *RET_ENDED, the caller's, is J as it ended. */
int retry_itself(struct engine *g, struct job *j, struct job **ret_ended);

/* ---- hook.c */
/* In the transaction in which J ended: run on_half_processed if that is what it is. 0 or negative
 * errno. */
int hook_run(struct engine *g, const struct job *j);

/* ---- shutdown.c */
void shutdown_init(struct engine *g);
void shutdown_done(struct engine *g);
/* Is J being stopped because the machine goes down? */
bool shutdown_stops(const struct job *j);

#endif
