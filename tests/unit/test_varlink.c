/* test_varlink.c - the wire: framing, calls and replies both ways, argument tables, what must be
 * refused. */
#include <errno.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/strv.h"
#include "tap.h"
#include "varlink/varlink.h"

/* ---- helpers */

static int
parse_n(struct varlink_call *c, const char *msg, size_t len, const char **why)
{
	*why = NULL;
	return varlink_call_parse(c, msg, len, why);
}

static int
parse(struct varlink_call *c, const char *msg)
{
	const char *why;

	return parse_n(c, msg, strlen(msg), &why);
}

/* Refused with a reason, and nothing left behind. */
static bool
refused(const char *msg)
{
	struct varlink_call c;
	const char *why;
	int r = parse_n(&c, msg, strlen(msg), &why);
	bool good = r == VARLINK_E_BAD && why && why[0] && !c.root && !c.params;

	if (!good)
		printf("# not refused as it should be: %.80s\n", msg);
	if (r == 0)
		varlink_call_done(&c);
	return good;
}

static bool
accepted(const char *msg)
{
	struct varlink_call c;
	int r = parse(&c, msg);

	varlink_call_done(&c);
	return r == 0;
}

static bool
reply_refused(const char *msg)
{
	struct varlink_reply p;
	const char *why = NULL;
	int r = varlink_reply_parse(&p, msg, strlen(msg), &why);

	varlink_reply_done(&p);
	return r == VARLINK_E_BAD && why && why[0];
}

/* Contents of B, which must be one message with its NUL. */
static const char *
message(const struct buf *b)
{
	if (b->failed || buf_len(b) == 0 ||
	    memchr(buf_head(b), '\0', buf_len(b)) != b->data + b->end - 1)
		return "(not one message)";
	return buf_head(b);
}

/* ---- framing */

TEST(next_takes_messages_in_turn)
{
	struct buf b = {0};
	size_t scanned = 0, len = 99;
	const char *msg = NULL;

	is_int(varlink_next(&b, 10, &scanned, &msg, &len), VARLINK_E_NONE);
	buf_put(&b, "ab\0cde\0f", 8);
	is_int(varlink_next(&b, 10, &scanned, &msg, &len), 0);
	is_str(msg, "ab");
	is_int(len, 2);
	/* asked again without consuming: the same */
	is_int(varlink_next(&b, 10, &scanned, &msg, &len), 0);
	is_str(msg, "ab");
	buf_consume(&b, len + 1);
	scanned = 0;
	is_int(varlink_next(&b, 10, &scanned, &msg, &len), 0);
	is_str(msg, "cde");
	buf_consume(&b, len + 1);
	scanned = 0;
	is_int(varlink_next(&b, 10, &scanned, &msg, &len), VARLINK_E_NONE);
	is_int(scanned, 1);
	buf_put(&b, "g\0", 2);
	is_int(varlink_next(&b, 10, &scanned, &msg, &len), 0);
	is_str(msg, "fg");
	buf_done(&b);
}

TEST(next_empty_message)
{
	struct buf b = {0};
	size_t scanned = 0, len = 99;
	const char *msg = NULL;

	buf_put(&b, "\0\0", 2);
	is_int(varlink_next(&b, 10, &scanned, &msg, &len), 0);
	is_int(len, 0);
	ok(refused(msg));
	buf_done(&b);
}

TEST(next_bound)
{
	struct buf b = {0};
	size_t scanned = 0, len;
	const char *msg;

	buf_put(&b, "12345", 5);
	is_int(varlink_next(&b, 5, &scanned, &msg, &len), VARLINK_E_NONE);
	buf_putc(&b, '\0');
	is_int(varlink_next(&b, 5, &scanned, &msg, &len), 0); /* exactly the limit */
	scanned = 0;
	is_int(varlink_next(&b, 4, &scanned, &msg, &len), VARLINK_E_TOO_BIG);
	is_int(varlink_next(&b, 4, &scanned, &msg, &len), VARLINK_E_TOO_BIG);
	buf_clear(&b);
	scanned = 0;
	buf_put(&b, "123456", 6);
	is_int(varlink_next(&b, 5, &scanned, &msg, &len), VARLINK_E_TOO_BIG);
	buf_done(&b);
}

