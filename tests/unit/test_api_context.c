/* test_api_context.c - the methods of contexts: what of their arguments reaches the engine and what
 * is refused, jobs bound to connections, spools, events. */
#include <pwd.h>
#include <stdlib.h>

#include "api_fixture.h"

#define INVALID "io.ctxd.InvalidArgument"
#define EXPECTED_MORE "org.varlink.service.ExpectedMore"
#define PARAMETER "org.varlink.service.InvalidParameter"
#define SUBMIT(params) "{\"method\":\"io.ctxd.Submit\",\"parameters\":{\"argv\":[\"x\"]" params "}}"
#define SUBMIT_MORE(params)                                                                        \
	"{\"method\":\"io.ctxd.Submit\",\"more\":true,\"parameters\":{\"argv\":[\"x\"]" params "}" \
	"}"
#define CALL(method, params) "{\"method\":\"io.ctxd." method "\",\"parameters\":{" params "}}"
#define MORE(method, params)                                                                       \
	"{\"method\":\"io.ctxd." method "\",\"more\":true,\"parameters\":{" params "}}"

/* The field that the next reply, a refusal, names. */
static const char *
refused_field(struct client *c)
{
	return json_string_value(json_object_get(error_reply(c, INVALID), "field"));
}

/* Turn the loop until N connections are left. */
static void
until_connections(size_t n)
{
	TURN_UNTIL(api_connections(api) <= n);
	is_int(api_connections(api), n);
}

/* ---- Submit */

TEST(what_a_submission_brings_reaches_the_engine)
{
	static const struct {
		const char *call, *asked;
	} rows[] = {
		{SUBMIT(""), ""},
		{SUBMIT(",\"key\":\"k 1\""), " key=k 1"},
		{SUBMIT(",\"key\":\"k\",\"if_exists\":\"return\""), " key=k"},
		{SUBMIT(",\"key\":\"k\",\"if_exists\":\"retry\""), " key=k if_exists=1"},
		{SUBMIT(",\"key\":\"k\",\"if_exists\":\"fail\""), " key=k if_exists=2"},
		{SUBMIT(",\"parent\":7"), " parent=7"},
		{SUBMIT(",\"inherit\":[]"), " inherit=0"},
		{SUBMIT(",\"inherit\":null"), ""},
		{SUBMIT(",\"inherit\":[\"values\",\"trace\",\"deadline\"]"), " inherit=7"},
		{SUBMIT(",\"inherit\":[\"trace\",\"trace\",\"trace\"]"), " inherit=2"},
		{SUBMIT(",\"parent\":7,\"inherit\":[\"cancel\"]"), " parent=7 inherit=8"},
		{SUBMIT_MORE(",\"parent\":7,\"inherit\":[\"cancel\"]"), " parent=7 inherit=8"},
		{SUBMIT_MORE(",\"inherit\":[\"cancel\"]"), " inherit=8 bound"},
		{SUBMIT_MORE(",\"bound\":true"), " bound"},
		{SUBMIT_MORE(",\"bound\":false"), ""},
		{SUBMIT_MORE(",\"parent\":7,\"bound\":true"), " parent=7 bound"},
		{SUBMIT(",\"values\":{\"a.b\":\"1\",\"c\":\"\"}"), " value:a.b=1 value:c="},
		{SUBMIT(",\"traceparent\":\"nonsense\",\"tracestate\":\"t\",\"baggage\":\"b\""),
		 " traceparent=nonsense tracestate=t baggage=b"},
		{SUBMIT(",\"split_output\":true"), " split"},
		{SUBMIT(",\"warn_usec\":5000"), " warn=5000:0"},
		{SUBMIT(",\"warn_usec\":5000,\"warn_signal\":\"SIGHUP\""), " warn=5000:1"},
		{SUBMIT(",\"watchdog_usec\":1000000"), " watchdog=1000000"},
	};

	server_start();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct client c = client();

		call(&c, rows[i].call);
		(void)job_reply(&c, strstr(rows[i].call, "\"more\"") != NULL);
		is_str(asked, rows[i].asked);
		client_done(&c);
	}
	server_stop();
}

TEST(a_submission_for_another_waits_for_the_name_service_and_keeps_its_turn)
{
	const struct passwd *pw = getpwuid(geteuid() == 1 ? 2 : 1);
	char params[160], want[128];
	struct client c;

	need(pw != NULL);
	(void)snprintf(want, sizeof(want), " as=%u:%u:%s", pw->pw_uid, pw->pw_gid, pw->pw_name);
	server_start();
	may_submit_for = true;
	for (int i = 0; i < 4; i++) { /* by name and by number; the second time it is known */
		if (i % 2)
			(void)snprintf(params, sizeof(params), SUBMIT(",\"user\":\"%u\""),
				       pw->pw_uid);
		else
			(void)snprintf(params, sizeof(params), SUBMIT(",\"user\":\"%s\""),
				       pw->pw_name);
		c = client();
		call(&c, params);
		(void)job_reply(&c, false);
		is_str(asked, want);
		call(&c, params);
		call(&c, SUBMIT(",\"key\":\"k\""));
		is_int(job_reply(&c, false) + 1, job_reply(&c, false));
		is_str(asked, " key=k");
		client_done(&c);
	}
	server_stop();
}

