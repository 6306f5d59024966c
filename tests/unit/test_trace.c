/* test_trace.c - trace/trace.h: the examples and the edges of the specifications; then random
 * texts, judged by a second reading of the grammars. */
#include <errno.h>
#include <regex.h>

#include "base/mem.h"
#include "rnd.h"
#include "tap.h"
#include "trace/trace.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define UNTOUCHED ((char *)1)

typedef int (*list_fn)(const char *s, char **ret, const char **ret_why);

/* ---- traceparent */

TEST(traceparent)
{
	static const struct {
		const char *text;
		int flags; /* -1: not valid */
	} rows[] = {
		{"00-" TRACE "-" SPAN "-01", 1},
		{"00-" TRACE "-" SPAN "-00", 0},
		{"00-" TRACE "-b7ad6b7169203331-01", 1},
		/* level 2: random is kept; what nobody knows is dropped */
		{"00-" TRACE "-" SPAN "-02", 2},
		{"00-" TRACE "-" SPAN "-03", 3},
		{"00-" TRACE "-" SPAN "-ff", 3},
		{"00-" TRACE "-" SPAN "-fc", 0},
		{"00-" TRACE "-" SPAN "-09", 1},
		/* version 00 is as long as it is */
		{"00-" TRACE "-" SPAN "-01-", -1},
		{"00-" TRACE "-" SPAN "-01-what-the-future-will-be-like", -1},
		{"00-" TRACE "-" SPAN "-01.", -1},
		{"00-" TRACE "-" SPAN "-01 ", -1},
		{" 00-" TRACE "-" SPAN "-01", -1},
		{"00-" TRACE "-" SPAN "-1", -1},
		{"00-" TRACE "-" SPAN "-", -1},
		{"00-" TRACE "-" SPAN, -1},
		{"00-" TRACE "-", -1},
		{"00", -1},
		{"", -1},
		/* later versions: as far as they are known */
		{"cc-" TRACE "-" SPAN "-01", 1},
		{"cc-" TRACE "-" SPAN "-03", 3},
		{"cc-" TRACE "-" SPAN "-01-", 1},
		{"cc-" TRACE "-" SPAN "-01-what-the-future-will-be-like", 1},
		{"01-" TRACE "-" SPAN "-00-%\"\x01", 0},
		{"fe-" TRACE "-" SPAN "-01", 1},
		{"cc-" TRACE "-" SPAN "-01.what-the-future-will-be-like", -1},
		{"cc-" TRACE "-" SPAN "-010", -1},
		{"cc-" TRACE "-" SPAN "-0", -1},
		{"ff-" TRACE "-" SPAN "-01", -1},
		{"ff-" TRACE "-" SPAN "-01-x", -1},
		/* lower-case hex, and nothing else */
		{"0x-" TRACE "-" SPAN "-01", -1},
		{".0-" TRACE "-" SPAN "-01", -1},
		{"0.-" TRACE "-" SPAN "-01", -1},
		{"CC-" TRACE "-" SPAN "-01", -1},
		{"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", -1},
		{"00-4bf92f3577b34da6a3ce929d0e0e473.-" SPAN "-01", -1},
		{"00-4bf92f3577b34da6a3ce929d0e0e473g-" SPAN "-01", -1},
		{"00-" TRACE "-00F067AA0BA902B7-01", -1},
		{"00-" TRACE "-00f067aa0ba902b.-01", -1},
		{"00-" TRACE "-" SPAN "-0A", -1},
		{"00-" TRACE "-" SPAN "-0x", -1},
		{"00-" TRACE "-" SPAN "-.0", -1},
		/* "-" where it belongs */
		{"00_" TRACE "-" SPAN "-01", -1},
		{"00-" TRACE "_" SPAN "-01", -1},
		{"00-" TRACE "-" SPAN "_01", -1},
		{"00-" TRACE "0-" SPAN "-1", -1},
		{"00-4bf92f3577b34da6a3ce929d0e0e473-0" SPAN "-01", -1},
		{"00--" TRACE "-" SPAN "-01", -1},
		/* not all zero */
		{"00-00000000000000000000000000000000-" SPAN "-01", -1},
		{"00-" TRACE "-0000000000000000-01", -1},
		{"cc-00000000000000000000000000000000-" SPAN "-01", -1},
		{"00-00000000000000000000000000000001-0000000000000001-01", 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct trace_context t, was;
		const char *why = NULL;
		char buf[TRACE_PARENT_TEXT], want[TRACE_PARENT_TEXT];
		int r;

		memset(&t, 0xa5, sizeof(t));
		was = t;
		r = trace_parse(rows[i].text, &t, &why);
		if ((r == 0) != (rows[i].flags >= 0))
			printf("# row %zu: %s: %d %s\n", i, rows[i].text, r, why ? why : "");
		is_int(r, rows[i].flags >= 0 ? 0 : -EINVAL);
		if (r < 0) {
			ok(why && *why);
			ok(memcmp(&t, &was, sizeof(t)) == 0);
			continue;
		}
		is_int(t.flags, rows[i].flags);
		(void)snprintf(want, sizeof(want), "00-%.49s-%02x", rows[i].text + 3,
			       (unsigned)rows[i].flags);
		is_str(trace_format(&t, buf), want);
	}
}

TEST(ids)
{
	static const char *const wrong[] = {
		"",
		"4",
		"4bf92f3577b34da6a3ce929d0e0e473",
		TRACE "0",
		TRACE " ",
		"4bf92f3577b34da6a3ce929d0e0e473G",
		"4BF92F3577B34DA6A3CE929D0E0E4736",
		"00000000000000000000000000000000",
	};
	uint8_t id[16], was[16];
	char text[TRACE_ID_TEXT], span[TRACE_SPAN_TEXT];

	need(trace_id_parse(TRACE, id) == 0);
	is_int(id[0], 0x4b);
	is_int(id[15], 0x36);
	is_str(trace_id_format(id, text), TRACE);
	is_str(trace_span_format(id, span), "4bf92f3577b34da6");
	memcpy(was, id, sizeof(id));
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		is_int(trace_id_parse(wrong[i], id), -EINVAL);
		ok(memcmp(id, was, sizeof(id)) == 0);
	}
}

