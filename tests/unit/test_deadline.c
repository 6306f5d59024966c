/* test_deadline.c - core/deadline.h: the minimum of everything, and whose word it was. */
#include "base/mem.h"
#include "core/deadline.h"
#include "core/policy.h"
#include "tap.h"

#define SEC INT64_C(1000000)
#define WALL0 (INT64_C(1700000000) * SEC)
#define BOOT0 (INT64_C(5000) * NSEC_PER_SEC)

/* Default 600 s, maximum 3600 s; class "short": 60 s, at most 120 s; "wide": maximum above the
 * global one; "bare": nothing. */
static struct policy *
example(void)
{
	static const struct policy_class classes[] = {
		{.name = "short", .timeout_us = 60 * SEC, .max_timeout_us = 120 * SEC},
		{.name = "wide", .timeout_us = 7200 * SEC, .max_timeout_us = 7200 * SEC},
		{.name = "same", .max_timeout_us = 3600 * SEC},
		{.name = "bare"},
	};
	struct policy *p = policy_new();
	struct policy_class **end;

	need(p);
	p->timeout_us = 600 * SEC;
	p->max_timeout_us = 3600 * SEC;
	end = &p->classes;
	for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
		*end = malloc(sizeof(**end));
		need(*end);
		**end = classes[i];
		end = &(*end)->next;
	}
	return p;
}

TEST(grant)
{
	static const struct {
		const char *class_name;
		int64_t requested, want;
		enum deadline_rule rule;
	} rows[] = {
		{NULL, 0, 600 * SEC, RULE_DEFAULT},
		{"default", 0, 600 * SEC, RULE_DEFAULT},
		{"nobody", 0, 600 * SEC, RULE_DEFAULT},
		{"bare", 0, 600 * SEC, RULE_DEFAULT},
		{NULL, 5 * SEC, 5 * SEC, RULE_REQUESTED},
		{NULL, 1, 1, RULE_REQUESTED},
		{NULL, 3600 * SEC, 3600 * SEC, RULE_REQUESTED},
		{NULL, 3600 * SEC + 1, 3600 * SEC, RULE_GLOBAL_MAX},
		{NULL, INT64_MAX, 3600 * SEC, RULE_GLOBAL_MAX},
		{"short", 0, 60 * SEC, RULE_CLASS_DEFAULT},
		{"short", 90 * SEC, 90 * SEC, RULE_REQUESTED},
		{"short", 121 * SEC, 120 * SEC, RULE_CLASS_MAX},
		{"short", INT64_MAX, 120 * SEC, RULE_CLASS_MAX},
		{"wide", 0, 3600 * SEC, RULE_GLOBAL_MAX},
		{"wide", INT64_MAX, 3600 * SEC, RULE_GLOBAL_MAX},
		{"same", INT64_MAX, 3600 * SEC, RULE_CLASS_MAX},
	};
	_cleanup_(policy_freep) struct policy *p = example();
	enum deadline_rule rule;
	int64_t us;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		deadline_grant(p, rows[i].class_name, rows[i].requested, &us, &rule);
		is_int(us, rows[i].want);
		is_str(job_rule_name(rule), job_rule_name(rows[i].rule));
	}
}

TEST(a_default_above_the_maximum_is_cut)
{
	_cleanup_(policy_freep) struct policy *p = example();
	enum deadline_rule rule;
	int64_t us;

	p->max_timeout_us = 30 * SEC;
	deadline_grant(p, NULL, 0, &us, &rule);
	is_int(us, 30 * SEC);
	is_int(rule, RULE_GLOBAL_MAX);
}

static struct job
started(const struct policy *p, int64_t timeout, int64_t deadline)
{
	struct job j = {.timeout_requested_us = timeout, .deadline_requested_us = deadline};

	deadline_start(p, &j, wall_usec(WALL0), (struct mono){BOOT0});
	return j;
}

TEST(start)
{
	_cleanup_(policy_freep) struct policy *p = example();
	struct job j = started(p, 10 * SEC, 0);

	is_int(j.timeout_us, 10 * SEC);
	is_int(j.deadline_us, WALL0 + 10 * SEC);
	is_int(j.deadline_boot_ns, BOOT0 + 10 * NSEC_PER_SEC);
	is_int(j.deadline_rule, RULE_REQUESTED);
}

TEST(start_with_an_absolute_deadline)
{
	_cleanup_(policy_freep) struct policy *p = example();
	struct job j = started(p, 10 * SEC, WALL0 + 4 * SEC);

	is_int(j.timeout_us, 4 * SEC);
	is_int(j.deadline_us, WALL0 + 4 * SEC);
	is_int(j.deadline_boot_ns, BOOT0 + 4 * NSEC_PER_SEC);
	is_int(j.deadline_rule, RULE_ABSOLUTE);
	j = started(p, 10 * SEC, WALL0 + 10 * SEC); /* both at once: the span was asked for too */
	is_int(j.deadline_rule, RULE_REQUESTED);
	j = started(p, 0, WALL0 + 5000 * SEC); /* beyond everything */
	is_int(j.timeout_us, 600 * SEC);
	is_int(j.deadline_rule, RULE_DEFAULT);
}

TEST(start_after_the_absolute_deadline)
{
	_cleanup_(policy_freep) struct policy *p = example();
	struct job j = started(p, 0, WALL0 - 4 * SEC);

	is_int(j.timeout_us, 1);
	is_int(j.deadline_us, WALL0 - 4 * SEC);
	is_int(j.deadline_boot_ns, BOOT0 + 1000);
	is_int(j.deadline_rule, RULE_ABSOLUTE);
}

TEST(limit_of_extending)
{
	_cleanup_(policy_freep) struct policy *p = example();

	is_int(deadline_limit(p, NULL, BOOT0), BOOT0 + 3600 * NSEC_PER_SEC);
	is_int(deadline_limit(p, "short", BOOT0), BOOT0 + 120 * NSEC_PER_SEC);
	is_int(deadline_limit(p, "wide", BOOT0), BOOT0 + 3600 * NSEC_PER_SEC);
	is_int(deadline_limit(p, NULL, INT64_MAX - 5), INT64_MAX);
}