TEST(next_searches_pieces_once)
{
	struct buf b = {0};
	size_t scanned = 0, len;
	const char *msg;

	for (int i = 0; i < 1000; i++) {
		buf_putc(&b, 'x');
		is_int(varlink_next(&b, 4096, &scanned, &msg, &len), VARLINK_E_NONE);
		is_int(scanned, i + 1);
	}
	buf_putc(&b, '\0');
	is_int(varlink_next(&b, 4096, &scanned, &msg, &len), 0);
	is_int(len, 1000);
	buf_done(&b);
}

/* ---- calls */

TEST(call_plain)
{
	struct varlink_call c;

	need(parse(&c, "{\"method\":\"io.ctxd.Get\",\"parameters\":{\"id\":42}}") == 0);
	is_str(c.method, "io.ctxd.Get");
	is_int(json_integer_value(json_object_get(c.params, "id")), 42);
	ok(!c.more && !c.oneway && !c.upgrade);
	varlink_call_done(&c);
	ok(!c.root);
	varlink_call_done(&c); /* twice is harmless */
}

TEST(call_flags_and_absent_parameters)
{
	struct varlink_call c;

	need(parse(&c, " { \"more\" : true, \"method\":\"io.ctxd.List\",\"oneway\":null} \n") == 0);
	ok(c.more && !c.oneway && !c.upgrade);
	ok(c.params && json_object_size(c.params) == 0);
	varlink_call_done(&c);
	need(parse(&c,
		   "{\"method\":\"a.b.C\",\"parameters\":null,\"oneway\":true,\"more\":false}") ==
	     0);
	ok(!c.more && c.oneway);
	ok(c.params && json_object_size(c.params) == 0);
	varlink_call_done(&c);
	need(parse(&c, "{\"method\":\"a.b.C\",\"upgrade\":true}") == 0);
	ok(c.upgrade);
	varlink_call_done(&c);
}

TEST(call_unknown_members_are_ignored)
{
	ok(accepted("{\"method\":\"a.b.C\",\"org.example\":{\"x\":[1]},\"q\":1}"));
}

TEST(call_wrong_types)
{
	ok(refused("{}"));
	ok(refused("[]"));
	ok(refused("[{\"method\":\"a.b.C\"}]"));
	ok(refused("{\"method\":1}"));
	ok(refused("{\"method\":null}"));
	ok(refused("{\"method\":[\"a.b.C\"]}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":[]}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":\"x\"}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":false}"));
	ok(refused("{\"method\":\"a.b.C\",\"more\":1}"));
	ok(refused("{\"method\":\"a.b.C\",\"more\":\"true\"}"));
	ok(refused("{\"method\":\"a.b.C\",\"oneway\":{}}"));
	ok(refused("{\"method\":\"a.b.C\",\"upgrade\":0}"));
	ok(refused("{\"method\":\"a.b.C\",\"oneway\":true,\"more\":true}"));
	ok(refused("{\"method\":\"a.b.C\",\"oneway\":true,\"upgrade\":true}"));
}

TEST(call_not_json)
{
	ok(refused(""));
	ok(refused(" "));
	ok(refused("null"));
	ok(refused("42"));
	ok(refused("\"io.ctxd.Get\""));
	ok(refused("{"));
	ok(refused("{\"method\":\"a.b.C\""));
	ok(refused("{\"method\":\"a.b.C\"}}"));
	ok(refused("{\"method\":\"a.b.C\"} x"));
	ok(refused("{\"method\":\"a.b.C\"}{\"method\":\"a.b.C\"}"));
	ok(refused("{'method':'a.b.C'}"));
	ok(refused("{\"method\":\"a.b.C\",}"));
	ok(refused("GET / HTTP/1.1\r\n\r\n"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":01}}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":NaN}}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"\n\"}}"));
}

TEST(call_strings_that_are_refused)
{
	struct varlink_call c;
	const char *why;
	static const char raw_nul[] = "{\"method\":\"a.b.C\",\"x\":\"\0\"}";

	ok(refused("{\"method\":\"a.b.C\",\"method\":\"a.b.D\"}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":1,\"x\":2}}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":1,\"\\u0078\":2}}"));
	ok(refused("{\"method\":\"a.b.C\\u0000\",\"parameters\":{\"x\":\"a\\u0000b\"}}"));
	ok(refused("{\"method\":\"a.b.C\",\"y\":\"a\\u0000b\"}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"a\\u0000b\":1}}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"\xff\"}}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"\xc0\x80\"}}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"\xed\xa0\x80\"}}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":\"\\ud800\"}}"));
	is_int(parse_n(&c, raw_nul, sizeof(raw_nul) - 1, &why), VARLINK_E_BAD);
}

