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
	{1, "queued", false},           {2, "running", false},    {3, "stopping", false},
	{4, "succeeded", true},         {5, "failed", true},      {6, "canceled", true},
	{7, "deadline_exceeded", true}, {8, "interrupted", true},
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
	for (int from = 0; from <= JOB_STATE_MAX + 2; from++)
		for (int to = 0; to <= JOB_STATE_MAX + 40; to++) {
			bool allowed = job_state_allowed((enum job_state)from, (enum job_state)to);

			if (from == to || from == 0 || to == 0 || from > JOB_STATE_MAX ||
			    to > JOB_STATE_MAX || job_state_ended((enum job_state)from))
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
	     strv_add(&j->argv, "") == 0);
	j->groups = calloc(2, sizeof(*j->groups));
	need(j->groups);
	j->groups[1] = 7;
	j->n_groups = 2;
	j->id = 42;
	c = job_copy(j);
	need(c);
	ok(c->name != j->name && c->argv.data != j->argv.data && c->groups != j->groups);
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
	c = job_free(c);
	j = job_new();
	need(j);
	c = job_copy(j); /* nothing set at all */
	ok(c && !c->name && !c->groups && c->argv.n == 0);
}
