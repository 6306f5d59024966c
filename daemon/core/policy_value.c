/* policy_value.c - values of configuration keys: text to field and back. */
#include "core/policy_value.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/policy.h"

_Static_assert(DUR_MAX_US == DUR_MAX_NS / NSEC_PER_USEC, "longest span");

static void
names_done(struct policy_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	*names = (struct policy_names){0};
}

static int
names_add(struct policy_names *names, const char *s, size_t n)
{
	_free_ char *copy = strndup(s, n);
	char **v = reallocarray(names->v, names->n + 1, sizeof(*v));

	if (v)
		names->v = v;
	if (!v || !copy)
		return -ENOMEM;
	v[names->n++] = take_ptr(copy);
	return 0;
}

/* No pattern, assignment or quote passes: `deny=LD_*` would silently deny nothing. */
static bool
name_valid(const char *s, size_t n)
{
	static const char bad[] = "*?=[]{}()\"'`;#$:/|&<>!,";

	if (n == 0 || !text_utf8_valid(s, n, NULL))
		return false;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] <= ' ' || s[i] == 127 || memchr(bad, s[i], sizeof(bad) - 1))
			return false;
	return true;
}

static int
names_parse(const char *text, bool env, struct policy_names *ret, const char **reason)
{
	_cleanup_(names_done) struct policy_names names = {0};
	const char *s = text, *end;
	int r;

	s += strspn(s, " \t");
	while (*s || names.n > 0) { /* after a comma there must be a name */
		end = s + strcspn(s, ",");
		size_t n = (size_t)(end - s);

		while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
			n--;
		if (!(env ? text_env_name(s, n) : name_valid(s, n))) {
			*reason = env ? "is not all, none, or a comma list of variable names"
				      : "is not a comma list of names";
			return -EINVAL;
		}
		r = names_add(&names, s, n);
		if (r < 0) {
			*reason = "does not fit into memory";
			return r;
		}
		if (!*end)
			break;
		s = end + 1;
		s += strspn(s, " \t");
	}
	*ret = names;
	names = (struct policy_names){0};
	return 0;
}

static int
env_mode_parse(const char *text, struct policy_env_mode *ret, const char **reason)
{
	struct policy_env_mode m = {.mode = ENV_MODE_LIST};
	int r;

	if (strcmp(text, "all") == 0) {
		m.mode = ENV_MODE_ALL;
	} else if (strcmp(text, "none") == 0) {
		m.mode = ENV_MODE_NONE;
	} else {
		r = names_parse(text, true, &m.names, reason);
		if (r < 0)
			return r;
		for (size_t i = 0; i < m.names.n; i++)
			if (strcmp(m.names.v[i], "all") == 0 || strcmp(m.names.v[i], "none") == 0)
				r = -EINVAL;
		if (m.names.n == 0)
			r = -EINVAL;
		if (r < 0) {
			names_done(&m.names);
			*reason = "is not all, none, or a comma list of variable names";
			return r;
		}
	}
	*ret = m;
	return 0;
}

/* "150%"; no sign, no blank, no fraction. */
static int
percent_parse(const char *text, int64_t *ret, const char **reason)
{
	size_t n = strspn(text, "0123456789");
	char digits[16];

	*reason = "is not a whole percentage of one CPU such as 150%";
	if (n == 0 || strcmp(text + n, "%") != 0)
		return -EINVAL;
	if (n >= sizeof(digits))
		return -ERANGE;
	memcpy(digits, text, n);
	digits[n] = '\0';
	return text_i64(digits, ret);
}

static int
mode_parse(const char *text, int64_t *ret, const char **reason)
{
	size_t n = strspn(text, "01234567");

	*reason = "is not an octal number such as 027";
	if (n == 0 || n > 8 || text[n] != '\0')
		return -EINVAL;
	*ret = 0;
	for (; *text; text++)
		*ret = *ret * 8 + (*text - '0');
	return 0;
}

/* Whole seconds: less would be a limit that the kernel does not have. */
static int
seconds_parse(const char *text, int64_t *ret, const char **reason)
{
	struct dur d;
	int r = dur_parse(text, &d, reason);

	*reason = "is neither a span of whole seconds such as 90s or 10m, nor infinity";
	if (r == 0 && d.ns % NSEC_PER_SEC != 0)
		r = -EINVAL;
	if (r == 0)
		*ret = d.ns / NSEC_PER_SEC;
	return r;
}