TEST(a_submission_for_oneself_is_one_like_any_other)
{
	char params[160];
	struct client c;

	server_start();
	may_submit_for = false;
	c = client();
	(void)snprintf(params, sizeof(params), SUBMIT(",\"user\":\"%u\""), geteuid());
	call(&c, params);
	(void)job_reply(&c, false);
	is_str(asked, "");
	call(&c, SUBMIT(",\"user\":\"somebody else\""));
	(void)error_reply(&c, "io.ctxd.NotPermitted");
	may_submit_for = true;
	call(&c, SUBMIT(",\"user\":\"\""));
	is_str(refused_field(&c), "user");
	call(&c, SUBMIT(",\"user\":\"no-such-user-here\""));
	is_str(refused_field(&c), "user");
	call(&c, SUBMIT(",\"user\":\"a\\nb\""));
	is_str(refused_field(&c), "user");
	client_done(&c);
	server_stop();
}

TEST(a_client_that_goes_while_the_name_service_is_asked_is_forgotten)
{
	struct client c;

	server_start();
	may_submit_for = true;
	for (int i = 0; i < 3; i++) {
		c = client();
		call(&c, SUBMIT(",\"user\":\"no-such-user-here\""));
		client_done(&c);
		turn();
	}
	until_connections(0);
	c = client();
	call(&c, SUBMIT(",\"user\":\"no-such-user-there\""));
	turn();
	server_stop(); /* in the middle */
	client_done(&c);
}

TEST(bad_values_of_a_submission_name_their_field)
{
	static const struct {
		const char *params, *field;
	} rows[] = {
		{",\"values\":{\"\":\"x\"}", "values"},
		{",\"values\":{\"a=b\":\"x\"}", "values"},
		{",\"key\":\"\"", "key"},
		{",\"key\":\"a\\nb\"", "key"},
		{",\"if_exists\":\"retry\"", "if_exists"},
		{",\"key\":\"k\",\"if_exists\":\"Return\"", "if_exists"},
		{",\"key\":\"k\",\"if_exists\":\"\"", "if_exists"},
		{",\"inherit\":[\"values\",\"Trace\"]", "inherit"},
		{",\"inherit\":[\"\"]", "inherit"},
		{",\"stdin\":1", "stdin"},
		{",\"stdin\":0", "stdin"},
		{",\"stdin\":-1", "stdin"},
		{",\"warn_usec\":0", "warn_usec"},
		{",\"warn_usec\":-1", "warn_usec"},
		{",\"warn_usec\":9000000000000000000", "warn_usec"},
		{",\"warn_usec\":1,\"warn_signal\":\"NO\"", "warn_signal"},
		{",\"warn_signal\":\"USR1\"", "warn_signal"},
		{",\"watchdog_usec\":0", "watchdog_usec"},
		{",\"watchdog_usec\":9000000000000000000", "watchdog_usec"},
	};
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];

		(void)snprintf(text, sizeof(text), SUBMIT("%s"), rows[i].params);
		call(&c, text);
		is_str(refused_field(&c), rows[i].field);
	}
	call(&c, SUBMIT(",\"parent\":0"));
	(void)error_reply(&c, "io.ctxd.NoSuchJob");
	is_int(submitted, 0);
	client_done(&c);
	server_stop();
}

TEST(a_key_of_128_bytes_and_none_of_129)
{
	struct client c;

	server_start();
	c = client();
	for (int n = 128; n <= 129; n++) {
		char key[130], text[256];

		memset(key, 'k', sizeof(key));
		key[n] = '\0';
		(void)snprintf(text, sizeof(text), SUBMIT(",\"key\":\"%s\""), key);
		call(&c, text);
		if (n == 128)
			is_int(job_reply(&c, false), 1);
		else
			is_str(refused_field(&c), "key");
	}
	client_done(&c);
	server_stop();
}

