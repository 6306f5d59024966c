/* store.h - durable state. The only header through which ctxd sees the database.
 *
 * One transaction at a time, opened by the first write of a loop iteration (store_begin) and
 * committed before the loop sleeps. SQLite may roll back a whole transaction by itself
 * (SQLITE_FULL, SQLITE_IOERR, SQLITE_NOMEM): after every SQL error sqlite3_get_autocommit() is
 * asked, and if the transaction is gone the store is *poisoned*: every call but reads,
 * store_rollback and store_close gives -ECANCELED until store_rollback. A write that fails poisons
 * too where SQLite took back only that statement: what was written before it belongs together with
 * it. Errors: -ENOSPC (SQLITE_FULL), -EBUSY, -EIO, -ENOMEM, -EROFS (readonly), -EUCLEAN (corrupt),
 * -ECANCELED (poisoned), -EEXIST (a key that its user has already; who inserts looks
 * first), each traced once, but for -EBUSY and -ECANCELED. No call ever waits for a
 * lock. Whatever writes needs the open transaction (asserted).
 *
 * Nobody may open and close ctxd.db or its side files by other means in this process: that would
 * drop SQLite's locks. */
#ifndef CTXD_STORE_STORE_H
#define CTXD_STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/job.h"

struct ctx_err;
struct store;

enum { STORE_E_NOT_FOUND = 1, STORE_E_STALE = 2 };
/* Codes in ctx_err of store_open. */
enum {
	STORE_OPEN_REFUSED =
		1, /* foreign, newer, damaged, network file system: nothing was changed; exit 79 */
	STORE_OPEN_FAILED = 2 /* anything else */
};

/* Open or create DIR/ctxd.db (0600), check it (application_id, user_version, whether all of it is
 * there; quick_check when it was not closed and is small), migrate, prepare every statement. 0 or
 * negative errno with E filled: says why and what to do. */
int store_open(const char *dir, struct store **ret, struct ctx_err *e);
struct store *store_close(struct store *s); /* rolls back what is open, checkpoints; returns NULL */
const uint8_t *store_uuid(const struct store *s); /* 16 bytes, made at creation */

int store_begin(struct store *s, const char *where); /* no nesting: asserts */
int store_commit(struct store *s);    /* -EBUSY: nothing is lost, try again; else rolled back */
void store_rollback(struct store *s); /* legal always; clears the poison */
bool store_in_txn(const struct store *s);
bool store_changed(const struct store *s); /* a row, in the open transaction: a commit will write */
bool store_poisoned(const struct store *s);
int64_t store_wal_size(struct store *s); /* bytes of the WAL alone */
int64_t store_size(struct store *s);     /* bytes of ctxd.db and its WAL */

/* Write what changes nothing, in the open transaction: does its commit go well? */
int store_probe(struct store *s);
/* Next spawn sequence number, taken in the open transaction. */
int store_seq_next(struct store *s, uint64_t *ret);
/* Highest committed or taken one. */
uint64_t store_seq_last(const struct store *s);

struct store_edge { /* one row of history */
	uint64_t job;
	uint32_t attempt;
	int64_t at_us;
	int from; /* enum job_state; 0: it came into being */
	enum job_state to;
	enum cause_code cause_code;
	const char *cause; /* may be NULL */
	int64_t by_uid;    /* -1: the daemon itself */
	const char *stop;  /* JSON, see core/stop.h; may be NULL */
};
int store_history_add(struct store *s, const struct store_edge *edge);
typedef int (*store_edge_fn)(void *arg,
			     const struct store_edge *edge); /* nonzero stops and is returned */
int store_history_each(struct store *s, uint64_t job, store_edge_fn fn, void *arg);

/* Insert J (sets J->id), its values for searching, and its environment (may be NULL) in the open
 * transaction. */
int store_job_insert(struct store *s, struct job *j, const struct strv *env);
/* Write every mutable field of J where the row still has state FROM and the same id. STORE_E_STALE
 * if not. A job that becomes succeeded loses its environment with it; that of another ended job is
 * marked for store_env_expire; one that is queued again (a retry) has its mark taken off. */
int store_job_update(struct store *s, const struct job *j, enum job_state from);
int store_job_get(struct store *s, uint64_t id,
		  struct job **ret); /* STORE_E_NOT_FOUND; RET is the caller's */
int store_env_get(struct store *s, uint64_t id,
		  struct strv *ret); /* STORE_E_NOT_FOUND when there is none (any more) */
int store_env_drop(struct store *s, uint64_t id);

