/* test_policy.c - core/policy.h and core/policy_value.h: defaults, rights, values from text and
 * back. */
#include <errno.h>

#include "base/mem.h"
#include "core/policy.h"
#include "core/policy_value.h"
#include "tap.h"

/* By hand, from the contract. */
TEST(defaults)
{
	_cleanup_(policy_freep) struct policy *p = policy_new();

	need(p);
	is_int(p->max_connections, 1024);
	is_int(p->max_connections_per_user, 256);
	is_int(p->max_message, 1 << 20);
	is_int(p->reattach_us, 5000000);
	is_int(p->stdin_max, 64 << 20);
	is_int(p->running, 64);
	is_int(p->queued, 100000);
	is_int(p->running_per_user, 0);
	is_int(p->queued_per_user, 0);
	is_int(p->timeout_us, INT64_C(600000000));
	is_int(p->max_timeout_us, INT64_C(86400000000));
	is_int(p->grace_us, 10000000);
	is_int(p->stop_signal, 15);
	is_int(p->output_max, 64 << 20);
	is_int(p->keep_jobs_us, INT64_C(30) * 86400 * 1000000);
	is_int(p->keep_output_us, INT64_C(7) * 86400 * 1000000);
	is_int(p->admins.n, 0);
	is_int(p->env_mode.mode, ENV_MODE_ALL);
	is_int(p->env_deny.n, 0);
	is_int(p->env_keep_us, INT64_C(3600000000));
	ok(!p->classes && !p->admin_ids.uids && !p->admin_ids.gids);
}

