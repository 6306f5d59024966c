/* clock.c - the three kinds of time: reading, saturating arithmetic, parsing, printing. No tables
 * of the C library and no time zones: all is UTC, and printing a point in time is plain arithmetic
 * because lists print tens of thousands. */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/clock.h"

#define NSEC_PER_DAY (86400 * NSEC_PER_SEC)

enum { SEC_PER_DAY = 86400, WALL_LEN = 27 };

static int64_t
now_of(clockid_t id)
{
	struct timespec ts;
	int r = clock_gettime(id, &ts);

	assert(r == 0); /* both clocks exist since Linux 2.6.39 */
	(void)r;
	return (int64_t)ts.tv_sec * NSEC_PER_SEC + ts.tv_nsec;
}

struct mono
mono_now(void)
{
	return (struct mono){now_of(CLOCK_BOOTTIME)};
}

struct wall
wall_now(void)
{
	return (struct wall){now_of(CLOCK_REALTIME)};
}

static int64_t
sat_add(int64_t a, int64_t b)
{
	int64_t sum;

	if (!__builtin_add_overflow(a, b, &sum))
		return sum;
	return a < 0 ? INT64_MIN : INT64_MAX;
}

static int64_t
sat_sub(int64_t a, int64_t b)
{
	int64_t diff;

	if (!__builtin_sub_overflow(a, b, &diff))
		return diff;
	return a < 0 ? INT64_MIN : INT64_MAX;
}

struct mono
mono_add(struct mono m, struct dur d)
{
	return (struct mono){sat_add(m.ns, d.ns)};
}

struct dur
mono_diff(struct mono a, struct mono b)
{
	return (struct dur){sat_sub(a.ns, b.ns)};
}

struct wall
wall_add(struct wall w, struct dur d)
{
	return (struct wall){sat_add(w.ns, d.ns)};
}

struct dur
wall_diff(struct wall a, struct wall b)
{
	return (struct dur){sat_sub(a.ns, b.ns)};
}

/* Durations. */

struct unit {
	char name[4];
	int64_t ns;
};

/* Falling; weeks are read, but not printed: "14d" is what people expect. */
static const struct unit units[] = {
	{"w", 7 * NSEC_PER_DAY},  {"d", NSEC_PER_DAY}, {"h", 3600 * NSEC_PER_SEC},
	{"m", 60 * NSEC_PER_SEC}, {"s", NSEC_PER_SEC}, {"ms", NSEC_PER_MSEC},
	{"us", NSEC_PER_USEC},
};
enum { N_UNITS = sizeof(units) / sizeof(units[0]), UNIT_DAY = 1, UNIT_SEC = 4 };

static int
refuse(int r, const char **reason, const char *why)
{
	if (reason)
		*reason = why;
	return r;
}

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Digits at *S; at LIMIT and beyond the value stays LIMIT. */
static int64_t
digits(const char **s, int64_t limit)
{
	int64_t v = 0;

	for (; digit(**s); (*s)++)
		v = v > (limit - 9) / 10 ? limit : v * 10 + (**s - '0');
	return v;
}

