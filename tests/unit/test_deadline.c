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

static struct job
inheriting(const struct policy *p, int64_t timeout, int64_t deadline, int64_t inherited)
{
	struct job j = {.timeout_requested_us = timeout,
			.deadline_requested_us = deadline,
			.inherited_us = inherited,
			.started_us = WALL0};

	deadline_start(p, &j, wall_usec(WALL0), (struct mono){BOOT0});
	return j;
}

TEST(start_with_an_inherited_deadline)
{
	static const struct {
		int64_t timeout, deadline, inherited, want;
		enum deadline_rule rule;
	} rows[] = {
		/* the least of all counts */
		{0, 0, 4, 4, RULE_INHERITED},
		{10, 0, 4, 4, RULE_INHERITED},
		{3, 0, 4, 3, RULE_REQUESTED},
		{10, 5, 4, 4, RULE_INHERITED},
		{10, 4, 5, 4, RULE_ABSOLUTE},
		{3, 4, 5, 3, RULE_REQUESTED},
		{0, 0, 601, 600, RULE_DEFAULT},
		{9999, 0, 3601, 3600, RULE_GLOBAL_MAX},
		{9999, 0, 3599, 3599, RULE_INHERITED},
		/* at one moment: inherited */
		{10, 0, 10, 10, RULE_INHERITED},
		{0, 0, 600, 600, RULE_INHERITED},
		{0, 8, 8, 8, RULE_INHERITED},
		{9999, 0, 3600, 3600, RULE_INHERITED},
	};
	_cleanup_(policy_freep) struct policy *p = example();

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct job j = inheriting(p, rows[i].timeout * SEC,
					  rows[i].deadline ? WALL0 + rows[i].deadline * SEC : 0,
					  WALL0 + rows[i].inherited * SEC);

		is_int(j.timeout_us, rows[i].want * SEC);
		is_int(j.deadline_us, WALL0 + rows[i].want * SEC);
		is_int(j.deadline_boot_ns, BOOT0 + rows[i].want * NSEC_PER_SEC);
		is_str(job_rule_name(j.deadline_rule), job_rule_name(rows[i].rule));
	}
}

TEST(start_after_the_inherited_deadline)
{
	_cleanup_(policy_freep) struct policy *p = example();
	struct job j = inheriting(p, 10 * SEC, WALL0 - SEC, WALL0 - 4 * SEC);

	is_int(j.timeout_us, 1);
	is_int(j.deadline_us, WALL0 - 4 * SEC);
	is_int(j.deadline_boot_ns, BOOT0 + 1000);
	is_int(j.deadline_rule, RULE_INHERITED);
}

TEST(latest_moment_of_a_queued_job)
{
	static const struct {
		int64_t asked, inherited, want;
		enum deadline_rule rule;
	} rows[] = {
		{0, 0, 0, RULE_NONE},     {7, 0, 7, RULE_ABSOLUTE},  {0, 7, 7, RULE_INHERITED},
		{7, 8, 7, RULE_ABSOLUTE}, {8, 7, 7, RULE_INHERITED}, {7, 7, 7, RULE_INHERITED},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct job j = {.deadline_requested_us = rows[i].asked,
				.inherited_us = rows[i].inherited};

		is_int(deadline_latest(&j), rows[i].want);
		is_int(deadline_latest_rule(&j), rows[i].rule);
	}
}

static struct job
scope(const struct policy *p, const char *class_name, int64_t timeout, int64_t deadline,
      int64_t inherited)
{
	char name[16];
	struct job j = {.kind = JOB_KIND_SCOPE,
			.state = JOB_OPEN,
			.timeout_requested_us = timeout,
			.deadline_requested_us = deadline,
			.inherited_us = inherited};

	(void)snprintf(name, sizeof(name), "%s", class_name);
	j.class_name = name;
	deadline_scope(p, &j, wall_usec(WALL0), (struct mono){BOOT0});
	j.class_name = NULL;
	is_int(j.deadline_us, WALL0 + j.timeout_us);
	is_int(j.deadline_boot_ns, BOOT0 + j.timeout_us * NSEC_PER_USEC);
	return j;
}

/* It waits for others: without a word it lives as long as is allowed, not as a job's default. */
TEST(scopes)
{
	_cleanup_(policy_freep) struct policy *p = example();
	struct job j = scope(p, "default", 0, 0, 0);

	is_int(j.timeout_us, 3600 * SEC);
	is_int(j.deadline_rule, RULE_GLOBAL_MAX);
	j = scope(p, "default", INT64_MAX, 0, 0);
	is_int(j.timeout_us, 3600 * SEC);
	is_int(j.deadline_rule, RULE_GLOBAL_MAX);
	j = scope(p, "short", 0, 0, 0);
	is_int(j.timeout_us, 120 * SEC);
	is_int(j.deadline_rule, RULE_CLASS_MAX);
	j = scope(p, "default", 20 * SEC, 0, 0);
	is_int(j.timeout_us, 20 * SEC);
	is_int(j.deadline_rule, RULE_REQUESTED);
	j = scope(p, "default", 20 * SEC, WALL0 + 10 * SEC, 0);
	is_int(j.timeout_us, 10 * SEC);
	is_int(j.deadline_rule, RULE_ABSOLUTE);
	j = scope(p, "default", 20 * SEC, WALL0 + 10 * SEC, WALL0 + 5 * SEC);
	is_int(j.timeout_us, 5 * SEC);
	is_int(j.deadline_rule, RULE_INHERITED);
}

