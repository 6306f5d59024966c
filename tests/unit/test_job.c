/* test_job.c - core/job.h: names and numbers that are stored, edges, copies. */
#include <errno.h>

#include "base/mem.h"
#include "core/job.h"
#include "tap.h"

/* The numbers lie in people's databases: this table is written by hand, on purpose. */
static const struct {
	int number;
	const char *name;
	bool ended;
} stored[] = {
	{1, "queued", false},  {2, "running", false},          {3, "stopping", false},
	{4, "open", false},    {5, "succeeded", true},         {6, "failed", true},
	{7, "canceled", true}, {8, "deadline_exceeded", true}, {9, "interrupted", true},
	{10, "closed", true},
};

TEST(states_have_their_numbers)
{
	enum job_state s;

	for (size_t i = 0; i < ARRAY_SIZE(stored); i++) {
		is_str(job_state_name((enum job_state)stored[i].number), stored[i].name);
		need(job_state_parse(stored[i].name, &s) == 0);
		is_int(s, stored[i].number);
		is_int(job_state_ended(s), stored[i].ended);
	}
	is_int(ARRAY_SIZE(stored), JOB_STATE_MAX);
}

TEST(no_such_state)
{
	enum job_state s = JOB_RUNNING;

	is_int(job_state_parse("", &s), -EINVAL);
	is_int(job_state_parse("Queued", &s), -EINVAL);
	is_int(job_state_parse("queued ", &s), -EINVAL);
	is_int(s, JOB_RUNNING);
	is_str(job_state_name((enum job_state)0), "unknown");
	is_str(job_state_name((enum job_state)99), "unknown");
	ok(!job_state_ended((enum job_state)99));
}

TEST(edges)
{
	ok(job_state_allowed(JOB_QUEUED, JOB_RUNNING));
	ok(job_state_allowed(JOB_QUEUED, JOB_CANCELED));
	ok(job_state_allowed(JOB_RUNNING, JOB_QUEUED));
	ok(job_state_allowed(JOB_RUNNING, JOB_STOPPING));
	ok(job_state_allowed(JOB_STOPPING, JOB_SUCCEEDED));
	ok(!job_state_allowed(JOB_QUEUED, JOB_SUCCEEDED));
	ok(!job_state_allowed(JOB_QUEUED, JOB_INTERRUPTED));
	ok(!job_state_allowed(JOB_STOPPING, JOB_RUNNING));
	ok(!job_state_allowed(JOB_STOPPING, JOB_QUEUED));
	ok(job_state_allowed(JOB_OPEN, JOB_CLOSED));
	ok(job_state_allowed(JOB_OPEN, JOB_CANCELED));
	ok(job_state_allowed(JOB_OPEN, JOB_DEADLINE_EXCEEDED));
	for (int to = 1; to <= JOB_STATE_MAX; to++) { /* jobs and scopes share only two ends */
		ok(!job_state_allowed((enum job_state)to, JOB_OPEN));
		if (to != JOB_OPEN)
			ok(!job_state_allowed((enum job_state)to, JOB_CLOSED));
		/* An end is final, but for a retry of what did not succeed. */
		if (to >= JOB_SUCCEEDED)
			is_int(job_state_allowed((enum job_state)to, JOB_QUEUED),
			       to != JOB_SUCCEEDED && to != JOB_CLOSED);
	}
	ok(!job_state_allowed(JOB_OPEN, JOB_RUNNING) && !job_state_allowed(JOB_OPEN, JOB_QUEUED));
	ok(!job_state_allowed(JOB_OPEN, JOB_SUCCEEDED) && !job_state_allowed(JOB_OPEN, JOB_FAILED));
	for (int from = 0; from <= JOB_STATE_MAX + 2; from++)
		for (int to = 0; to <= JOB_STATE_MAX + 40; to++) {
			bool allowed = job_state_allowed((enum job_state)from, (enum job_state)to);

			if (from == to || from == 0 || to == 0 || from > JOB_STATE_MAX ||
			    to > JOB_STATE_MAX ||
			    (job_state_ended((enum job_state)from) && to != JOB_QUEUED))
				ok(!allowed);
		}
}

TEST(small_names)
{
	ok(job_cause_name(CAUSE_NONE) == NULL);
	is_str(job_cause_name(CAUSE_EXIT), "exit");
	is_str(job_cause_name(CAUSE_REBOOT), "reboot");
	is_int(CAUSE_REBOOT, 16);
	ok(job_cause_name((enum cause_code)17) == NULL);
	is_str(job_rule_name(RULE_NONE), "");
	is_str(job_rule_name(RULE_ABSOLUTE), "absolute");
	is_int(RULE_EXTENDED, 8);
	is_str(job_rule_name((enum deadline_rule)9), "");
	ok(job_known_by_name(KNOWN_BY_NONE) == NULL);
	is_str(job_known_by_name(KNOWN_BY_RECOVERY), "recovery");
	ok(job_known_by_name((enum known_by) - 1) == NULL);
}

