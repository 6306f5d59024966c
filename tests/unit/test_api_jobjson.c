/* test_api_jobjson.c - a job on the wire: every member of the interface, in JSON that a parser
 * takes. */
#include <jansson.h>

#include "api/errors.h"
#include "api/idl.h"
#include "api/jobjson.h"
#include "base/buf.h"
#include "base/jw.h"
#include "base/mem.h"
#include "core/job.h"
#include "engine/engine.h"
#include "tap.h"

static struct job *
example(void)
{
	struct job *j = job_new();

	need(j != NULL);
	j->id = 42;
	j->state = JOB_RUNNING;
	j->uid = 1000;
	j->gid = 1001;
	j->umask = 022;
	j->submitted_us = INT64_C(1700000000123456);
	j->deadline_rule = RULE_DEFAULT;
	j->stop_signal = 15;
	j->grace_us = 10000000;
	need(job_set(&j->class_name, "default") == 0 && job_set(&j->cwd, "/srv") == 0);
	need(strv_add(&j->argv, "echo") == 0 && strv_add(&j->argv, "a b") == 0 &&
	     strv_add(&j->argv, "") == 0);
	return j;
}

static json_t *
render(void (*put)(struct jw *j, const char *key, const struct job *job), const struct job *job)
{
	struct buf b = {0};
	struct jw j;
	json_t *v;

	jw_init(&j, &b);
	put(&j, NULL, job);
	need(b.failed == 0);
	v = json_loadb(buf_head(&b), buf_len(&b), 0, NULL);
	buf_done(&b);
	need(v != NULL);
	return v;
}

/* Members of `type NAME (` in the interface, each at the start of a line. */
static size_t
count_members(const char *type, json_t *v)
{
	char head[32];
	const char *p;
	size_t n = 0;

	(void)snprintf(head, sizeof(head), "type %s (\n", type);
	p = strstr(idl_text, head);
	need(p != NULL);
	for (p += strlen(head); *p != ')'; p = strchr(p, '\n') + 1) {
		char name[64];

		need(sscanf(p, " %63[a-z_]:", name) == 1);
		if (!json_object_get(v, name)) {
			ok(!"a member is missing");
			printf("# %s.%s\n", type, name);
		}
		n++;
	}
	return n;
}

TEST(every_member_of_Job_is_there_and_no_other)
{
	_cleanup_(job_freep) struct job *j = example();
	json_t *v = render(jobjson_job, j);

	is_int(json_object_size(v), count_members("Job", v));
	json_decref(v);
}

TEST(every_member_of_Summary_is_there_and_no_other)
{
	_cleanup_(job_freep) struct job *j = example();
	json_t *v = render(jobjson_summary, j);

	is_int(json_object_size(v), count_members("Summary", v));
	is_str(json_string_value(json_object_get(v, "command")), "echo 'a b' ''");
	json_decref(v);
}

TEST(unset_is_null_and_lists_are_empty)
{
	_cleanup_(job_freep) struct job *j = example();
	json_t *v = render(jobjson_job, j);
	static const char *const nulls[] = {
		"name",        "key",        "user",        "parent",        "traceparent",
		"started_at",  "ended_at",   "pid",         "exit_code",     "signal",
		"leftovers",   "err",        "cause",       "cause_code",    "known_by",
		"progress",    "usage",      "resolution",  "waiting_for",   "timeout_usec",
		"deadline_at", "tracestate", "baggage",     "span_id",       "parent_span_id",
		"ready_at",    "warn_usec",  "warn_signal", "watchdog_usec", "stdin_bytes",
		"stderr",      "stop"};

	for (size_t i = 0; i < ARRAY_SIZE(nulls); i++)
		ok(json_is_null(json_object_get(v, nulls[i])));
	is_int(json_array_size(json_object_get(v, "inherit")), 0);
	ok(json_is_object(json_object_get(v, "values")));
	is_str(json_string_value(json_object_get(v, "submitted_at")),
	       "2023-11-14T22:13:20.123456Z");
	is_str(json_string_value(json_object_get(v, "stop_signal")), "TERM");
	json_decref(v);
}

static const char *
said(const json_t *v, const char *key)
{
	return json_string_value(json_object_get(v, key));
}

TEST(how_it_was_stopped_is_told)
{
	_cleanup_(job_freep) struct job *j = example();
	const json_t *stop, *list;
	json_t *v;

	j->state = JOB_CANCELED;
	j->ended_us = j->submitted_us + 5;
	j->unenforced = JOB_LIMIT_CPU_MAX | JOB_LIMIT_NOFILE;
	j->stop = (struct job_stop){.asked_us = j->submitted_us + 1,
				    .has_uid = true,
				    .uid = 0,
				    .term_us = j->submitted_us + 2,
				    .main_ended_us = j->submitted_us + 3,
				    .has_counts = true,
				    .term_processes = 4};
	v = render(jobjson_job, j);
	stop = json_object_get(v, "stop");
	is_str(said(stop, "asked_at"), "2023-11-14T22:13:20.123457Z");
	ok(json_is_integer(json_object_get(stop, "by_uid")));
	ok(json_is_null(json_object_get(stop, "by_pid")));
	ok(json_is_null(json_object_get(stop, "by_parent")));
	is_str(said(stop, "term_at"), "2023-11-14T22:13:20.123458Z");
	is_int(json_integer_value(json_object_get(stop, "term_processes")), 4);
	ok(json_is_null(json_object_get(stop, "kill_at")));
	ok(json_is_null(json_object_get(stop, "kill_processes")));
	is_str(said(stop, "main_ended_at"), "2023-11-14T22:13:20.123459Z");
	is_str(said(stop, "empty_at"), "2023-11-14T22:13:20.123461Z");
	list = json_object_get(v, "limits_unenforced");
	is_int(json_array_size(list), 2);
	is_str(json_string_value(json_array_get(list, 0)), "cpu_max");
	is_str(json_string_value(json_array_get(list, 1)), "limit_nofile");
	json_decref(v);
}

