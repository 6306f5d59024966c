/* test_api_conn.c - connections: framing, order, commits that fail, waits and lists, who does not
 * read and who goes. */
#include "api_fixture.h"

/* ---- calls */

TEST(who_is_there)
{
	struct client c;
	json_t *v;

	server_start();
	c = client();
	call(&c, "{\"method\":\"org.varlink.service.GetInfo\",\"parameters\":{},\"more\":true}");
	v = reply(&c);
	is_str(json_string_value(json_object_get(json_object_get(v, "parameters"), "product")),
	       "ctxd");
	json_decref(v);
	is_int(api_connections(api), 1);
	client_done(&c);
	TURN_UNTIL(api_connections(api) == 0);
	is_int(api_connections(api), 0);
	server_stop();
}

TEST(pipelined_calls_are_answered_in_order)
{
	struct buf b = {0};
	struct client c;

	server_start();
	c = client();
	for (int i = 1; i <= 500; i++) {
		(void)buf_printf(&b, "{\"method\":\"io.ctxd.Get\",\"parameters\":{\"id\":%d}}", i);
		(void)buf_putc(&b, '\0');
	}
	say(&c, buf_head(&b), buf_len(&b));
	buf_done(&b);
	for (int i = 1; i <= 500; i++)
		is_int(job_reply(&c, false), i);
	client_done(&c);
	server_stop();
}

TEST(a_message_in_single_bytes)
{
	static const char text[] = GET(77);
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < sizeof(text); i++) {
		say(&c, text + i, 1);
		turn();
	}
	is_int(job_reply(&c, false), 77);
	client_done(&c);
	server_stop();
}

TEST(wrong_calls_get_the_standard_errors_and_the_connection_lives)
{
	struct client c;

	server_start();
	c = client();
	call(&c, "{\"method\":\"io.ctxd.Nothing\"}");
	call(&c, "{\"method\":\"io.other.Get\"}");
	call(&c, "{\"method\":\"io.ctxd.Get\"}");
	call(&c, "{\"method\":\"io.ctxd.Get\",\"parameters\":{\"id\":\"1\"}}");
	call(&c, "{\"method\":\"io.ctxd.Get\",\"parameters\":{\"id\":1,\"x\":2}}");
	call(&c, "{\"method\":\"io.ctxd.Get\",\"parameters\":{\"id\":0}}");
	call(&c, "{\"method\":\"io.ctxd.Get\",\"parameters\":{\"id\":1},\"upgrade\":true}");
	call(&c, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{"
		 "\"interface\":\"a.b\"}}");
	call(&c, "{\"method\":\"io.ctxd.Logs\",\"parameters\":{\"id\":1,\"follow\":true}}");
	call(&c, "{\"method\":\"io.ctxd.Submit\",\"parameters\":{\"argv\":[\"x\"],\"inherit\":["
		 "\"cancel\"]}}");
	call(&c, GET(5));
	(void)error_reply(&c, "org.varlink.service.MethodNotFound");
	(void)error_reply(&c, "org.varlink.service.InterfaceNotFound");
	for (int i = 0; i < 2; i++)
		is_str(json_string_value(json_object_get(
			       error_reply(&c, "org.varlink.service.InvalidParameter"),
			       "parameter")),
		       "id");
	is_str(json_string_value(json_object_get(
		       error_reply(&c, "org.varlink.service.InvalidParameter"), "parameter")),
	       "x");
	(void)error_reply(&c, "io.ctxd.NoSuchJob");
	(void)error_reply(&c, "org.varlink.service.MethodNotImplemented");
	(void)error_reply(&c, "org.varlink.service.InterfaceNotFound");
	(void)error_reply(&c, "org.varlink.service.ExpectedMore");
	(void)error_reply(&c, "org.varlink.service.ExpectedMore");
	is_int(job_reply(&c, false), 5);
	client_done(&c);
	server_stop();
}

TEST(bad_values_name_their_field)
{
	static const struct {
		const char *params, *field;
	} rows[] = {
		{"\"argv\":[]", "argv"},
		{"\"argv\":[\"\"]", "argv"},
		{"\"argv\":[\"x\"],\"umask\":512", "umask"},
		{"\"argv\":[\"x\"],\"umask\":-1", "umask"},
		{"\"argv\":[\"x\"],\"timeout_usec\":0", "timeout_usec"},
		{"\"argv\":[\"x\"],\"timeout_usec\":-5", "timeout_usec"},
		{"\"argv\":[\"x\"],\"timeout_usec\":9000000000000000000", "timeout_usec"},
		{"\"argv\":[\"x\"],\"grace_usec\":0", "grace_usec"},
		{"\"argv\":[\"x\"],\"priority\":3000000000", "priority"},
		{"\"argv\":[\"x\"],\"stop_signal\":\"NOPE\"", "stop_signal"},
		{"\"argv\":[\"x\"],\"deadline_at\":\"tomorrow\"", "deadline_at"},
		{"\"argv\":[\"x\"],\"deadline_at\":\"1970-01-01T00:00:00Z\"", "deadline_at"},
		{"\"argv\":[\"x\"],\"name\":\"a\\nb\"", "name"},
		{"\"argv\":[\"x\"],\"name\":\"\"", "name"},
		{"\"argv\":[\"x\"],\"class\":\"No Such\"", "class"},
		{"\"argv\":[\"x\"],\"cwd\":\"relative\"", "cwd"},
		{"\"argv\":[\"x\"],\"inherit\":[\"everything\"]", "inherit"},
	};
	struct client c;

	server_start();
	c = client();
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[256];

		(void)snprintf(text, sizeof(text),
			       "{\"method\":\"io.ctxd.Submit\",\"parameters\":{%s}}",
			       rows[i].params);
		call(&c, text);
		is_str(json_string_value(json_object_get(error_reply(&c, "io.ctxd.InvalidArgument"),
							 "field")),
		       rows[i].field);
	}
	is_int(submitted, 0);
	client_done(&c);
	server_stop();
}