/* JOB is borrowed, valid during the call. Nonzero stops the walk and is returned. No writing
 * inside. */
typedef int (*store_job_fn)(void *arg, const struct job *job);

/* ---- contexts: store_context.c */
/* The job of UID with this KEY (hidden ones too). STORE_E_NOT_FOUND. */
int store_job_by_key(struct store *s, uint32_t uid, const char *key, uint64_t *ret_id);
/* Contexts that are not over, have this PARENT and inherit its cancellation: the ids greater than
 * AFTER, ascending, at most MAX; number in RET_N. */
int store_attached(struct store *s, uint64_t parent, uint64_t after, uint64_t *ids, size_t max,
		   size_t *ret_n);
/* Where a deadline began that was handed down from PARENT: that, or as far above it as each has
 * inherited the same, up to SLACK_US from one to the next. What has no row is named all the same.
 */
int store_deadline_origin(struct store *s, uint64_t parent, int64_t inherited_us, int64_t slack_us,
			  uint64_t *ret_id);
/* Open scopes, by deadline. As store_live_each. */
int store_scopes_each(struct store *s, store_job_fn fn, void *arg);
/* How many UID has open, counted up to MOST. */
int store_scopes_of(struct store *s, uint32_t uid, uint64_t most, uint64_t *ret);
/* Earliest deadline_boot_ns of an open scope; STORE_E_NOT_FOUND. */
int store_scope_next_deadline(struct store *s, int64_t *ret_boot_ns);
/* Ids of open scopes with deadline_boot_ns <= NOW_NS; at most MAX. */
int store_scope_overdue(struct store *s, int64_t now_ns, uint64_t *ids, size_t max, size_t *ret_n);
/* Ids of jobs that are not over and bound to a connection: those greater than AFTER, at most MAX.
 */
int store_bound(struct store *s, uint64_t after, uint64_t *ids, size_t max, size_t *ret_n);

/* ---- events (store_event.c): history for a reader from outside, in the order of commits. Only
 * what is committed is shown; positions are never given twice, also where history was pruned. */
struct store_event {
	uint64_t edge; /* position: grows with each */
	struct store_edge e;
	uint32_t uid; /* of the job */
	enum job_kind kind;
};
struct store_event_filter { /* zero = everything */
	uint64_t after;     /* edges greater than this */
	int64_t since_us;   /* at or after */
	uint64_t job;       /* of this one only; 0: all */
	bool has_uid;
	uint32_t uid;    /* of the job */
	uint32_t limit;  /* events handed out at most; 0: no limit */
	uint32_t budget; /* rows examined at most; 0: no limit */
};
typedef int (*store_event_fn)(void *arg, const struct store_event *ev);
/* Oldest first. RET_NEXT: pass as `after` to go on, 0 when nothing more is there. Nonzero of FN
 * stops and is returned. */
int store_events(struct store *s, const struct store_event_filter *f, store_event_fn fn, void *arg,
		 uint64_t *ret_next);
int store_events_last(struct store *s, uint64_t *ret); /* newest edge ever, 0: none */

/* Rows that were read and found malformed since the database was opened: how many, and whether that
 * of ID is one. They are left out wherever several rows are asked for, but not by id, which gives
 * -EUCLEAN; and nothing is ever written to them. */
size_t store_n_broken(const struct store *s);
bool store_broken(const struct store *s, uint64_t id);

/* Rows running or stopping, by id. */
int store_live_each(struct store *s, store_job_fn fn, void *arg);

/* The queue. A lane is the queued jobs of one class and one uid; HEAD is the first by priority
 * (larger first), then id. */
struct store_lane {
	const char *class_name; /* borrowed */
	uint32_t uid;
	uint64_t n;
};
typedef int (*store_lane_fn)(void *arg, const struct store_lane *lane);
int store_lanes_each(struct store *s, store_lane_fn fn, void *arg);
int store_lane_head(struct store *s, const char *class_name, uint32_t uid, uint64_t *ret_id,
		    int32_t *ret_priority);
/* When the first was submitted of those of the class that wait for a slot; STORE_E_NOT_FOUND. */
int store_queue_oldest(struct store *s, const char *class_name, int64_t *ret_us);
/* Earliest deadline (wall) among the queued, whose rows hold the latest moment at which they may
 * end: as asked or as inherited; 0 where there is none. STORE_E_NOT_FOUND. */