/* Index of the unit named at *S, which moves behind it; N_UNITS when there is none. */
static int
unit_at(const char **s)
{
	size_t n = strspn(*s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ");

	for (int i = 0; i < N_UNITS; i++)
		if (strlen(units[i].name) == n && memcmp(units[i].name, *s, n) == 0) {
			*s += n;
			return i;
		}
	return N_UNITS;
}

static int
not_a_duration(const char *s, const char **reason)
{
	static const char *const endless[] = {"inf", "infinity", "infinite", "never", "forever"};
	size_t i;

	if (*s == '\0')
		return refuse(-EINVAL, reason, "empty duration");
	if (*s == '-')
		return refuse(-ERANGE, reason, "a duration cannot be negative");
	if (*s == '+')
		return refuse(-EINVAL, reason, "a duration has no sign");
	for (i = 0; i < sizeof(endless) / sizeof(endless[0]); i++)
		if (strcasecmp(s, endless[i]) == 0)
			return refuse(-ERANGE, reason, "a duration cannot be infinite");
	return refuse(-EINVAL, reason, "not a duration: use a form such as 90s, 10m or 1h30m");
}

static int
bad_unit(const char *s, bool first, const char **reason)
{
	if (*s == '.' || *s == ',')
		return refuse(-EINVAL, reason, "no fractions: use a smaller unit, such as 1h30m");
	if (*s == '\0' && !first)
		return refuse(-EINVAL, reason, "number without a unit at the end");
	if (*s == ' ' || *s == '\t' || *s == '\n')
		return refuse(-EINVAL, reason, "no blanks in a duration");
	return refuse(-EINVAL, reason, "unknown unit: use us, ms, s, m, h, d or w");
}

int
dur_parse(const char *s, struct dur *ret, const char **reason)
{
	int last = -1;
	int64_t total = 0;

	if (!digit(*s))
		return not_a_duration(s, reason);
	do {
		int64_t v = digits(&s, DUR_MAX_NS + 1), part;
		int u = *s == '\0' && last < 0 ? UNIT_SEC : unit_at(&s);

		if (u == N_UNITS)
			return bad_unit(s, last < 0, reason);
		if (u == last)
			return refuse(-EINVAL, reason, "the same unit twice");
		if (u < last)
			return refuse(-EINVAL, reason, "larger units come first");
		if (__builtin_mul_overflow(v, units[u].ns, &part) || part > DUR_MAX_NS)
			part = DUR_MAX_NS + 1;
		total = total + part > DUR_MAX_NS ? DUR_MAX_NS + 1 : total + part;
		last = u;
	} while (digit(*s));
	if (*s == '.' || *s == ',')
		return bad_unit(s, false, reason);
	if (*s != '\0')
		return refuse(-EINVAL, reason, "trailing text after a duration");
	if (total > DUR_MAX_NS)
		return refuse(-ERANGE, reason,
			      "a duration cannot be longer than ten years (3650d)");
	if (total == 0)
		return refuse(-ERANGE, reason, "a duration cannot be zero");
	*ret = (struct dur){total};
	return 0;
}

static char *
put_number(char *to, uint64_t v)
{
	char tmp[20];
	int n = 0;

	do
		tmp[n++] = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	while (n > 0)
		*to++ = tmp[--n];
	return to;
}

const char *
dur_format(struct dur d, char *buf, size_t size)
{
	uint64_t left = d.ns < 0 ? -(uint64_t)d.ns : (uint64_t)d.ns;
	char *to = buf;

	assert(size >= CLOCK_TEXT);
	(void)size;
	left -= left % (uint64_t)NSEC_PER_USEC;
	if (left == 0)
		return memcpy(buf, "0s", 3);
	if (d.ns < 0)
		*to++ = '-';
	for (int i = UNIT_DAY; i < N_UNITS; i++) {
		uint64_t unit = (uint64_t)units[i].ns;

		if (left < unit)
			continue;
		to = put_number(to, left / unit);
		left %= unit;
		for (const char *p = units[i].name; *p; p++)
			*to++ = *p;
	}
	*to = '\0';
	return buf;
}

/* Points in time. The two conversions are for the proleptic Gregorian calendar in eras of 400 years
 * that begin in March, so that the leap day is the last of its year. */

enum { ERA_DAYS = 146097, DAYS_TO_1970 = 719468 };

static int64_t
days_from_civil(int64_t y, unsigned m, unsigned d)
{
	int64_t era;
	unsigned yoe, doy, doe;

	y -= m <= 2;
	era = (y >= 0 ? y : y - 399) / 400;
	yoe = (unsigned)(y - era * 400);
	doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
	doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
	return era * ERA_DAYS + (int64_t)doe - DAYS_TO_1970;
}

static char *
put2(char *to, unsigned v)
{
	to[0] = (char)('0' + v / 10);
	to[1] = (char)('0' + v % 10);
	return to + 2;
}

static char *
put_date(char *to, int64_t days)
{
	int64_t z = days + DAYS_TO_1970;
	int64_t era = (z >= 0 ? z : z - (ERA_DAYS - 1)) / ERA_DAYS;
	unsigned doe = (unsigned)(z - era * ERA_DAYS);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	unsigned mp = (5 * doy + 2) / 153;
	unsigned m = mp < 10 ? mp + 3 : mp - 9;
	unsigned y = (unsigned)(era * 400) + yoe + (m <= 2);

	to = put2(to, y / 100);
	to = put2(to, y % 100);
	*to++ = '-';
	to = put2(to, m);
	*to++ = '-';
	return put2(to, doy - (153 * mp + 2) / 5 + 1);
}

const char *
wall_format(struct wall w, char *buf, size_t size)
{
	int64_t us = w.ns / NSEC_PER_USEC, sec, days;
	unsigned frac, sod;
	char *to = buf;

	assert(size > WALL_LEN);
	(void)size;
	us -= w.ns % NSEC_PER_USEC < 0;
	sec = us / 1000000 - (us % 1000000 < 0);
	frac = (unsigned)(us - sec * 1000000);
	days = sec / SEC_PER_DAY - (sec % SEC_PER_DAY < 0);
	sod = (unsigned)(sec - days * SEC_PER_DAY);
	to = put_date(to, days);
	*to++ = 'T';
	to = put2(to, sod / 3600);
	*to++ = ':';
	to = put2(to, sod / 60 % 60);
	*to++ = ':';
	to = put2(to, sod % 60);
	*to++ = '.';
	to = put2(to, frac / 10000);
	to = put2(to, frac / 100 % 100);
	to = put2(to, frac % 100);
	memcpy(to, "Z", 2);
	return buf;
}

/* Exactly N digits at *S. */
static bool
fixed(const char **s, int n, unsigned *ret)
{
	unsigned v = 0;

	for (; n > 0; n--, (*s)++) {
		if (!digit(**s))
			return false;
		v = v * 10 + (unsigned)(**s - '0');
	}
	*ret = v;
	return true;
}

static bool
one_of(const char **s, const char *set)
{
	if (**s == '\0' || !strchr(set, **s))
		return false;
	(*s)++;
	return true;
}

/* Fraction at *S behind its point, in nanoseconds; what is finer is dropped. */
static bool
fraction(const char **s, int64_t *ret)
{
	int64_t v = 0, scale = NSEC_PER_SEC;

	if (!digit(**s))
		return false;
	for (; digit(**s); (*s)++)
		if (scale > 1) {
			scale /= 10;
			v += (**s - '0') * scale;
		}
	*ret = v;
	return true;
}

static int
from_seconds(int64_t sec, int64_t ns, struct wall *ret, const char **reason)
{
	int64_t v;

	if (sec < 0)
		return refuse(-ERANGE, reason, "a time before 1970");
	if (__builtin_mul_overflow(sec, NSEC_PER_SEC, &v) || __builtin_add_overflow(v, ns, &v))
		return refuse(-ERANGE, reason, "a time after the year 2262");
	*ret = (struct wall){v};
	return 0;
}

static int
parse_epoch(const char *s, struct wall *ret, const char **reason)
{
	int64_t sec, ns = 0;

	if (*s == '-' && digit(s[1]))
		return refuse(-ERANGE, reason, "a time before 1970");
	if (!digit(*s))
		return refuse(-EINVAL, reason, "seconds since 1970 must follow the @");
	sec = digits(&s, INT64_MAX);
	if (*s == '.') {
		s++;
		if (!fraction(&s, &ns))
			return refuse(-EINVAL, reason, "digits must follow the point");
	}
	if (*s != '\0')
		return refuse(-EINVAL, reason, "trailing text after a time");
	return from_seconds(sec, ns, ret, reason);
}

static int
parse_relative(const char *s, struct wall now, struct wall *ret, const char **reason)
{
	struct dur d = {0};
	int r;

	if (*s == '-')
		return refuse(-ERANGE, reason, "a time in the past");
	if (*s != '+')
		return refuse(-EINVAL, reason, "use now+ and a duration, such as now+2h");
	r = dur_parse(s + 1, &d, reason);
	if (r < 0)
		return r;
	*ret = wall_add(now, d);
	return 0;
}

static unsigned
month_days(unsigned y, unsigned m)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;

	return days[m - 1] + (m == 2 && leap);
}

