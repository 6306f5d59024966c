/* clock.h - the three kinds of time, kept apart by type; parsing and printing of durations and
 * points in time.
 *
 * mono = CLOCK_BOOTTIME (suspend counts, clock steps do not), wall = CLOCK_REALTIME, dur = a span.
 * All int64 nanoseconds. In files, frames and the database: wall and dur as microseconds unless a
 * name says _ns. */
#ifndef CTX_BASE_CLOCK_H
#define CTX_BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mono {
	int64_t ns;
};
struct wall {
	int64_t ns;
};
struct dur {
	int64_t ns;
};

#define NSEC_PER_USEC INT64_C(1000)
#define NSEC_PER_MSEC INT64_C(1000000)
#define NSEC_PER_SEC INT64_C(1000000000)
#define DUR_MAX_NS                                                                                 \
	(INT64_C(3650) * 86400 * NSEC_PER_SEC) /* ten years: longest span accepted anywhere */

struct mono mono_now(void);
struct wall wall_now(void);

static inline struct dur
dur_usec(int64_t us)
{
	return (struct dur){us * NSEC_PER_USEC};
}
static inline struct dur
dur_sec(int64_t s)
{
	return (struct dur){s * NSEC_PER_SEC};
}
static inline int64_t
dur_to_usec(struct dur d)
{
	return d.ns / NSEC_PER_USEC;
}
static inline int64_t
wall_to_usec(struct wall w)
{
	return w.ns / NSEC_PER_USEC;
}
static inline struct wall
wall_usec(int64_t us)
{
	return (struct wall){us * NSEC_PER_USEC};
}

/* Saturating arithmetic. */
struct mono mono_add(struct mono m, struct dur d);
struct dur mono_diff(struct mono a, struct mono b); /* a - b */
struct wall wall_add(struct wall w, struct dur d);
struct dur wall_diff(struct wall a, struct wall b); /* a - b */

/* `90`, `90s`, `10m`, `1h30m`, `2d`, `250ms`, `10us`, `1.5h` is refused; bare number = seconds.
 * Zero, negative, infinite, longer than DUR_MAX_NS, empty, trailing text: -EINVAL or -ERANGE and a
 * reason in REASON (static text). */
int dur_parse(const char *s, struct dur *ret, const char **reason);
/* The form that dur_parse reads back to the same microsecond, units falling from d: `1h30m`,
 * `250ms`, `14d`; `0s` for zero, a "-" in front of a negative one. BUF of CLOCK_TEXT. Returns BUF.
 */
const char *dur_format(struct dur d, char *buf, size_t size);

/* RFC 3339 (`2026-11-21T03:22:47.5Z`, `+01:00`, lower case and a blank for T allowed),
 * `@EPOCH[.frac]`, `now+DUR`. Before 1970, or after April 2262 where int64 nanoseconds end:
 * -ERANGE. Local time without offset: -EINVAL with a reason. */
int wall_parse(const char *s, struct wall now, struct wall *ret, const char **reason);
/* RFC 3339 UTC with microseconds: 27 characters + NUL. BUF of at least CLOCK_TEXT. Returns BUF. */
const char *wall_format(struct wall w, char *buf, size_t size);

enum { CLOCK_TEXT = 40 };

#endif
