/* spec.h - what to run: built by ctxd in a sealed memfd, read by the monitor. The privileged side
 * opens no path that a stranger named: it only reads these bytes. */
#ifndef CTX_RECORD_SPEC_H
#define CTX_RECORD_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/strv.h"

enum { SPEC_VERSION = 3, SPEC_VERSION_FIRST = 2, SPEC_MAX = 8 << 20 };

/* Bits that name what a job's class asks for, and also what could not be had of it. They are kept
 * in records: never renumbered. */
enum spec_limit {
	SPEC_LIMIT_MEMORY_MAX = 1,
	SPEC_LIMIT_CPU_MAX = 2,
	SPEC_LIMIT_PIDS_MAX = 4,
	SPEC_LIMIT_IO_WEIGHT = 8,
	SPEC_LIMIT_NICE = 16,
};
/* Resource limits: index into limit[], and bit SPEC_LIMIT_OF(index). */
enum spec_rlimit {
	SPEC_NOFILE,
	SPEC_NPROC,
	SPEC_CORE,
	SPEC_FSIZE,
	SPEC_AS,
	SPEC_STACK,
	SPEC_MEMLOCK,
	SPEC_CPU,
	SPEC_DATA,
	SPEC_RLIMITS
};
#define SPEC_LIMIT_OF(i) (UINT32_C(1) << (8 + (i)))
#define SPEC_INFINITY UINT64_MAX
enum { SPEC_CPU_MAX = 100000, SPEC_IO_WEIGHT_MAX = 10000 };

struct spec {
	uint64_t id;
	uint32_t attempt;
	uint32_t uid, gid;
	uint32_t *groups; /* owned; may be NULL */
	uint32_t n_groups;
	uint32_t umask;
	int32_t stop_signal;
	int32_t nice;        /* added to the spawner's */
	int64_t deadline_ns; /* CLOCK_BOOTTIME, absolute */
	int64_t grace_ns;
	int64_t limit_ns; /* CLOCK_BOOTTIME: as far as the job may move its own deadline; not before
			     deadline_ns */
	int64_t warn_ns;  /* so long before the deadline warn_signal goes to the main process; 0: no
			     warning */
	int64_t watchdog_ns; /* longest silence on the notify socket; 0: none asked */
	int32_t warn_signal;
	uint64_t out_max; /* bytes of output kept at the tail; the head keeps 64 KiB more */
	uint32_t out_gid; /* group of the output file after hand-over (system mode); UINT32_MAX:
			     leave */
	/* For the job's cgroup; 0: none asked for. */
	uint64_t memory_max;          /* bytes */
	uint64_t pids_max;            /* processes and threads */
	uint32_t cpu_percent;         /* of one CPU; 1..SPEC_CPU_MAX */
	uint32_t io_weight;           /* 1..SPEC_IO_WEIGHT_MAX */
	uint32_t rlimits;             /* SPEC_LIMIT_OF bits: which of limit[] are asked for */
	uint64_t limit[SPEC_RLIMITS]; /* soft and hard; or SPEC_INFINITY */
	char *cwd;                    /* owned */
	struct strv argv;             /* at least one */
	struct strv env;              /* complete environment of the job, NAME=VALUE */
};

void spec_done(struct spec *s);
/* Write S into a new memfd sealed against every change. fd, -E2BIG (over SPEC_MAX), or -errno. */
int spec_seal(const struct spec *s);
/* Read and validate from FD: seals present (F_SEAL_WRITE|GROW|SHRINK|SEAL), size, every string
 * inside. 0, -EPROTO, or -errno. FD stays the caller's. */
int spec_read(int fd, struct spec *ret);

#endif
