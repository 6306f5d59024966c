/* deadline.h - which deadline a context gets: the minimum of everything, and which rule won. Pure.
 */
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

/* The moment (wall) after which J is not worth starting: the lesser of the absolute deadline that
 * was asked for and the inherited one; 0: there is none. While J is queued its deadline_us is this,
 * for the store finds what is overdue by it. */
int64_t deadline_latest(const struct job *j);
/* Whose word deadline_latest is: RULE_ABSOLUTE or RULE_INHERITED; RULE_NONE when it is 0. */
enum deadline_rule deadline_latest_rule(const struct job *j);

/* For a start at (NOW_WALL, NOW_MONO): set timeout_us, deadline_rule, deadline_us, deadline_boot_ns
 * of J from what it asked and what P says now. An absolute deadline that was asked for or inherited
 * is judged by the wall clock and wins when it comes first; the inherited one wins also when it
 * comes at the same moment as another, because then nobody below can change it. */
void
deadline_start(const struct policy *p, struct job *j, struct wall now_wall, struct mono now_mono);

/* The same for a scope that opens now. Without a timeout of its own it lives as long as its class
 * and the configuration allow: what is started below has a default of its own. */
void
deadline_scope(const struct policy *p, struct job *j, struct wall now_wall, struct mono now_mono);

/* The moment AT_US (wall clock, us) on CLOCK_BOOTTIME (ns), for J, which has been started. As long
 * as the clocks stand to each other as when J got its deadline, it is exact: the deadline as it is
 * shown, in deadline_us, gives deadline_boot_ns. If one was set since, as they stand now. */
int64_t
deadline_moment(const struct job *j, int64_t at_us, struct wall now_wall, struct mono now_mono);

/* Latest deadline (CLOCK_BOOTTIME) to which J, which has been started, may be extended: the
 * maximum from its start, never past an inherited deadline. A deadline that is the inherited one
 * already is its own limit, whatever the clock was set to since. */
int64_t deadline_limit(const struct policy *p, const struct job *j, struct wall now_wall,
		       struct mono now_mono);

/* J, which has been started, has the deadline DEADLINE_NS (CLOCK_BOOTTIME) from now on. The rule
 * becomes RULE_EXTENDED; or RULE_INHERITED when that is as far as the inherited deadline goes. */
void
deadline_extend(struct job *j, int64_t deadline_ns, struct wall now_wall, struct mono now_mono);

#endif