TEST(a_oneway_call_is_executed_and_not_answered)
{
	struct client c;

	server_start();
	c = client();
	call(&c,
	     "{\"method\":\"io.ctxd.Submit\",\"oneway\":true,\"parameters\":{\"argv\":[\"x\"]}}");
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"oneway\":true,\"parameters\":{\"ids\":[9]}}");
	call(&c, "{\"method\":\"io.ctxd.Nothing\",\"oneway\":true}");
	call(&c, GET(3));
	is_int(job_reply(&c, false), 3);
	is_int(submitted, 1);
	ok(list_empty(&watches));
	client_done(&c);
	server_stop();
}

TEST(who_sends_and_goes_is_still_served)
{
	struct client c;

	server_start();
	c = client();
	call(&c,
	     "{\"method\":\"io.ctxd.Submit\",\"oneway\":true,\"parameters\":{\"argv\":[\"x\"]}}");
	client_done(&c);
	TURN_UNTIL(submitted > 0);
	is_int(submitted, 1);
	c = client();
	call(&c, GET(4));
	need(shutdown(c.fd, SHUT_WR) == 0);
	is_int(job_reply(&c, false), 4);
	ok(closed(&c));
	client_done(&c);
	server_stop();
}

TEST(reload_that_fails_and_config)
{
	struct client c;
	json_t *v;

	server_start();
	c = client();
	call(&c, "{\"method\":\"io.ctxd.Config\"}");
	call(&c, "{\"method\":\"io.ctxd.Reload\"}");
	v = reply(&c);
	is_int(json_array_size(json_object_get(json_object_get(v, "parameters"), "settings")), 1);
	json_decref(v);
	(void)error_reply(&c, geteuid() == 0 ? "io.ctxd.InvalidArgument" : "io.ctxd.NotPermitted");
	client_done(&c);
	server_stop();
}

/* ---- the commit */

TEST(a_failed_commit_is_told_to_each_call_of_the_iteration_and_to_no_later_one)
{
	struct buf b = {0};
	struct client c;
	static const char *const calls[] = {
		GET(1),
		"{\"method\":\"io.ctxd.Submit\",\"parameters\":{\"argv\":[\"x\"]}}",
		"{\"method\":\"io.ctxd.Submit\",\"oneway\":true,\"parameters\":{\"argv\":[\"x\"]}}",
		GET(2),
		"{\"method\":\"io.ctxd.Wait\",\"parameters\":{\"ids\":[1]}}",
	};

	server_start();
	c = client();
	call(&c, GET(9));
	is_int(job_reply(&c, false), 9);
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		(void)buf_put(&b, calls[i], strlen(calls[i]) + 1);
	commit_result = -ENOSPC;
	say(&c, buf_head(&b), buf_len(&b));
	buf_done(&b);
	for (int i = 0; i < 4; i++)
		(void)error_reply(&c, STORAGE);
	ok(list_empty(&watches));
	commit_result = 0;
	call(&c, GET(3));
	is_int(job_reply(&c, false), 3);
	client_done(&c);
	server_stop();
}

