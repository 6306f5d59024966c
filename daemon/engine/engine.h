/* engine.h - the daemon's logic, as the socket (daemon/api) and main see it: submit, cancel,
 * extend, query, watch.
 *
 * Every call runs inside the current loop iteration's transaction. Nothing that came of it may
 * leave the process before the commit: replies are therefore *effects* (struct effect), run after
 * the commit, or told that it failed. Calls return 0; ENGINE_E_REFUSED with *r filled (a person's
 * or client's mistake, or a limit; nothing was changed); or negative errno (storage trouble: answer
 * StorageUnavailable; refusal_from_errno makes that refusal). */
#ifndef CTXD_ENGINE_ENGINE_H
#define CTXD_ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/log.h"
#include "core/job.h"
#include "engine/txn.h"
#include "store/store.h"

struct ctx_err;
struct engine;
struct ev_loop;
struct exec_options;
struct journal_query;
struct metrics;
struct policy;

enum { ENGINE_E_REFUSED = 1 };

enum refusal_kind {                              /* names of errors in io.ctxd */
		    REFUSAL_NO_SUCH_JOB = 1,     /* id */
		    REFUSAL_NOT_PERMITTED,       /* reason */
		    REFUSAL_INVALID_ARGUMENT,    /* field, reason */
		    REFUSAL_KEY_CONFLICT,        /* key in field, id */
		    REFUSAL_QUEUE_FULL,          /* limit */
		    REFUSAL_STORAGE_UNAVAILABLE, /* reason */
		    REFUSAL_ALREADY_ENDED,       /* id, state */
		    REFUSAL_DRAINING,
		    REFUSAL_NOT_READY, /* reason */
};
struct refusal {
	enum refusal_kind kind;
	uint64_t id;
	uint64_t limit;
	enum job_state state;
	char field[132]; /* holds a whole key */
	char reason[256];
};
int refusal_set(struct refusal *r, enum refusal_kind kind, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));         /* returns ENGINE_E_REFUSED */
int refusal_draining(struct refusal *r);               /* the same, with what all are told */
void refusal_from_errno(struct refusal *r, int error); /* StorageUnavailable with a reason */

struct requester { /* who asks; lives in the connection */
	uint32_t uid, gid;
	const uint32_t *groups; /* borrowed */
	size_t n_groups;
	int32_t pid;
	const char *user, *home, *shell; /* borrowed; NULL if the name service did not say */
};

/* What a new context takes from its parent, and what it brings. */
struct context_args { /* all borrowed; 0 or NULL = not given */
	uint64_t parent;
	bool has_inherit;   /* else: values and trace of the parent */
	uint32_t inherit;   /* INHERIT_* */
	struct strv values; /* NAME=VALUE: beside, or instead of, the inherited ones */
	const char *traceparent, *tracestate, *baggage;
};
enum if_exists { IF_EXISTS_RETURN = 0, IF_EXISTS_RETRY, IF_EXISTS_FAIL };
struct submit_args {                /* all borrowed; 0 or NULL = not given */
	const struct requester *as; /* whose job it will be; NULL: of who asks */
	struct context_args context;
	struct strv argv;
	const char *name, *class_name, *cwd;
	struct strv env; /* NAME=VALUE */
	bool has_umask, has_priority;
	uint32_t umask;
	int32_t priority;
	int64_t timeout_us;  /* INT64_MAX: `max` */
	int64_t deadline_us; /* wall */
	int64_t grace_us;
	int32_t stop_signal;
	bool bound; /* to the connection: engine_client_gone will be called if it ends first */
	const char *key;
	enum if_exists if_exists;
	struct spool *stdin_spool; /* what is fed to it; stays the caller's, see engine_spool_new */
	bool split_output;
	int64_t warn_us;
	int32_t warn_signal; /* 0: USR1 */
	int64_t watchdog_us;
	struct strv after;     /* each ID, ID:ok, ID:any or ID:failed */
	int64_t not_before_us; /* wall */
	uint32_t retries;      /* after a failure */
	int64_t backoff_us;    /* before the first of them; doubled for each */
};
struct scope_args {
	struct context_args context;
	const char *name, *class_name;
	int64_t timeout_us;  /* 0 and INT64_MAX: as long as is allowed */
	int64_t deadline_us; /* wall */
};
enum { NOTICES_MAX = 8 };
struct notices { /* said to the submitter: what was clamped or dropped */
	char text[NOTICES_MAX][200];
	size_t n;
};