TEST(the_end_is_told)
{
	_cleanup_(job_freep) struct job *j = example();
	json_t *v;

	j->state = JOB_FAILED;
	j->has_exit_code = true;
	j->exit_code = 7;
	j->cause_code = CAUSE_EXIT;
	j->known_by = KNOWN_BY_MONITOR;
	j->has_usage = true;
	j->user_us = 5;
	j->inherit = INHERIT_CANCEL | INHERIT_VALUES;
	v = render(jobjson_job, j);
	is_int(json_integer_value(json_object_get(v, "exit_code")), 7);
	is_str(json_string_value(json_object_get(v, "cause_code")), "exit");
	is_str(json_string_value(json_object_get(v, "known_by")), "monitor");
	is_int(json_integer_value(json_object_get(json_object_get(v, "usage"), "user_usec")), 5);
	is_str(json_string_value(json_array_get(json_object_get(v, "inherit"), 0)), "values");
	is_str(json_string_value(json_array_get(json_object_get(v, "inherit"), 1)), "cancel");
	json_decref(v);
}

static json_t *
member(json_t *v, const char *name)
{
	return json_object_get(v, name);
}

static const char *
text_of(json_t *v, const char *name)
{
	return json_string_value(member(v, name));
}

TEST(a_context_is_told)
{
	_cleanup_(job_freep) struct job *j = example();
	json_t *v;

	j->parent = 41;
	j->inherit = INHERIT_VALUES | INHERIT_TRACE | INHERIT_DEADLINE | INHERIT_CANCEL;
	need(trace_parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", &j->trace,
			 &(const char *){NULL}) == 0);
	j->has_parent_span = true;
	memcpy(j->parent_span, "\x00\x11\x22\x33\x44\x55\x66\x77", 8);
	need(job_set(&j->tracestate, "a=1") == 0 && job_set(&j->baggage, "b=2") == 0 &&
	     job_set(&j->key, "night") == 0);
	need(strv_add(&j->values, "a.b=1=2") == 0 && strv_add(&j->values, "c=") == 0);
	j->bound = true;
	v = render(jobjson_job, j);
	is_int(json_integer_value(member(v, "parent")), 41);
	is_int(json_array_size(member(v, "inherit")), 4);
	is_str(text_of(v, "traceparent"),
	       "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
	is_str(text_of(v, "span_id"), "b7ad6b7169203331");
	is_str(text_of(v, "parent_span_id"), "0011223344556677");
	is_str(text_of(v, "tracestate"), "a=1");
	is_str(text_of(v, "baggage"), "b=2");
	is_str(text_of(v, "key"), "night");
	is_int(json_object_size(member(v, "values")), 2);
	is_str(text_of(member(v, "values"), "a.b"), "1=2");
	is_str(text_of(member(v, "values"), "c"), "");
	ok(json_is_true(member(v, "bound")));
	json_decref(v);
	need(job_set(&j->key, "~run-1") == 0);
	v = render(jobjson_job, j);
	ok(json_is_null(member(v, "key")));
	json_decref(v);
}

TEST(values_as_long_as_they_may_be)
{
	_cleanup_(job_freep) struct job *j = example();
	char pair[64 + 1 + 1000 + 1];
	json_t *v;

	memset(pair, 'n', sizeof(pair));
	pair[64] = '=';
	pair[sizeof(pair) - 1] = '\0';
	need(strv_add(&j->values, pair) == 0);
	v = render(jobjson_job, j);
	pair[64] = '\0';
	is_str(text_of(member(v, "values"), pair), pair + 65);
	json_decref(v);
}