static int64_t
limit_of(const struct policy *p, const struct job *j, int64_t seconds)
{
	return deadline_limit(p, j, wall_usec(WALL0 + seconds * SEC),
			      (struct mono){BOOT0 + seconds * NSEC_PER_SEC});
}

TEST(limit_of_extending)
{
	char name[] = "short", wide[] = "wide";
	_cleanup_(policy_freep) struct policy *p = example();
	struct job j = inheriting(p, 10 * SEC, 0, 0);

	is_int(limit_of(p, &j, 3), BOOT0 + 3600 * NSEC_PER_SEC);
	j.class_name = name;
	is_int(limit_of(p, &j, 3), BOOT0 + 120 * NSEC_PER_SEC);
	j.class_name = wide;
	is_int(limit_of(p, &j, 3), BOOT0 + 3600 * NSEC_PER_SEC);
	j.class_name = NULL;
	/* the clock was set: a span stays a span */
	is_int(deadline_limit(p, &j, wall_usec(WALL0 - 999 * SEC), (struct mono){BOOT0}),
	       BOOT0 + 3600 * NSEC_PER_SEC);
	j.deadline_boot_ns = INT64_MAX - 5;
	is_int(limit_of(p, &j, 3), INT64_MAX);
}

TEST(limit_of_extending_what_inherits)
{
	_cleanup_(policy_freep) struct policy *p = example();
	struct job j = inheriting(p, 10 * SEC, 0, WALL0 + 20 * SEC);

	is_int(j.deadline_rule, RULE_REQUESTED);
	is_int(limit_of(p, &j, 3), BOOT0 + 20 * NSEC_PER_SEC);
	/* by the wall clock as it is now */
	is_int(deadline_limit(p, &j, wall_usec(WALL0 + 8 * SEC), (struct mono){BOOT0}),
	       BOOT0 + 12 * NSEC_PER_SEC);
	j = inheriting(p, 10 * SEC, 0, WALL0 + 9999 * SEC);
	is_int(limit_of(p, &j, 3), BOOT0 + 3600 * NSEC_PER_SEC);
	/* where it is already, it stays: not a microsecond more through two clocks */
	j = inheriting(p, 10 * SEC, 0, WALL0 + 5 * SEC);
	is_int(j.deadline_rule, RULE_INHERITED);
	is_int(deadline_limit(p, &j, wall_usec(WALL0), (struct mono){BOOT0 + 12345}),
	       j.deadline_boot_ns);
}

TEST(moments)
{
	_cleanup_(policy_freep) struct policy *p = example();
	const struct job j = inheriting(p, 10 * SEC, 0, 0);
	const struct mono later = {BOOT0 + 2 * NSEC_PER_SEC};
	const struct wall wall = wall_usec(WALL0 + 2 * SEC);

	for (int off = -9000; off <= 9000; off += 3000) { /* what passes between two readings, ns */
		struct mono read = mono_add(later, (struct dur){off});

		is_int(deadline_moment(&j, j.deadline_us, wall, read), j.deadline_boot_ns);
		is_int(deadline_moment(&j, j.deadline_us + 1, wall, read),
		       j.deadline_boot_ns + NSEC_PER_USEC);
	}
	/* the wall clock was set back by an hour */
	is_int(deadline_moment(&j, j.deadline_us, wall_usec(WALL0 + 2 * SEC - 3600 * SEC), later),
	       j.deadline_boot_ns + 3600 * NSEC_PER_SEC);
	is_int(deadline_moment(&j, j.deadline_us, wall_usec(WALL0 + 2 * SEC + 5 * SEC), later),
	       j.deadline_boot_ns - 5 * NSEC_PER_SEC);
}

TEST(extending)
{
	const struct wall wall = wall_usec(WALL0 + 2 * SEC);
	const struct mono mono = {BOOT0 + 2 * NSEC_PER_SEC};
	_cleanup_(policy_freep) struct policy *p = example();
	struct job j = inheriting(p, 10 * SEC, 0, WALL0 + 20 * SEC);

	deadline_extend(&j, BOOT0 + 15 * NSEC_PER_SEC, wall, mono);
	is_int(j.deadline_boot_ns, BOOT0 + 15 * NSEC_PER_SEC);
	is_int(j.deadline_us, WALL0 + 15 * SEC);
	is_int(j.timeout_us, 15 * SEC);
	is_int(j.deadline_rule, RULE_EXTENDED);
	deadline_extend(&j, limit_of(p, &j, 2), wall, mono);
	is_int(j.deadline_us, WALL0 + 20 * SEC);
	is_int(j.deadline_rule, RULE_INHERITED);
	is_int(limit_of(p, &j, 2), j.deadline_boot_ns);
	j = inheriting(p, 10 * SEC, 0, 0);
	deadline_extend(&j, limit_of(p, &j, 2), wall, mono);
	is_int(j.timeout_us, 3600 * SEC);
	is_int(j.deadline_rule, RULE_EXTENDED);
}