struct engine_options {
	const char *state_dir;
	bool system_mode;
	const char *socket_path;   /* CTXD_SOCKET of jobs; borrowed for life */
	struct policy *policy;     /* taken */
	struct exec_options *exec; /* runtime_dir, spawner_path; the rest is filled here */
	/* May be NULL: the database cannot be written any more, or can again. */
	void (*on_storage)(void *arg, bool ok);
	void *on_storage_arg;
};
int engine_new(struct ev_loop *loop, const struct engine_options *o, struct engine **ret,
	       struct ctx_err *e);
struct engine *engine_free(struct engine *g); /* jobs live on */
void engine_start(struct engine *g); /* after the sockets listen: link the spawner, run recovery */
/* Graceful stop begins: nothing is accepted or started any more, connections that go away cancel
 * nothing. */
void engine_stop(struct engine *g);
uint64_t engine_running(const struct engine *g); /* rows running or stopping */
/* The machine goes down: all that runs is asked to stop, and killed WITHIN_US later (0: after its
 * own grace alone); it ends as interrupted, cause shutdown. Nothing is accepted or started any more
 * in the life of G. *RET_N: how many were asked by this call. 0 or negative errno. Over when
 * engine_running is 0. */
int
engine_shutdown(struct engine *g, const struct requester *who, int64_t within_us, uint64_t *ret_n);
void engine_policy_set(struct engine *g, struct policy *p); /* takes P, frees the old one */
const struct policy *engine_policy(const struct engine *g);
bool engine_is_admin(const struct engine *g, const struct requester *who);

/* May WHO submit for other users at all? 0 or ENGINE_E_REFUSED. */
int engine_submit_for(struct engine *g, const struct requester *who, struct refusal *r);
/* RET_JOB is the caller's. *RET_CREATED is false when the key named a job that is there already:
 * then RET_JOB is that one, whatever its state (with IF_EXISTS_RETRY: started anew if it had ended
 * without success). */
int engine_submit(struct engine *g, const struct requester *who, const struct submit_args *a,
		  struct job **ret_job, bool *ret_created, struct notices *n, struct refusal *r);
/* A context without a command. */
int engine_scope(struct engine *g, const struct requester *who, const struct scope_args *a,
		 struct job **ret, struct notices *n, struct refusal *r);
/* Close a scope: cancels all that is attached below. Closed (or otherwise over) already is success.
 * REACHED (may be NULL): appends the ids that were not over yet and now are being ended; a block of
 * the caller's. */
struct engine_ids {
	uint64_t *v;
	size_t n, cap;
};
int engine_close(struct engine *g, const struct requester *who, uint64_t id, const char *cause,
		 bool now, struct job **ret, struct engine_ids *reached, struct refusal *r);
/* A signal to the main process of a running or stopping job, or to every process of its tree. Sent
 * after the commit of this iteration; nothing is recorded but a line in the log. */
int engine_signal(struct engine *g, const struct requester *who, uint64_t id, int signo, bool tree,
		  struct job **ret, struct refusal *r);
/* Progress as told over the socket: of a job that is not over. TEXT NULL, HAS_PERCENT false: as
 * they were. */
int engine_progress(struct engine *g, const struct requester *who, uint64_t id, bool has_percent,
		    double percent, const char *text, struct job **ret, struct refusal *r);
/* Fill in what is in no row: of a job that runs, what only memory and the output files know; of one
 * that queues, what it waits for. A job as engine_get and engine_list give it has that already. */