TEST(wrong_types_are_wrong_parameters)
{
	static const struct {
		const char *call, *parameter;
	} rows[] = {
		{SUBMIT(",\"key\":7"), "key"},
		{SUBMIT(",\"parent\":\"7\""), "parent"},
		{SUBMIT(",\"parent\":7.0"), "parent"},
		{SUBMIT(",\"inherit\":\"cancel\""), "inherit"},
		{SUBMIT(",\"inherit\":[1]"), "inherit"},
		{SUBMIT(",\"values\":[\"a\"]"), "values"},
		{SUBMIT(",\"values\":{\"a\":1}"), "values"},
		{SUBMIT(",\"values\":{\"a\":null}"), "values"},
		{SUBMIT(",\"bound\":1"), "bound"},
		{SUBMIT(",\"stdin\":\"1\""), "stdin"},
		{CALL("Scope", "\"argv\":[\"x\"]"), "argv"},
		{CALL("Spool", ""), "data"},
		{CALL("Spool", "\"data\":[]"), "data"},
		{CALL("Progress", "\"percent\":5"), "id"},
		{CALL("Progress", "\"id\":1,\"percent\":\"5\""), "percent"},
		{CALL("Progress", "\"id\":1,\"percent\":true"), "percent"},
		{CALL("Signal", "\"id\":1"), "signal"},
		{CALL("Signal", "\"id\":1,\"signal\":15"), "signal"},
		{CALL("Close", "\"cause\":\"x\""), "id"},
		{CALL("Events", "\"follow\":\"yes\""), "follow"},
		{CALL("List", "\"values\":{\"a\":1}"), "values"},
		{CALL("List", "\"trace\":1"), "trace"},
	};
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		call(&c, rows[i].call);
		is_str(json_string_value(json_object_get(error_reply(&c, PARAMETER), "parameter")),
		       rows[i].parameter);
	}
	is_int(submitted, 0);
	client_done(&c);
	server_stop();
}

TEST(what_belongs_to_a_connection_needs_more)
{
	static const char *const rows[] = {
		SUBMIT(",\"bound\":true"),
		SUBMIT(",\"inherit\":[\"cancel\"]"),
		SUBMIT(",\"parent\":3,\"inherit\":[\"cancel\"],\"bound\":true"),
		CALL("Events", "\"follow\":true"),
	};
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		call(&c, rows[i]);
		(void)error_reply(&c, EXPECTED_MORE);
	}
	is_int(submitted, 0);
	client_done(&c);
	server_stop();
}

/* ---- keys and bound jobs */

static bool
created_reply(struct client *c, bool continues)
{
	json_t *v = reply(c);
	bool created;

	need(v != NULL);
	ok(json_is_true(json_object_get(v, "continues")) == continues);
	created = json_is_true(json_object_get(json_object_get(v, "parameters"), "created"));
	json_decref(v);
	return created;
}

TEST(a_job_that_is_there_already_is_not_created)
{
	struct client c;

	server_start();
	c = client();
	call(&c, SUBMIT(",\"key\":\"k\""));
	ok(created_reply(&c, false));
	exists = 1;
	call(&c, SUBMIT(",\"key\":\"k\""));
	ok(!created_reply(&c, false));
	/* over already: both replies at once */
	end_jobs(1);
	call(&c, SUBMIT_MORE(",\"key\":\"k\",\"bound\":true"));
	ok(!created_reply(&c, true));
	ok(!created_reply(&c, false));
	client_done(&c);
	until_connections(0);
	is_int(n_gone, 0);
	server_stop();
}

TEST(a_job_of_two_connections_ends_with_the_last)
{
	struct client a, b;

	server_start();
	a = client();
	b = client();
	call(&a, SUBMIT_MORE(",\"key\":\"k\",\"bound\":true"));
	is_int(job_reply(&a, true), 1);
	exists = 1;
	call(&b, SUBMIT_MORE(",\"key\":\"k\",\"bound\":true"));
	is_int(job_reply(&b, true), 1);
	client_done(&a);
	until_connections(1);
	is_int(n_gone, 0);
	client_done(&b);
	until_connections(0);
	is_int(n_gone, 1);
	is_int(gone, 1);
	server_stop();
}

TEST(a_job_that_belonged_to_no_connection_does_not_begin_to)
{
	struct client c;

	server_start();
	exists = 1;
	exists_bound = false;
	c = client();
	call(&c, SUBMIT_MORE(",\"key\":\"k\",\"bound\":true"));
	is_int(job_reply(&c, true), 1);
	client_done(&c);
	until_connections(0);
	is_int(n_gone, 0);
	server_stop();
}

TEST(a_job_started_anew_is_waited_for_again_and_no_longer_bound)
{
	struct client c;

	server_start();
	c = client();
	call(&c, SUBMIT_MORE(",\"bound\":true"));
	is_int(job_reply(&c, true), 1);
	end_jobs(1);
	ended = 0; /* by another client, before this one's reply is written */
	call(&c, GET(5));
	for (int i = 0; i < 10; i++)
		turn();
	client_read(&c);
	is_int(buf_len(&c.in), 0);
	end_jobs(1);
	is_int(job_reply(&c, false), 1);
	is_int(job_reply(&c, false), 5);

	call(&c, SUBMIT_MORE(",\"bound\":true"));
	is_int(job_reply(&c, true), 2);
	end_jobs(2);
	ended = 1;
	for (int i = 0; i < 10; i++)
		turn();
	client_done(&c);
	until_connections(0);
	is_int(n_gone, 0);
	server_stop();
}