TEST(call_numbers_too_large)
{
	ok(accepted("{\"method\":\"a.b.C\",\"parameters\":{\"x\":9223372036854775807}}"));
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":1e999}}"));
	ok(refused("{\"method\":\"a.b.C\",\"y\":9223372036854775808}"));
}

/* JSON it is, and a call; the parameter that cannot be is named. */
TEST(call_bad_values)
{
	static const struct {
		const char *params, *name;
	} bad[] = {
		{"{\"id\":9223372036854775808}", "id"},
		{"{\"id\":1,\"usec\":99999999999999999999}", "usec"},
		{"{\"id\":1,\"usec\":-9223372036854775809}", "usec"},
		{"{\"id\":1,\"ids\":[1,2,18446744073709551616]}", "ids"},
		{"{\"argv\":[\"a\",\"b\\u0000c\"]}", "argv"},
		{"{\"name\":\"\\u0000\"}", "name"},
		{"{\"id\":1,\"env\":{\"A\":\"x\",\"B\":\"\\u0000x\"}}", "env"},
		{"{\"id\":99999999999999999999,\"name\":\"a\\u0000\"}", "id"},
	};
	char msg[256];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct varlink_call c;

		snprintf(msg, sizeof(msg),
			 "{\"method\":\"a.b.C\",\"oneway\":true,\"parameters\":%s}", bad[i].params);
		is_int(parse(&c, msg), 0);
		is_str(c.method, "a.b.C");
		is_str(c.bad_value, bad[i].name);
		ok(c.bad_why && c.bad_why[0] && c.oneway);
		varlink_call_done(&c);
	}
	ok(reply_refused("{\"parameters\":{\"x\":\"\\u0000\"}}"));
	ok(reply_refused("{\"parameters\":{\"x\":9223372036854775808}}"));
}

TEST(call_method_names)
{
	static const char *const bad[] = {
		"",        "Get",          "a.Get",         "io.ctxd.",         ".Get",
		"a..b.C",  ".a.b.C",       "a.b.c_d",       "a.b.C_d",          "a.b.9",
		"a-.b.C",  "a.-b.C",       "a b.c.D",       "io.ctxd.G\\u00e9", "1a.b.C",
		"a/b.c.D", "io.ctxd.Get ", "io.ctxd.Get\\n"};
	static const char *const good[] = {"io.ctxd.Get", "org.varlink.service.GetInfo",
					   "a-b.c--d.E9", "io.systemd.UserDatabase.GetUserRecord",
					   "a.1b.C",      "a.b.c"};
	char msg[128];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		snprintf(msg, sizeof(msg), "{\"method\":\"%s\"}", bad[i]);
		ok(refused(msg));
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		snprintf(msg, sizeof(msg), "{\"method\":\"%s\"}", good[i]);
		ok(accepted(msg));
	}
}

TEST(call_method_name_too_long)
{
	struct buf b = {0};

	buf_puts(&b, "{\"method\":\"a.b.C");
	for (int i = 0; i < 250; i++)
		buf_putc(&b, 'x');
	buf_put(&b, "\"}", 3);
	ok(accepted(buf_head(&b)));
	buf_clear(&b);
	buf_puts(&b, "{\"method\":\"a.b.C");
	for (int i = 0; i < 251; i++)
		buf_putc(&b, 'x');
	buf_put(&b, "\"}", 3);
	ok(refused(buf_head(&b)));
	buf_done(&b);
}

/* A call whose x is nested so that the whole message is N deep. */
static char *
nested(size_t n, char open, char shut)
{
	struct buf b = {0};

	buf_puts(&b, "{\"method\":\"a.b.C\",\"parameters\":{\"x\":");
	for (size_t i = 2; i < n; i++)
		buf_puts(&b, open == '{' ? "{\"x\":" : "[");
	buf_putc(&b, '1');
	for (size_t i = 2; i < n; i++)
		buf_putc(&b, shut);
	buf_put(&b, "}}", 3);
	return b.data;
}