TEST(new_ids)
{
	struct trace_context a, b;
	char buf[TRACE_PARENT_TEXT];
	struct trace_context back;
	const char *why;

	need(trace_new(INT64_C(1700000000123456), &a) == 0);
	need(trace_new(INT64_C(1700000000123999), &b) == 0);
	is_int(a.flags, TRACE_SAMPLED | TRACE_RANDOM);
	ok(memcmp(a.trace_id, "\x01\x8b\xcf\xe5\x68\x7b", 6) == 0); /* 1700000000123 */
	ok(memcmp(b.trace_id, a.trace_id, 6) == 0);
	ok(memcmp(b.trace_id + 6, a.trace_id + 6, 10) != 0);
	ok(memcmp(b.span_id, a.span_id, 8) != 0);
	need(trace_parse(trace_format(&a, buf), &back, &why) == 0);
	ok(memcmp(&back, &a, sizeof(a)) == 0);
	need(trace_new_span(b.span_id) == 0);
	ok(memcmp(b.span_id, a.span_id, 8) != 0);
	need(trace_new(-1, &b) == 0); /* a clock before 1970 */
	need(trace_parse(trace_format(&b, buf), &back, &why) == 0);
}

/* ---- the lists */

struct list_row {
	const char *text;
	const char *want; /* NULL: nothing is left */
	bool good;
};

static void
check_rows(list_fn fn, const struct list_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char *got = UNTOUCHED;
		const char *why = NULL;
		int r = fn(rows[i].text, &got, &why);

		if (r != (rows[i].good ? 0 : -EINVAL))
			printf("# row %zu \"%s\": %d %s\n", i, rows[i].text, r, why ? why : "");
		is_int(r, rows[i].good ? 0 : -EINVAL);
		if (r < 0) {
			ok(got == UNTOUCHED);
			ok(why && *why);
			continue;
		}
		is_str(got, rows[i].want);
		free(got);
	}
}