/* ---- scopes */

TEST(a_scope_is_made_and_closed)
{
	struct client c;
	json_t *v, *p;

	server_start();
	c = client();
	call(&c, CALL("Scope", ""));
	v = reply(&c);
	p = json_object_get(v, "parameters");
	is_str(asked, "");
	is_str(json_string_value(json_object_get(json_object_get(p, "job"), "kind")), "scope");
	is_str(json_string_value(json_object_get(json_object_get(p, "job"), "state")), "open");
	is_int(json_array_size(json_object_get(p, "notices")), 1);
	is_int(json_object_size(p), 2);
	json_decref(v);
	call(&c,
	     CALL("Scope",
		  "\"name\":\"s\",\"class\":\"c\",\"timeout_usec\":9223372036854775807,"
		  "\"deadline_at\":\"1970-01-01T00:00:05Z\",\"parent\":4,\"inherit\":[\"cancel\"],"
		  "\"values\":{\"a\":\"b\"},\"traceparent\":\"t\",\"tracestate\":\"s\",\"baggage\":"
		  "\"g\""));
	(void)job_reply(&c, false);
	is_str(asked, " parent=4 inherit=8 value:a=b traceparent=t tracestate=s baggage=g name=s "
		      "class=c timeout=9223372036854775807 deadline=5000000");
	call(&c, CALL("Close", "\"id\":3,\"cause\":\"enough\",\"now\":true"));
	v = reply(&c);
	p = json_object_get(v, "parameters");
	is_str(asked, " cause=enough now");
	is_int(json_array_size(json_object_get(p, "reached")), 3);
	is_int(json_integer_value(json_array_get(json_object_get(p, "reached"), 2)), 6);
	json_decref(v);
	client_done(&c);
	server_stop();
}

TEST(bad_values_of_scopes)
{
	static const struct {
		const char *call, *field;
	} rows[] = {
		{CALL("Scope", "\"name\":\"\""), "name"},
		{CALL("Scope", "\"class\":\"No Such\""), "class"},
		{CALL("Scope", "\"timeout_usec\":0"), "timeout_usec"},
		{CALL("Scope", "\"deadline_at\":\"soonish\""), "deadline_at"},
		{CALL("Scope", "\"inherit\":[\"all\"]"), "inherit"},
		{CALL("Close", "\"id\":1,\"cause\":\"\\u001b[31m\""), "cause"},
	};
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		call(&c, rows[i].call);
		is_str(refused_field(&c), rows[i].field);
	}
	call(&c, CALL("Close", "\"id\":-1"));
	(void)error_reply(&c, "io.ctxd.NoSuchJob");
	is_int(submitted, 0);
	client_done(&c);
	server_stop();
}

/* ---- progress and signals */

TEST(progress_and_signals_reach_the_engine)
{
	static const struct {
		const char *call, *asked;
	} rows[] = {
		{CALL("Progress", "\"id\":1,\"percent\":0"), " 0"},
		{CALL("Progress", "\"id\":1,\"percent\":100"), " 100"},
		{CALL("Progress", "\"id\":1,\"percent\":12.5"), " 12.5"},
		{CALL("Progress", "\"id\":1,\"percent\":1e1,\"text\":\"\xc3\xa4\""),
		 " 10 text=\xc3\xa4"},
		{CALL("Progress", "\"id\":1,\"text\":\"\""), " text="},
		{CALL("Retry", "\"id\":1"), " retry"},
		{CALL("Resolve", "\"id\":1,\"as\":\"failed\""), " failed -"},
		{CALL("Resolve", "\"id\":1,\"as\":\"succeeded\",\"note\":\"n\""), " succeeded n"},
		{CALL("Signal", "\"id\":1,\"signal\":\"HUP\""), " 1 main"},
		{CALL("Signal", "\"id\":1,\"signal\":\"SIGKILL\",\"tree\":true"), " 9 tree"},
		{CALL("Signal", "\"id\":1,\"signal\":\"64\",\"tree\":false"), " 64 main"},
	};
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		call(&c, rows[i].call);
		is_int(job_reply(&c, false), 1);
		is_str(asked, rows[i].asked);
	}
	client_done(&c);
	server_stop();
}