TEST(a_failed_commit_leaves_older_waits_alone)
{
	struct client c, d;

	server_start();
	c = client();
	d = client();
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"parameters\":{\"ids\":[1]}}");
	TURN_UNTIL(!list_empty(&watches));
	turn();
	commit_result = -EIO;
	call(&d, GET(1));
	(void)error_reply(&d, STORAGE);
	commit_result = 0;
	end_jobs(1);
	is_str(jobs_reply(&c, false), "1");
	client_done(&c);
	client_done(&d);
	server_stop();
}

TEST(a_bound_job_whose_commit_failed_is_not_cancelled)
{
	struct client c;

	server_start();
	c = client();
	call(&c, GET(1));
	is_int(job_reply(&c, false), 1);
	commit_result = -ENOSPC;
	call(&c, "{\"method\":\"io.ctxd.Submit\",\"more\":true,"
		 "\"parameters\":{\"argv\":[\"x\"],\"inherit\":[\"cancel\"]}}");
	(void)error_reply(&c, STORAGE);
	is_int(submitted, 1);
	client_done(&c);
	TURN_UNTIL(api_connections(api) == 0);
	is_int(gone, 0);
	commit_result = 0;
	server_stop();
}

/* ---- bound jobs */

#define BOUND                                                                                      \
	"{\"method\":\"io.ctxd.Submit\",\"more\":true,\"parameters\":{\"argv\":[\"x\"],"           \
	"\"inherit\":[\"cancel\"]}}"

TEST(a_bound_job_is_told_at_its_end)
{
	struct client c;

	server_start();
	c = client();
	call(&c, BOUND);
	call(&c, GET(8));
	is_int(job_reply(&c, true), 1);
	end_jobs(1);
	is_int(job_reply(&c, false), 1);
	is_int(job_reply(&c, false), 8);
	is_int(gone, 0);
	client_done(&c);
	server_stop();
}

TEST(a_client_that_goes_takes_its_bound_job_along)
{
	struct client c;

	server_start();
	c = client();
	call(&c, BOUND);
	is_int(job_reply(&c, true), 1);
	client_done(&c);
	TURN_UNTIL(gone > 0);
	is_int(gone, 1);
	server_stop();
}

TEST(even_when_it_had_sent_more_than_is_read_ahead)
{
	static char more[4 << 20];
	struct client c;

	server_start();
	c = client();
	call(&c, BOUND);
	is_int(job_reply(&c, true), 1);
	memset(more, ' ', sizeof(more));
	for (int i = 0; i < 50; i++) {
		(void)!send(c.fd, more, sizeof(more), MSG_DONTWAIT | MSG_NOSIGNAL);
		turn();
	}
	client_done(&c);
	TURN_UNTIL(gone > 0);
	is_int(gone, 1);
	server_stop();
}

TEST(half_closing_does_not_cancel_and_stopping_neither)
{
	struct client c;

	server_start();
	c = client();
	call(&c, BOUND);
	is_int(job_reply(&c, true), 1);
	need(shutdown(c.fd, SHUT_WR) == 0);
	for (int i = 0; i < 5; i++)
		turn();
	is_int(gone, 0);
	server_stop();
	is_int(gone, 0);
	client_done(&c);
}

TEST(what_is_committed_while_stopping_is_still_told)
{
	struct client c;

	server_start();
	c = client();
	call(&c, "{\"method\":\"io.ctxd.Submit\",\"parameters\":{\"argv\":[\"x\"]}}");
	TURN_UNTIL(submitted > 0); /* ends after the call was executed, before the next commit */
	server_stop();
	is_int(job_reply(&c, false), 1);
	ok(closed(&c));
	client_done(&c);
}

TEST(without_cancel_the_end_is_told_but_nothing_bound)
{
	struct client c;

	server_start();
	c = client();
	call(&c, "{\"method\":\"io.ctxd.Submit\",\"more\":true,\"parameters\":{\"argv\":[\"x\"]}}");
	is_int(job_reply(&c, true), 1);
	client_done(&c);
	TURN_UNTIL(api_connections(api) == 0);
	is_int(gone, 0);
	server_stop();
}

/* ---- waiting */