int store_queue_next_deadline(struct store *s, int64_t *ret_us);
/* Ids of queued jobs whose deadline is <= NOW_US; at most MAX; number in RET_N. */
int store_queue_overdue(struct store *s, int64_t now_us, uint64_t *ids, size_t max, size_t *ret_n);

/* Queued jobs that wait for something else than a slot, by uid, class_name empty: they are in no
 * lane. */
int store_blocked_each(struct store *s, store_lane_fn fn, void *arg);
/* The earliest time for which one waits; STORE_E_NOT_FOUND. */
int store_delayed_next(struct store *s, int64_t *ret_us);
/* Ids of those whose time is <= NOW_US, or, of a further attempt, farther off than MOST_US (the
 * wall clock was set back); at most MAX. */
int store_delayed_due(struct store *s, int64_t now_us, int64_t most_us, uint64_t *ids, size_t max,
		      size_t *ret_n);

/* Counts kept by triggers: cheap at any size. Index = enum job_state. */
struct store_counts {
	uint64_t by_state[JOB_STATE_MAX + 1];
	uint64_t half_processed;
};
int store_counts(struct store *s, struct store_counts *ret);

struct store_filter {    /* zero = everything */
	uint32_t states; /* bit mask 1<<state; 0: all */
	const char *class_name, *name, *key;
	bool has_uid;
	uint32_t uid; /* jobs of this uid only (also how a stranger's view is limited) */
	bool half_processed;
	const struct strv *values; /* each NAME=VALUE is among the job's; NULL: any */
	const uint8_t *trace_id;   /* 16 bytes; NULL: any */
	uint64_t parent;           /* children of this one only; 0: any */
	uint64_t after; /* ids greater than this; LAST set: ids less than this (0: from the newest)
			 */
	int64_t since_us; /* submitted at or after */
	bool last;        /* walk from the newest id downwards instead of from the oldest upwards */
	uint32_t limit;   /* rows handed out at most; 0: no limit */
	uint32_t budget;  /* rows examined at most in this call, so that the loop is never held; 0:
			     no limit */
};
/* Calls FN for each match in order. RET_NEXT: the id to pass as `after` to go on, 0 when the walk
 * is complete. A full LIMIT also ends the call with RET_NEXT set. Untouched when FN stops the walk.
 * FN may read the store, but start no other walk of this kind. */
int store_list(struct store *s, const struct store_filter *f, store_job_fn fn, void *arg,
	       uint64_t *ret_next);

/* ---- who waits for whom, and what administrators said of the queue: store_wait.c */
enum store_need { STORE_NEED_OK = 1, STORE_NEED_ANY = 2, STORE_NEED_FAILED = 3 };
int store_after_add(struct store *s, uint64_t job, uint64_t on_job, enum store_need need);
int store_after_met(struct store *s, uint64_t job, uint64_t on_job); /* it waits for that no more */
/* It waits for nothing; how many it did for in *RET_N. */
int store_after_drop(struct store *s, uint64_t job, uint64_t *ret_n);
int store_after_count(struct store *s, uint64_t *ret); /* all */
/* The first for which JOB waits; STORE_E_NOT_FOUND. */
int store_after_first(struct store *s, uint64_t job, uint64_t *ret);
struct store_after {
	uint64_t job;
	enum store_need need;
};
/* Who waits for ON_JOB and has an id greater than AFTER: at most MAX; number in RET_N. */
int store_after_each(struct store *s, uint64_t on_job, uint64_t after, struct store_after *ret,
		     size_t max, size_t *ret_n);
typedef int (*store_id_fn)(void *arg, uint64_t id);
/* Jobs that have ended and for which others still wait. */
int store_after_ended_each(struct store *s, store_id_fn fn, void *arg);
enum store_control { STORE_PAUSE = 1, STORE_DRAIN = 2 };
/* CLASS_NAME "": all. */
int store_control_set(struct store *s, enum store_control kind, const char *class_name,
		      int64_t at_us, uint32_t by_uid);
int store_control_clear(struct store *s, enum store_control kind, const char *class_name);
typedef int (*store_control_fn)(void *arg, enum store_control kind, const char *class_name);
int store_control_each(struct store *s, store_control_fn fn, void *arg);

