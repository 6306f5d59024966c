/* test_jw.c - base/jw.h: commas, escapes, bounds; random strings are read back by jansson. */
#include <errno.h>
#include <jansson.h>

#include "base/buf.h"
#include "base/jw.h"
#include "base/text.h"
#include "rnd.h"
#include "tap.h"

static struct buf out;
static struct jw j;

static void
begin(void)
{
	buf_done(&out);
	buf_init(&out, 0);
	jw_init(&j, &out);
}

static const char *
text(void)
{
	need(buf_putc(&out, '\0') == 0);
	return buf_head(&out);
}

TEST(containers_and_commas)
{
	begin();
	jw_obj_open(&j, NULL);
	jw_arr_open(&j, "empty");
	jw_arr_close(&j);
	jw_obj_open(&j, "o");
	jw_obj_close(&j);
	jw_arr_open(&j, "l");
	jw_int(&j, NULL, 1);
	jw_arr_open(&j, NULL);
	jw_arr_close(&j);
	jw_obj_open(&j, NULL);
	jw_bool(&j, "t", true);
	jw_bool(&j, "f", false);
	jw_obj_close(&j);
	jw_null(&j, NULL);
	jw_arr_close(&j);
	jw_str(&j, "s", "x");
	jw_str(&j, "none", NULL);
	jw_raw(&j, "raw", "[1,2]", 5);
	jw_null(&j, "n");
	jw_obj_close(&j);
	is_str(text(), "{\"empty\":[],\"o\":{},\"l\":[1,[],{\"t\":true,\"f\":false},null],"
		       "\"s\":\"x\",\"none\":null,\"raw\":[1,2],\"n\":null}");
}

TEST(top_values)
{
	begin();
	jw_str(&j, NULL, "");
	is_str(text(), "\"\"");
	begin();
	jw_int(&j, NULL, 0);
	is_str(text(), "0");
	begin();
	jw_arr_open(&j, NULL);
	jw_str(&j, NULL, "a");
	jw_strn(&j, NULL, "bcd", 2);
	jw_strn(&j, NULL, NULL, 0);
	jw_strn(&j, NULL, "", 0);
	jw_arr_close(&j);
	is_str(text(), "[\"a\",\"bc\",null,\"\"]");
}

TEST(integers)
{
	static const int64_t values[] = {
		0,   1,   -1,  9,          10,        -10,       99,
		100, 101, 999, 1000000000, INT64_MAX, INT64_MIN, INT64_MIN + 1};
	char want[64];

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		begin();
		jw_int(&j, NULL, values[i]);
		snprintf(want, sizeof(want), "%lld", (long long)values[i]);
		is_str(text(), want);
	}
	for (int i = 0; i < 5000; i++) {
		int64_t v = (int64_t)(rnd(UINT64_MAX) >> rnd(64)) * (rnd(2) ? 1 : -1);

		begin();
		jw_int(&j, NULL, v);
		snprintf(want, sizeof(want), "%lld", (long long)v);
		is_str(text(), want);
	}
}

