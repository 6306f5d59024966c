/* test_clock.c - base/clock.h: durations and points in time, there and back; printing checked
 * against the C library. */
#include <errno.h>
#include <time.h>

#include "base/clock.h"
#include "rnd.h"
#include "tap.h"

static const struct wall epoch = {0};
static int64_t
dur(const char *s)
{
	struct dur d = {-1};
	const char *why = NULL;
	int r = dur_parse(s, &d, &why);

	if (r < 0) {
		ok(why && *why);
		ok(d.ns == -1);
		return r;
	}
	return d.ns;
}

static int64_t
when(const char *s)
{
	struct wall w = {-1};
	const char *why = NULL;
	int r = wall_parse(s, (struct wall){1000 * NSEC_PER_SEC}, &w, &why);

	if (r < 0) {
		ok(why && *why);
		ok(w.ns == -1);
		return r;
	}
	return w.ns;
}

TEST(clocks_run)
{
	struct mono a = mono_now(), b = mono_now();

	ok(a.ns > 0 && b.ns >= a.ns);
	ok(wall_now().ns > INT64_C(1700000000) * NSEC_PER_SEC);
	ok(wall_now().ns / NSEC_PER_SEC - time(NULL) <= 1);
}

TEST(conversions)
{
	is_int(dur_sec(3).ns, 3 * NSEC_PER_SEC);
	is_int(dur_usec(3).ns, 3000);
	is_int(dur_to_usec((struct dur){3999}), 3);
	is_int(wall_to_usec(wall_usec(77)), 77);
}

TEST(arithmetic_saturates)
{
	struct dur most = {INT64_MAX}, least = {INT64_MIN};

	is_int(mono_add((struct mono){5}, (struct dur){-7}).ns, -2);
	is_int(mono_add((struct mono){5}, most).ns, INT64_MAX);
	is_int(mono_add((struct mono){-5}, least).ns, INT64_MIN);
	is_int(mono_diff((struct mono){5}, (struct mono){7}).ns, -2);
	is_int(mono_diff((struct mono){INT64_MAX}, (struct mono){-1}).ns, INT64_MAX);
	is_int(mono_diff((struct mono){-2}, (struct mono){INT64_MAX}).ns, INT64_MIN);
	is_int(mono_diff((struct mono){0}, (struct mono){INT64_MIN}).ns, INT64_MAX);
	is_int(wall_add((struct wall){INT64_MAX}, (struct dur){1}).ns, INT64_MAX);
	is_int(wall_diff((struct wall){10}, (struct wall){4}).ns, 6);
	is_int(wall_diff((struct wall){INT64_MIN}, (struct wall){1}).ns, INT64_MIN);
}

TEST(dur_good)
{
	is_int(dur("90"), 90 * NSEC_PER_SEC);
	is_int(dur("90s"), 90 * NSEC_PER_SEC);
	is_int(dur("10m"), 600 * NSEC_PER_SEC);
	is_int(dur("1h30m"), 5400 * NSEC_PER_SEC);
	is_int(dur("2d"), 172800 * NSEC_PER_SEC);
	is_int(dur("1w"), 604800 * NSEC_PER_SEC);
	is_int(dur("250ms"), 250 * NSEC_PER_MSEC);
	is_int(dur("10us"), 10 * NSEC_PER_USEC);
	is_int(dur("1us"), NSEC_PER_USEC);
	is_int(dur("1w1d1h1m1s1ms1us"), INT64_C(694861001001) * NSEC_PER_USEC);
	is_int(dur("0h5m"), 300 * NSEC_PER_SEC);
	is_int(dur("90m"), 5400 * NSEC_PER_SEC);
	is_int(dur("007"), 7 * NSEC_PER_SEC);
	is_int(dur("000000000000000000000000000000000001"), NSEC_PER_SEC);
	is_int(dur("1m1ms"), 60 * NSEC_PER_SEC + NSEC_PER_MSEC);
}