TEST(call_depth)
{
	char *s;

	ok(accepted(s = nested(32, '[', ']')));
	free(s);
	ok(refused(s = nested(33, '[', ']')));
	free(s);
	ok(accepted(s = nested(32, '{', '}')));
	free(s);
	ok(refused(s = nested(33, '{', '}')));
	free(s);
	ok(refused(s = nested(400000, '[', ']')));
	free(s);
}

TEST(call_brackets_in_strings_are_no_depth)
{
	ok(accepted("{\"method\":\"a.b.C\",\"parameters\":{\"x\":"
		    "\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\\\","
		    "\"y\":\"\\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"}}"));
}

/* N arrays behind each other in a message that is not deep. */
static char *
wide(size_t n, const char *one)
{
	struct buf b = {0};

	buf_puts(&b, "{\"method\":\"a.b.C\",\"parameters\":{\"x\":[");
	for (size_t i = 3; i < n; i++) {
		buf_puts(&b, one);
		buf_putc(&b, i + 1 < n ? ',' : ' ');
	}
	buf_put(&b, "]}}", 4);
	return b.data;
}

TEST(call_containers_are_counted)
{
	char *s;

	ok(accepted(s = wide(1024, "{}")));
	free(s);
	ok(refused(s = wide(1025, "{}")));
	free(s);
	ok(refused(s = wide(300000, "[]")));
	free(s);
	ok(accepted(s = wide(100000, "\"[{\"")));
	free(s);
}

/* ---- replies of the server */

TEST(reply_written)
{
	struct buf b = {0};
	struct jw j;

	varlink_reply_open(&j, &b);
	jw_int(&j, "id", 1);
	jw_str(&j, "name", "a\"b");
	varlink_reply_close(&j, false);
	is_str(message(&b), "{\"parameters\":{\"id\":1,\"name\":\"a\\\"b\"}}");
	buf_clear(&b);
	varlink_reply_open(&j, &b);
	varlink_reply_close(&j, true);
	is_str(message(&b), "{\"parameters\":{},\"continues\":true}");
	buf_done(&b);
}

TEST(error_written)
{
	struct buf b = {0};
	struct jw j;

	varlink_error_open(&j, &b, "io.ctxd.NoSuchJob");
	jw_int(&j, "id", 42);
	varlink_error_close(&j);
	is_str(message(&b), "{\"error\":\"io.ctxd.NoSuchJob\",\"parameters\":{\"id\":42}}");
	buf_done(&b);
}

TEST(service_errors_written)
{
	struct buf b = {0};

	varlink_error_method_not_found(&b, "io.ctxd.Nope");
	is_str(message(&b), "{\"error\":\"org.varlink.service.MethodNotFound\","
			    "\"parameters\":{\"method\":\"io.ctxd.Nope\"}}");
	buf_clear(&b);
	varlink_error_interface_not_found(&b, "io.nope");
	is_str(message(&b), "{\"error\":\"org.varlink.service.InterfaceNotFound\","
			    "\"parameters\":{\"interface\":\"io.nope\"}}");
	buf_clear(&b);
	varlink_error_method_not_implemented(&b, "a.b.C");
	is_str(message(&b), "{\"error\":\"org.varlink.service.MethodNotImplemented\","
			    "\"parameters\":{\"method\":\"a.b.C\"}}");
	buf_clear(&b);
	varlink_error_invalid_parameter(&b, "x\n");
	is_str(message(&b), "{\"error\":\"org.varlink.service.InvalidParameter\","
			    "\"parameters\":{\"parameter\":\"x\\n\"}}");
	buf_clear(&b);
	varlink_error_expected_more(&b);
	is_str(message(&b), "{\"error\":\"org.varlink.service.ExpectedMore\",\"parameters\":{}}");
	buf_done(&b);
}

TEST(reply_over_the_bound_is_seen)
{
	struct buf b;
	struct jw j;

	buf_init(&b, 20);
	varlink_reply_open(&j, &b);
	jw_str(&j, "x", "too long for twenty bytes");
	varlink_reply_close(&j, false);
	is_int(b.failed, -ENOBUFS);
	buf_done(&b);
}