void engine_live_facts(struct engine *g, struct job *j);
int engine_get(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	       struct refusal *r);
/* F->has_uid is forced for one who is no admin. */
int engine_list(struct engine *g, const struct requester *who, const struct store_filter *f,
		store_job_fn fn, void *arg, uint64_t *ret_next, struct refusal *r);
/* Already ended is success: *RET is the job as it is. CAUSE may be NULL; daemon/api has bounded it.
 */
int engine_cancel(struct engine *g, const struct requester *who, uint64_t id, const char *cause,
		  bool now, struct job **ret, struct refusal *r);
/* One more attempt of a job that ended without success. One that waits for its next attempt goes on
 * at once. */
int engine_retry(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
		 struct refusal *r);
/* A person's word (AS: succeeded or failed; NOTE may be NULL) on an interrupted job, given once. */
int engine_resolve(struct engine *g, const struct requester *who, uint64_t id, const char *as,
		   const char *note, struct job **ret, struct refusal *r);
/* The connection to which a job was bound is gone: cancels with CAUSE_CLIENT_GONE. Nobody waits for
 * an answer. */
void engine_client_gone(struct engine *g, uint64_t id);
/* Exactly one of BY_US, TO_US (wall) is nonzero. */
int engine_extend(struct engine *g, const struct requester *who, uint64_t id, int64_t by_us,
		  int64_t to_us, struct job **ret, struct refusal *r);
/* A client that lost its connection through our own end is back for its job (found by its key). */
void engine_client_back(struct engine *g, uint64_t id);
/* For reading a job's output, of stderr with ERR (there is one with split_output only): RET_FD is
 * the caller's; -1 when there is none (any more). */
int engine_output(struct engine *g, const struct requester *who, uint64_t id, bool err,
		  struct job **ret, int *ret_fd, struct refusal *r);
/* Of J, as engine_output gave it: is its output in the journal, and nowhere else? 1: yes, with what
 * to ask it; 0: no; or negative errno. */
int engine_journaled(struct engine *g, const struct job *j, bool err, struct journal_query *ret);
/* History. F->has_uid is forced for one who is no admin. */
int engine_events(struct engine *g, const struct requester *who, const struct store_event_filter *f,
		  store_event_fn fn, void *arg, uint64_t *ret_next, struct refusal *r);

struct engine_space { /* of the file system of a directory, in bytes; -1: not known */
	int64_t free, size;
};
struct engine_stats {
	int64_t started_us;
	struct store_counts counts;
	int64_t db_bytes, wal_bytes; /* DB_BYTES: with the WAL */
	struct engine_space state, output, run;
	int64_t clock_step_us; /* how far the wall clock was set since the start */
	bool spawner_up, spawner_old, cgroup, storage_ok;
	bool spawner_missing; /* it is not up, or too old, and there is, or in system mode may be,
				 work for it */
	bool draining;        /* engine_shutdown was called */
	uint64_t broken_rows; /* of jobs, found malformed since the start */
	uint32_t unenforced;  /* JOB_LIMIT_*: asked for by classes */
	uint64_t monitors;    /* linked */
	bool journal_ok;      /* the journal takes what it is to have of output, or need not */
	uint64_t journal_waiting; /* attempts not all of whose output it has */
};
int engine_stats(struct engine *g, struct engine_stats *ret);
int64_t engine_started_us(const struct engine *g); /* wall */
/* What was counted since the start, with an entry for each class that there is; valid until the
 * loop goes on. */
const struct metrics *engine_metrics(struct engine *g);
struct engine_class_load {
	uint64_t queued; /* wait for a slot, and for nothing else */
	uint64_t running;
	int64_t oldest_us; /* when the first of the queued was submitted; 0: there is none */
};
/* What there is of a class now. 0 or negative errno. */
int engine_class_load(struct engine *g, const char *class_name, struct engine_class_load *ret);
/* For administrators, which the caller has checked. A job that is not queued is refused. */
int engine_hold(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
		struct refusal *r);
int engine_release(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
		   struct refusal *r);
int engine_reprioritize(struct engine *g, const struct requester *who, uint64_t id,
			int32_t priority, struct job **ret, struct refusal *r);