TEST(bad_progress_and_signals)
{
	static const struct {
		const char *call, *field;
	} rows[] = {
		{CALL("Progress", "\"id\":1"), "percent"},
		{CALL("Progress", "\"id\":1,\"percent\":-0.001"), "percent"},
		{CALL("Progress", "\"id\":1,\"percent\":100.001"), "percent"},
		{CALL("Progress", "\"id\":1,\"percent\":1e300"), "percent"},
		{CALL("Progress", "\"id\":1,\"percent\":-1"), "percent"},
		{CALL("Progress", "\"id\":1,\"text\":\"a\\tb\""), "text"},
		{CALL("Progress", "\"id\":1,\"text\":\"\\u007f\""), "text"},
		{CALL("Signal", "\"id\":1,\"signal\":\"\""), "signal"},
		{CALL("Signal", "\"id\":1,\"signal\":\"NOPE\""), "signal"},
		{CALL("Signal", "\"id\":1,\"signal\":\"0\""), "signal"},
		{CALL("Signal", "\"id\":1,\"signal\":\"65\""), "signal"},
		{CALL("Signal", "\"id\":1,\"signal\":\"-1\""), "signal"},
	};
	char text[512], long_text[257];
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		call(&c, rows[i].call);
		is_str(refused_field(&c), rows[i].field);
	}
	memset(long_text, 'x', sizeof(long_text));
	long_text[256] = '\0';
	(void)snprintf(text, sizeof(text), CALL("Progress", "\"id\":1,\"text\":\"%s\""), long_text);
	call(&c, text);
	is_str(refused_field(&c), "text");
	long_text[255] = '\0';
	(void)snprintf(text, sizeof(text), CALL("Progress", "\"id\":1,\"text\":\"%s\""), long_text);
	call(&c, text);
	is_int(job_reply(&c, false), 1);
	call(&c, CALL("Progress", "\"id\":0,\"percent\":1"));
	(void)error_reply(&c, "io.ctxd.NoSuchJob");
	call(&c, CALL("Signal", "\"id\":-7,\"signal\":\"HUP\""));
	(void)error_reply(&c, "io.ctxd.NoSuchJob");
	client_done(&c);
	server_stop();
}

/* ---- spools */

static void
is_spool(struct client *c, int64_t spool, int64_t bytes)
{
	json_t *v = reply(c), *p = json_object_get(v, "parameters");

	is_int(json_integer_value(json_object_get(p, "spool")), spool);
	is_int(json_integer_value(json_object_get(p, "bytes")), bytes);
	json_decref(v);
}

TEST(what_is_spooled_goes_with_its_job)
{
	struct client c;

	server_start();
	c = client();
	call(&c, CALL("Spool", "\"data\":\"aGVsbG8K\""));
	is_spool(&c, 1, 6);
	call(&c, CALL("Spool", "\"data\":\"\""));
	is_spool(&c, 2, 0);
	call(&c, CALL("Spool", "\"data\":\"eA==\",\"spool\":1"));
	is_spool(&c, 1, 7);
	is_int(spools, 2);
	call(&c, SUBMIT(",\"stdin\":1,\"priority\":3000000000"));
	is_str(refused_field(&c), "priority");
	is_int(spools, 2); /* a refused submission can be sent again */
	call(&c, SUBMIT(",\"stdin\":1"));
	is_int(job_reply(&c, false), 1);
	is_str(asked, " stdin=7");
	is_int(spools, 1);
	call(&c, SUBMIT(",\"stdin\":1"));
	is_str(refused_field(&c), "stdin");
	call(&c, CALL("Spool", "\"data\":\"eA==\",\"spool\":1"));
	is_str(refused_field(&c), "spool");
	call(&c, CALL("Spool", "\"data\":\"eA==\""));
	is_spool(&c, 3, 1); /* numbers are not used twice */
	call(&c, SUBMIT_MORE(",\"stdin\":2"));
	is_int(job_reply(&c, true), 2);
	is_str(asked, " stdin=0");
	is_int(spools, 1);
	client_done(&c);
	until_connections(0);
	is_int(spools, 0);
	server_stop();
}

TEST(four_spools_a_connection_and_each_its_own)
{
	struct client c, d;

	server_start();
	c = client();
	d = client();
	for (int i = 1; i <= 4; i++) {
		call(&c, CALL("Spool", "\"data\":\"eA==\""));
		is_spool(&c, i, 1);
	}
	call(&c, CALL("Spool", "\"data\":\"eA==\""));
	is_str(refused_field(&c), "spool");
	call(&d, CALL("Spool", "\"data\":\"eA==\",\"spool\":1"));
	is_str(refused_field(&d), "spool");
	call(&d, SUBMIT(",\"stdin\":1"));
	is_str(refused_field(&d), "stdin");
	call(&d, CALL("Spool", "\"data\":\"\""));
	is_spool(&d, 1, 0);
	call(&c, CALL("Spool", "\"data\":\"eHl6\",\"spool\":4"));
	is_spool(&c, 4, 4);
	is_int(spools, 5);
	client_done(&c);
	until_connections(1);
	is_int(spools, 1);
	client_done(&d);
	server_stop();
}