TEST(wait_in_all_its_forms)
{
	struct client c;

	server_start();
	c = client();
	ended = 2;
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"parameters\":{\"ids\":[2,1,2]}}");
	is_str(jobs_reply(&c, false), "2 1");
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"parameters\":{\"ids\":[3,1],\"any\":true}}");
	is_str(jobs_reply(&c, false), "1");
	call(&c,
	     "{\"method\":\"io.ctxd.Wait\",\"parameters\":{\"ids\":[3,1],\"timeout_usec\":1000}}");
	is_str(jobs_reply(&c, false), "3 1");
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"more\":true,\"parameters\":{\"ids\":[4,1,3]}}");
	is_str(jobs_reply(&c, true), "1");
	end_jobs(3);
	is_str(jobs_reply(&c, true), "3");
	end_jobs(4);
	is_str(jobs_reply(&c, false), "4");
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"more\":true,\"parameters\":{\"ids\":[9,4,8],"
		 "\"timeout_usec\":5000}}");
	is_str(jobs_reply(&c, true), "4");
	is_str(jobs_reply(&c, false), "9 8");
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"parameters\":{\"ids\":[]}}");
	(void)error_reply(&c, "io.ctxd.InvalidArgument");
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"parameters\":{\"ids\":[1],\"timeout_usec\":0}}");
	(void)error_reply(&c, "io.ctxd.InvalidArgument");
	call(&c, "{\"method\":\"io.ctxd.Wait\",\"parameters\":{\"ids\":[1,200000]}}");
	(void)error_reply(&c, "io.ctxd.NoSuchJob");
	client_done(&c);
	server_stop();
}

TEST(a_thousand_waited_for)
{
	struct buf b = {0};
	struct client c;
	int n = 0;

	server_start();
	c = client();
	(void)buf_puts(&b, "{\"method\":\"io.ctxd.Wait\",\"more\":true,\"parameters\":{\"ids\":[1");
	for (int i = 2; i <= 1000; i++)
		(void)buf_printf(&b, ",%d", i);
	(void)buf_puts(&b, "]}}");
	say(&c, buf_head(&b), buf_len(&b));
	say(&c, "", 1);
	buf_done(&b);
	TURN_UNTIL(!list_empty(&watches));
	end_jobs(1000);
	for (; n < 1000; n++)
		is_int(atoi(jobs_reply(&c, n < 999)), n + 1);
	client_done(&c);
	server_stop();
}

/* ---- lists */

TEST(a_list_goes_on_only_as_it_is_read)
{
	struct client c;
	int64_t n = 0;
	bool more = true;

	server_start();
	list_rows = 30000;
	c = client();
	call(&c, "{\"method\":\"io.ctxd.List\",\"more\":true}");
	for (int i = 0; i < 200; i++)
		turn();
	ok(listed_up_to > 0 && listed_up_to < 10000);
	while (more) {
		json_t *v = reply(&c), *jobs, *job;
		size_t i;

		need(v != NULL);
		jobs = json_object_get(json_object_get(v, "parameters"), "jobs");
		ok(json_array_size(jobs) <= 500);
		json_array_foreach (jobs, i, job)
			is_int(json_integer_value(json_object_get(job, "id")), ++n);
		more = json_is_true(json_object_get(v, "continues"));
		json_decref(v);
	}
	is_int(n, 30000);
	client_done(&c);
	server_stop();
}

TEST(a_page_and_the_next)
{
	struct client c;
	json_t *v;

	server_start();
	list_rows = 1200;
	c = client();
	call(&c, "{\"method\":\"io.ctxd.ListSummaries\"}");
	v = reply(&c);
	is_int(json_array_size(json_object_get(json_object_get(v, "parameters"), "jobs")), 1000);
	is_int(json_integer_value(json_object_get(json_object_get(v, "parameters"), "next")), 1000);
	json_decref(v);
	call(&c, "{\"method\":\"io.ctxd.ListSummaries\",\"parameters\":{\"after\":1000}}");
	v = reply(&c);
	is_int(json_array_size(json_object_get(json_object_get(v, "parameters"), "jobs")), 200);
	ok(json_is_null(json_object_get(json_object_get(v, "parameters"), "next")));
	json_decref(v);
	call(&c, "{\"method\":\"io.ctxd.List\",\"parameters\":{\"limit\":2}}");
	is_str(jobs_reply(&c, false), "1 2");
	call(&c, "{\"method\":\"io.ctxd.List\",\"more\":true,\"parameters\":{\"limit\":3}}");
	is_str(jobs_reply(&c, false), "1 2 3");
	call(&c, "{\"method\":\"io.ctxd.List\",\"parameters\":{\"limit\":0}}");
	(void)error_reply(&c, "io.ctxd.InvalidArgument");
	call(&c, "{\"method\":\"io.ctxd.List\",\"parameters\":{\"states\":[\"ajar\"]}}");
	(void)error_reply(&c, "io.ctxd.InvalidArgument");
	call(&c, "{\"method\":\"io.ctxd.List\",\"parameters\":{\"uid\":-1}}");
	(void)error_reply(&c, "io.ctxd.InvalidArgument");
	client_done(&c);
	server_stop();
}