TEST(what_it_says_of_itself)
{
	static const struct {
		double percent;
		const char *text;
	} rows[] = {{0, "0.0"},
		    {100, "100.0"},
		    {12.5, "12.5"},
		    {0.001, "0.001"},
		    {33.333, "33.333"},
		    {1e-9, "1e-09"},
		    {99.99999999999999, "100.0"}};
	_cleanup_(job_freep) struct job *j = example();
	json_t *v, *p;

	j->progress_us = INT64_C(1700000000123456);
	v = render(jobjson_job, j);
	p = member(v, "progress");
	ok(json_is_null(member(p, "percent")) && json_is_null(member(p, "text")));
	is_str(text_of(p, "at"), "2023-11-14T22:13:20.123456Z");
	json_decref(v);
	j->has_percent = true;
	need(job_set(&j->progress_text, "half \"way\"") == 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct buf b = {0};
		struct jw w;
		char want[64];

		j->percent = rows[i].percent;
		v = render(jobjson_job, j);
		p = member(v, "progress");
		ok(json_is_real(member(p, "percent")));
		is_str(text_of(p, "text"), "half \"way\"");
		json_decref(v);
		jw_init(&w, &b);
		jw_obj_open(&w, NULL);
		jobjson_progress(&w, j);
		need(buf_putc(&b, '\0') == 0);
		(void)snprintf(want, sizeof(want), "{\"progress\":{\"percent\":%s,", rows[i].text);
		ok(strncmp(buf_head(&b), want, strlen(want)) == 0);
		buf_done(&b);
	}
}

TEST(how_it_runs)
{
	_cleanup_(job_freep) struct job *j = example();
	json_t *v;

	j->ready_us = INT64_C(1700000000123456);
	j->warn_us = 60000000;
	j->watchdog_us = 5000000;
	j->has_stdin = true;
	j->split_output = true;
	j->out_bytes = 3;
	j->err_bytes = 7;
	j->err_dropped = 2;
	v = render(jobjson_job, j);
	is_str(text_of(v, "ready_at"), "2023-11-14T22:13:20.123456Z");
	is_int(json_integer_value(member(v, "warn_usec")), 60000000);
	is_str(text_of(v, "warn_signal"), "USR1");
	is_int(json_integer_value(member(v, "watchdog_usec")), 5000000);
	ok(json_is_integer(member(v, "stdin_bytes")));
	is_int(json_integer_value(member(member(v, "output"), "bytes")), 3);
	is_int(json_integer_value(member(member(v, "stderr"), "bytes")), 7);
	is_int(json_integer_value(member(member(v, "stderr"), "dropped")), 2);
	json_decref(v);
	j->warn_signal = 1;
	v = render(jobjson_job, j);
	is_str(text_of(v, "warn_signal"), "HUP");
	json_decref(v);
}

TEST(a_scope)
{
	_cleanup_(job_freep) struct job *j = example();
	json_t *v;

	j->kind = JOB_KIND_SCOPE;
	j->state = JOB_OPEN;
	j->parent = 3;
	strv_done(&j->argv);
	need(job_set(&j->cwd, NULL) == 0);
	v = render(jobjson_job, j);
	is_str(text_of(v, "kind"), "scope");
	is_str(text_of(v, "state"), "open");
	is_str(text_of(v, "cwd"), "/");
	ok(json_is_array(member(v, "argv")));
	is_int(json_array_size(member(v, "argv")), 0);
	json_decref(v);
	v = render(jobjson_summary, j);
	is_str(text_of(v, "kind"), "scope");
	is_int(json_integer_value(member(v, "parent")), 3);
	is_str(text_of(v, "command"), "");
	json_decref(v);
}

TEST(a_long_command_is_cut_at_a_character)
{
	_cleanup_(job_freep) struct job *j = example();
	static char huge[100000];
	const char *c;
	json_t *v;

	for (size_t i = 0; i + 2 < sizeof(huge); i += 2)
		memcpy(huge + i, "\xc3\xa4", 2);
	need(strv_add(&j->argv, huge) == 0);
	v = render(jobjson_summary, j);
	c = json_string_value(json_object_get(v, "command"));
	need(c != NULL);
	ok(strlen(c) <= 200 && strlen(c) > 190);
	is_str(c + strlen(c) - 3, "\xe2\x80\xa6");
	json_decref(v);
}

static json_t *
error_of(const struct refusal *r)
{
	struct buf b = {0};
	json_t *v;

	errors_write(&b, r);
	need(b.failed == 0 && buf_len(&b) > 0 && buf_head(&b)[buf_len(&b) - 1] == '\0');
	v = json_loads(buf_head(&b), 0, NULL);
	buf_done(&b);
	need(v != NULL);
	return v;
}

TEST(each_refusal_is_an_error_with_the_members_of_the_interface)
{
	for (int k = REFUSAL_NO_SUCH_JOB; k <= REFUSAL_NOT_READY; k++) {
		struct refusal r = {.id = 7, .limit = 3, .state = JOB_FAILED};
		const char *name, *p;
		char head[64], text[400];
		json_t *v, *params;
		size_t n = 0;

		(void)refusal_set(&r, (enum refusal_kind)k, "field\n", "because");
		v = error_of(&r);
		name = json_string_value(json_object_get(v, "error"));
		need(name && strncmp(name, "io.ctxd.", 8) == 0);
		is_str(errors_name(&r), name + 8);
		(void)snprintf(head, sizeof(head), "\nerror %s (", name + 8);
		p = strstr(idl_text, head);
		need(p != NULL);
		params = json_object_get(v, "parameters");
		for (p += strlen(head); *p != ')'; p++)
			n += *p == ':';
		is_int(json_object_size(params), n);
		ok(!strchr(errors_text(&r, text, sizeof(text)), '\n'));
		json_decref(v);
	}
}