/* ---- client half */

TEST(call_written_and_read_back)
{
	struct buf b = {0};
	struct varlink_call c;
	json_t *p = json_pack("{s:[s,s], s:i}", "argv", "echo", "\xc3\xa4\"\\\x01", "n", -3);

	is_int(varlink_call_write(&b, "io.ctxd.Submit", p, VARLINK_MORE), 0);
	need(parse(&c, message(&b)) == 0);
	is_str(c.method, "io.ctxd.Submit");
	ok(c.more && !c.oneway);
	ok(json_equal(c.params, p));
	varlink_call_done(&c);
	json_decref(p);
	buf_clear(&b);
	is_int(varlink_call_write(&b, "io.ctxd.Stats", NULL, 0), 0);
	is_str(message(&b), "{\"method\":\"io.ctxd.Stats\"}");
	buf_clear(&b);
	is_int(varlink_call_write(&b, "io.ctxd.Stats", NULL, VARLINK_ONEWAY), 0);
	is_str(message(&b), "{\"method\":\"io.ctxd.Stats\",\"oneway\":true}");
	buf_done(&b);
}

TEST(call_write_leaves_nothing_half)
{
	struct buf b;
	json_t *p = json_pack("{s:s}", "x", "a long string that does not fit in there at all");

	buf_init(&b, 70);
	is_int(varlink_call_write(&b, "io.ctxd.Stats", NULL, 0), 0);
	is_int(varlink_call_write(&b, "io.ctxd.Get", p, 0), -ENOBUFS);
	is_int(buf_len(&b), sizeof("{\"method\":\"io.ctxd.Stats\"}"));
	is_int(varlink_call_write(&b, "Get", NULL, 0), -EINVAL);
	json_decref(p);
	p = json_array();
	is_int(varlink_call_write(&b, "io.ctxd.Get", p, 0), -EINVAL);
	json_decref(p);
	buf_done(&b);
}

TEST(reply_parsed)
{
	struct varlink_reply r;
	const char *why = NULL;
	const char *s = "{\"parameters\":{\"id\":7},\"continues\":true,\"x\":1}";

	is_int(varlink_reply_parse(&r, s, strlen(s), &why), 0);
	ok(!r.error && r.continues);
	is_int(json_integer_value(json_object_get(r.params, "id")), 7);
	varlink_reply_done(&r);
	is_int(varlink_reply_parse(&r, "{}", 2, &why), 0);
	ok(!r.error && !r.continues && r.params && json_object_size(r.params) == 0);
	varlink_reply_done(&r);
	s = "{\"error\":\"io.ctxd.NoSuchJob\",\"parameters\":{\"id\":7},\"continues\":true}";
	is_int(varlink_reply_parse(&r, s, strlen(s), &why), 0);
	is_str(r.error, "io.ctxd.NoSuchJob");
	ok(!r.continues); /* an error ends a call */
	varlink_reply_done(&r);
	s = "{\"error\":null,\"parameters\":null,\"continues\":null}";
	is_int(varlink_reply_parse(&r, s, strlen(s), &why), 0);
	ok(!r.error && r.params);
	varlink_reply_done(&r);
}

TEST(reply_refused)
{
	ok(reply_refused(""));
	ok(reply_refused("[]"));
	ok(reply_refused("{\"parameters\":[]}"));
	ok(reply_refused("{\"parameters\":{},\"continues\":1}"));
	ok(reply_refused("{\"error\":1}"));
	ok(reply_refused("{\"error\":\"\"}"));
	ok(reply_refused("{\"error\":\"Nope\"}"));
	ok(reply_refused("{\"parameters\":{\"a\":1,\"a\":1}}"));
}

/* ---- argument tables */

struct args {
	int64_t id;
	bool now, has_now;
	const char *name;
	bool has_name;
	struct strv argv, env;
	bool has_env;
	struct varlink_ints ids;
};
static const struct varlink_arg spec[] = {
	{"id", VARLINK_INT, true, offsetof(struct args, id), SIZE_MAX},
	{"now", VARLINK_BOOL, false, offsetof(struct args, now), offsetof(struct args, has_now)},
	{"name", VARLINK_STRING, false, offsetof(struct args, name),
	 offsetof(struct args, has_name)},
	{"argv", VARLINK_STRINGS, false, offsetof(struct args, argv), SIZE_MAX},
	{"env", VARLINK_STRMAP, false, offsetof(struct args, env), offsetof(struct args, has_env)},
	{"ids", VARLINK_INTS, false, offsetof(struct args, ids), SIZE_MAX},
};

