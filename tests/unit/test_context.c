/* test_context.c - core/context.h: values, their limits, their variables. */
#include <errno.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strv.h"
#include "core/context.h"
#include "tap.h"

/* The strings of TEXT, with "|" between. */
static struct strv
list(const char *text)
{
	struct strv v = {0};
	_free_ char *copy = strdup(text);
	char *rest = copy, *one;

	need(copy);
	while (*text && (one = strsep(&rest, "|")))
		need(strv_add(&v, one) == 0);
	return v;
}

static void
is_list(const struct strv *v, const char *want)
{
	static char text[40000];
	size_t len = 0;

	text[0] = '\0';
	for (const char *s = strv_first(v); s; s = strv_next(v, s))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s", len ? "|" : "", s);
	is_str(text, want);
}

/* WANT NULL: refused, with WHY in the text. */
static void
merged(const char *inherited, const char *own, const char *want, const char *why)
{
	_cleanup_(strv_done) struct strv a = list(inherited), b = list(own), got = {0};
	struct ctx_err e = {0};
	int r = context_values_merge(&a, &b, &got, &e);

	is_int(r, want ? 0 : -EINVAL);
	if (want) {
		is_list(&got, want);
		return;
	}
	ok(got.n == 0 && !got.data);
	if (!strstr(e.text, why))
		printf("# \"%s\" has no \"%s\"\n", e.text, why);
	ok(strstr(e.text, why));
}

TEST(names)
{
	static const struct {
		const char *name;
		bool good;
	} rows[] = {
		{"a", true},       {"Z", true},    {"_", true},         {"request_id", true},
		{"a.b-c_9", true}, {"a.", true},   {"a-", true},        {"", false},
		{"9a", false},     {"-a", false},  {".a", false},       {"a b", false},
		{"a/b", false},    {"a=", false},  {"\xc3\xa9", false}, {"a\n", false},
		{"a@b", false},    {"a:b", false},
	};
	char name[CONTEXT_NAME_MAX + 2];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		is_int(context_name_valid(rows[i].name, strlen(rows[i].name)), rows[i].good);
	ok(!context_name_valid("a\0b", 3));
	memset(name, 'n', sizeof(name));
	ok(context_name_valid(name, CONTEXT_NAME_MAX));
	ok(!context_name_valid(name, CONTEXT_NAME_MAX + 1));
}

TEST(variables)
{
	char buf[CONTEXT_ENV_NAME], name[CONTEXT_NAME_MAX];

	is_str(context_env_name("request_id", 10, buf), "CTX_VALUE_REQUEST_ID");
	is_str(context_env_name("a.b-C9=x", 6, buf), "CTX_VALUE_A_B_C9");
	memset(name, 'z', sizeof(name));
	is_int(strlen(context_env_name(name, sizeof(name), buf)), CONTEXT_ENV_NAME - 1);
}

TEST(one_value)
{
	struct ctx_err e = {0};

	is_int(context_value_check("a=", &e), 0);
	is_int(context_value_check("a==b=c", &e), 0);
	is_int(context_value_check("a=line\nline\x01 \xc3\xa9\xf0\x9f\x98\x80", &e), 0);
	is_int(context_value_check("tenant", &e), -EINVAL);
	is_str(e.text, "the value tenant has no text: NAME=VALUE is needed");
	is_int(context_value_check("tenant=caf\xe9", &e), -EINVAL);
	is_str(e.text, "the value tenant is not UTF-8 at byte 3");
	is_int(context_value_check("9\x1b[2J=x", &e), -EINVAL);
	ok(strstr(e.text, "\"9\\x1b[2J\" is no name of a value") == e.text);
	is_int(context_value_check("=x", &e), -EINVAL);
	is_int(context_value_check("", &e), -EINVAL);
	is_int(context_value_check("a=\xed\xa0\x80", &e), -EINVAL); /* a surrogate */
}

TEST(merging)
{
	merged("", "", "", NULL);
	merged("a=1|b=2", "", "a=1|b=2", NULL);
	merged("", "b=2|a=1", "a=1|b=2", NULL);
	merged("a=1|c=3", "b=2", "a=1|b=2|c=3", NULL);
	merged("a=1|b=2", "b=3", "a=1|b=3", NULL);
	merged("a=1", "a=", "a=", NULL);
	/* by name: "=" is no part of it */
	merged("", "ab=1|a-c=2|a=3|a.d=4|a0=5", "a=3|a-c=2|a.d=4|a0=5|ab=1", NULL);
	merged("", "a=1|a=2", NULL, "the value a is given twice");
	merged("a=0", "a=1|a=2", NULL, "the value a is given twice");
	merged("", "9=1", NULL, "\"9\" is no name of a value");
	merged("", "a=\xff", NULL, "the value a is not UTF-8");
}

