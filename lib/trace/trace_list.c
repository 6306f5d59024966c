/* trace_list.c - tracestate and baggage, see trace.h. Both are lists of KEY=VALUE with "," between
 * and blanks around; each has a grammar of its own for what is in a member. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "trace/trace.h"

enum {
	KEY_SIMPLE = 256, /* bytes of a key of tracestate without a tenant */
	KEY_TENANT = 241, /* before the "@" */
	KEY_SYSTEM = 14,  /* after it */
	STATE_VALUE = 256,
};

struct cut { /* a piece of a string, borrowed */
	const char *s;
	size_t n;
};
/* One member: 0 with its normal form appended to B, -EINVAL with *RET_WHY. */
typedef int (*member_fn)(struct cut m, struct buf *b, const char **ret_why);

static int
bad(const char **ret_why, const char *why)
{
	*ret_why = why;
	return -EINVAL;
}

/* OWS of RFC 7230. */
static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct cut
trim(struct cut c)
{
	while (c.n > 0 && blank(c.s[0]))
		c.s++, c.n--;
	while (c.n > 0 && blank(c.s[c.n - 1]))
		c.n--;
	return c;
}

/* What is before the first C, taken off *REST with it; all of *REST, which is then empty (s NULL),
 * when there is none. */
static struct cut
before(struct cut *rest, char c)
{
	const char *end = rest->n > 0 ? memchr(rest->s, c, rest->n) : NULL;
	struct cut first = *rest;

	if (!end) {
		*rest = (struct cut){NULL, 0};
		return first;
	}
	first.n = (size_t)(end - first.s);
	*rest = (struct cut){end + 1, rest->n - first.n - 1};
	return first;
}

static bool
all(struct cut c, bool (*in)(char c))
{
	for (size_t i = 0; i < c.n; i++)
		if (!in(c.s[i]))
			return false;
	return true;
}

static bool
lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
digit(char c)
{
	return c >= '0' && c <= '9';
}

/* ---- tracestate */

static bool
state_key_char(char c)
{
	return lower(c) || digit(c) || (c != '\0' && strchr("_-*/", c));
}

/* Level 1: a name that starts with a letter; or a tenant, which may start with a digit, "@", and
 * the name of its system. */
static bool
state_key_good(struct cut key)
{
	struct cut system = key, tenant = before(&system, '@');

	if (tenant.n == 0 || !all(tenant, state_key_char))
		return false;
	if (!system.s)
		return tenant.n <= KEY_SIMPLE && lower(tenant.s[0]);
	return tenant.n <= KEY_TENANT && (lower(tenant.s[0]) || digit(tenant.s[0])) &&
	       system.n > 0 && system.n <= KEY_SYSTEM && lower(system.s[0]) &&
	       all(system, state_key_char);
}

/* "," ends a member before this is asked. */
static bool
state_value_char(char c)
{
	return c >= ' ' && c <= '~' && c != '=' && c != ',';
}

/* Is KEY the key of a member of LIST, which is in normal form? */
static bool
state_has_key(const struct buf *list, struct cut key)
{
	struct cut rest = {buf_head(list), buf_len(list)};

	while (rest.n > 0) {
		struct cut member = before(&rest, ',');
		struct cut k = before(&member, '=');

		if (k.n == key.n && memcmp(k.s, key.s, key.n) == 0)
			return true;
	}
	return false;
}

static int
state_member(struct cut m, struct buf *b, const char **ret_why)
{
	struct cut value = m, key = before(&value, '=');

	if (!value.s)
		return bad(ret_why, "a member has no \"=\"");
	if (!state_key_good(key))
		return bad(ret_why, "a key is not allowed");
	/* Its blanks at the end were those of the list. */
	if (value.n == 0 || value.n > STATE_VALUE || !all(value, state_value_char))
		return bad(ret_why, "a value is not allowed");
	if (state_has_key(b, key))
		return bad(ret_why, "a key comes twice");
	if (buf_len(b) > 0)
		(void)buf_putc(b, ',');
	return buf_put(b, m.s, m.n);
}

/* ---- baggage */

/* token of RFC 7230 */
static bool
token_char(char c)
{
	return lower(c) || digit(c) || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c));
}

static bool
baggage_octet(char c)
{
	return c > ' ' && c <= '~' && c != '"' && c != ',' && c != ';' && c != '\\';
}

/* KEY=VALUE, or a property that is KEY alone. */
static int
baggage_pair(struct cut pair, bool alone, struct buf *b, const char **ret_why)
{
	struct cut value = pair, key = trim(before(&value, '='));

	if (key.n == 0 || !all(key, token_char))
		return bad(ret_why, "a key is not allowed");
	(void)buf_put(b, key.s, key.n);
	if (!value.s)
		return alone ? b->failed : bad(ret_why, "a member has no \"=\"");
	value = trim(value);
	if (!all(value, baggage_octet))
		return bad(ret_why, "a value is not allowed");
	(void)buf_putc(b, '=');
	return buf_put(b, value.s, value.n);
}

static int
baggage_member(struct cut m, struct buf *b, const char **ret_why)
{
	struct cut rest = m;
	int r;

	if (buf_len(b) > 0)
		(void)buf_putc(b, ',');
	r = baggage_pair(before(&rest, ';'), false, b, ret_why);
	while (r == 0 && rest.s) {
		(void)buf_putc(b, ';');
		r = baggage_pair(before(&rest, ';'), true, b, ret_why);
	}
	return r;
}

/* ---- both */

static int
parse(const char *s, member_fn fn, size_t most, char **ret, const char **ret_why)
{
	_cleanup_(buf_done) struct buf b;
	struct cut rest = {s, strlen(s)};
	size_t n = 0;

	buf_init(&b, 0); /* what is parsed is never longer than S */
	while (rest.s) {
		struct cut m = trim(before(&rest, ','));
		int r;

		if (m.n == 0)
			continue;
		if (n++ == most)
			return bad(ret_why, "it has too many members");
		r = fn(m, &b, ret_why);
		if (r < 0)
			return r;
	}
	if (n == 0) {
		*ret = NULL;
		return 0;
	}
	if (buf_put(&b, "", 1) < 0)
		return b.failed;
	*ret = strdup(buf_head(&b));
	return *ret ? 0 : -ENOMEM;
}

int
trace_state_parse(const char *s, char **ret, const char **ret_why)
{
	if (strnlen(s, TRACE_STATE_MAX + 1) > TRACE_STATE_MAX)
		return bad(ret_why, "it is longer than 8192 bytes");
	return parse(s, state_member, TRACE_STATE_MEMBERS, ret, ret_why);
}

int
trace_baggage_parse(const char *s, char **ret, const char **ret_why)
{
	if (strnlen(s, TRACE_BAGGAGE_MAX + 1) > TRACE_BAGGAGE_MAX)
		return bad(ret_why, "it is longer than 8192 bytes");
	return parse(s, baggage_member, TRACE_BAGGAGE_MEMBERS, ret, ret_why);
}