TEST(err_is_as_in_go)
{
	struct job j = {.state = JOB_RUNNING, .cause_code = CAUSE_REQUESTED};

	ok(job_err(&j) == NULL);
	j.state = JOB_STOPPING;
	is_str(job_err(&j), "context canceled");
	j.cause_code = CAUSE_DEADLINE;
	is_str(job_err(&j), "context deadline exceeded");
	j.cause_code = CAUSE_EXIT; /* the main process ended and left others behind */
	ok(job_err(&j) == NULL);
	j.state = JOB_CANCELED;
	is_str(job_err(&j), "context canceled");
	j.state = JOB_DEADLINE_EXCEEDED;
	is_str(job_err(&j), "context deadline exceeded");
	j.state = JOB_INTERRUPTED;
	ok(job_err(&j) == NULL);
	j.state = JOB_CLOSED; /* as after Go's cancel function */
	is_str(job_err(&j), "context canceled");
	j.state = JOB_OPEN;
	ok(job_err(&j) == NULL);
}

/* While it is being stopped the cause tells. */
TEST(err_of_each_cause_while_stopping)
{
	static const char *const errs[] = {
		[CAUSE_REQUESTED] = "context canceled",
		[CAUSE_CLIENT_GONE] = "context canceled",
		[CAUSE_PARENT] = "context canceled",
		[CAUSE_SCOPE_CLOSED] = "context canceled",
		[CAUSE_WATCHDOG] = "context canceled",
		[CAUSE_SHUTDOWN] = "context canceled",
		[CAUSE_DEADLINE] = "context deadline exceeded",
		[CAUSE_PARENT_DEADLINE] = "context deadline exceeded",
		[CAUSE_REBOOT] = NULL,
	};
	struct job j = {.state = JOB_STOPPING};

	for (size_t i = 0; i < ARRAY_SIZE(errs); i++) {
		j.cause_code = (enum cause_code)i;
		is_str(job_err(&j), errs[i]);
	}
}

TEST(hidden_keys)
{
	ok(job_key_is_hidden("~") && job_key_is_hidden("~abc"));
	ok(!job_key_is_hidden(NULL) && !job_key_is_hidden("") && !job_key_is_hidden("a~"));
}

TEST(half_processed)
{
	struct job j = {.state = JOB_INTERRUPTED};
	char as[] = "failed";

	ok(job_half_processed(&j));
	j.resolution_as = as;
	ok(!job_half_processed(&j));
	j.resolution_as = NULL;
	j.state = JOB_FAILED;
	ok(!job_half_processed(&j));
}

TEST(new_and_free)
{
	_cleanup_(job_freep) struct job *j = job_new();

	need(j);
	is_int(j->kind, JOB_KIND_JOB);
	is_int(j->attempt, 1);
	is_int(j->id, 0);
	ok(job_free(NULL) == NULL);
}

TEST(set)
{
	char *s = NULL;

	is_int(job_set(&s, "abc"), 0);
	is_str(s, "abc");
	is_int(job_set(&s, s + 1), 0); /* out of itself */
	is_str(s, "bc");
	is_int(job_set(&s, NULL), 0);
	ok(s == NULL);
}

TEST(copy_is_deep)
{
	_cleanup_(job_freep) struct job *j = job_new(), *c = NULL;

	need(j && job_set(&j->name, "n") == 0 && job_set(&j->class_name, "c") == 0 &&
	     job_set(&j->key, "k") == 0 && job_set(&j->user, "u") == 0 &&
	     job_set(&j->home, "h") == 0 && job_set(&j->shell, "s") == 0 &&
	     job_set(&j->cwd, "/") == 0 && job_set(&j->cause, "why") == 0 &&
	     job_set(&j->resolution_as, "failed") == 0 &&
	     job_set(&j->resolution_note, "note") == 0 && strv_add(&j->argv, "a b") == 0 &&
	     strv_add(&j->argv, "") == 0 && strv_add(&j->values, "a=1") == 0 &&
	     job_set(&j->tracestate, "t=1") == 0 && job_set(&j->baggage, "b=1") == 0 &&
	     job_set(&j->progress_text, "half") == 0);
	j->groups = calloc(2, sizeof(*j->groups));
	need(j->groups);
	j->groups[1] = 7;
	j->n_groups = 2;
	j->id = 42;
	c = job_copy(j);
	need(c);
	ok(c->name != j->name && c->argv.data != j->argv.data && c->groups != j->groups);
	ok(c->values.data != j->values.data && c->progress_text != j->progress_text);
	j = job_free(j);
	is_int(c->id, 42);
	is_str(c->name, "n");
	is_str(c->class_name, "c");
	is_str(c->key, "k");
	is_str(c->user, "u");
	is_str(c->home, "h");
	is_str(c->shell, "s");
	is_str(c->cwd, "/");
	is_str(c->cause, "why");
	is_str(c->resolution_as, "failed");
	is_str(c->resolution_note, "note");
	is_int(c->argv.n, 2);
	is_str(strv_first(&c->argv), "a b");
	is_int(c->groups[1], 7);
	is_str(strv_first(&c->values), "a=1");
	is_str(c->tracestate, "t=1");
	is_str(c->baggage, "b=1");
	is_str(c->progress_text, "half");
	c = job_free(c);
	j = job_new();
	need(j);
	c = job_copy(j); /* nothing set at all */
	ok(c && !c->name && !c->groups && c->argv.n == 0);
}
