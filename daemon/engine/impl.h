/* impl.h - what the files of daemon/engine share: the engine's state, and who does what.
 *
 *   txn.c        one iteration, one transaction; effects after the commit
 *   lifecycle.c  the only writer of a job's state
 *   lanes.c      in memory: how many queue and run, by class and user
 *   sched.c      which job starts next; overdue queued ones
 *   limits.c     what a job's class limits, and who is told when it cannot be
 *   start.c      environment and spec of a job; handing it to exec
 *   live.c       the table of jobs that are running or stopping; their deadline's backstop
 *   stop.c       a job that runs is taken to stopping
 *   judge.c      what an end means: facts, state, cause
 *   finish.c     a job is taken to its end, or back to the queue
 *   recovery.c   the recovery table
 *   check.c      CTXD_CHECK=1: memory against the database
 *   context.c    what a new context takes from its parent: values, trace, deadline, cancellation
 *   tree.c       what a context's end or cancellation does to all that is attached below it
 *   scope.c      contexts without a command: made, closed, their deadlines
 *   bound.c      jobs that end with the connection of their client; clients that come back
 *   key.c        same key, same job
 *   retry.c      one more attempt, asked for or not; delay.c: the wait before it
 *   hook.c       the command that is run for a half-processed job
 *   resolve.c    what a person says of a half-processed job
 *   progress.c   what jobs say of themselves; signals to them
 *   events.c     history for readers, and who is told that there is more of it
 *   spool.c      standard input of jobs
 *   storage.c    when writing fails: told, and tried until it goes well
 *   sweep.c      removes input and output that a crash left behind
 *   submit.c     accepting a job; submit_check.c says which are not
 *   audit.c      lines of the log about deeds to jobs of others
 *   prune.c      removing what is over, because somebody asks; retain.c: by itself
 *   depend.c     jobs that wait for others; hold.c: for somebody's word
 *   control_queue.c  pausing a class or all of the queue, draining it
 *   log_job.c    lines of the log about a job
 *   outbox.c     spans of what has ended, until they are exported
 *   metrics.c    what is counted, together with what is now
 *   shutdown.c   the machine goes down: all that runs is stopped, nothing more is begun
 *   control.c query.c watch.c notice.c refusal.c   what their names say
 *
 * Rules: the database is the truth. Counts in memory follow it and are rebuilt from it when a
 * commit fails (engine_resync). struct live exists for a committed running or stopping row only.
 * Whatever leaves the process waits for the commit. */
#ifndef CTXD_ENGINE_IMPL_H
#define CTXD_ENGINE_IMPL_H

#include <dirent.h>
#include <ev.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "core/job.h"
#include "core/metrics.h"
#include "core/policy.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "exec/output.h"
#include "record/result.h"
#include "store/store.h"

enum {
	REQUEUES_MAX = 5,      /* starts that provably never ran, before the job is given up */
	STARTS_PER_TURN = 256, /* jobs started in one iteration */
	DEPEND_MAX = 64,       /* jobs that one may wait for */
};
#define BACKSTOP_SEC 5.0      /* after deadline and grace: ctxd itself asks the monitor to kill */
#define STORAGE_RETRY_SEC 1.0 /* until a failed write of our own is tried again */
#define START_RETRY_SEC 1.0   /* after a start that failed for lack of something */

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

struct spools {           /* standard input of jobs */
	int dir_fd;       /* <state>/stdin; -1: not open */
	int dirty_fd;     /* directory in it whose new entries are not synced yet; -1: none */
	uint64_t dirty;   /* its number */
	uint64_t temp;    /* of the last named temporary file */
	struct map users; /* of struct spool_user: who holds spools, by uid */
};

struct sweep {                      /* of stdin/, then of output/ */
	bool want_outputs, outputs; /* shall it go there; is it there */
	DIR *top, *sub;             /* where it is; NULL: not there */
	uint64_t number;            /* of SUB */
	ev_timer timer;
};

