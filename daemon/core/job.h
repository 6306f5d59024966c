/* job.h - a job as the daemon knows it: one row of the database in memory. Pure data and rules; no
 * IO. */
#ifndef CTXD_CORE_JOB_H
#define CTXD_CORE_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/strv.h"
#include "trace/trace.h"

enum job_state {
#define JOB_STATE(id, name, number, ended, next) JOB_##id = (number),
#include "core/job_state.def"
#undef JOB_STATE
	JOB_STATE_MAX = 10
};
enum job_kind { JOB_KIND_JOB = 1, JOB_KIND_SCOPE = 2 };
enum cause_code {
#define CAUSE(id, name, number) CAUSE_##id = (number),
#include "core/names.def"
};
enum deadline_rule {
#define RULE(id, name, number) RULE_##id = (number),
#include "core/names.def"
};
enum known_by {
#define KNOWN_BY(id, name, number) KNOWN_BY_##id = (number),
#include "core/names.def"
};
enum job_limit { /* bits */
#define LIMIT(id, name, number) JOB_LIMIT_##id = (number),
#include "core/names.def"
};
enum { INHERIT_VALUES = 1, INHERIT_TRACE = 2, INHERIT_DEADLINE = 4, INHERIT_CANCEL = 8 };

/* How the attempt was stopped. Wall microseconds, 0: did not happen. All zero: nobody stopped it.
 */
struct job_stop {
	int64_t asked_us; /* by a person, a client that went, a context above, a deadline */
	bool has_uid;
	uint32_t uid;    /* who asked */
	uint32_t pid;    /* their client; 0: not known */
	uint64_t parent; /* the context whose end or cancellation it follows; 0: none */
	int64_t term_us, kill_us, main_ended_us;
	bool has_counts;
	uint32_t term_processes, kill_processes; /* alive when the signal went out */
};

/* Times: wall microseconds since the epoch, 0 = unset. Strings: owned by the job unless it was
 * handed out as borrowed (store_list); NULL = unset. */
struct job {
	uint64_t id; /* 0: not inserted yet */
	enum job_kind kind;
	enum job_state state;
	char *name, *class_name, *key;

	/* Who: the kernel's word at submission. user, home, shell: of the name service at that
	 * time; may be NULL. */
	uint32_t uid, gid;
	uint32_t *groups; /* owned */
	size_t n_groups;
	char *user, *home, *shell;
	uint32_t submitted_by; /* uid that asked: another's than UID if an administrator did */

	/* What. */
	struct strv argv;
	char *cwd;
	uint32_t umask;
	int32_t priority; /* larger first */
	bool split_output;
	bool has_stdin;
	uint64_t stdin_bytes,
		stdin_hash; /* of what was spooled; a hash to compare with, not to trust */

	/* The context. */
	uint64_t parent;    /* 0: none */
	uint32_t inherit;   /* INHERIT_*: what it takes from the parent, or from its client */
	bool bound;         /* ends with the connection of its client */
	struct strv values; /* NAME=VALUE sorted by name, inherited ones included */
	struct trace_context trace; /* of this context: trace id, its own span, flags */
	bool has_parent_span;
	uint8_t parent_span[8];
	char *tracestate, *baggage;
	int64_t inherited_us; /* wall: an inherited deadline as it was at submission; 0: none */

	/* Asked; 0 = not asked. */
	int64_t timeout_requested_us;
	int64_t deadline_requested_us; /* wall */
	int64_t warn_us; /* before the deadline, WARN_SIGNAL goes to the main process */
	int32_t warn_signal;
	int64_t watchdog_us; /* longest silence */
	uint32_t retries;    /* attempts after the first that ctxd may make by itself */
	int64_t backoff_us;  /* before the first of them */

	/* Granted: at acceptance, again at each start with the configuration then in force. */
	int64_t timeout_us;
	enum deadline_rule deadline_rule;
	int64_t deadline_us;      /* wall, for display; when queued: the absolute one or 0 */
	int64_t deadline_boot_ns; /* CLOCK_BOOTTIME of this attempt; 0 until started */
	int64_t grace_us;
	int32_t stop_signal;