static json_t *
json(const char *s)
{
	json_t *j = json_loads(s, 0, NULL);

	need(j);
	return j;
}

TEST(args_all)
{
	struct args a = {0};
	const char *bad = NULL, *s;
	json_t *j = json("{\"id\":-5,\"now\":true,\"name\":\"n\",\"argv\":[\"a\",\"\",\"b c\"],"
			 "\"env\":{\"A\":\"1\",\"B\":\"x=y\",\"C\":\"\"},\"ids\":[3,2,1]}");

	is_int(varlink_args_decode(j, spec, ARRAY_SIZE(spec), &a, &bad), 0);
	is_int(a.id, -5);
	ok(a.now && a.has_now && a.has_name && a.has_env);
	is_str(a.name, "n");
	is_int(a.argv.n, 3);
	is_int(a.argv.size, 2 + 1 + 4);
	is_str(s = strv_first(&a.argv), "a");
	is_str(s = strv_next(&a.argv, s), "");
	is_str(s = strv_next(&a.argv, s), "b c");
	ok(strv_next(&a.argv, s) == NULL);
	is_int(a.env.n, 3);
	is_str(strv_env_get(&a.env, "A"), "1");
	is_str(strv_env_get(&a.env, "B"), "x=y");
	is_str(strv_env_get(&a.env, "C"), "");
	is_int(a.ids.n, 3);
	is_int(a.ids.v[0], 3);
	is_int(a.ids.v[2], 1);
	varlink_args_done(spec, ARRAY_SIZE(spec), &a);
	ok(!a.argv.data && !a.env.data && !a.ids.v);
	json_decref(j);
}

TEST(args_null_is_not_given)
{
	struct args a = {0};
	const char *bad = NULL;
	json_t *j =
		json("{\"id\":1,\"now\":null,\"name\":null,\"argv\":null,\"env\":{},\"ids\":[]}");

	is_int(varlink_args_decode(j, spec, ARRAY_SIZE(spec), &a, &bad), 0);
	ok(!a.has_now && !a.has_name && a.has_env);
	is_int(a.env.n, 0);
	is_int(a.ids.n, 0);
	varlink_args_done(spec, ARRAY_SIZE(spec), &a);
	json_decref(j);
}

TEST(args_refused)
{
	static const struct {
		const char *json, *name;
	} bad[] = {
		{"{}", "id"},
		{"{\"id\":null}", "id"},
		{"{\"id\":1.0}", "id"},
		{"{\"id\":\"1\"}", "id"},
		{"{\"id\":true}", "id"},
		{"{\"id\":1,\"nope\":1}", "nope"},
		{"{\"id\":1,\"nope\":null}", "nope"},
		{"{\"id\":1,\"ID\":2}", "ID"},
		{"{\"id\":1,\"\":2}", ""},
		{"{\"id\":1,\"now\":1}", "now"},
		{"{\"id\":1,\"now\":\"true\"}", "now"},
		{"{\"id\":1,\"name\":1}", "name"},
		{"{\"id\":1,\"argv\":\"x\"}", "argv"},
		{"{\"id\":1,\"argv\":{}}", "argv"},
		{"{\"id\":1,\"argv\":[\"x\",1]}", "argv"},
		{"{\"id\":1,\"argv\":[\"x\",null]}", "argv"},
		{"{\"id\":1,\"env\":[]}", "env"},
		{"{\"id\":1,\"env\":{\"A\":1}}", "env"},
		{"{\"id\":1,\"env\":{\"A\":null}}", "env"},
		{"{\"id\":1,\"env\":{\"A=B\":1}}", "env"},
		{"{\"id\":1,\"ids\":1}", "ids"},
		{"{\"id\":1,\"ids\":[1,2.5]}", "ids"},
		{"{\"id\":1,\"ids\":[\"1\"]}", "ids"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct args a = {0};
		const char *name = NULL;
		json_t *j = json(bad[i].json);

		is_int(varlink_args_decode(j, spec, ARRAY_SIZE(spec), &a, &name), VARLINK_E_BAD);
		is_str(name, bad[i].name);
		varlink_args_done(spec, ARRAY_SIZE(spec), &a);
		json_decref(j);
	}
}

TEST(args_names_that_cannot_be)
{
	static const char *const bad[] = {"{\"id\":1,\"env\":{\"\":\"1\"}}",
					  "{\"id\":1,\"env\":{\"A\":\"1\",\"A=B\":\"1\"}}"};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct args a = {0};
		const char *name = NULL;
		json_t *j = json(bad[i]);

		is_int(varlink_args_decode(j, spec, ARRAY_SIZE(spec), &a, &name), VARLINK_E_VALUE);
		is_str(name, "env");
		varlink_args_done(spec, ARRAY_SIZE(spec), &a);
		json_decref(j);
	}
}