TEST(what_cannot_be_spooled)
{
	static const char *const bad[] = {
		"x",    "====",     "eA",   "eA=",         "eA==\\n", " eA==",
		"eB==", "eA==eA==", "e-_=", "eA==\\u00e4", "eHl6=",   "AAAA===="};
	struct client c;
	json_t *p;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char text[128];

		(void)snprintf(text, sizeof(text), CALL("Spool", "\"data\":\"%s\""), bad[i]);
		call(&c, text);
		is_str(refused_field(&c), "data");
	}
	for (int id = -1; id <= 5; id++) {
		char text[128];

		(void)snprintf(text, sizeof(text), CALL("Spool", "\"data\":\"\",\"spool\":%d"), id);
		call(&c, text);
		is_str(refused_field(&c), "spool");
	}
	is_int(spools, 0);
	call(&c, CALL("Spool", "\"data\":\"eA==\""));
	is_spool(&c, 1, 1);
	spool_result = -EFBIG;
	call(&c, CALL("Spool", "\"data\":\"eA==\",\"spool\":1"));
	p = error_reply(&c, INVALID);
	is_str(json_string_value(json_object_get(p, "field")), "data");
	is_str(json_string_value(json_object_get(p, "reason")),
	       "more than the 67108864 bytes of [limits] stdin_max");
	call(&c, CALL("Spool", "\"data\":\"eA==\""));
	(void)error_reply(&c, INVALID);
	is_int(spools, 1); /* the new one is gone again */
	spool_result = -ENOSPC;
	call(&c, CALL("Spool", "\"data\":\"eA==\",\"spool\":1"));
	(void)error_reply(&c, STORAGE);
	spool_result = -EDQUOT;
	call(&c, CALL("Spool", "\"data\":\"eA==\",\"spool\":1"));
	(void)error_reply(&c, "io.ctxd.NotReady");
	call(&c, CALL("Spool", "\"data\":\"eA==\""));
	(void)error_reply(&c, "io.ctxd.NotReady");
	is_int(spools, 1);
	client_done(&c);
	server_stop();
}

/* ---- lists */

TEST(filters_of_lists_reach_the_engine)
{
	struct client c;

	server_start();
	list_rows = 3;
	c = client();
	call(&c, CALL("List", "\"parent\":5,\"trace\":\"0af7651916cd43dd8448eb211c80319c\","
			      "\"values\":{\"a\":\"1\",\"b\":\"\"}"));
	is_str(jobs_reply(&c, false), "1 2 3");
	is_str(asked, " parent=5 trace=0a..9c value:a=1 value:b=");
	call(&c, CALL("ListSummaries", "\"values\":{}"));
	is_str(jobs_reply(&c, false), "1 2 3");
	is_str(asked, "");
	/* what nobody is shown cannot be looked for */
	call(&c, CALL("List", "\"key\":\"~run\""));
	is_str(jobs_reply(&c, false), "");
	call(&c, MORE("List", "\"key\":\"~run\""));
	is_str(jobs_reply(&c, false), "");
	client_done(&c);
	server_stop();
}

TEST(bad_filters_of_lists)
{
	static const struct {
		const char *params, *field;
	} rows[] = {
		{"\"parent\":0", "parent"},
		{"\"parent\":-1", "parent"},
		{"\"trace\":\"\"", "trace"},
		{"\"trace\":\"0af7\"", "trace"},
		{"\"trace\":\"00000000000000000000000000000000\"", "trace"},
		{"\"trace\":\"0AF7651916CD43DD8448EB211C80319C\"", "trace"},
		{"\"trace\":\"0af7651916cd43dd8448eb211c80319c0\"", "trace"},
	};
	struct buf many = {0};
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];

		(void)snprintf(text, sizeof(text), CALL("List", "%s"), rows[i].params);
		call(&c, text);
		is_str(refused_field(&c), rows[i].field);
	}
	(void)buf_puts(&many, "{\"method\":\"io.ctxd.List\",\"parameters\":{\"values\":{");
	for (int i = 0; i < 65; i++)
		(void)buf_printf(&many, "%s\"v%d\":\"\"", i ? "," : "", i);
	(void)buf_puts(&many, "}}}");
	(void)buf_putc(&many, '\0');
	need(many.failed == 0);
	say(&c, buf_head(&many), buf_len(&many));
	is_str(refused_field(&c), "values");
	buf_done(&many);
	client_done(&c);
	server_stop();
}

/* ---- events */

