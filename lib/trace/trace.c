/* trace.c - traceparent and its ids, see trace.h. The lists are in trace_list.c. */
#include "trace/trace.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/random.h>

/* Places in a traceparent: 00-TRACE-SPAN-FLAGS. */
enum { AT_TRACE = 3, AT_SPAN = 36, AT_FLAGS = 53, LEN = 55 };
_Static_assert(LEN + 1 == TRACE_PARENT_TEXT, "a traceparent and its NUL");

/* Lower case only, as the specification asks. */
static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* N bytes from 2 * N digits; stops at the first byte that is none, so the string may end early. */
static bool
hex_read(const char *s, uint8_t *ret, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		int hi = hex_digit(s[2 * i]), lo = hi < 0 ? -1 : hex_digit(s[2 * i + 1]);

		if (lo < 0)
			return false;
		ret[i] = (uint8_t)(hi << 4 | lo);
	}
	return true;
}

static const char *
hex_write(const uint8_t *p, size_t n, char *to)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		to[2 * i] = digits[p[i] >> 4];
		to[2 * i + 1] = digits[p[i] & 15];
	}
	to[2 * n] = '\0';
	return to;
}

static bool
all_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

static int
bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

/* The fields after the version. */
static int
parse_fields(const char *s, struct trace_context *t, const char **ret_why)
{
	uint8_t flags;

	if (!hex_read(s + AT_TRACE, t->trace_id, sizeof(t->trace_id)))
		return bad(ret_why, "the trace id is not 32 lower-case hex digits");
	if (all_zero(t->trace_id, sizeof(t->trace_id)))
		return bad(ret_why, "the trace id is all zero");
	if (!hex_read(s + AT_SPAN, t->span_id, sizeof(t->span_id)))
		return bad(ret_why, "the parent id is not 16 lower-case hex digits");
	if (all_zero(t->span_id, sizeof(t->span_id)))
		return bad(ret_why, "the parent id is all zero");
	if (!hex_read(s + AT_FLAGS, &flags, 1))
		return bad(ret_why, "the flags are not 2 lower-case hex digits");
	t->flags = flags & (TRACE_SAMPLED | TRACE_RANDOM);
	return 0;
}

int
trace_parse(const char *s, struct trace_context *ret, const char **ret_why)
{
	/* More than one byte beyond the known fields is never looked at. */
	size_t n = strnlen(s, LEN + 1);
	struct trace_context t;
	uint8_t version;

	if (n < LEN)
		return bad(ret_why, "it is shorter than 55 characters");
	if (!hex_read(s, &version, 1))
		return bad(ret_why, "the version is not 2 lower-case hex digits");
	if (version == 0xff)
		return bad(ret_why, "version ff is forbidden");
	if (s[AT_TRACE - 1] != '-' || s[AT_SPAN - 1] != '-' || s[AT_FLAGS - 1] != '-')
		return bad(ret_why, "its fields are not of the right length, with \"-\" between");
	if (version == 0 && n > LEN)
		return bad(ret_why, "it is longer than the 55 characters of version 00");
	if (n > LEN && s[LEN] != '-')
		return bad(ret_why, "there is no \"-\" after the flags");
	if (parse_fields(s, &t, ret_why) < 0)
		return -EINVAL;
	*ret = t;
	return 0;
}

const char *
trace_format(const struct trace_context *t, char buf[static TRACE_PARENT_TEXT])
{
	(void)hex_write(&(uint8_t){0}, 1, buf);
	(void)hex_write(t->trace_id, sizeof(t->trace_id), buf + AT_TRACE);
	(void)hex_write(t->span_id, sizeof(t->span_id), buf + AT_SPAN);
	(void)hex_write(&t->flags, 1, buf + AT_FLAGS);
	buf[AT_TRACE - 1] = buf[AT_SPAN - 1] = buf[AT_FLAGS - 1] = '-';
	return buf;
}

int
trace_id_parse(const char *s, uint8_t ret[static 16])
{
	uint8_t id[16];

	if (!hex_read(s, id, sizeof(id)) || s[2 * sizeof(id)] != '\0' || all_zero(id, sizeof(id)))
		return -EINVAL;
	memcpy(ret, id, sizeof(id));
	return 0;
}

const char *
trace_id_format(const uint8_t id[static 16], char buf[static TRACE_ID_TEXT])
{
	return hex_write(id, 16, buf);
}

const char *
trace_span_format(const uint8_t id[static 8], char buf[static TRACE_SPAN_TEXT])
{
	return hex_write(id, 8, buf);
}

/* N random bytes that are not all zero. */
static int
random_id(uint8_t *p, size_t n)
{
	do {
		size_t got = 0;

		while (got < n) {
			ssize_t r = getrandom(p + got, n - got, 0);

			if (r < 0 && errno != EINTR)
				return -errno;
			got += r > 0 ? (size_t)r : 0;
		}
	} while (all_zero(p, n));
	return 0;
}

int
trace_new(int64_t now_us, struct trace_context *ret)
{
	uint64_t ms = now_us > 0 ? (uint64_t)now_us / 1000 : 0;
	struct trace_context t = {.flags = TRACE_SAMPLED | TRACE_RANDOM};
	int r;

	for (int i = 0; i < 6; i++)
		t.trace_id[i] = (uint8_t)(ms >> (40 - 8 * i));
	r = random_id(t.trace_id + 6, sizeof(t.trace_id) - 6);
	if (r == 0)
		r = random_id(t.span_id, sizeof(t.span_id));
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}

int
trace_new_span(uint8_t ret[static 8])
{
	uint8_t id[8];
	int r = random_id(id, sizeof(id));

	if (r == 0)
		memcpy(ret, id, sizeof(id));
	return r;
}
