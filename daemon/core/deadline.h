/* deadline.h - which deadline a job gets: the minimum of everything, and which rule won. Pure. */
#ifndef CTXD_CORE_DEADLINE_H
#define CTXD_CORE_DEADLINE_H

#include "base/clock.h"
#include "core/job.h"
#include <stdbool.h>

struct policy;

/* Timeout by rule: the request, else class, else [deadline] default; never over the class's or the
 * global maximum. CLASS_NAME NULL or unknown to P: the global values. REQUESTED_US 0: not asked;
 * INT64_MAX: `max` (as much as allowed). */
void deadline_grant(const struct policy *p, const char *class_name, int64_t requested_us,
		    int64_t *ret_timeout_us, enum deadline_rule *ret_rule);

/* For a start at (NOW_WALL, NOW_MONO): set timeout_us, deadline_rule, deadline_us, deadline_boot_ns
 * of J from what it asked and what P says now; an absolute deadline (wall) that comes first wins
 * with RULE_ABSOLUTE. */
void
deadline_start(const struct policy *p, struct job *j, struct wall now_wall, struct mono now_mono);

/* Latest deadline (CLOCK_BOOTTIME) to which a job started at STARTED_BOOT_NS may be extended. */
int64_t deadline_limit(const struct policy *p, const char *class_name, int64_t started_boot_ns);

#endif