/* Edges in the next reply, as text "1 2 3"; progress as "id:percent". */
static const char *
events_reply(struct client *c, bool continues, int64_t *ret_next)
{
	static char text[1 << 16];
	json_t *v = reply(c), *list, *ev;
	size_t i, n = 0;

	need(v != NULL);
	text[0] = '\0';
	list = json_object_get(json_object_get(v, "parameters"), "events");
	need(json_is_array(list));
	json_array_foreach (list, i, ev) {
		json_t *edge = json_object_get(ev, "edge"), *p = json_object_get(ev, "progress");

		is_int(json_object_size(ev), 13);
		ok(json_is_null(edge) == !json_is_null(p));
		if (i)
			text[n++] = ' ';
		if (json_is_integer(edge))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%lld",
					      (long long)json_integer_value(edge));
		else
			n += (size_t)snprintf(
				text + n, sizeof(text) - n, "%lld:%g",
				(long long)json_integer_value(json_object_get(ev, "id")),
				json_number_value(json_object_get(p, "percent")));
		need(n < sizeof(text));
	}
	ok(json_is_true(json_object_get(v, "continues")) == continues);
	if (ret_next)
		*ret_next = json_integer_value(
			json_object_get(json_object_get(v, "parameters"), "next"));
	json_decref(v);
	return text;
}

TEST(a_page_of_events_and_the_next)
{
	struct client c;
	int64_t next;

	server_start();
	edges = 1002;
	c = client();
	call(&c, CALL("Events", ""));
	(void)events_reply(&c, false, &next);
	is_int(next, 1000);
	call(&c, CALL("Events", "\"after\":1000"));
	is_str(events_reply(&c, false, &next), "1001 1002");
	is_int(next, 0);
	call(&c, CALL("Events", "\"after\":1002"));
	is_str(events_reply(&c, false, &next), "");
	is_int(next, 0);
	call(&c, CALL("Events", "\"limit\":2"));
	is_str(events_reply(&c, false, &next), "1 2");
	is_int(next, 2);
	call(&c, MORE("Events", "\"limit\":3,\"after\":7"));
	is_str(events_reply(&c, false, &next), "8 9 10");
	call(&c, MORE("Events", ""));
	(void)events_reply(&c, true, NULL);
	(void)events_reply(&c, true, NULL);
	is_str(events_reply(&c, false, NULL), "1001 1002");
	client_done(&c);
	server_stop();
}

TEST(an_event_has_its_members)
{
	struct client c;
	json_t *v, *list, *ev;

	server_start();
	edges = 2;
	c = client();
	call(&c, CALL("Events", ""));
	v = reply(&c);
	list = json_object_get(json_object_get(v, "parameters"), "events");
	ev = json_array_get(list, 0);
	ok(json_is_null(json_object_get(ev, "from")));
	is_str(json_string_value(json_object_get(ev, "to")), "running");
	is_str(json_string_value(json_object_get(ev, "kind")), "job");
	is_str(json_string_value(json_object_get(ev, "at")), "1970-01-01T00:00:01.000000Z");
	is_int(json_integer_value(json_object_get(ev, "by")), 1000);
	ev = json_array_get(list, 1);
	is_str(json_string_value(json_object_get(ev, "from")), "queued");
	ok(json_is_null(json_object_get(ev, "by")));
	json_decref(v);
	client_done(&c);
	server_stop();
}

TEST(bad_arguments_of_events)
{
	static const struct {
		const char *params, *field;
	} rows[] = {
		{"\"after\":-1", "after"},         {"\"limit\":0", "limit"},
		{"\"limit\":100001", "limit"},     {"\"since\":\"once\"", "since"},
		{"\"progress\":true", "progress"},
	};
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];

		(void)snprintf(text, sizeof(text), CALL("Events", "%s"), rows[i].params);
		call(&c, text);
		is_str(refused_field(&c), rows[i].field);
	}
	call(&c, CALL("Events", "\"id\":0"));
	(void)error_reply(&c, "io.ctxd.NoSuchJob");
	call(&c, MORE("Events", "\"id\":200000,\"follow\":true"));
	(void)error_reply(&c, "io.ctxd.NoSuchJob");
	client_done(&c);
	server_stop();
}

TEST(following_tells_what_comes)
{
	struct client c;

	server_start();
	edges = 2;
	c = client();
	call(&c, MORE("Events", "\"follow\":true"));
	is_str(events_reply(&c, true, NULL), "1 2");
	for (int i = 0; i < 10; i++)
		turn();
	client_read(&c);
	is_int(buf_len(&c.in), 0);
	tell_listeners(); /* of what this reader does not see */
	for (int i = 0; i < 10; i++)
		turn();
	client_read(&c);
	is_int(buf_len(&c.in), 0);
	edges = 4;
	tell_listeners();
	tell_listeners();
	is_str(events_reply(&c, true, NULL), "3 4");
	edges = 5;
	tell_listeners();
	is_str(events_reply(&c, true, NULL), "5");
	client_done(&c);
	until_connections(0);
	ok(list_empty(&listeners));
	server_stop();
}