/* ---- bad peers */

TEST(junk_closes_its_connection_only)
{
	static const char *const junk[] = {"hello",
					   "[]",
					   "{}",
					   "{\"method\":1}",
					   "{\"method\":\"x\"}",
					   "",
					   "{\"method\":\"io.ctxd.Get\",\"parameters\":[]}",
					   "\xff\xfe"};
	struct client good;

	server_start();
	good = client();
	for (size_t i = 0; i < ARRAY_SIZE(junk); i++) {
		struct client c = client();

		call(&c, GET(1));
		call(&c, junk[i]);
		call(&c, GET(2));
		is_int(job_reply(&c, false), 1);
		ok(closed(&c));
		client_done(&c);
	}
	call(&good, GET(3));
	is_int(job_reply(&good, false), 3);
	client_done(&good);
	server_stop();
}

TEST(a_message_that_is_too_long_is_answered_and_the_connection_closed)
{
	static char big[3 << 20];
	struct client c;
	json_t *p;

	server_start();
	memset(big, 'x', sizeof(big));
	c = client();
	say(&c, big, sizeof(big));
	p = error_reply(&c, "io.ctxd.InvalidArgument");
	is_str(json_string_value(json_object_get(p, "field")), "message");
	ok(strstr(json_string_value(json_object_get(p, "reason")), "1048576") != NULL);
	ok(closed(&c));
	client_done(&c);
	server_stop();
}

TEST(who_never_reads_is_not_served_further_and_others_are)
{
	struct client deaf, good;
	uint64_t before;

	server_start();
	deaf = client();
	good = client();
	for (int i = 0; i < 300; i++) {
		char text[64];

		/* A client that waits for room in its socket would wait here for ever. */
		(void)snprintf(text, sizeof(text), GET(7));
		for (int n = 0; n < 100; n++)
			(void)!send(deaf.fd, text, strlen(text) + 1, MSG_DONTWAIT | MSG_NOSIGNAL);
		turn();
	}
	before = gets;
	ok(before < 5000);
	call(&good, GET(5));
	is_int(job_reply(&good, false), 5);
	is_int(gets, before + 1);
	client_done(&deaf);
	client_done(&good);
	server_stop();
}

TEST(more_connections_than_a_user_may_have_are_told_so)
{
	struct client c[5];
	json_t *p;

	server_start();
	policy->max_connections_per_user = 4;
	for (int i = 0; i < 5; i++)
		c[i] = client();
	p = error_reply(&c[4], "io.ctxd.NotReady");
	ok(strstr(json_string_value(json_object_get(p, "reason")),
		  "max_connections_per_user is 4") != NULL);
	ok(closed(&c[4]));
	call(&c[3], GET(1));
	is_int(job_reply(&c[3], false), 1);
	for (int i = 0; i < 5; i++)
		client_done(&c[i]);
	server_stop();
}

TEST(a_user_whose_buffers_are_full_is_told_so)
{
	static char part[1 << 20];
	struct client c[80];
	int refused = 0;

	server_start();
	policy->max_message = 1 << 20;
	memset(part, 'x', sizeof(part));
	for (int i = 0; i < 80; i++) {
		c[i] = client();
		say(&c[i], part, sizeof(part) - 1);
	}
	for (int i = 0; i < 100; i++)
		turn();
	for (int i = 0; i < 80; i++) {
		client_read(&c[i]);
		refused += buf_len(&c[i].in) > 0 && strstr(buf_head(&c[i].in), "NotReady") != NULL;
		client_done(&c[i]);
	}
	ok(refused > 0 && refused < 80);
	TURN_UNTIL(api_connections(api) == 0);
	is_int(api_connections(api), 0);
	server_stop();
}