#define SAME(s)                                                                                    \
	{                                                                                          \
		s, s, true                                                                         \
	}
#define BAD(s)                                                                                     \
	{                                                                                          \
		s, NULL, false                                                                     \
	}

TEST(tracestate)
{
	static const struct list_row rows[] = {
		SAME("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
		SAME("congo=ucfJifl5GOE,rojo=00f067aa0ba902b7"),
		SAME("vendorname1=opaqueValue1,vendorname2=opaqueValue2"),
		SAME("fw529a3039@dt=FfF,tenant@system=1"),
		SAME("a=b c"),
		SAME("a=!\"#$%&'()*+-./0123456789:;<>?@AZ[\\]^_`az{|}~"),
		SAME("a0_-*/=1"),
		SAME("0a_-*/@b0_-*/=1"),
		/* blanks around members; those inside a value are its own */
		{"foo=1 \t , \t bar=2, \t baz=3", "foo=1,bar=2,baz=3", true},
		{" foo=1\t", "foo=1", true},
		{"foo= 1 ,bar=2", "foo= 1,bar=2", true},
		/* empty members */
		{"", NULL, true},
		{" \t", NULL, true},
		{",", NULL, true},
		{" , ,\t,", NULL, true},
		{"foo=1,", "foo=1", true},
		{",foo=1,,bar=2, ,", "foo=1,bar=2", true},
		/* keys */
		BAD("foo"),
		BAD("foo,bar=1"),
		BAD("=1"),
		BAD("Foo=1"),
		BAD("fOo=1"),
		BAD("0foo=1"),
		BAD("_foo=1"),
		BAD("foo =1"),
		BAD("foo\t=1"),
		BAD("fo o=1"),
		BAD("foo.bar=1"),
		BAD("foo!=1"),
		BAD("f\xc3\xb6o=1"),
		BAD("foo@=1,bar=2"),
		BAD("@foo=1,bar=2"),
		BAD("foo@@bar=1,bar=2"),
		BAD("foo@bar@baz=1,bar=2"),
		BAD("foo@0bar=1"),
		BAD("foo@Bar=1"),
		BAD("Foo@bar=1"),
		BAD("_foo@bar=1"),
		BAD("foo@bar baz=1"),
		/* values */
		BAD("foo="),
		BAD("foo= "),
		BAD("foo=,bar=3"),
		BAD("foo=1=2"),
		BAD("foo=bar=baz"),
		BAD("foo=1\t2"),
		BAD("foo=1\x7f"),
		BAD("foo=1\n"),
		BAD("foo=\xc3\xa9"),
		BAD("foo=1;bar=2=3"),
		SAME("foo=1;bar"),
		/* twice */
		BAD("foo=1,foo=1"),
		BAD("foo=1,foo=2"),
		BAD("foo=1,bar=2, foo=3"),
		BAD("a@b=1,a@b=2"),
		SAME("foo=1,foo@bar=1,foo1=1,fo=1"),
	};

	check_rows(trace_state_parse, rows, ARRAY_SIZE(rows));
}

TEST(baggage)
{
	static const struct list_row rows[] = {
		SAME("key1=value1;property1;property2,key2=value2,key3=value3;propertyKey="
		     "propertyValue"),
		{"key1=value1;property1;property2, key2 = value2, key3=value3; "
		 "propertyKey=propertyValue",
		 "key1=value1;property1;property2,key2=value2,key3=value3;propertyKey="
		 "propertyValue",
		 true},
		SAME("userId=alice,serverNode=DF%2028,isProduction=false"),
		{"userId=alice, serverNode=DF%2028, isProduction=false",
		 "userId=alice,serverNode=DF%2028,isProduction=false", true},
		SAME("userId=Am%C3%A9lie,serverNode=DF%2028,isProduction=false"),
		{"SomeKey \t = \t SomeValue \t ; \t SomeProp \t , \t SomeKey2 = SomeValue2",
		 "SomeKey=SomeValue;SomeProp,SomeKey2=SomeValue2", true},
		{"SomeKey\t=\tValue\t;\tProp\t=\tX\t", "SomeKey=Value;Prop=X", true},
		SAME("a=b=c"),
		SAME("a=="),
		SAME("a="),
		SAME("a=,b="),
		SAME("a=;b="),
		SAME("a=1,a=2,a=1"), /* the last one counts, whoever reads it */
		SAME("!#$%&'*+-.^_`|~09azAZ=1"),
		SAME("a=!#$%&'()*+-./0123456789:<=>?@AZ[]^_`az{|}~"),
		SAME("a=%zz%"), /* what it stands for is the reader's business */
		{"", NULL, true},
		{" , ,", NULL, true},
		{",a=1,, b=2,", "a=1,b=2", true},
		BAD("a"),
		BAD("a;b=1"),
		BAD("a,b=1"),
		BAD("=1"),
		BAD("a=1,=2"),
		BAD("a b=1"),
		BAD("a(b)=1"),
		BAD("a/b=1"),
		BAD("a@b=1"),
		BAD("a\"=1"),
		BAD("a=b c"),
		BAD("a=\"b\""),
		BAD("a=b\\c"),
		BAD("a=\x01"),
		BAD("a=\x7f"),
		BAD("a=Am\xc3\xa9lie"),
		BAD("\xc3\xa9=1"),
		BAD("a=1;"),
		BAD("a=1;;b"),
		BAD("a=1;=2"),
		BAD("a=1; b c"),
		BAD("a=1;b=c d"),
		BAD("a=1;b=\\"),
		BAD("a=1\nb=2"),
	};

	check_rows(trace_baggage_parse, rows, ARRAY_SIZE(rows));
}

/* FMT with a %s, N times the byte C in it. */
static const char *
filled(const char *fmt, char c, int n)
{
	static char fill[20000], text[20100];

	memset(fill, c, (size_t)n);
	fill[n] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(text, sizeof(text), fmt, fill);
#pragma GCC diagnostic pop
	return text;
}

/* N members, each of its own key. */
static const char *
members(int n, const char *value)
{
	static char text[20000];
	size_t len = 0;

	for (int i = 0; i < n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%sk%d=%s", i ? "," : "", i,
					value);
	return text;
}

static int
tried(list_fn fn, const char *s)
{
	const char *why = NULL;
	char *got = NULL;
	int r = fn(s, &got, &why);

	if (r == 0)
		is_str(got, s);
	free(got);
	return r;
}

TEST(limits_of_tracestate)
{
	is_int(tried(trace_state_parse, filled("%s=1", 'a', 256)), 0);
	is_int(tried(trace_state_parse, filled("%s=1", 'a', 257)), -EINVAL);
	is_int(tried(trace_state_parse, filled("%s@sys=1", 'a', 241)), 0);
	is_int(tried(trace_state_parse, filled("%s@sys=1", 'a', 242)), -EINVAL);
	is_int(tried(trace_state_parse, filled("t@%s=1", 'a', 14)), 0);
	is_int(tried(trace_state_parse, filled("t@%s=1", 'a', 15)), -EINVAL);
	is_int(tried(trace_state_parse, filled("a=%s", 'v', 256)), 0);
	is_int(tried(trace_state_parse, filled("a=%s", 'v', 257)), -EINVAL);
	is_int(tried(trace_state_parse, members(32, "1")), 0);
	is_int(tried(trace_state_parse, members(33, "1")), -EINVAL);
	/* 32 members of 250 bytes and more */
	is_int(tried(trace_state_parse, members(32, filled("%s", 'v', 250))), 0);
	is_int(tried(trace_state_parse, members(32, filled("%s", 'v', 253))), -EINVAL);
}

TEST(limits_of_baggage)
{
	is_int(tried(trace_baggage_parse, filled("%s=1", 'a', 8190)), 0);
	is_int(tried(trace_baggage_parse, filled("%s=1", 'a', 8191)), -EINVAL);
	is_int(tried(trace_baggage_parse, filled("a=%s", 'v', 8190)), 0);
	is_int(tried(trace_baggage_parse, filled("a=%s", 'v', 8191)), -EINVAL);
	is_int(tried(trace_baggage_parse, filled("a=1;%s", 'p', 8188)), 0);
	is_int(tried(trace_baggage_parse, members(180, "1")), 0);
	is_int(tried(trace_baggage_parse, members(181, "1")), -EINVAL);
}

/* Dropped, they do not count. */
TEST(empty_members_do_not_count)
{
	const char *why = NULL;
	char *got = NULL;

	is_int(trace_state_parse(filled("a=1%s", ',', 100), &got, &why), 0);
	is_str(got, "a=1");
	free(got);
	is_int(trace_baggage_parse(filled("%sa=1", ',', 1000), &got, &why), 0);
	is_str(got, "a=1");
	free(got);
}

/* ---- random texts, and the grammars once more: as the specifications print them */

#define KEY_CHAR "[a-z0-9_*/-]"
#define STATE_KEY                                                                                  \
	"([a-z]" KEY_CHAR "{0,250}" KEY_CHAR "{0,5}|[a-z0-9]" KEY_CHAR "{0,240}@[a-z]" KEY_CHAR    \
	"{0,13})"
#define STATE_CHAR "[]!-+.-<>-\\^_`a-z{|}~-]"
#define STATE_VALUE "(" STATE_CHAR "| ){0,250}( |" STATE_CHAR "){0,5}" STATE_CHAR
#define OWS "[ \t]*"
#define STATE_MEMBER "(" OWS STATE_KEY "=" STATE_VALUE OWS "|" OWS ")"
#define TOKEN "[A-Za-z0-9!#$%&'*+.^_`|~-]+"
#define OCTETS "[]!#-+.-:<-Z^_`a-z{|}~[-]*"
#define PROPERTY TOKEN OWS "(=" OWS OCTETS OWS ")?"
#define BAGGAGE_MEMBER "(" OWS TOKEN OWS "=" OWS OCTETS OWS "(;" OWS PROPERTY ")*|" OWS ")"
#define LIST(member) "^" member "(," member ")*$"

static regex_t
compiled(const char *text)
{
	regex_t re;
	int r = regcomp(&re, text, REG_EXTENDED | REG_NOSUB);

	if (r != 0) {
		char why[128];

		(void)regerror(r, &re, why, sizeof(why));
		printf("# %s: %s\n", text, why);
	}
	need(r == 0);
	return re;
}

/* A text near the grammar: pieces of it, and now and then a byte that is anywhere from it. */
static void
random_text(char *s, size_t size, const char *const *pieces, size_t n_pieces)
{
	size_t len = 0, n = rnd(12);

	for (size_t i = 0; i < n; i++) {
		const char *p = pieces[rnd((uint32_t)n_pieces)];

		if (len + strlen(p) + 2 > size)
			break;
		len += (size_t)snprintf(s + len, size - len, "%s", p);
		if (rnd(24) == 0)
			s[len++] = (char)(1 + rnd(255));
	}
	s[len] = '\0';
	if (len > 0 && rnd(8) == 0)
		s[rnd((uint32_t)len)] = (char)(1 + rnd(255));
}

/* Keys of a tracestate in normal form are all different. */
static bool
key_twice(const char *s)
{
	for (const char *a = s; a; a = strchr(a, ',') ? strchr(a, ',') + 1 : NULL) {
		size_t n = strcspn(a, "=") + 1;

		for (const char *b = strchr(a, ','); b; b = strchr(b + 1, ','))
			if (strncmp(a, b + 1, n) == 0)
				return true;
	}
	return false;
}

/* Members without blanks around, empty ones left out: of what the grammar takes. */
static void
normal(const char *s, char *to)
{
	bool first = true;

	while (s) {
		const char *end = strchr(s, ',');
		size_t n = end ? (size_t)(end - s) : strlen(s);

		while (n > 0 && (*s == ' ' || *s == '\t'))
			s++, n--;
		while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t'))
			n--;
		if (n > 0) {
			if (!first)
				*to++ = ',';
			to = mempcpy(to, s, n);
			first = false;
		}
		s = end ? end + 1 : NULL;
	}
	*to = '\0';
}

static void
check_random(list_fn fn, const char *grammar, const char *const *pieces, size_t n, bool unique)
{
	regex_t re = compiled(grammar);
	int taken = 0, refused = 0;

	for (int i = 0; i < 20000; i++) {
		char s[400], norm[400];
		const char *why = NULL;
		char *got = NULL, *again = NULL;
		bool good;
		int r;

		random_text(s, sizeof(s), pieces, n);
		good = regexec(&re, s, 0, NULL, 0) == 0;
		normal(s, norm);
		if (good && unique && key_twice(norm))
			good = false;
		r = fn(s, &got, &why);
		if (r != (good ? 0 : -EINVAL))
			printf("# \"%s\": %d %s\n", s, r, why ? why : "");
		is_int(r, good ? 0 : -EINVAL);
		if (r < 0) {
			refused++;
			continue;
		}
		taken++;
		if (unique) /* baggage drops blanks inside too */
			is_str(got ? got : "", norm);
		is_int(fn(got ? got : "", &again, &why), 0); /* what came out stays as it is */
		is_str(again, got);
		free(got);
		free(again);
	}
	printf("# %d taken, %d refused\n", taken, refused);
	ok(taken > 1000 && refused > 1000);
	regfree(&re);
}

TEST(random_tracestates)
{
	static const char *const pieces[] = {"a=1", "bc=2",  ",",        " ",    ",",
					     "b@c", "0d@e=", "k=v w",    "=",    "@",
					     "\t",  ", ",    "x/y*z-_=", "key=", "f=~!"};

	check_random(trace_state_parse, LIST(STATE_MEMBER), pieces, ARRAY_SIZE(pieces), true);
}

TEST(random_baggages)
{
	static const char *const pieces[] = {"a=1", "b=", ",", " ",    ";",  "p",  "A%20b",
					     "=",   "\t", ";", "k = ", "v;", ", ", "#|~=[]"};

	check_random(trace_baggage_parse, LIST(BAGGAGE_MEMBER), pieces, ARRAY_SIZE(pieces), false);
}

/* Any valid one comes back as it was; with one byte changed it is what the grammar says. */
TEST(random_traceparents)
{
	regex_t form = compiled("^([0-9a-f]{2})-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?$"),
		zero = compiled("^..-(0{32}|[0-9a-f]{32}-0{16})-"),
		version = compiled("^(ff|00.{54,})");
	int taken = 0;

	for (int i = 0; i < 20000; i++) {
		struct trace_context t, back;
		char s[80], buf[TRACE_PARENT_TEXT];
		const char *why = NULL;
		bool good;
		int r;

		for (size_t k = 0; k < sizeof(t); k++)
			((uint8_t *)&t)[k] = (uint8_t)rnd(256);
		t.trace_id[0] |= 1;
		t.span_id[0] |= 1;
		t.flags &= 3;
		(void)trace_format(&t, s);
		is_int(strlen(s), 55);
		need(trace_parse(s, &back, &why) == 0);
		ok(memcmp(&t, &back, sizeof(t)) == 0);
		is_str(trace_format(&back, buf), s);

		for (uint32_t k = rnd(3); k > 0; k--)
			s[rnd(55)] =
				rnd(2) ? "0123456789abcdefABF-_ g"[rnd(23)] : (char)(1 + rnd(255));
		if (rnd(4) == 0)
			memcpy(s + 55, "-more", rnd(2) ? 6 : 2);
		if (rnd(8) == 0)
			s[rnd(56)] = '\0';
		s[79] = '\0';
		good = regexec(&form, s, 0, NULL, 0) == 0 && regexec(&zero, s, 0, NULL, 0) != 0 &&
		       regexec(&version, s, 0, NULL, 0) != 0;
		r = trace_parse(s, &back, &why);
		if (r != (good ? 0 : -EINVAL))
			printf("# \"%s\": %d %s\n", s, r, why ? why : "");
		is_int(r, good ? 0 : -EINVAL);
		taken += r == 0;
	}
	printf("# %d of 20000 taken\n", taken);
	ok(taken > 1000 && taken < 19000);
	regfree(&form);
	regfree(&zero);
	regfree(&version);
}
