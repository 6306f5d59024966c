/* test_rows.c - the reader of long lists: the same values as a tree gives, and nothing that is not
 * JSON. */
#include <errno.h>
#include <limits.h>

#include "base/buf.h"
#include "base/mem.h"
#include "client/rows.h"
#include "tap.h"

static const char *const columns[] = {"id", "name", "on", "x"};
static struct buf seen; /* what the rows said */

/* `type:number:text` of each cell, a line per row. */
static int
note(const struct ctxd_cell *cells, void *arg)
{
	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		static const char types[] = "-ibso";
		const struct ctxd_cell *c = &cells[i];

		ok(c->text && strlen(c->text) == c->len);
		buf_printf(&seen, "%s%c:%lld:%s", i ? " " : "", types[c->type],
			   (long long)c->number, c->text);
	}
	return buf_putc(&seen, '\n');
}

static int
read_with(const char *json, ctxd_row_fn fn, bool *continues, const char **why)
{
	struct rows_want w = {"jobs", columns, ARRAY_SIZE(columns), fn, NULL};
	size_t n = strlen(json);
	char *text = malloc(n + 1); /* exactly: a step too far is seen by the sanitizer */
	int r;

	need(text);
	memcpy(text, json, n + 1);
	buf_clear(&seen);
	*continues = false;
	*why = NULL;
	r = rows_read(text, n, &w, continues, why);
	free(text);
	buf_put(&seen, "", 1);
	return r;
}

static void
rows(const char *json, const char *want)
{
	const char *why;
	bool continues;

	is_int(read_with(json, note, &continues, &why), 0);
	is_str(buf_head(&seen), want);
	if (why)
		printf("# %s: %s\n", json, why);
	ok(!continues);
}

static void
refused(const char *json)
{
	const char *why;
	bool continues;
	int r = read_with(json, note, &continues, &why);

	ok(r == ROWS_E_BAD && why && why[0]);
	if (r != ROWS_E_BAD)
		printf("# accepted (%d): %s\n", r, json);
}

/* The value, alone in its row, as "x". */
static void
value(const char *json, const char *want)
{
	char text[512], line[512];

	snprintf(text, sizeof(text), "{\"parameters\":{\"jobs\":[{\"x\":%s}]}}", json);
	snprintf(line, sizeof(line), "-:0: -:0: -:0: %s\n", want);
	rows(text, line);
}

static void
value_refused(const char *json)
{
	char text[512];

	snprintf(text, sizeof(text), "{\"parameters\":{\"jobs\":[{\"x\":%s}]}}", json);
	refused(text);
	snprintf(text, sizeof(text), "{\"parameters\":{\"jobs\":[{\"unasked\":%s}]}}", json);
	refused(text);
	snprintf(text, sizeof(text), "{\"parameters\":{\"unasked\":%s,\"jobs\":[]}}", json);
	refused(text);
}

TEST(no_rows)
{
	rows("{\"parameters\":{\"jobs\":[]}}", "");
	rows(" { \"parameters\" : { \"jobs\" : [ ] } } ", "");
	rows("{\"parameters\":{\"a\":{},\"jobs\":[],\"next\":null},\"other\":[1,{\"b\":2}]}", "");
}

TEST(rows_in_order)
{
	rows("{\"parameters\":{\"jobs\":[{\"id\":1,\"name\":\"a\",\"on\":true,\"x\":null},"
	     "{\"x\":\"z\",\"on\":false,\"unasked\":{\"id\":[9]},\"id\":-2},{}],\"next\":5}}",
	     "i:1:1 s:0:a b:1:true -:0:\n"
	     "i:-2:-2 -:0: b:0:false s:0:z\n"
	     "-:0: -:0: -:0: -:0:\n");
	rows("\t{\n\"parameters\" :\r{ \"jobs\" : [ { \"id\" : 1 , \"name\" : \"a b\" } , "
	     "{\"id\":2 } ] } }",
	     "i:1:1 s:0:a b -:0: -:0:\ni:2:2 -:0: -:0: -:0:\n");
	rows("{\"parameters\":{\"jobs\":[{\"id\":1,\"idx\":3,\"i\":4,\"\":5}]}}",
	     "i:1:1 -:0: -:0: -:0:\n"); /* nearly a column is none */
}

TEST(continues_and_errors)
{
	const char *why;
	bool continues;

	is_int(read_with("{\"parameters\":{\"jobs\":[]},\"continues\":true}", note, &continues,
			 &why),
	       0);
	ok(continues);
	is_int(read_with("{\"continues\":true,\"error\":null,\"parameters\":{\"jobs\":[]}}", note,
			 &continues, &why),
	       0);
	ok(continues);
	is_int(read_with("{\"error\":\"a.b.C\",\"parameters\":{}}", note, &continues, &why),
	       ROWS_E_ERROR);
	is_int(read_with("{\"parameters\":{\"id\":1},\"error\":\"a.b.C\"}", note, &continues, &why),
	       ROWS_E_ERROR);
	refused("{\"parameters\":{\"jobs\":[]},\"error\":\"a.b.C\"}");
}