/* The offset from UTC at *S in seconds. */
static int
parse_offset(const char **s, int64_t *ret, const char **reason)
{
	unsigned h, m;
	bool west = **s == '-';

	if (**s == '\0')
		return refuse(-EINVAL, reason, "a time needs its offset: end it with Z or +hh:mm");
	if (one_of(s, "Zz")) {
		*ret = 0;
		return 0;
	}
	if (!one_of(s, "+-") || !fixed(s, 2, &h) || !one_of(s, ":") || !fixed(s, 2, &m) || h > 23 ||
	    m > 59)
		return refuse(-EINVAL, reason, "the offset of a time is Z or +hh:mm");
	*ret = (int64_t)(h * 3600 + m * 60) * (west ? -1 : 1);
	return 0;
}

static int
parse_rfc3339(const char *s, struct wall *ret, const char **reason)
{
	static const char form[] = "not a time: use 2026-11-21T03:22:47Z, @EPOCH or now+DURATION";
	unsigned y, mo, d, h, mi, sec;
	int64_t ns = 0, off, total;
	int r;

	if (!fixed(&s, 4, &y) || !one_of(&s, "-") || !fixed(&s, 2, &mo) || !one_of(&s, "-") ||
	    !fixed(&s, 2, &d) || !one_of(&s, "Tt ") || !fixed(&s, 2, &h) || !one_of(&s, ":") ||
	    !fixed(&s, 2, &mi) || !one_of(&s, ":") || !fixed(&s, 2, &sec) ||
	    (one_of(&s, ".") && !fraction(&s, &ns)))
		return refuse(-EINVAL, reason, form);
	r = parse_offset(&s, &off, reason);
	if (r < 0)
		return r;
	if (*s != '\0')
		return refuse(-EINVAL, reason, "trailing text after a time");
	if (mo < 1 || mo > 12 || d < 1 || d > month_days(y, mo))
		return refuse(-EINVAL, reason, "no such day");
	if (h > 23 || mi > 59 || sec > 60)
		return refuse(-EINVAL, reason, "no such time of day");
	total = days_from_civil(y, mo, d) * SEC_PER_DAY + (int64_t)h * 3600 + (int64_t)mi * 60 +
		sec - off;
	if (sec == 60 && total % SEC_PER_DAY != 0)
		return refuse(-EINVAL, reason, "a leap second is only at the end of a UTC day");
	return from_seconds(total, ns, ret, reason);
}

int
wall_parse(const char *s, struct wall now, struct wall *ret, const char **reason)
{
	if (*s == '\0')
		return refuse(-EINVAL, reason, "empty time");
	if (*s == '@')
		return parse_epoch(s + 1, ret, reason);
	if (strncmp(s, "now", 3) == 0)
		return parse_relative(s + 3, now, ret, reason);
	return parse_rfc3339(s, ret, reason);
}