TEST(dur_bounds)
{
	is_int(dur("3650d"), DUR_MAX_NS);
	is_int(dur("315360000"), DUR_MAX_NS);
	is_int(dur("315360001"), -ERANGE);
	is_int(dur("3650d1us"), -ERANGE);
	is_int(dur("3651d"), -ERANGE);
	is_int(dur("521w3d"), DUR_MAX_NS);
	is_int(dur("521w4d"), -ERANGE);
	is_int(dur("315360000000000us"), DUR_MAX_NS);
	is_int(dur("315360000000001us"), -ERANGE);
	is_int(dur("9223372036854775807"), -ERANGE);
	is_int(dur("9223372036854775808"), -ERANGE);
	is_int(dur("18446744073709551616s"), -ERANGE);
	is_int(dur("18446744073709551617us"), -ERANGE);
	is_int(dur("99999999999999999999999999999999999999999999w"), -ERANGE);
	is_int(dur("99999999999999999999w99999999999999999999d99999999999999999999h"), -ERANGE);
}

TEST(dur_bad)
{
	static const char *const invalid[] = {
		"",     " ",      "s",     "h1",   "abc",  "1x",    "1H",   "1M",
		"5 m",  " 5m",    "5m ",   "1.5h", "1,5h", "1h30",  "1h1h", "1m1h",
		"1s1m", "1h 30m", "1ns",   "1min", "1sec", "1hr",   "+5m",  "+5",
		"0x10", "1e3",    "1h-5m", "1d.",  "1s\n", "1ms1s", "\t1",  "1us1ms",
		"1hh",  "1mss",   "5m!",   "½h",   "1s.5", "nan",   "1y",
	};

	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		int64_t r = dur(invalid[i]);

		if (r != -EINVAL)
			printf("# \"%s\"\n", invalid[i]);
		is_int(r, -EINVAL);
	}
	is_int(dur("0"), -ERANGE);
	is_int(dur("0s"), -ERANGE);
	is_int(dur("0h0m0us"), -ERANGE);
	is_int(dur("-1"), -ERANGE);
	is_int(dur("-5m"), -ERANGE);
	is_int(dur("inf"), -ERANGE);
	is_int(dur("Infinity"), -ERANGE);
	is_int(dur("infinite"), -ERANGE);
	is_int(dur("-inf"), -ERANGE);
}

TEST(dur_reasons_help)
{
	static const struct {
		const char *in, *word;
	} t[] = {
		{"", "empty"},         {"0", "zero"},    {"-5", "negative"},   {"inf", "infinite"},
		{"1.5h", "fraction"},  {"1h30", "unit"}, {"1h1h", "twice"},    {"1m1h", "larger"},
		{"4000d", "ten year"}, {"1q", "unit"},   {"5 m", "blank"},     {"x", "1h30m"},
		{"5m!", "trailing"},   {"+5", "sign"},   {"1s.5", "fraction"},
	};

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct dur d;
		const char *why = "";

		ok(dur_parse(t[i].in, &d, &why) < 0);
		if (!strstr(why, t[i].word))
			printf("# \"%s\": \"%s\"\n", t[i].in, why);
		ok(strstr(why, t[i].word));
		ok(dur_parse(t[i].in, &d, NULL) < 0);
	}
}

TEST(dur_format_known)
{
	static const struct {
		int64_t ns;
		const char *want;
	} t[] = {
		{0, "0s"},
		{999, "0s"},
		{-999, "0s"},
		{1000, "1us"},
		{1999, "1us"},
		{250 * NSEC_PER_MSEC, "250ms"},
		{NSEC_PER_SEC, "1s"},
		{1500 * NSEC_PER_MSEC, "1s500ms"},
		{90 * NSEC_PER_SEC, "1m30s"},
		{5400 * NSEC_PER_SEC, "1h30m"},
		{INT64_C(14) * 86400 * NSEC_PER_SEC, "14d"},
		{-5400 * NSEC_PER_SEC, "-1h30m"},
		{DUR_MAX_NS, "3650d"},
		{INT64_MAX, "106751d23h47m16s854ms775us"},
		{INT64_MIN, "-106751d23h47m16s854ms775us"},
	};
	char buf[CLOCK_TEXT];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		ok(dur_format((struct dur){t[i].ns}, buf, sizeof(buf)) == buf);
		is_str(buf, t[i].want);
	}
}