TEST(escapes)
{
	begin();
	jw_str(&j, NULL, "a\"b\\c/d\b\f\n\r\t\x01\x1f\x7f");
	is_str(text(), "\"a\\\"b\\\\c/d\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
	begin();
	jw_strn(&j, NULL, "\0a\0", 3);
	is_str(text(), "\"\\u0000a\\u0000\"");
	begin();
	jw_str(&j, NULL, "ü€😀");
	is_str(text(), "\"ü€😀\"");
}

TEST(invalid_utf8_becomes_a_replacement)
{
	begin();
	jw_str(&j, NULL,
	       "a\xff"
	       "b\xc3");
	is_str(text(), "\"a\xef\xbf\xbd"
		       "b\xef\xbf\xbd\"");
	begin();
	jw_str(&j, NULL, "\xed\xa0\x80"); /* a surrogate: three bytes, none valid */
	is_str(text(), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
	begin();
	jw_strn(&j, NULL, "€", 2); /* cut in the middle */
	is_str(text(), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

TEST(keys_are_escaped_too)
{
	begin();
	jw_obj_open(&j, NULL);
	jw_int(&j, "a\"b", 1);
	jw_str(&j, "ü\n", "ü\n");
	jw_obj_open(&j, "\x01");
	jw_obj_close(&j);
	jw_obj_close(&j);
	is_str(text(), "{\"a\\\"b\":1,\"ü\\n\":\"ü\\n\",\"\\u0001\":{}}");
}

/* A special byte at each place of strings of each length around the eight-byte steps. */
TEST(special_byte_at_each_place)
{
	static const char special[] = {'"', '\\', '\n', '\x1f', '\0', '\x7f',
				       '!', '#',  '[',  ']',    ' '};

	for (size_t n = 1; n < 35; n++)
		for (size_t at = 0; at < n; at++)
			for (size_t k = 0; k < sizeof(special); k++) {
				char s[40];
				json_t *v;

				memset(s, 'x', n);
				s[at] = special[k];
				begin();
				jw_strn(&j, NULL, s, n);
				v = json_loadb(buf_head(&out), buf_len(&out),
					       JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
				need(v);
				ok(json_string_length(v) == n &&
				   memcmp(json_string_value(v), s, n) == 0);
				json_decref(v);
			}
}

static size_t
random_text(char *s, size_t max)
{
	static const char *const pieces[] = {
		"a", "hello world ", "\"", "\\", "\n",         "\x01",    "ü", "€", "😀",
		"/", "\x7f",         "\t", "12", "ABCDEFGHIJ", "\xc2\x80"};
	size_t n = 0;

	for (size_t k = rnd(20); k > 0; k--) {
		const char *p = pieces[rnd(sizeof(pieces) / sizeof(pieces[0]))];

		if (n + strlen(p) >= max)
			break;
		memcpy(s + n, p, strlen(p));
		n += strlen(p);
	}
	s[n] = '\0';
	return n;
}

TEST(valid_text_round_trips)
{
	for (int i = 0; i < 5000; i++) {
		char key[300], s[300];
		size_t n = random_text(s, sizeof(s));
		json_t *v, *got;

		random_text(key, sizeof(key));
		begin();
		jw_obj_open(&j, NULL);
		jw_str(&j, key, s);
		jw_obj_close(&j);
		v = json_loadb(buf_head(&out), buf_len(&out), 0, NULL);
		need(v);
		got = json_object_get(v, key);
		need(got);
		ok(json_string_length(got) == n && memcmp(json_string_value(got), s, n) == 0);
		json_decref(v);
	}
}

TEST(random_bytes_are_always_json)
{
	for (int i = 0; i < 5000; i++) {
		char s[64];
		size_t n = rnd(sizeof(s));
		json_t *v;

		for (size_t k = 0; k < n; k++)
			s[k] = (char)(rnd(3) ? rnd(256) : 0x80 + rnd(0x80));
		begin();
		jw_strn(&j, NULL, s, n);
		ok(text_utf8_valid(buf_head(&out), buf_len(&out), NULL));
		ok(!memchr(buf_head(&out), '\0', buf_len(&out)));
		v = json_loadb(buf_head(&out), buf_len(&out), JSON_DECODE_ANY | JSON_ALLOW_NUL,
			       NULL);
		need(v);
		if (text_utf8_valid(s, n, NULL))
			ok(json_string_length(v) == n && memcmp(json_string_value(v), s, n) == 0);
		json_decref(v);
	}
}

TEST(base64_vectors)
{
	/* RFC 4648, section 10. */
	static const char *const t[][2] = {{"", ""},
					   {"f", "Zg=="},
					   {"fo", "Zm8="},
					   {"foo", "Zm9v"},
					   {"foob", "Zm9vYg=="},
					   {"fooba", "Zm9vYmE="},
					   {"foobar", "Zm9vYmFy"}};
	char want[32];

	for (size_t i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		begin();
		jw_base64(&j, NULL, t[i][0], strlen(t[i][0]));
		snprintf(want, sizeof(want), "\"%s\"", t[i][1]);
		is_str(text(), want);
	}
	begin();
	jw_obj_open(&j, NULL);
	jw_base64(&j, "d", "\xff\xef\xfe\0", 4);
	jw_base64(&j, "e", NULL, 0);
	jw_obj_close(&j);
	is_str(text(), "{\"d\":\"/+/+AA==\",\"e\":\"\"}");
}

TEST(base64_round_trip)
{
	struct buf back = {0};

	for (size_t n = 0; n < 400; n++) {
		char data[400];

		for (size_t i = 0; i < n; i++)
			data[i] = (char)rnd(256);
		begin();
		jw_base64(&j, NULL, data, n);
		buf_clear(&back);
		is_int(text_base64_decode(buf_head(&out) + 1, buf_len(&out) - 2, &back), 0);
		ok(buf_len(&back) == n && memcmp(buf_head(&back), data, n) == 0);
	}
	buf_done(&back);
}

static void
sample(void)
{
	jw_init(&j, &out);
	jw_obj_open(&j, NULL);
	jw_str(&j, "plain", "abcdefghijk");
	jw_str(&j, "odd\n", "ü\"\xff");
	jw_int(&j, "i", -1234567);
	jw_base64(&j, "b", "abcd", 4);
	jw_arr_open(&j, "l");
	jw_bool(&j, NULL, false);
	jw_null(&j, NULL);
	jw_arr_close(&j);
	jw_obj_close(&j);
}

TEST(every_bound_fails_cleanly_until_it_fits)
{
	size_t full;

	begin();
	sample();
	is_int(out.failed, 0);
	full = buf_len(&out);
	for (size_t max = 1; max <= full + 1; max++) {
		buf_done(&out);
		buf_init(&out, max);
		sample();
		is_int(out.failed, max < full ? -ENOBUFS : 0);
		ok(buf_len(&out) <= max);
	}
	buf_done(&out);
}