/* ---- the outbox: store_outbox.c. Texts in the order they were added, until they are forgotten. */
int store_outbox_add(struct store *s, const char *text, size_t n);
/* One for which there was no room is counted, for ever. */
int store_outbox_drop(struct store *s);
int store_outbox_count(struct store *s, uint64_t *ret_n, uint64_t *ret_dropped);
typedef int (*store_outbox_fn)(void *arg, uint64_t seq, const char *text, size_t n);
/* Those behind AFTER, at most MAX. Nonzero of FN stops and is returned. */
int store_outbox_each(struct store *s, uint64_t after, size_t max, store_outbox_fn fn, void *arg);
/* Forget those up to UPTO, at most MAX of them: how many in *RET_N. */
int store_outbox_forget(struct store *s, uint64_t upto, size_t max, uint64_t *ret_n);

/* ---- output that goes to the journal, too: store_forward.c. A row for each attempt that was
 * started so, until all of it was sent and its files stay, or its job's record goes. */
struct store_forward {
	uint64_t job;
	uint32_t attempt;
	bool keep, done; /* the files stay; the journal has all of it and the files are gone */
	struct {
		uint64_t at;    /* bytes of the file that the journal has */
		uint32_t round; /* how often the job cut it off before */
	} stream[2];            /* as enum output_stream */
};
int store_forward_add(struct store *s, const struct store_forward *f); /* or begin it anew */
int store_forward_get(struct store *s, uint64_t job, uint32_t attempt,
		      struct store_forward *ret); /* STORE_E_NOT_FOUND */
/* Of the attempts of JOB that are not done the first. STORE_E_NOT_FOUND. */
int store_forward_first(struct store *s, uint64_t job, struct store_forward *ret);
/* Jobs greater than AFTER with one that is not done: at most MAX, ascending; number in RET_N. */
int store_forward_jobs(struct store *s, uint64_t after, uint64_t *ids, size_t max, size_t *ret_n);
int store_forward_count(struct store *s, uint64_t *ret); /* those that are not done */
int store_forward_place(struct store *s, const struct store_forward *f);
/* All of it was sent. With F->keep it is forgotten; else its files, KEPT bytes, do not count for
 * its user any more. */
int store_forward_done(struct store *s, const struct store_forward *f, uint64_t kept);
int store_forward_drop(struct store *s, uint64_t job, uint32_t attempt);

/* Retention, in the open transaction. Jobs ended before BEFORE_US whose record may go: id and
 * attempt, at most MAX; never unresolved half-processed ones. */
struct store_old {
	uint64_t id;
	uint32_t attempt;
};
int store_old_jobs(struct store *s, int64_t before_us, struct store_old *ret, size_t max,
		   size_t *ret_n);
/* The same, as a walk that goes on after *CURSOR (zeroed at first; moved on by the call): looks at
 * BUDGET rows at most, and takes those of UID (-1: of all). *RET_OVER: there are no more. */
struct store_old_cursor {
	int64_t ended_us;
	uint64_t id;
};
int
store_old_walk(struct store *s, int64_t before_us, int64_t uid, struct store_old_cursor *cursor,
	       uint32_t budget, struct store_old *ret, size_t max, size_t *ret_n, bool *ret_over);
/* Give room back that nothing is in, some pages of it, in the open transaction. *RET_MORE: there is
 * still more of it than is worth keeping for what comes. */
int store_give_back(struct store *s, bool *ret_more);
int store_job_delete(struct store *s,
		     uint64_t id); /* with history and environment; ids are never reused */
/* Jobs ended before BEFORE_US whose output is not yet marked gone. */
int store_old_outputs(struct store *s, int64_t before_us, struct store_old *ret, size_t max,
		      size_t *ret_n);
/* Mark: output was removed, what was not sent of it will not be. */
int store_output_gone(struct store *s, uint64_t id);
/* How many bytes are kept for UID: output of ended jobs; standard input of jobs that may be started
 * (again). Cheap at any size. */
struct store_kept {
	int64_t output, input;
};
int store_kept(struct store *s, uint32_t uid, struct store_kept *ret);
/* One for whom more output than LIMIT is kept; STORE_E_NOT_FOUND. */
int store_kept_over(struct store *s, int64_t limit, uint32_t *ret_uid);
/* The job of UID that ended first of those with any such output; STORE_E_NOT_FOUND. */
int store_kept_oldest(struct store *s, uint32_t uid, struct store_old *ret);
/* May somebody want the output of job ID? 0: no, for its record is gone, or marked as above. 1:
 * yes, or it is no job of this database. Or negative errno. */
int store_output_kept(struct store *s, uint64_t id);
/* Drop environments of jobs ended before BEFORE_US, at most MAX; whose they were, in IDS. */
int store_env_expire(struct store *s, int64_t before_us, uint64_t *ids, size_t max, size_t *ret_n);

#endif
