/* result.h - how an attempt ended, as its monitor saw it: raw facts, never an interpretation.
 *
 * The same struct travels in FRAME_END and lies in the file `result` of the run directory (whole
 * file, written aside and renamed). A short, long or foreign record is an error, never a guess. */
#ifndef CTX_RECORD_RESULT_H
#define CTX_RECORD_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESULT_MAGIC UINT32_C(0x52585443) /* "CTXR" */
enum { RESULT_VERSION = 1 };

enum stop_cause { /* who asked the monitor to stop the tree; the first one wins */
		  STOP_CAUSE_NONE = 0,
		  STOP_CAUSE_DEADLINE = 1,
		  STOP_CAUSE_REQUEST = 2,
		  STOP_CAUSE_WATCHDOG = 3,
};

enum exec_step { /* where the start of the command broke */
		 EXEC_STEP_NONE = 0,
		 EXEC_STEP_SETUP = 1, /* session, descriptors, cgroup, limits, death signal */
		 EXEC_STEP_USER = 2,  /* setgroups, setgid, setuid */
		 EXEC_STEP_CHDIR = 3,
		 EXEC_STEP_EXEC = 4,
		 EXEC_STEP_FORK = 5,
};

enum {
	RESULT_HAS_STATUS = 1, /* wait_status is real */
	RESULT_TERM_SENT = 2,
	RESULT_KILL_SENT = 4,
	RESULT_CAP_UNENFORCED = 8, /* the file system cannot punch holes */
	RESULT_OUTPUT_FAILED = 16,
	RESULT_SELF_EXTENDED = 32, /* deadline_ns was moved last by the job itself */
};

struct result {
	uint32_t magic;
	uint16_t version;
	uint16_t size;
	uint64_t id;
	uint32_t attempt;
	uint32_t flags;      /* RESULT_* */
	int32_t wait_status; /* raw, of the main process */
	int32_t exec_error;  /* errno, positive; 0: the command was executed */
	uint32_t exec_step;  /* enum exec_step */
	uint32_t stop_cause; /* enum stop_cause */
	uint32_t pid;        /* main process; 0: none */
	uint32_t leftovers;  /* processes still there when the main process had ended by itself */
	int64_t started_us;  /* wall times; 0: did not happen */
	int64_t ended_us;    /* tree empty */
	int64_t main_ended_us;
	int64_t term_us;
	int64_t kill_us;
	uint64_t out_bytes;          /* written by the job, stdout file */
	uint64_t out_dropped;        /* of these, punched */
	uint64_t user_us, system_us; /* of the whole tree reaped */
	uint64_t max_rss_bytes;
	uint64_t err_bytes, err_dropped; /* of a stderr file of its own */
	int64_t deadline_ns;             /* CLOCK_BOOTTIME, as it was at the end */
	uint64_t reserved[1];            /* 0 */
};

_Static_assert(sizeof(struct result) == 160, "result");

void result_init(struct result *r, uint64_t id, uint32_t attempt);
/* Well-formed and of this attempt? 0 or -EPROTO. */
int result_check(const struct result *r, size_t size, uint64_t id, uint32_t attempt);

#endif
