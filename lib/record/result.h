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
/* RESULT_SIZE_1: of a record of version 1. A monitor of that version outlives the upgrade; what it
 * does not know is 0. */
enum { RESULT_VERSION = 2, RESULT_SIZE_1 = 160 };

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
	RESULT_HAS_MEMORY_PEAK = 64,
	RESULT_HAS_IO = 128,
	RESULT_OOM_AT_LIMIT = 256, /* with oom_kills: its own limit, not want of memory of all */
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
	/* Since version 2; from the job's cgroup, where it has one. */
	uint64_t memory_peak_bytes;             /* RESULT_HAS_MEMORY_PEAK */
	uint64_t io_read_bytes, io_write_bytes; /* RESULT_HAS_IO */
	uint64_t memory_max_bytes;              /* as it was set; 0: none */
	uint32_t oom_kills;  /* processes that the kernel killed for want of memory */
	uint32_t unenforced; /* SPEC_LIMIT_* bits: asked for, and not to be had */
	uint32_t term_processes, kill_processes; /* alive just before the signal */
	uint64_t reserved2[2];                   /* 0 */
};

_Static_assert(offsetof(struct result, memory_peak_bytes) == RESULT_SIZE_1, "result of version 1");
_Static_assert(sizeof(struct result) == 224, "result");

void result_init(struct result *r, uint64_t id, uint32_t attempt);
/* Well-formed and of this attempt? Of the SIZE bytes at R the rest up to the whole struct must be
 * there and 0: result_take. 0 or -EPROTO. */
int result_check(const struct result *r, size_t size, uint64_t id, uint32_t attempt);
/* The SIZE bytes at P, of this or an older version, as a whole struct. 0 or -EPROTO (also not of
 * this attempt); RET is filled in either case. */
int result_take(struct result *ret, const void *p, size_t size, uint64_t id, uint32_t attempt);

#endif
