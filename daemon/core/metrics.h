/* metrics.h - what is counted while ctxd runs, for those who watch it over time: counters that only
 * grow, from 0 at its start. Pure; no IO, no clock. */
#ifndef CTXD_CORE_METRICS_H
#define CTXD_CORE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "core/job.h"

/* A histogram. Its upper bounds (inclusive, microseconds, ascending) belong to its use. */
enum { METRICS_BOUNDS_MAX = 12 };
struct metrics_bounds {
	size_t n;
	int64_t us[METRICS_BOUNDS_MAX];
};
extern const struct metrics_bounds metrics_bounds_job;    /* 10 ms to a day */
extern const struct metrics_bounds metrics_bounds_commit; /* 0.1 ms to 10 s */
struct metrics_hist {
	uint64_t n[METRICS_BOUNDS_MAX +
		   1]; /* by bucket, not cumulated; the last: above all bounds */
	uint64_t sum_us;
};
/* Negative spans (the wall clock was set) count as 0. */
void metrics_hist_add(struct metrics_hist *h, const struct metrics_bounds *b, int64_t us);

struct metrics_class {
	struct metrics_class *next;
	char name[33];
	uint64_t started;                  /* attempts */
	uint64_t retried;                  /* attempts that were followed by another one unasked */
	uint64_t ended[JOB_STATE_MAX + 1]; /* by state */
	struct metrics_hist delay;         /* from submission to start, of first attempts */
	struct metrics_hist run;           /* from start to end */
};
/* Zeroed = nothing counted yet. */
struct metrics {
	struct metrics_class *classes; /* owned */
	size_t n_classes;
	struct metrics_hist commit;
	uint64_t commits_failed;
};
void metrics_done(struct metrics *m);

enum { METRICS_CLASSES_MAX = 1024 }; /* of all configurations since the start; then not counted */
/* That of the class NAME, made if it is new; NULL: it cannot be remembered, and is not counted. */
struct metrics_class *metrics_class(struct metrics *m, const char *name);
/* An attempt of J begins. */
void metrics_started(struct metrics *m, const struct job *j);
/* J, a job, has ended. */
void metrics_ended(struct metrics *m, const struct job *j);
void metrics_retried(struct metrics *m, const struct job *j);

#endif