static int
limit_number_parse(enum policy_type t, const char *text, int64_t *ret, const char **reason)
{
	uint64_t u;
	int r;

	if (t == POLICY_MODE)
		return mode_parse(text, ret, reason);
	if (t == POLICY_LIMITTIME)
		return seconds_parse(text, ret, reason);
	r = t == POLICY_LIMITSIZE ? text_size(text, &u) : text_u64(text, &u);
	*reason = t == POLICY_LIMITSIZE ? "is neither a size such as 512K, 64M or 1G, nor infinity"
					: "is neither a whole number nor infinity";
	if (r == 0 && u >= INT64_MAX)
		r = -ERANGE;
	if (r == 0)
		*ret = (int64_t)u;
	return r;
}

/* Into what policy_limit understands. */
static int
limit_parse(enum policy_type t, const char *text, int64_t min, int64_t max, int64_t *ret,
	    const char **reason)
{
	int64_t v = 0;
	int r;

	if (t != POLICY_MODE && strcmp(text, "infinity") == 0) {
		*ret = POLICY_INFINITY;
		return 0;
	}
	r = limit_number_parse(t, text, &v, reason);
	if (r == 0 && (v < min || v > max))
		r = -ERANGE;
	if (r == -ERANGE)
		*reason = "is out of range";
	if (r == 0)
		*ret = v + 1;
	return r;
}

static const char *const output_tos[] = {
	[OUTPUT_TO_FILE] = "file", [OUTPUT_TO_JOURNAL] = "journal", [OUTPUT_TO_BOTH] = "both"};