TEST(merging_with_nothing)
{
	_cleanup_(strv_done) struct strv v = list("b=1|a=2"), got = {0};

	need(context_values_merge(NULL, NULL, &got, NULL) == 0);
	is_int(got.n, 0);
	need(context_values_merge(NULL, &v, &got, NULL) == 0);
	is_list(&got, "a=2|b=1");
	strv_done(&got);
	need(context_values_merge(&v, NULL, &got, NULL) == 0);
	is_list(&got, "a=2|b=1");
}

TEST(two_names_of_one_variable)
{
	merged("", "a.b=1|a-b=2", NULL, "would both be the variable CTX_VALUE_A_B");
	merged("req=1", "REQ=2", NULL, "the values req and REQ would both be the variable");
	merged("req=1", "req=2", "req=2", NULL);
	merged("a.b=1|c=2", "a_b=3", NULL, "a.b and a_b");
	merged("a.b=1", "a.c=3", "a.b=1|a.c=3", NULL);
}

/* N values of BYTES each, names included: PREFIXnn=... */
static struct strv
many(const char *prefix, int n, size_t bytes)
{
	struct strv v = {0};
	_free_ char *s = malloc(bytes + 2);

	need(s);
	for (int i = 0; i < n; i++) {
		size_t len = (size_t)snprintf(s, bytes + 2, "%s%02d=", prefix, i);

		memset(s + len, 'v', bytes + 1 - len);
		s[bytes + 1] = '\0';
		need(strv_add(&v, s) == 0);
	}
	return v;
}

static int
fits(const struct strv *inherited, const struct strv *own, const char *why)
{
	_cleanup_(strv_done) struct strv got = {0};
	struct ctx_err e = {0};
	int r = context_values_merge(inherited, own, &got, &e);

	if (r < 0 && !strstr(e.text, why)) {
		printf("# %s\n", e.text);
		ok(!"the right words");
	}
	return r;
}

TEST(how_many)
{
	_cleanup_(strv_done) struct strv a = many("a", 64, 10), b = many("b", 1, 10),
					 c = many("a", 65, 10), d = many("a", 40, 10),
					 f = many("b", 24, 10), h = many("b", 25, 10),
					 same = many("a", 64, 12);
	const char *why = "more than 64 values, inherited ones included";

	is_int(fits(NULL, &a, why), 0);
	is_int(fits(&a, &same, why), 0); /* each stands for one that was there */
	is_int(fits(&a, &b, why), -EINVAL);
	is_int(fits(NULL, &c, why), -EINVAL);
	is_int(fits(&d, &f, why), 0);
	is_int(fits(&d, &h, why), -EINVAL);
}

TEST(how_much)
{
	_cleanup_(strv_done) struct strv a = many("a", 64, 256), b = many("a", 1, 16384),
					 c = many("a", 1, 16385), d = many("a", 63, 256),
					 f = many("b", 1, 257), h = many("b", 1, 256),
					 less = many("a", 1, 255), l = many("a", 1, 257);
	const char *why =
		"the values have 16385 bytes, inherited ones and names included; 16384 is "
		"the most";

	is_int(fits(NULL, &a, why), 0);
	is_int(fits(NULL, &b, why), 0);
	is_int(fits(NULL, &c, why), -EINVAL);
	is_int(fits(&d, &h, why), 0);
	is_int(fits(&d, &f, why), -EINVAL);
	is_int(fits(&a, &less, why), 0);
	is_int(fits(&a, &l, why), -EINVAL);
}

/* Random sides, against the words of the rule. */
TEST(random_merges)
{
	uint64_t seed = 2463534242u;

	for (int round = 0; round < 3000; round++) {
		struct strv side[2] = {{0}, {0}}, got = {0};
		char want[26][8] = {{0}}, text[26 * 8] = "";
		size_t len = 0;

		for (int k = 0; k < 2; k++)
			for (int c = 0; c < 26; c++) {
				seed = seed * 6364136223846793005u + 1442695040888963407u;
				if ((seed >> 40) % 3)
					continue;
				(void)snprintf(want[c], sizeof(want[c]), "%c=%d", 'a' + c,
					       (int)((seed >> 50) % 100));
				need(strv_add(&side[k], want[c]) == 0);
			}
		for (int c = 0; c < 26; c++)
			if (want[c][0])
				len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
							len ? "|" : "", want[c]);
		is_int(context_values_merge(&side[0], &side[1], &got, NULL), 0);
		is_list(&got, text);
		strv_done(&side[0]);
		strv_done(&side[1]);
		strv_done(&got);
	}
}