/* Nothing of the class (NULL: nothing at all) is started until it is resumed. Resuming all takes
 * back each pause, and draining. */
int engine_pause(struct engine *g, const struct requester *who, const char *class_name,
		 struct refusal *r);
int engine_resume(struct engine *g, const struct requester *who, const char *class_name,
		  struct refusal *r);
int engine_drain(struct engine *g, const struct requester *who); /* take nothing, start nothing */
bool engine_drains(const struct engine *g); /* is it so now, by that or by engine_shutdown? */
/* What is said of the queue: FN for each paused class. */
void engine_queue_each(const struct engine *g, void (*fn)(void *arg, const char *class_name),
		       void *arg, bool *ret_all, bool *ret_drain);
bool engine_is_exporter(const struct engine *g, const struct requester *who);
/* Spans behind AFTER in their order, at most MAX; nonzero of FN stops and is returned. */
int engine_spans(struct engine *g, uint64_t after, size_t max, store_outbox_fn fn, void *arg);
/* Those up to UPTO have arrived: they are forgotten. */
int engine_spans_forget(struct engine *g, uint64_t upto);
void engine_outbox(const struct engine *g, uint64_t *ret_waiting, uint64_t *ret_dropped);

/* Told once, after the commit that ended the job. Remove before freeing; a told watch is out of the
 * list already. */
struct engine_watch {
	struct list link; /* list_init before add */
	uint64_t job;
	void (*on_end)(struct engine_watch *w, const struct job *job);
	/* May be NULL: after the commit of a next attempt that ctxd makes by itself. W stays. */
	void (*on_again)(struct engine_watch *w);
};
/* Ended records, with all that belongs to them, a few with each call, each in the transaction of
 * its iteration. */
struct engine_prune {
	const uint64_t *ids; /* borrowed; NULL: by age */
	size_t n_ids, i;
	int64_t before_us; /* ended before that */
	struct store_old_cursor cursor;
	uint64_t pruned;
};
/* Is it for WHO to remove P->ids, and can they be? 0, ENGINE_E_REFUSED or negative errno. */
int engine_prune_check(struct engine *g, const struct requester *who, const struct engine_prune *p,
		       struct refusal *r);
/* *RET_OVER: nothing is left to do. 0 or negative errno. */
int engine_prune_step(struct engine *g, const struct requester *who, struct engine_prune *p,
		      bool *ret_over);
int engine_watch_add(struct engine *g, struct engine_watch *w); /* 0 or -ENOMEM */
void engine_watch_remove(struct engine *g, struct engine_watch *w);

/* Told after each commit in which something was written that Events shows, or a job told progress:
 * then it is time to read again. Remove before freeing. */
struct engine_listener {
	struct list link; /* list_init before add */
	void (*on_change)(struct engine_listener *l);
};
void engine_listener_add(struct engine *g, struct engine_listener *l);
void engine_listener_remove(struct engine_listener *l);

/* What will be the standard input of a job: collected in a nameless file of the state directory. A
 * spool is its maker's to free, always. An engine_submit that makes a job of it empties it: it can
 * be used no more, and costs nothing. */
struct spool;
/* For WHO, who may have only so many, and so many bytes in all of them. 0, -EDQUOT, or another
 * negative errno. */
int engine_spool_new(struct engine *g, const struct requester *who, struct spool **ret);
/* Appends; the most is `[limits] stdin_max`: -EFBIG beyond it. -EDQUOT when all spools of this user
 * hold too much. Or -ENOSPC, -EIO... On failure S is as it was before. */
int engine_spool_add(struct engine *g, struct spool *s, const void *p, size_t n);
uint64_t spool_bytes(const struct spool *s);
struct spool *spool_free(struct spool *s);

/* A line of the log about job ID (0: about none) of which no more is at hand: its row is read for
 * what the journal is to know, where one takes it. User text must be escaped. */
void engine_log_about(struct engine *g, enum log_level l, uint64_t id, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* Run after this iteration's commit, in order, before anything else that follows from it. */
void engine_defer(struct engine *g, struct effect *fx);

#endif
