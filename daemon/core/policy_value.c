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
	case POLICY_INT:
		if (!*text)
			break;
		/* fall through */
	case POLICY_SIZE:
	case POLICY_DUR:
	case POLICY_SIGNAL:
	case POLICY_ONINTERRUPT:
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

char *
policy_value_format(enum policy_type t, const void *field)
{
	const int64_t *v = field;
	char text[CLOCK_TEXT];

	switch (t) {
	case POLICY_INT:
		return *v == 0 ? strdup("") : text_format("%lld", (long long)*v);
	case POLICY_SIZE:
		return strdup(text_size_format((uint64_t)*v, text, sizeof(text)));
	case POLICY_DUR:
		return strdup(*v == 0 ? "" : dur_format(dur_usec(*v), text, sizeof(text)));
	case POLICY_SIGNAL:
		return strdup(*v == 0 ? "" : text_signal_name((int)*v, text, sizeof(text)));
	case POLICY_ONINTERRUPT:
		return strdup(*v == ON_INTERRUPT_UNSET  ? ""
			      : *v == ON_INTERRUPT_HOLD ? "hold"
							: "retry");
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