/* What is printed reads back to the same. */
TEST(defaults_round_trip)
{
	_cleanup_(policy_freep) struct policy *p = policy_new(), *q = policy_new();
	const char *reason;

	need(p && q);
#define CONF(section, key, type, field, def, min, max, reach, doc)                                 \
	do {                                                                                       \
		_free_ char *a = policy_value_format(POLICY_##type, &p->field);                    \
		_free_ char *b = NULL;                                                             \
		need(a);                                                                           \
		is_int(policy_value_parse(POLICY_##type, a, (min), (max), &q->field, &reason), 0); \
		b = policy_value_format(POLICY_##type, &q->field);                                 \
		is_str(a, b);                                                                      \
	} while (0);
#include "core/policy.def"
#undef CONF
}

static void
check_number(enum policy_type t, const char *text, int64_t min, int64_t max, int r, int64_t want)
{
	const char *reason = NULL;
	int64_t v = -77;

	is_int(policy_value_parse(t, text, min, max, &v, &reason), r);
	is_int(v, r == 0 ? want : -77);
	if (r < 0)
		ok(reason && *reason);
}

TEST(numbers)
{
	check_number(POLICY_INT, "5", 1, 10, 0, 5);
	check_number(POLICY_INT, "-5", -10, 10, 0, -5);
	check_number(POLICY_INT, "", 1, 10, 0, 0);
	check_number(POLICY_INT, "0", 1, 10, -ERANGE, 0);
	check_number(POLICY_INT, "11", 1, 10, -ERANGE, 0);
	check_number(POLICY_INT, "99999999999999999999", 1, 10, -ERANGE, 0);
	check_number(POLICY_INT, "5 ", 1, 10, -EINVAL, 0);
	check_number(POLICY_INT, "five", 1, 10, -EINVAL, 0);
	check_number(POLICY_INT, "5.0", 1, 10, -EINVAL, 0);
	check_number(POLICY_SIZE, "64K", 1, 1 << 20, 0, 65536);
	check_number(POLICY_SIZE, "64K", 65537, 1 << 20, -ERANGE, 0);
	check_number(POLICY_SIZE, "", 1, 10, 0, 0);
	check_number(POLICY_SIZE, "", 0, 10, -EINVAL, 0);
	check_number(POLICY_SIZE, "-1", 1, 10, -EINVAL, 0);
	check_number(POLICY_SIZE, "18446744073709551615", 1, INT64_MAX, -ERANGE, 0);
	check_number(POLICY_DUR, "1h30m", 1, DUR_MAX_US, 0, INT64_C(5400000000));
	check_number(POLICY_DUR, "250ms", 1000, DUR_MAX_US, 0, 250000);
	check_number(POLICY_DUR, "10us", 1000, DUR_MAX_US, -ERANGE, 0);
	check_number(POLICY_DUR, "", 1000, DUR_MAX_US, -EINVAL, 0);
	check_number(POLICY_DUR, "infinity", 1000, DUR_MAX_US, -ERANGE, 0);
	check_number(POLICY_DUR, "-5s", 1000, DUR_MAX_US, -ERANGE, 0);
	check_number(POLICY_SIGNAL, "TERM", 1, 64, 0, 15);
	check_number(POLICY_SIGNAL, "SIGINT", 1, 64, 0, 2);
	check_number(POLICY_SIGNAL, "9", 1, 64, 0, 9);
	check_number(POLICY_SIGNAL, "NOPE", 1, 64, -EINVAL, 0);
	check_number(POLICY_SIGNAL, "", 1, 64, -EINVAL, 0);
	check_number(POLICY_SIGNAL, "65", 1, 64, -EINVAL, 0);
	check_number(POLICY_ONINTERRUPT, "hold", ON_INTERRUPT_HOLD, ON_INTERRUPT_RETRY, 0,
		     ON_INTERRUPT_HOLD);
	check_number(POLICY_ONINTERRUPT, "retry", ON_INTERRUPT_HOLD, ON_INTERRUPT_RETRY, 0,
		     ON_INTERRUPT_RETRY);
	check_number(POLICY_ONINTERRUPT, "", ON_INTERRUPT_HOLD, ON_INTERRUPT_RETRY, -EINVAL, 0);
	check_number(POLICY_ONINTERRUPT, "Retry", ON_INTERRUPT_HOLD, ON_INTERRUPT_RETRY, -EINVAL,
		     0);
	check_number(POLICY_OUTPUTTO, "file", OUTPUT_TO_FILE, OUTPUT_TO_BOTH, 0, OUTPUT_TO_FILE);
	check_number(POLICY_OUTPUTTO, "journal", OUTPUT_TO_FILE, OUTPUT_TO_BOTH, 0,
		     OUTPUT_TO_JOURNAL);
	check_number(POLICY_OUTPUTTO, "both", OUTPUT_TO_FILE, OUTPUT_TO_BOTH, 0, OUTPUT_TO_BOTH);
	check_number(POLICY_OUTPUTTO, "", OUTPUT_TO_FILE, OUTPUT_TO_BOTH, -EINVAL, 0);
	check_number(POLICY_OUTPUTTO, "Journal", OUTPUT_TO_FILE, OUTPUT_TO_BOTH, -EINVAL, 0);
}

/* In the field: one more than the value; text that comes back is BACK. */
static void
check_limit(enum policy_type t, const char *text, int64_t min, int64_t max, int r, int64_t want,
	    const char *back)
{
	_free_ char *got = NULL;
	const char *reason = NULL;
	int64_t field = 0, v = 0;

	is_int(policy_value_parse(t, text, min, max, &field, &reason), r);
	is_int(policy_limit(field, &v), r == 0);
	if (r < 0)
		ok(reason && *reason);
	else
		is_int(v, want);
	got = policy_value_format(t, &field);
	is_str(got, back);
}

TEST(limits)
{
	check_number(POLICY_PERCENT, "150%", 1, 1000, 0, 150);
	check_number(POLICY_PERCENT, "1%", 1, 1000, 0, 1);
	check_number(POLICY_PERCENT, "0%", 1, 1000, -ERANGE, 0);
	check_number(POLICY_PERCENT, "1001%", 1, 1000, -ERANGE, 0);
	check_number(POLICY_PERCENT, "99999999999999999999%", 1, 1000, -ERANGE, 0);
	check_number(POLICY_PERCENT, "150", 1, 1000, -EINVAL, 0);
	check_number(POLICY_PERCENT, "1.5", 1, 1000, -EINVAL, 0);
	check_number(POLICY_PERCENT, "12.5%", 1, 1000, -EINVAL, 0);
	check_number(POLICY_PERCENT, "-5%", 1, 1000, -EINVAL, 0);
	check_number(POLICY_PERCENT, "%", 1, 1000, -EINVAL, 0);
	check_number(POLICY_PERCENT, "", 1, 1000, -EINVAL, 0);
	check_limit(POLICY_MODE, "027", 0, 511, 0, 027, "027");
	check_limit(POLICY_MODE, "0", 0, 511, 0, 0, "000");
	check_limit(POLICY_MODE, "0777", 0, 511, 0, 0777, "777");
	check_limit(POLICY_MODE, "1000", 0, 511, -ERANGE, 0, "");
	check_limit(POLICY_MODE, "77777777777777777777", 0, 511, -EINVAL, 0, "");
	check_limit(POLICY_MODE, "8", 0, 511, -EINVAL, 0, "");
	check_limit(POLICY_MODE, "-1", 0, 511, -EINVAL, 0, "");
	check_limit(POLICY_MODE, "infinity", 0, 511, -EINVAL, 0, "");
	check_limit(POLICY_MODE, "", 0, 511, -EINVAL, 0, "");
	check_limit(POLICY_LIMIT, "0", 0, 100, 0, 0, "0");
	check_limit(POLICY_LIMIT, "100", 0, 100, 0, 100, "100");
	check_limit(POLICY_LIMIT, "infinity", 0, 100, 0, POLICY_INFINITY, "infinity");
	check_limit(POLICY_LIMIT, "101", 0, 100, -ERANGE, 0, "");
	check_limit(POLICY_LIMIT, "18446744073709551615", 0, INT64_MAX, -ERANGE, 0, "");
	check_limit(POLICY_LIMIT, "-1", 0, 100, -EINVAL, 0, "");
	check_limit(POLICY_LIMIT, "Infinity", 0, 100, -EINVAL, 0, "");
	check_limit(POLICY_LIMIT, "", 0, 100, -EINVAL, 0, "");
	check_limit(POLICY_LIMITSIZE, "0", 0, 1 << 20, 0, 0, "0");
	check_limit(POLICY_LIMITSIZE, "64K", 0, 1 << 20, 0, 65536, "64K");
	check_limit(POLICY_LIMITSIZE, "infinity", 0, 1 << 20, 0, POLICY_INFINITY, "infinity");
	check_limit(POLICY_LIMITSIZE, "2M", 0, 1 << 20, -ERANGE, 0, "");
	check_limit(POLICY_LIMITSIZE, "9223372036854775807", 0, INT64_MAX, -ERANGE, 0, "");
	check_limit(POLICY_LIMITTIME, "90s", 1, 3600, 0, 90, "1m30s");
	check_limit(POLICY_LIMITTIME, "infinity", 1, 3600, 0, POLICY_INFINITY, "infinity");
	check_limit(POLICY_LIMITTIME, "1500ms", 1, 3600, -EINVAL, 0, "");
	check_limit(POLICY_LIMITTIME, "2h", 1, 3600, -ERANGE, 0, "");
	check_limit(POLICY_LIMITTIME, "0s", 1, 3600, -ERANGE, 0, "");
}

static void
check_names(const char *text, int r, const char *want)
{
	struct policy_names names = {0};
	const char *reason = NULL;
	_free_ char *got = NULL;

	is_int(policy_value_parse(POLICY_NAMES, text, 0, 0, &names, &reason), r);
	if (r < 0)
		ok(reason && names.n == 0 && !names.v);
	got = policy_value_format(POLICY_NAMES, &names);
	is_str(got, want);
	policy_value_done(POLICY_NAMES, &names);
	ok(names.n == 0 && !names.v);
}

TEST(names)
{
	check_names("", 0, "");
	check_names("  ", 0, "");
	check_names("alice", 0, "alice");
	check_names("alice, @adm ,bob", 0, "alice,@adm,bob");
	check_names("alice,,bob", -EINVAL, "");
	check_names("alice,", -EINVAL, "");
	check_names(",", -EINVAL, "");
	check_names("alice bob", -EINVAL, "");
	check_names("LD_*", -EINVAL, "");
	check_names("A=b", -EINVAL, "");
	check_names("\xff", -EINVAL, "");
}

TEST(a_bad_list_keeps_the_old_one)
{
	struct policy_names names = {0};
	const char *reason;

	is_int(policy_value_parse(POLICY_NAMES, "a,b", 0, 0, &names, &reason), 0);
	is_int(policy_value_parse(POLICY_NAMES, "c,", 0, 0, &names, &reason), -EINVAL);
	is_int(names.n, 2);
	is_int(policy_value_parse(POLICY_NAMES, "d", 0, 0, &names, &reason), 0);
	is_int(names.n, 1);
	is_str(names.v[0], "d");
	policy_value_done(POLICY_NAMES, &names);
}

TEST(env_mode)
{
	struct policy_env_mode m = {0};
	const char *reason;
	_free_ char *text = NULL;

	is_int(policy_value_parse(POLICY_ENVMODE, "none", 0, 0, &m, &reason), 0);
	is_int(m.mode, ENV_MODE_NONE);
	is_int(policy_value_parse(POLICY_ENVMODE, "PATH, HOME", 0, 0, &m, &reason), 0);
	is_int(m.mode, ENV_MODE_LIST);
	is_int(m.names.n, 2);
	is_int(policy_value_parse(POLICY_ENVMODE, "", 0, 0, &m, &reason), -EINVAL);
	is_int(policy_value_parse(POLICY_ENVMODE, "PATH,none", 0, 0, &m, &reason), -EINVAL);
	is_int(policy_value_parse(POLICY_ENVMODE, "all,PATH", 0, 0, &m, &reason), -EINVAL);
	is_int(policy_value_parse(POLICY_ENVMODE, "9X", 0, 0, &m, &reason), -EINVAL);
	text = policy_value_format(POLICY_ENVMODE, &m);
	is_str(text, "PATH,HOME");
	is_int(policy_value_parse(POLICY_ENVMODE, "all", 0, 0, &m, &reason), 0);
	is_int(m.names.n, 0);
	policy_value_done(POLICY_ENVMODE, &m);
}

TEST(env_taken)
{
	_cleanup_(policy_freep) struct policy *p = policy_new();
	const char *reason;

	need(p);
	ok(policy_env_taken(p, "PATH=/bin", 4));
	need(policy_value_parse(POLICY_NAMES, "LD_PRELOAD,SECRET", 0, 0, &p->env_deny, &reason) ==
	     0);
	ok(!policy_env_taken(p, "SECRET=x", 6));
	ok(policy_env_taken(p, "SECRET=x", 5)); /* SECRE */
	ok(policy_env_taken(p, "SECRETS=x", 7));
	need(policy_value_parse(POLICY_ENVMODE, "PATH,SECRET", 0, 0, &p->env_mode, &reason) == 0);
	ok(policy_env_taken(p, "PATH", 4));
	ok(!policy_env_taken(p, "HOME", 4));
	ok(!policy_env_taken(p, "SECRET", 6));
	need(policy_value_parse(POLICY_ENVMODE, "none", 0, 0, &p->env_mode, &reason) == 0);
	ok(!policy_env_taken(p, "PATH", 4));
}

TEST(classes)
{
	_cleanup_(policy_freep) struct policy *p = policy_new();

	need(p);
	ok(policy_class_known(p, "default"));
	ok(!policy_class_known(p, "batch"));
	ok(!policy_class_known(p, NULL));
	ok(!policy_class_find(p, "default"));
	ok(!policy_class_find(p, NULL));
	p->classes = calloc(1, sizeof(*p->classes));
	need(p->classes);
	strcpy(p->classes->name, "batch");
	ok(policy_class_known(p, "batch"));
	ok(policy_class_find(p, "batch") == p->classes);
	ok(policy_class_known(p, "default"));
}

TEST(admins)
{
	_cleanup_(policy_freep) struct policy *p = policy_new();
	const uint32_t groups[] = {4, 27};

	need(p);
	ok(policy_is_admin(p, 0, 0, NULL, 0));
	ok(!policy_is_admin(p, 1000, 1000, groups, 2));
	p->admin_ids.uids = malloc(sizeof(uint32_t));
	p->admin_ids.gids = malloc(sizeof(uint32_t));
	need(p->admin_ids.uids && p->admin_ids.gids);
	p->admin_ids.uids[0] = 1001;
	p->admin_ids.n_uids = 1;
	p->admin_ids.gids[0] = 27;
	p->admin_ids.n_gids = 1;
	ok(policy_is_admin(p, 1001, 5, NULL, 0));
	ok(!policy_is_admin(p, 1000, 1000, NULL, 0));
	ok(policy_is_admin(p, 1000, 27, NULL, 0));
	ok(policy_is_admin(p, 1000, 1000, groups, 2));
	ok(!policy_is_admin(p, 1000, 1000, groups, 1));
}
