/* live.h - one attempt, from its start on: what its monitor says, what is known of it, and what its
 * end means. struct live exists for a committed row that is running or stopping. */
#ifndef CTXD_ENGINE_LIVE_H
#define CTXD_ENGINE_LIVE_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"
#include "core/job.h"
#include "exec/exec.h"
#include "record/result.h"

struct engine;
struct notices;
struct spec;
struct strv;
struct why;

enum { REQUEUES_MAX = 5 }; /* starts that provably never ran, before the job is given up */

enum live_phase {
	LIVE_UNKNOWN = 1, /* exec is looking for its monitor */
	LIVE_LINKED,      /* HELLO came */
	LIVE_SILENT,      /* nobody listens at ctl; waits for the spawner, to sweep */
	LIVE_SWEEPING,    /* SWEEP is out */
	LIVE_SWEPT,       /* nothing more of it is alive, or nothing more can be done: conclude */
};

struct live {
	uint32_t magic;
	struct map_node node; /* in engine->live, by id */
	struct engine *engine;
	uint64_t id;
	uint32_t attempt;
	uint64_t seq;
	bool unseen; /* by the spawner, when it was linked: it was never asked to start it */
	enum live_phase phase;
	uint32_t pid;                   /* main process; 0: not known yet */
	int64_t seen_us;                /* wall: when its monitor was heard last; 0: never */
	bool has_progress;              /* PROGRESS is newer than the row */
	struct progress progress;       /* heard last */
	struct progress progress_saved; /* as it was when it was last written; zeroed: never */
	int64_t progress_saved_ns;      /* mono: when that was */
	int64_t extended_ns; /* to where the job moved its deadline, not yet written; 0: nowhere */
	ev_timer progress_timer;
	int64_t deadline_boot_ns; /* as committed */
	int64_t grace_us;
	bool cancel, cancel_now; /* committed: to be told to the monitor */
	bool found_stopping;     /* its row was that when this ctxd began to follow it */
	int spawn_error;         /* errno of SPAWN_FAILED; 0: none came */
	bool uncertain;          /* the spawner could not prove that nothing survived */
	ev_timer backstop;
	ev_timer again; /* a step that failed for lack of storage or evidence */
	bool has_end;   /* END came and is not committed yet */
	bool in_txn;    /* the end is in the open transaction */
	struct result end;
	enum known_by end_by;
};

/* ---- start.c */
/* Fill J for a start now: sequence, boot, times, deadline. The caller writes it. */
void start_prepare(struct engine *g, struct job *j, uint64_t seq);
/* After the commit: hand it to exec. Takes J, also on failure; ENV is moved out of *ENV on success.
 */
int start_defer(struct engine *g, struct job *j, struct strv *env);

/* ---- limits.c */
/* What the class of J asks for, into S. */
void limits_spec(const struct engine *g, const struct job *j, struct spec *s);
/* What any class asks for and cannot be enforced with the spawner that is linked: JOB_LIMIT_*. */
uint32_t limits_missing(const struct engine *g);
void limits_warn(const struct engine *g); /* the same, into the log, by class */
void limits_notice(const struct engine *g, const struct job *j, struct notices *n);
/* The monitor of L says what it could not have. 0 or negative errno: the end will say the same. */
int limits_heard(struct live *l, uint32_t unenforced);

/* ---- live.c */
struct live *live_find(const struct engine *g, uint64_t id);
struct live *live_new(struct engine *g, const struct job *j); /* NULL on ENOMEM */
void live_free(struct live *l);
void live_arm_backstop(struct live *l);
void live_ended(struct live *l, const struct result *r, enum known_by by);
void live_again(struct live *l); /* try the unfinished step later */

/* ---- progress.c */
void progress_attach(struct live *l); /* with live_new */
void progress_detach(struct live *l); /* with live_free */
void progress_heard(struct live *l, const struct progress *p);
void progress_extended(struct live *l, int64_t deadline_ns);
/* P lay in the run directory that is the evidence of L's end: it is written along with that. */
void progress_found(struct live *l, const struct progress *p);
/* Put into J what L knows better than its row. 0 or -ENOMEM. */
int progress_merge(const struct live *l, struct job *j);
/* Write it now, for what comes next reads the row. */
void progress_settle(struct live *l);

/* ---- judge.c */
/* Was the command not executed for want of something, so that the same attempt is made again? */
bool judge_unborn(const struct result *res);
/* What the monitor of L measured, and what the job said last, into J; without any judgement. 0 or
 * -ENOMEM. */
int judge_facts(const struct live *l, struct job *j, const struct result *res, enum known_by by);
/* The state and the cause that follow from J, which has the facts, and from the end that L has.
 * TEXT is the caller's, 200 bytes do. */
enum job_state
judge_end(const struct live *l, const struct job *j, struct why *why, char *text, size_t size);
/* How J ends that is, or was, stopped for its cause: canceled, deadline_exceeded, or interrupted.
 */
enum job_state judge_stopped(const struct job *j);
/* Why J, whose deadline passed, ends; its monitor began to stop it at AT_US (0: not known). TEXT is
 * the caller's, 160 bytes do. */
void judge_deadline(struct engine *g, const struct job *j, int64_t at_us, struct why *ret,
		    char *text, size_t size);
/* The same of a job that gave no sign of life. */
void judge_watchdog(const struct job *j, struct why *ret, char *text, size_t size);
/* What could not be done to execute the command of J: BUF. */
const char *judge_exec_text(const struct job *j, const struct result *res, char *buf, size_t size);

/* ---- recovery.c */
extern const struct exec_ops recovery_ops;
int recovery_load(struct engine *g); /* rows running or stopping, at start */
void recovery_step(struct live *l);  /* go on where it stands */
void recovery_known(struct live *l); /* what became of it is known: it is `unseen` no more */
/* The attempt of J provably never ran: back to the queue (or failed: after too many times, or when
 * ERROR, an errno or 0, says that it never will), or to its end if it was stopping. Takes J. */
int recovery_never_ran(struct engine *g, struct job *j, const char *text, int error);

#endif