TEST(dur_round_trip)
{
	char buf[CLOCK_TEXT];

	for (int i = 0; i < 20000; i++) {
		/* All magnitudes, and round numbers too. */
		int64_t us = (int64_t)(rnd(UINT64_C(1) << (1 + i % 48)) + 1);

		if (i % 3 == 0)
			us = us / 60000000 * 60000000 + 60000000;
		need(us <= DUR_MAX_NS / NSEC_PER_USEC);
		is_int(dur(dur_format(dur_usec(us), buf, sizeof(buf))), us * NSEC_PER_USEC);
	}
}

TEST(wall_format_known)
{
	char buf[CLOCK_TEXT];

	is_str(wall_format(epoch, buf, sizeof(buf)), "1970-01-01T00:00:00.000000Z");
	is_str(wall_format(wall_usec(1), buf, sizeof(buf)), "1970-01-01T00:00:00.000001Z");
	is_str(wall_format((struct wall){-1}, buf, sizeof(buf)), "1969-12-31T23:59:59.999999Z");
	is_str(wall_format(wall_usec(951782399999999), buf, sizeof(buf)),
	       "2000-02-28T23:59:59.999999Z");
	is_str(wall_format(wall_usec(951782400000000), buf, sizeof(buf)),
	       "2000-02-29T00:00:00.000000Z");
	is_str(wall_format(wall_usec(951868800000000), buf, sizeof(buf)),
	       "2000-03-01T00:00:00.000000Z");
	is_str(wall_format(wall_usec(4107542400000000), buf, sizeof(buf)),
	       "2100-03-01T00:00:00.000000Z");
	is_str(wall_format((struct wall){INT64_MAX}, buf, sizeof(buf)),
	       "2262-04-11T23:47:16.854775Z");
	is_str(wall_format((struct wall){INT64_MIN}, buf, sizeof(buf)),
	       "1677-09-21T00:12:43.145224Z");
}

static void
check_against_libc(int64_t sec, unsigned us)
{
	char got[CLOCK_TEXT], want[CLOCK_TEXT], date[24];
	time_t t = (time_t)sec;
	struct tm tm;

	need(gmtime_r(&t, &tm));
	need(strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) > 0);
	snprintf(want, sizeof(want), "%s.%06uZ", date, us % 1000000);
	wall_format(wall_usec(sec * 1000000 + us), got, sizeof(got));
	is_str(got, want);
}

TEST(wall_format_like_libc)
{
	/* Each day from 1677 to 2262, a random second of it. */
	for (int64_t day = -106750; day <= 106750; day += 1 + (int64_t)rnd(3))
		check_against_libc(day * 86400 + (int64_t)rnd(86400), (unsigned)rnd(1000000));
}

TEST(wall_round_trip)
{
	char buf[CLOCK_TEXT];

	for (int i = 0; i < 20000; i++) {
		int64_t us = (int64_t)rnd(INT64_MAX / NSEC_PER_USEC);

		is_int(when(wall_format(wall_usec(us), buf, sizeof(buf))), us * NSEC_PER_USEC);
	}
}

TEST(wall_rfc3339)
{
	const int64_t base = INT64_C(1795231367) * NSEC_PER_SEC;

	is_int(when("2026-11-21T03:22:47Z"), base);
	is_int(when("2026-11-21T03:22:47.5Z"), base + 500 * NSEC_PER_MSEC);
	is_int(when("2026-11-21t03:22:47.5z"), base + 500 * NSEC_PER_MSEC);
	is_int(when("2026-11-21 03:22:47Z"), base);
	is_int(when("2026-11-21T03:22:47.123456789Z"), base + 123456789);
	is_int(when("2026-11-21T03:22:47.1234567899999Z"), base + 123456789);
	is_int(when("2026-11-21T04:22:47+01:00"), base);
	is_int(when("2026-11-20T22:52:47-04:30"), base);
	is_int(when("2026-11-21T03:22:47-00:00"), base);
	is_int(when("2026-11-22T03:21:47+23:59"), base);
	is_int(when("1970-01-01T00:00:00Z"), 0);
	is_int(when("1970-01-01T01:00:00+01:00"), 0);
	is_int(when("1969-12-31T23:00:00-01:00"), 0);
	is_int(when("2000-02-29T00:00:00Z"), INT64_C(951782400) * NSEC_PER_SEC);
	is_int(when("2016-12-31T23:59:60Z"), INT64_C(1483228800) * NSEC_PER_SEC);
	is_int(when("2017-01-01T00:59:60+01:00"), INT64_C(1483228800) * NSEC_PER_SEC);
	is_int(when("2262-04-11T23:47:16.854775807Z"), INT64_MAX);
}