static int
output_to_parse(const char *text, int64_t *ret, const char **reason)
{
	*reason = "is none of file, journal and both";
	for (size_t i = OUTPUT_TO_FILE; i < ARRAY_SIZE(output_tos); i++) {
		if (strcmp(text, output_tos[i]) == 0) {
			*ret = (int64_t)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int
number_parse(enum policy_type t, const char *text, int64_t *ret, const char **reason)
{
	struct dur d;
	uint64_t u;
	int sig, r;

	switch (t) {
	case POLICY_INT:
		r = text_i64(text, ret);
		*reason = "is not a whole number";
		return r;
	case POLICY_SIZE:
		r = text_size(text, &u);
		*reason = "is not a size such as 512K, 64M or 1G";
		if (r == 0 && u > INT64_MAX)
			r = -ERANGE;
		if (r == 0)
			*ret = (int64_t)u;
		return r;
	case POLICY_DUR:
		r = dur_parse(text, &d, reason);
		if (r == 0)
			*ret = dur_to_usec(d);
		else
			*reason = "is not a span such as 250ms, 90s, 10m or 1h30m";
		return r;
	case POLICY_SIGNAL:
		r = text_signal(text, &sig);
		*reason = "is not a signal such as TERM, INT or 15";
		if (r == 0)
			*ret = sig;
		return r;
	case POLICY_ONINTERRUPT:
		*reason = "is neither hold nor retry";
		if (strcmp(text, "hold") != 0 && strcmp(text, "retry") != 0)
			return -EINVAL;
		*ret = *text == 'h' ? ON_INTERRUPT_HOLD : ON_INTERRUPT_RETRY;
		return 0;
	case POLICY_OUTPUTTO:
		return output_to_parse(text, ret, reason);
	case POLICY_PERCENT:
		return percent_parse(text, ret, reason);
	case POLICY_MODE:
	case POLICY_LIMIT:
	case POLICY_LIMITSIZE:
	case POLICY_LIMITTIME:
	case POLICY_NAMES:
	case POLICY_ENVMODE:
	case POLICY_COMMAND:
		break;
	}
	assert_not_reached("a number");
}

int
policy_value_parse(enum policy_type t, const char *text, int64_t min, int64_t max, void *field,
		   const char **reason)
{
	struct policy_env_mode mode = {0};
	struct policy_names names = {0};
	char *copy;
	int64_t v = 0;
	int r;

	switch (t) {
	case POLICY_COMMAND:
		copy = *text ? strdup(text) : NULL;
		*reason = "does not fit into memory";
		if (*text && !copy)
			return -ENOMEM;
		policy_value_done(t, field);
		*(char **)field = copy;
		return 0;
	case POLICY_NAMES:
		r = names_parse(text, false, &names, reason);
		if (r < 0)
			return r;
		policy_value_done(t, field);
		*(struct policy_names *)field = names;
		return 0;
	case POLICY_ENVMODE:
		r = env_mode_parse(text, &mode, reason);
		if (r < 0)
			return r;
		policy_value_done(t, field);
		*(struct policy_env_mode *)field = mode;
		return 0;
	case POLICY_MODE:
	case POLICY_LIMIT:
	case POLICY_LIMITSIZE:
	case POLICY_LIMITTIME:
		r = limit_parse(t, text, min, max, &v, reason);
		if (r < 0)
			return r;
		break;
	case POLICY_INT:
	case POLICY_SIZE:
		if (!*text && (t == POLICY_INT || min > 0)) /* no limit */
			break;
		/* fall through */
	case POLICY_DUR:
	case POLICY_SIGNAL:
	case POLICY_ONINTERRUPT:
	case POLICY_OUTPUTTO:
	case POLICY_PERCENT:
		r = number_parse(t, text, &v, reason);
		if (r == 0 && (v < min || v > max))
			r = -ERANGE;
		if (r == -ERANGE)
			*reason = "is out of range";
		if (r < 0)
			return r;
		break;
	}
	*(int64_t *)field = v;
	return 0;
}

static char *
names_format(const struct policy_names *names)
{
	_cleanup_(buf_done) struct buf b = {0};

	for (size_t i = 0; i < names->n; i++) {
		if (i > 0)
			buf_putc(&b, ',');
		buf_puts(&b, names->v[i]);
	}
	buf_putc(&b, '\0');
	return b.failed ? NULL : strdup(buf_head(&b));
}

static char *
env_mode_format(const struct policy_env_mode *m)
{
	switch (m->mode) {
	case ENV_MODE_ALL:
		return strdup("all");
	case ENV_MODE_NONE:
		return strdup("none");
	case ENV_MODE_LIST:
		return names_format(&m->names);
	}
	assert_not_reached("environment mode");
}

static char *
limit_format(enum policy_type t, int64_t field)
{
	char text[CLOCK_TEXT];
	int64_t v;

	if (!policy_limit(field, &v))
		return strdup("");
	if (v == POLICY_INFINITY)
		return strdup("infinity");
	if (t == POLICY_MODE)
		return text_format("%03llo", (long long)v);
	if (t == POLICY_LIMITSIZE)
		return strdup(text_size_format((uint64_t)v, text, sizeof(text)));
	if (t == POLICY_LIMITTIME)
		return strdup(v ? dur_format(dur_usec(v * 1000000), text, sizeof(text)) : "0s");
	return text_format("%lld", (long long)v);
}

char *
policy_value_format(enum policy_type t, const void *field)
{
	const int64_t *v = field;
	char text[CLOCK_TEXT];

	switch (t) {
	case POLICY_PERCENT:
		return *v == 0 ? strdup("") : text_format("%lld%%", (long long)*v);
	case POLICY_MODE:
	case POLICY_LIMIT:
	case POLICY_LIMITSIZE:
	case POLICY_LIMITTIME:
		return limit_format(t, *v);
	case POLICY_INT:
		return *v == 0 ? strdup("") : text_format("%lld", (long long)*v);
	case POLICY_SIZE:
		return strdup(*v == 0 ? "" : text_size_format((uint64_t)*v, text, sizeof(text)));
	case POLICY_DUR:
		return strdup(*v == 0 ? "" : dur_format(dur_usec(*v), text, sizeof(text)));
	case POLICY_SIGNAL:
		return strdup(*v == 0 ? "" : text_signal_name((int)*v, text, sizeof(text)));
	case POLICY_ONINTERRUPT:
		return strdup(*v == ON_INTERRUPT_UNSET  ? ""
			      : *v == ON_INTERRUPT_HOLD ? "hold"
							: "retry");
	case POLICY_OUTPUTTO:
		assert(*v >= OUTPUT_TO_FILE && *v <= OUTPUT_TO_BOTH);
		return strdup(output_tos[*v]);
	case POLICY_COMMAND:
		return strdup(*(char *const *)field ? *(char *const *)field : "");
	case POLICY_NAMES:
		return names_format(field);
	case POLICY_ENVMODE:
		return env_mode_format(field);
	}
	assert_not_reached("policy type");
}

void
policy_value_done(enum policy_type t, void *field)
{
	switch (t) {
	case POLICY_INT:
	case POLICY_SIZE:
	case POLICY_DUR:
	case POLICY_SIGNAL:
	case POLICY_ONINTERRUPT:
	case POLICY_OUTPUTTO:
	case POLICY_PERCENT:
	case POLICY_MODE:
	case POLICY_LIMIT:
	case POLICY_LIMITSIZE:
	case POLICY_LIMITTIME:
		*(int64_t *)field = 0;
		return;
	case POLICY_COMMAND:
		free(*(char **)field);
		*(char **)field = NULL;
		return;
	case POLICY_NAMES:
		names_done(field);
		return;
	case POLICY_ENVMODE:
		names_done(&((struct policy_env_mode *)field)->names);
		((struct policy_env_mode *)field)->mode = ENV_MODE_ALL;
		return;
	}
	assert_not_reached("policy type");
}