	/* The attempt. */
	uint32_t attempt;      /* from 1 */
	uint32_t retried;      /* attempts made by ctxd itself since the last that was asked for */
	int64_t not_before_us; /* wall: when queued, waits until then; 0: for nothing but a slot */
	bool held;             /* when queued, until somebody releases it */
	uint32_t waits;        /* when queued: how many jobs it still waits for */
	uint64_t waits_on;     /* of these the first; 0: not looked up */
	bool paused;           /* what it is in the queue of is paused; looked up with it */
	uint32_t requeues; /* how often this attempt was put back because it provably never ran */
	uint64_t seq;      /* spawn sequence; 0: never started */
	uint8_t boot[16];  /* boot id of the attempt's start */
	uint32_t pid;      /* main process; 0 unknown */
	uint32_t cancel_attempt; /* a cancel is committed for this attempt; 0: none */
	bool cancel_now;
	struct job_stop stop;
	uint32_t unenforced; /* JOB_LIMIT_*: its class asks for them, and they could not be had */

	int64_t submitted_us, started_us, ended_us;

	/* What the job said of itself, in this attempt. */
	int64_t progress_us; /* when; 0: nothing */
	bool has_percent;
	double percent; /* 0..100 */
	char *progress_text;
	int64_t ready_us;      /* READY=1 */
	bool has_last_percent; /* and what it said last in an earlier attempt */
	double last_percent;
	char *last_text;
	int64_t seen_us; /* interrupted: when its monitor was heard last; 0: never by this ctxd */

	/* The end; meaningful in an ended state, cause also while stopping. */
	bool has_exit_code;
	int32_t exit_code;
	int32_t signal; /* 0: none */
	bool has_leftovers;
	uint32_t leftovers;
	bool survivors_possible;
	enum cause_code cause_code;
	char *cause; /* text, given or made */
	enum known_by known_by;
	int32_t exec_errno; /* 0: executed */

	uint64_t err_bytes, err_dropped; /* of the file of stderr, with split_output */
	uint64_t out_bytes, out_dropped; /* of the last attempt; live ones are asked of the file */
	bool has_usage;
	uint64_t user_us, system_us, max_rss_bytes;
	bool has_memory_peak, has_io; /* of its cgroup, where it had one */
	uint64_t memory_peak_bytes, io_read_bytes, io_write_bytes;

	/* Resolution of an interrupted job by a person; NULL: none. */
	char *resolution_as, *resolution_note;
	uint32_t resolution_by;
	int64_t resolution_at_us;
};

struct job *job_new(void); /* zeroed, kind job, attempt 1; NULL on ENOMEM */
struct job *job_free(struct job *j);
static inline void
job_freep(struct job **p)
{
	*p = job_free(*p);
}
/* Deep copy; works on a borrowed job. NULL on ENOMEM. */
struct job *job_copy(const struct job *j);
/* Replace an owned string. S NULL clears. 0 or -ENOMEM. */
int job_set(char **field, const char *s);

const char *job_state_name(enum job_state s);
/* 0 or -EINVAL. */
int job_state_parse(const char *name, enum job_state *ret);
bool job_state_ended(enum job_state s);
/* May a job go FROM -> TO? */
bool job_state_allowed(enum job_state from, enum job_state to);
const char *job_cause_name(enum cause_code c); /* NULL for NONE */
const char *job_rule_name(enum deadline_rule r);
/* Name of the rule of the deadline that stopped J; NULL: none did. */
const char *job_stop_rule(const struct job *j);
const char *job_known_by_name(enum known_by k); /* NULL for NONE */
/* The configuration key that the one bit L stands for; NULL: none. */
const char *job_limit_name(uint32_t l);
bool job_was_stopped(const struct job *j); /* J->stop tells something */
/* "context canceled", "context deadline exceeded", or NULL: as Go's ctx.Err(). */
const char *job_err(const struct job *j);
/* A key that its client made for one call: shown to nobody. */
bool job_key_is_hidden(const char *key);
/* Queued, and something else than the lack of a slot keeps it from starting. */
bool job_blocked(const struct job *j);
/* It has ended, and it is known how: nobody but a retry will change that. */
bool job_is_settled(const struct job *j);
/* Interrupted and nobody has resolved it. */
bool job_half_processed(const struct job *j);

#endif