struct engine {
	struct ev_loop *loop;
	struct store *store;
	struct exec *exec;
	struct output *output;
	struct txn *txn;
	struct policy *policy;
	char *socket_path;
	bool system_mode, stopping, started;
	bool draining; /* nothing is accepted or started any more: see shutdown.c */
	bool check;    /* CTXD_CHECK=1 */
	uint8_t boot[16];
	int64_t started_us, started_ns; /* wall, CLOCK_BOOTTIME */
	int state_fd, run_fd;           /* the two directories; -1: not open */
	struct map live;                /* of struct live, by id */
	struct lanes lanes;
	struct map watches;          /* of struct watch_group, by job id */
	struct log_rate notify_rate; /* lines on missing notify sockets */
	int64_t progress_ns;         /* mono: when progress of any job was last written */
	ev_timer storage;            /* a write is tried, while they fail */
	void (*on_storage)(void *arg, bool ok);
	void *on_storage_arg;
	bool sched_kick;
	ev_timer sched_again; /* after a failure */
	bool sched_held;
	bool lanes_wrong; /* they could not be read: nothing is started by them, until they can */
	size_t n_broken;  /* rows known to be malformed when the counts were last read */
	size_t unseen; /* jobs in `live` with that mark: nothing is started before their verdicts */
	ev_periodic overdue; /* earliest absolute deadline in the queue */
	ev_timer delayed;    /* earliest moment for which a queued job waits */
	ev_timer retain;
	ev_timer scopes;       /* earliest deadline of an open scope; judged by CLOCK_BOOTTIME */
	ev_timer reattach;     /* clients may still come back */
	struct map missing;    /* bound jobs without their client, by id: see bound.c */
	uint64_t tree_checked; /* tree_check has come so far */
	struct list listeners; /* of struct engine_listener */
	bool changed;          /* CHANGED_FX is out: it tells the listeners after this commit */
	struct effect changed_fx;
	ev_timer drained_by; /* then what is still stopping is killed */
	struct spools spools;
	struct sweep sweep;
	struct {
		bool all, drain;
		struct strv classes; /* paused ones */
	} paused;
	struct {
		struct engine_ids
			work;   /* jobs that are over: who waits for them is to be looked at */
		size_t next;    /* of these */
		uint64_t after; /* of who waits: so far */
		uint64_t rows;  /* of job_after */
		ev_timer again;
	} depend;
	struct metrics metrics;
	struct {
		uint64_t n, dropped; /* as in the database */
		struct log_rate rate;
	} outbox;
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
/* Is there a slot for one more of this class and user? */
bool
lanes_slot(const struct lanes *l, const struct policy *p, const char *class_name, uint32_t uid);
/* Is the class among those of which nothing is started? */
bool lanes_paused(const struct lanes *l, const char *class_name);
/* What there is of a class; NULL: nothing queues or runs. */
const struct lane_class *lanes_class(const struct lanes *l, const char *class_name);
void lanes_check(const struct lanes *l); /* for engine_check */
/* The job whose turn it is among those with a slot: see lanes.c. 0, LANES_E_NONE, or -errno. */
enum { LANES_E_NONE = 1 };
int lanes_pick(struct lanes *l, const struct policy *p, struct store *s, uint64_t *ret_id);

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

/* ---- sched.c */
void sched_init(struct engine *g);
void sched_done(struct engine *g);
void sched_kick(struct engine *g); /* look for work before the loop sleeps */
void sched_hold(struct engine *g); /* something needed for starting failed: wait a moment */
/* Can a job be started now, slots aside? */
bool sched_may_start(const struct engine *g);
void sched_run(struct engine *g); /* called by the transaction's `before` */
void sched_overdue_arm(struct engine *g);

/* ---- audit.c */
/* After the commit: the line that WHO did ACTION to J, if J is another user's. */
void
audit_job(struct engine *g, const struct requester *who, const struct job *j, const char *action);
void audit_pruned(struct engine *g, const struct requester *who, uint64_t n); /* by age */

/* ---- start.c */
/* Fill J for a start now: sequence, boot, times, deadline. The caller writes it. */
void start_prepare(struct engine *g, struct job *j, uint64_t seq);
/* After the commit: hand it to exec. Takes J, also on failure; ENV is moved out of *ENV on success.
 */
int start_defer(struct engine *g, struct job *j, struct strv *env);

/* ---- limits.c */
struct spec;
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

/* ---- stop.c */
void stop_heard(struct live *l, const struct frame_stopping *s); /* says its monitor */
/* Take J, which runs, to stopping; after the commit: tell its monitor, and the log. Takes J, also
 * on failure; on success it stays valid until the commit, as with finish_job. */
int stop_job(struct engine *g, struct job *j, const struct why *why, bool now);
/* J is being stopped: KILL at once, unless that has been said. */
int stop_hurry(struct engine *g, struct job *j);

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

/* ---- finish.c */
/* Take J to state TO, an end or back to QUEUED; after the commit: let go of directory, link and
 * struct live, tell watchers. Takes J, also on failure; on success it stays valid until the commit.
 * An end reaches what is attached below. */
int finish_job(struct engine *g, struct job *j, enum job_state to, const struct why *why);
/* The same, but what is attached below is for the caller to end: tree_done. */
int finish_one(struct engine *g, struct job *j, enum job_state to, const struct why *why);

/* ---- recovery.c */
extern const struct exec_ops recovery_ops;
int recovery_load(struct engine *g); /* rows running or stopping, at start */
void recovery_step(struct live *l);  /* go on where it stands */
void recovery_known(struct live *l); /* what became of it is known: it is `unseen` no more */
/* The attempt of J provably never ran: back to the queue (or failed: after too many times, or when
 * ERROR, an errno or 0, says that it never will), or to its end if it was stopping. Takes J. */
int recovery_never_ran(struct engine *g, struct job *j, const char *text, int error);

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

/* ---- notice.c */
/* One more for the submitter; beyond NOTICES_MAX they are dropped. */
void notice_add(struct notices *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

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

/* ---- control.c */
/* Cancel J in whatever state; takes J; *RET may be NULL. What is attached below it is reached too.
 */
int
control_cancel(struct engine *g, struct job *j, const struct why *why, bool now, struct job **ret);

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

/* ---- key.c */
/* The job that A's key names: 0 with *RET (with IF_EXISTS_RETRY: started anew, if it had ended
 * without success), KEY_E_NEW when there is none, ENGINE_E_REFUSED (KeyConflict and what speaks
 * against a retry), or negative errno. */
enum { KEY_E_NEW = 2 };
int key_find(struct engine *g, const struct requester *who, const struct submit_args *a,
	     struct job **ret, struct refusal *r);

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

/* ---- delay.c */
void delay_init(struct engine *g);
void delay_done(struct engine *g);
void delay_arm(struct engine *g); /* look again when the next one waits for */

/* ---- submit_check.c: 0, or ENGINE_E_REFUSED with R filled */
/* What is wrong at any time, of any daemon. */
int submit_check_request(const struct submit_args *a, struct refusal *r);
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

/* ---- events.c */
void events_init(struct engine *g);
/* History was written in this iteration, or a job told progress: the listeners are told after the
 * commit. */
void events_changed(struct engine *g);

/* ---- log_job.c */
/* "job=ID TEXT", with what the journal is to know of J. User text must be escaped. */
void log_job(enum log_level l, const struct job *j, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* One line for each edge; WHAT is the new state, or "queued again". */
void log_job_edge(const struct job *j, const char *what);

/* ---- depend.c */
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

/* ---- outbox.c */
int outbox_load(struct engine *g);
/* J, or this attempt of it, has ended, in the open transaction. 0 or negative errno. */
int outbox_add(struct engine *g, const struct job *j);

/* ---- query.c */
/* How much output J has, by its files. */
void query_output(struct engine *g, struct job *j);
/* Fill in what only memory and the output files know of a job that runs. */
void query_live_facts(struct engine *g, struct job *j);

/* ---- spool.c */
void spool_init(struct engine *g);
void spool_done(struct engine *g);
int spool_open_dir(struct engine *g, const char *state_dir);
uint64_t spool_hash(const struct spool *s);
/* All bytes of S to the disk, before anything is written to the database. -EBADF: S was emptied by
 * an earlier job. */
int spool_sync(struct spool *s);
/* Put the input of S under J's id, in the transaction that inserts J; taken away again if that is
 * not committed. Empties S. After a failure the transaction must not be committed. */
int spool_keep(struct engine *g, struct spool *s, const struct job *j);
int spool_before_commit(struct engine *g); /* the directory entries of this iteration to the disk */
int spool_open(struct engine *g, uint64_t id); /* fd for reading, -ENOENT, or another -errno */
bool spool_kept(struct engine *g, uint64_t id);
void spool_remove(struct engine *g, uint64_t id); /* its job needs it no more */

/* ---- storage.c */
void storage_init(struct engine *g);
void storage_done(struct engine *g);
void storage_changed(struct engine *g, bool ok);

/* ---- sweep.c: removes input and output that a crash left behind, a few files at a time */
void sweep_init(struct engine *g);
void sweep_start(struct engine *g);
void sweep_done(struct engine *g);

/* ---- shutdown.c */
void shutdown_init(struct engine *g);
void shutdown_done(struct engine *g);
/* Is J being stopped because the machine goes down? */
bool shutdown_stops(const struct job *j);

/* ---- watch.c, retain.c, engine.c */
bool watch_any(const struct engine *g, uint64_t job);
void watch_tell(struct engine *g, const struct job *j);
void watch_again(struct engine *g, uint64_t job);
void watch_done(struct engine *g);
void retain_init(struct engine *g);
void retain_done(struct engine *g);
void retain_soon(struct engine *g); /* there is something to do before the next regular look */
/* J has ended: too much output may be kept for its user now. */
void retain_output(struct engine *g, const struct job *j);
enum { RETAIN_MAX = 64 };
/* Delete N (at most RETAIN_MAX) records in the open transaction; their files after its commit. */
int retain_delete(struct engine *g, const struct store_old *v, size_t n);
void engine_resync(struct engine *g);
/* Append to IDS. 0 or -ENOMEM. */
int engine_ids_add(struct engine_ids *ids, uint64_t id);
/* The job with this id, if WHO may see it: 0, ENGINE_E_REFUSED, or negative errno. RET is the
 * caller's. */
int engine_fetch(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
		 struct refusal *r);
void engine_check(struct engine *g);

#endif
