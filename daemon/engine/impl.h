/* impl.h - what the files of daemon/engine share: the engine's state. Who does what:
 *
 *   txn.h        one iteration, one transaction; effects after the commit
 *   lifecycle.h  from state to state
 *     lifecycle.c  the only writer of a job's state
 *     stop.c       a job that runs is taken to stopping
 *     finish.c     a job is taken to its end, or back to the queue
 *     control.c    what a client asks to be done to a job
 *     retry.c      one more attempt, asked for or not
 *     hook.c       the command that is run for a half-processed job
 *     resolve.c    what a person says of a half-processed job
 *     shutdown.c   the machine goes down: all that runs is stopped, nothing more is begun
 *   live.h       one attempt
 *     start.c      environment and spec of a job; handing it to exec
 *     limits.c     what a job's class limits, and who is told when it cannot be
 *     live.c       the table of jobs that are running or stopping; their deadline's backstop
 *     progress.c   what jobs say of themselves; signals to them
 *     judge.c      what an end means: facts, state, cause
 *     recovery.c   the recovery table
 *   lanes.h      in memory
 *     lanes.c      how many queue and run, by class and user
 *     lanes_pick.c whose turn it is
 *   queue.h      what waits
 *     sched.c      when something is started; overdue queued ones
 *     delay.c      the wait for a time
 *     depend.c     jobs that wait for others
 *     hold.c       for somebody's word
 *     control_queue.c  pausing a class or all of the queue, draining it
 *   tree.h       contexts
 *     context.c    what a new one takes from its parent: values, trace, deadline, cancellation
 *     tree.c       what its end or cancellation does to all that is attached below it
 *     scope.c      contexts without a command: made, closed, their deadlines
 *     bound.c      jobs that end with the connection of their client; clients that come back
 *   submit.h     accepting
 *     submit.c     a job; submit_check.c says which are not
 *     key.c        same key, same job
 *     notice.c     what a submitter is told beside the id
 *   tell.h       who is told
 *     log_job.c    lines of the log about a job
 *     audit.c      lines of the log about deeds to jobs of others
 *     watch.c      who waits for a job
 *     events.c     history for readers, and who is told that there is more of it
 *     outbox.c     spans of what has ended, until they are exported
 *     query.c      what is said of jobs
 *   files.h      what lies on the disk beside the database
 *     spool.c      standard input of jobs
 *   forward.h    output goes on to the journal
 *     forward.c       what the others have to do with it
 *     forward_jobs.c  whose is sent, forward_run.c: whose turn it is, forward_turn.c: line by line
 *     forward_place.c how far it came, for certain
 *     sweep.c      removes input and output that a crash left behind
 *     retain.c     removing what is over, by itself; prune.c: because somebody asks
 *     storage.c    when writing fails: told, and tried until it goes well
 *   engine.h     all of it for daemon/api and main; refusal.c makes its refusals
 *     metrics.c    what is counted, together with what is now
 *   check.c      CTXD_CHECK=1: memory against the database
 *   backup.h     a copy of the database, while everything goes on
 *
 * Rules: the database is the truth. Counts in memory follow it and are rebuilt from it when a
 * commit fails (engine_resync). struct live exists for a committed running or stopping row only.
 * Whatever leaves the process waits for the commit. */
#ifndef CTXD_ENGINE_IMPL_H
#define CTXD_ENGINE_IMPL_H

#include <ev.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "core/job.h"
#include "core/metrics.h"
#include "core/policy.h"
#include "engine/engine.h"
#include "engine/files.h"
#include "engine/lanes.h"
#include "exec/exec.h"
#include "exec/output.h"
#include "store/store.h"

#define STORAGE_RETRY_SEC 1.0 /* until a failed write of our own is tried again */

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
	int64_t reattach_ns;   /* CLOCK_BOOTTIME when that is due */
	bool reattach_late;    /* and came so late that it was put off */
	struct map missing;    /* bound jobs without their client, by id: see bound.c */
	uint64_t tree_checked; /* tree_check has come so far */
	struct list listeners; /* of struct engine_listener */
	bool changed;          /* CHANGED_FX is out: it tells the listeners after this commit */
	struct effect changed_fx;
	ev_timer drained_by; /* then what is still stopping is killed */
	struct spools spools;
	struct forward *forward; /* owned; NULL: no output goes to the journal */
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

/* ---- engine.c */
void engine_resync(struct engine *g);
/* Append to IDS. 0 or -ENOMEM. */
int engine_ids_add(struct engine_ids *ids, uint64_t id);
/* The job with this id, if WHO may see it: 0, ENGINE_E_REFUSED, or negative errno. RET is the
 * caller's. */
int engine_fetch(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
		 struct refusal *r);
void engine_check(struct engine *g); /* check.c */

#endif