/* What was decoded before the bad one is freed as well (the sanitizer looks). */
TEST(args_float)
{
	static const struct {
		const char *json;
		double want;
	} good[] = {{"{\"x\":1.5}", 1.5},    {"{\"x\":-0.25}", -0.25}, {"{\"x\":7}", 7},
		    {"{\"x\":1e2}", 100},    {"{\"x\":0}", 0},         {"{\"x\":-3}", -3},
		    {"{\"x\":1e308}", 1e308}};
	static const char *const bad[] = {"{\"x\":\"1\"}", "{\"x\":true}", "{\"x\":[1]}",
					  "{\"x\":{}}"};
	struct share {
		double x;
		bool has_x;
	} a;
	const struct varlink_arg one[] = {{"x", VARLINK_FLOAT, false, offsetof(struct share, x),
					   offsetof(struct share, has_x)}};
	const char *name = NULL;
	json_t *j;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		memset(&a, 0, sizeof(a));
		j = json(good[i].json);
		is_int(varlink_args_decode(j, one, 1, &a, &name), 0);
		ok(a.x >= good[i].want && a.x <= good[i].want && a.has_x);
		json_decref(j);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		memset(&a, 0, sizeof(a));
		j = json(bad[i]);
		is_int(varlink_args_decode(j, one, 1, &a, &name), VARLINK_E_BAD);
		is_str(name, "x");
		ok(!a.has_x);
		json_decref(j);
	}
	memset(&a, 0, sizeof(a));
	j = json("{\"x\":null}");
	is_int(varlink_args_decode(j, one, 1, &a, &name), 0);
	ok(!a.has_x);
	varlink_args_done(one, 1, &a);
	json_decref(j);
	ok(refused("{\"method\":\"a.b.C\",\"parameters\":{\"x\":1e999}}"));
}

TEST(args_half_decoded)
{
	struct args a = {0};
	const char *name = NULL;
	json_t *j = json("{\"argv\":[\"a\"],\"env\":{\"A\":\"1\"},\"ids\":[1],\"id\":\"no\"}");

	is_int(varlink_args_decode(j, spec, ARRAY_SIZE(spec), &a, &name), VARLINK_E_BAD);
	is_str(name, "id");
	varlink_args_done(spec, ARRAY_SIZE(spec), &a);
	json_decref(j);
}

TEST(args_without_table)
{
	const char *name = NULL;
	json_t *j = json("{}");

	is_int(varlink_args_decode(j, NULL, 0, NULL, &name), 0);
	json_object_set_new(j, "x", json_null());
	is_int(varlink_args_decode(j, NULL, 0, NULL, &name), VARLINK_E_BAD);
	is_str(name, "x");
	json_decref(j);
}

/* Linear in the number of strings: a million of them take no noticeable time. */
TEST(args_many_strings)
{
	struct args a = {0};
	const char *name = NULL;
	json_t *j = json("{\"id\":1}"), *list = json_array();

	for (int i = 0; i < 1000000; i++)
		json_array_append_new(list, json_string("x"));
	json_object_set_new(j, "argv", list);
	is_int(varlink_args_decode(j, spec, ARRAY_SIZE(spec), &a, &name), 0);
	is_int(a.argv.n, 1000000);
	is_int(a.argv.size, 2000000);
	varlink_args_done(spec, ARRAY_SIZE(spec), &a);
	json_decref(j);
}