TEST(numbers)
{
	value("0", "i:0:0");
	value("-0", "i:0:-0");
	value("9223372036854775807", "i:9223372036854775807:9223372036854775807");
	value("-9223372036854775808", "i:-9223372036854775808:-9223372036854775808");
	value("9223372036854775808", "o:0:9223372036854775808");
	value("-9223372036854775809", "o:0:-9223372036854775809");
	value("99999999999999999999999999", "o:0:99999999999999999999999999");
	value("1.5", "o:0:1.5");
	value("-1e3", "o:0:-1e3");
	value("1E+3", "o:0:1E+3");
	value_refused("01");
	value_refused("-01");
	value_refused("-");
	value_refused("+1");
	value_refused("1.");
	value_refused(".5");
	value_refused("1e");
	value_refused("1e+");
	value_refused("0x10");
	value_refused("NaN");
	value_refused("1 2");
}

TEST(strings)
{
	value("\"\"", "s:0:");
	value("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "s:0:\"\\/\b\f\n\r\t");
	value("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00.\"",
	      "s:0:A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80.");
	value("\"\\uffff\\u007f\\u0080\\u07ff\\u0800\"",
	      "s:0:\xef\xbf\xbf\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80");
	value("\"\\udbff\\udfff\"", "s:0:\xf4\x8f\xbf\xbf");
	value("\"[{,}]:\"", "s:0:[{,}]:");
	value_refused("\"");
	value_refused("\"\\");
	value_refused("\"\\\"");
	value_refused("\"\n\"");
	value_refused("\"\x01\"");
	value_refused("'a'");
	value_refused("a");
}

/* Only where a string is asked for are its escapes looked at. */
TEST(escapes_that_are_refused)
{
	static const char *const escapes[] = {
		"\\x",      "\\u",        "\\u1",           "\\u12g4", "\\u0000",       "\\ud800",
		"\\ud800x", "\\ud800\\n", "\\ud800\\u0041", "\\udc00", "\\ud800\\ud800"};
	char text[512];

	for (size_t i = 0; i < ARRAY_SIZE(escapes); i++) {
		snprintf(text, sizeof(text), "{\"parameters\":{\"jobs\":[{\"x\":\"%s\"}]}}",
			 escapes[i]);
		refused(text);
	}
}

TEST(other_values)
{
	value("[]", "o:0:[]");
	value("{}", "o:0:{}");
	value("{\"a\":[1,\"\\n]\",{\"b\":null}] }", "o:0:{\"a\":[1,\"\\n]\",{\"b\":null}] }");
	value_refused("[");
	value_refused("[1");
	value_refused("[1,");
	value_refused("[1,]");
	value_refused("[,1]");
	value_refused("[1 2]");
	value_refused("[}");
	value_refused("{]");
	value_refused("{1:2}");
	value_refused("{\"a\"}");
	value_refused("{\"a\":}");
	value_refused("{\"a\":1,}");
	value_refused("tru");
	value_refused("truex");
	value_refused("nul");
	value_refused("");
}

TEST(not_a_reply)
{
	static const char whole[] =
		"{\"parameters\":{\"a\":[1],\"jobs\":[{\"id\":1,\"x\":\"\\u0041\"},"
		"{\"x\":[{}]}]},\"continues\":true}";
	char part[sizeof(whole)];

	refused("");
	refused("[]");
	refused("{}");
	refused("{\"parameters\":{}}");
	refused("{\"parameters\":[]}");
	refused("{\"parameters\":{\"jobs\":null}}");
	refused("{\"parameters\":{\"jobs\":{}}}");
	refused("{\"parameters\":{\"jobs\":[1]}}");
	refused("{\"parameters\":{\"jobs\":[{},]}}");
	refused("{\"parameters\":{\"jobs\":[{}{}]}}");
	refused("{\"parameters\":{\"jobs\":[]},}");
	refused("{\"parameters\":{\"jobs\":[]}} x");
	refused("{\"parameters\":{\"jobs\":[],\"jobs\":[]}}");
	refused("{\"parameters\":{\"jobs\":[]},\"parameters\":{\"jobs\":[]}}");
	for (size_t n = 0; n < sizeof(whole) - 1; n++) {
		memcpy(part, whole, n);
		part[n] = '\0';
		refused(part);
	}
}

TEST(depth)
{
	char text[4096], *p;

	/* reply, parameters, list and row are four; 28 more make 32 */
	for (int n = 28; n <= 29; n++) {
		p = text + snprintf(text, sizeof(text), "{\"parameters\":{\"jobs\":[{\"x\":");
		for (int i = 0; i < n; i++)
			*p++ = '[';
		for (int i = 0; i < n; i++)
			*p++ = ']';
		memcpy(p, "}]}}", 5);
		if (n == 28) {
			const char *why;
			bool continues;

			is_int(read_with(text, note, &continues, &why), 0);
		} else {
			refused(text);
		}
	}
}

static int
stop_at_once(const struct ctxd_cell *cells, void *arg)
{
	(void)cells, (void)arg;
	buf_putc(&seen, 'x');
	return -ENOSPC;
}

TEST(the_caller_may_stop)
{
	const char *why;
	bool continues;

	is_int(read_with("{\"parameters\":{\"jobs\":[{},{}]}}", stop_at_once, &continues, &why),
	       -ENOSPC);
	is_str(buf_head(&seen), "x");
}

TEST(too_many_columns)
{
	const char *many[CTXD_COLUMNS_MAX + 1] = {"a"};
	struct rows_want w = {"jobs", many, ARRAY_SIZE(many), note, NULL};
	char text[] = "{}";
	const char *why = NULL;
	bool continues;

	is_int(rows_read(text, 2, &w, &continues, &why), -EINVAL);
	buf_done(&seen);
}