TEST(wall_refused)
{
	static const char *const invalid[] = {
		"",
		"2026-11-21",
		"2026-11-21T03:22:47",
		"2026-11-21T03:22Z",
		"2026-11-21T03:22:47.Z",
		"2026-11-21T03:22:47,5Z",
		"2026-11-21T03:22:47+0100",
		"2026-11-21T03:22:47+01",
		"2026-11-21T03:22:47+24:00",
		"2026-11-21T03:22:47+01:60",
		"2026-11-21T03:22:47 +01:00",
		"2026-11-21T03:22:47Zx",
		"2026-11-21T03:22:47Z ",
		" 2026-11-21T03:22:47Z",
		"2026-11-21T24:00:00Z",
		"2026-11-21T23:60:00Z",
		"2026-11-21T23:59:61Z",
		"2026-11-21T12:00:60Z",
		"2026-13-21T03:22:47Z",
		"2026-00-21T03:22:47Z",
		"2026-11-00T03:22:47Z",
		"2026-11-31T03:22:47Z",
		"2026-02-29T03:22:47Z",
		"2100-02-29T03:22:47Z",
		"26-11-21T03:22:47Z",
		"2026-1-21T03:22:47Z",
		"12026-11-21T03:22:47Z",
		"tomorrow",
		"@",
		"@x",
		"@1.",
		"@1.5x",
		"@ 1",
		"@+1",
		"@-",
		"now",
		"now+",
		"now 2h",
		"now+2x",
		"now+ 2h",
		"nowhere",
	};

	for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
		int64_t r = when(invalid[i]);

		if (r != -EINVAL)
			printf("# \"%s\"\n", invalid[i]);
		is_int(r, -EINVAL);
	}
	is_int(when("1969-12-31T23:59:59Z"), -ERANGE);
	is_int(when("1969-12-31T23:59:59.999999999Z"), -ERANGE);
	is_int(when("0000-01-01T00:00:00Z"), -ERANGE);
	is_int(when("1970-01-01T00:00:00+00:01"), -ERANGE);
	is_int(when("2262-04-11T23:47:16.854775808Z"), -ERANGE);
	is_int(when("2262-04-11T23:47:17Z"), -ERANGE);
	is_int(when("9999-12-31T23:59:59Z"), -ERANGE);
	is_int(when("@-1"), -ERANGE);
	is_int(when("@9223372037"), -ERANGE);
	is_int(when("@9223372036.854775808"), -ERANGE);
	is_int(when("@99999999999999999999999999"), -ERANGE);
	is_int(when("now-1h"), -ERANGE);
	is_int(when("now+0"), -ERANGE);
	is_int(when("now+-1h"), -ERANGE);
	is_int(when("now+inf"), -ERANGE);
	is_int(when("now+9999d"), -ERANGE);
}

TEST(wall_epoch_and_relative)
{
	struct wall w;

	is_int(when("@0"), 0);
	is_int(when("@1"), NSEC_PER_SEC);
	is_int(when("@1.5"), 1500 * NSEC_PER_MSEC);
	is_int(when("@1.000000001"), NSEC_PER_SEC + 1);
	is_int(when("@1.0000000009"), NSEC_PER_SEC);
	is_int(when("@9223372036.854775807"), INT64_MAX);
	is_int(when("now+2h"), 8200 * NSEC_PER_SEC);
	is_int(when("now+5"), 1005 * NSEC_PER_SEC);
	is_int(wall_parse("now+1d", (struct wall){INT64_MAX - 5}, &w, NULL), 0);
	is_int(w.ns, INT64_MAX);
	is_int(wall_parse("?", epoch, &w, NULL), -EINVAL);
}
