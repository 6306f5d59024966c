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
#include "core/job.h"
#include "engine/txn.h"
#include "store/store.h"

struct ctx_err;
struct engine;
struct ev_loop;
struct exec_options;
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
	char field[64];
	char reason[256];
};
int refusal_set(struct refusal *r, enum refusal_kind kind, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));         /* returns ENGINE_E_REFUSED */
void refusal_from_errno(struct refusal *r, int error); /* StorageUnavailable with a reason */

struct requester { /* who asks; lives in the connection */
	uint32_t uid, gid;
	const uint32_t *groups; /* borrowed */
	size_t n_groups;
	int32_t pid;
	const char *user, *home, *shell; /* borrowed; NULL if the name service did not say */
};

struct submit_args { /* all borrowed; 0 or NULL = not given */
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
	uint32_t inherit; /* INHERIT_CANCEL: bound to the connection */
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
};
int engine_new(struct ev_loop *loop, const struct engine_options *o, struct engine **ret,
	       struct ctx_err *e);
struct engine *engine_free(struct engine *g); /* jobs live on */
void engine_start(struct engine *g); /* after the sockets listen: link the spawner, run recovery */
/* Graceful stop begins: nothing is accepted or started any more, connections that go away cancel
 * nothing. */
void engine_stop(struct engine *g);
uint64_t engine_running(const struct engine *g);            /* rows running or stopping */
void engine_policy_set(struct engine *g, struct policy *p); /* takes P, frees the old one */
const struct policy *engine_policy(const struct engine *g);
bool engine_is_admin(const struct engine *g, const struct requester *who);

/* RET_JOB is the caller's. */
int engine_submit(struct engine *g, const struct requester *who, const struct submit_args *a,
		  struct job **ret_job, struct notices *n, struct refusal *r);
int engine_get(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	       struct refusal *r);
/* F->has_uid is forced for one who is no admin. */
int engine_list(struct engine *g, const struct requester *who, const struct store_filter *f,
		store_job_fn fn, void *arg, uint64_t *ret_next, struct refusal *r);
/* Already ended is success: *RET is the job as it is. CAUSE may be NULL. */
int engine_cancel(struct engine *g, const struct requester *who, uint64_t id, const char *cause,
		  bool now, struct job **ret, struct refusal *r);
/* The connection to which a job was bound is gone: cancels with CAUSE_CLIENT_GONE. Nobody waits for
 * an answer. */
void engine_client_gone(struct engine *g, uint64_t id);
/* Exactly one of BY_US, TO_US (wall) is nonzero. */
int engine_extend(struct engine *g, const struct requester *who, uint64_t id, int64_t by_us,
		  int64_t to_us, struct job **ret, struct refusal *r);
/* For reading a job's output: RET_FD is the caller's; -1 when there is none (any more). */
int engine_output(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
		  int *ret_fd, struct refusal *r);

struct engine_stats {
	int64_t started_us;
	struct store_counts counts;
	int64_t db_bytes;
	bool spawner_up, cgroup, storage_ok;
	uint64_t monitors; /* linked */
};
int engine_stats(struct engine *g, struct engine_stats *ret);

/* Told once, after the commit that ended the job. Remove before freeing; a told watch is out of the
 * list already. */
struct engine_watch {
	struct list link; /* list_init before add */
	uint64_t job;
	void (*on_end)(struct engine_watch *w, const struct job *job);
};
int engine_watch_add(struct engine *g, struct engine_watch *w); /* 0 or -ENOMEM */
void engine_watch_remove(struct engine *g, struct engine_watch *w);

/* Run after this iteration's commit, in order, before anything else that follows from it. */
void engine_defer(struct engine *g, struct effect *fx);

#endif