TEST(following_one_job_ends_with_it)
{
	struct client c;

	server_start();
	edges = 2;
	c = client();
	call(&c, MORE("Events", "\"id\":9,\"follow\":true"));
	is_str(events_reply(&c, true, NULL), "1 2");
	edges = 3;
	ended = 9;
	tell_listeners();
	is_str(events_reply(&c, false, NULL), "3");
	/* over already: what there is; nothing, if that was had before */
	call(&c, MORE("Events", "\"id\":9,\"follow\":true,\"after\":1"));
	is_str(events_reply(&c, false, NULL), "2 3");
	call(&c, MORE("Events", "\"id\":9,\"follow\":true,\"after\":3"));
	is_str(events_reply(&c, false, NULL), "");
	call(&c, MORE("Events", "\"id\":9,\"follow\":true,\"since\":\"1970-01-01T00:00:02.5Z\""));
	is_str(events_reply(&c, false, NULL), "3");
	ok(list_empty(&listeners));
	call(&c, MORE("Events", "\"follow\":true,\"limit\":2"));
	is_str(events_reply(&c, false, NULL), "1 2");
	client_done(&c);
	server_stop();
}

TEST(progress_is_told_when_it_changed)
{
	struct client c;

	server_start();
	edges = 1;
	said_anything = true;
	said = 10;
	c = client();
	call(&c, MORE("Events", "\"id\":9,\"follow\":true,\"progress\":true"));
	is_str(events_reply(&c, true, NULL), "9:5 1");
	tell_listeners(); /* of something else */
	for (int i = 0; i < 10; i++)
		turn();
	client_read(&c);
	is_int(buf_len(&c.in), 0);
	said = 11;
	tell_listeners();
	said = 12; /* before anything is written: one event */
	tell_listeners();
	is_str(events_reply(&c, true, NULL), "9:6");
	ended = 9;
	edges = 2;
	tell_listeners();
	is_str(events_reply(&c, false, NULL), "2");
	client_done(&c);
	server_stop();
}

TEST(progress_of_all_that_run)
{
	struct client c;

	server_start();
	list_rows = 3;
	said_anything = true;
	said = 10;
	c = client();
	call(&c, MORE("Events", "\"follow\":true,\"progress\":true"));
	is_str(events_reply(&c, true, NULL), "1:5 2:5 3:5");
	tell_listeners();
	said = 20;
	is_str(events_reply(&c, true, NULL), "1:10 2:10 3:10"); /* after a moment, by itself */
	list_rows = 2; /* one has ended, and another came */
	edges = 1;
	said = 21;
	tell_listeners();
	is_str(events_reply(&c, true, NULL), "1");
	is_str(events_reply(&c, true, NULL), "1:10.5 2:10.5");
	client_done(&c);
	until_connections(0);
	server_stop();
}

TEST(progress_of_more_than_a_page)
{
	struct client c;

	server_start();
	list_rows = 1100;
	said_anything = true;
	said = 2;
	c = client();
	call(&c, MORE("Events", "\"follow\":true,\"progress\":true"));
	for (size_t n = 0, page; n < list_rows; n += page) {
		const char *text = events_reply(&c, true, NULL);

		page = 1;
		for (; *text; text++)
			page += *text == ' ';
		ok(page <= 500);
	}
	client_done(&c);
	server_stop();
}

TEST(who_follows_and_does_not_read_costs_a_page)
{
	struct client c, d;
	int64_t last = 0;

	server_start();
	c = client();
	call(&c, MORE("Events", "\"follow\":true"));
	for (int i = 0; i < 2000; i++) {
		edges += 100;
		tell_listeners();
		turn();
	}
	ok(listed_up_to < 100000); /* of 200000 */
	d = client();
	call(&d, GET(1));
	is_int(job_reply(&d, false), 1);
	client_done(&d);
	while (last < (int64_t)edges) { /* all of it, once it reads */
		const char *text = events_reply(&c, true, NULL), *space = strrchr(text, ' ');

		last = strtoll(space ? space : text, NULL, 10);
	}
	is_int(last, 200000);
	client_done(&c);
	server_stop();
}

TEST(events_that_are_oneway_do_nothing)
{
	struct client c;

	server_start();
	c = client();
	call(&c, "{\"method\":\"io.ctxd.Events\",\"oneway\":true,\"parameters\":{}}");
	call(&c,
	     "{\"method\":\"io.ctxd.Spool\",\"oneway\":true,\"parameters\":{\"data\":\"eA==\"}}");
	call(&c, SUBMIT(",\"stdin\":1"));
	is_int(job_reply(&c, false), 1);
	is_str(asked, " stdin=1");
	client_done(&c);
	server_stop();
}
