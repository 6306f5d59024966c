/* test_alloc_core.c - memory that runs out in daemon/core and in the configuration: what was there
 * stays as it was, and a configuration is never taken for another one. */
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "base/err.h"
#include "base/mem.h"
#include "config.h"
#include "core/context.h"
#include "core/job.h"
#include "core/metrics.h"
#include "core/policy.h"
#include "core/policy_value.h"
#include "names.h"

/* ---- jobs */

static int
jobs(void)
{
	uint32_t groups[] = {1, 2, 3};
	struct job full = {.id = 9,
			   .class_name = (char[]){"default"},
			   .name = (char[]){"name"},
			   .cwd = (char[]){"/"},
			   .cause = (char[]){"why"},
			   .groups = groups,
			   .n_groups = 3,
			   .argv = {.data = (char[]){"a\0b"}, .size = 4, .n = 2}};
	struct job *j = job_new(), *copy = job_copy(&full);
	bool set = j && job_set(&j->name, "first") == 0;
	int r = set ? job_set(&j->name, "another one") : 0;

	alloc_off();
	if (set)
		is_str(j->name, r == 0 ? "another one" : "first"); /* never half */
	ok(r == 0 || r == -ENOMEM);
	ok(!copy || (copy->id == 9 && strcmp(copy->cause, "why") == 0 && copy->groups[2] == 3 &&
		     copy->argv.n == 2));
	set = set && r == 0 && copy;
	(void)job_free(j);
	(void)job_free(copy);
	return !set;
}
TEST(job)
{
	alloc_each(jobs);
}

/* ---- values of contexts */

static int
merging(void)
{
	struct strv inherited = {.data = (char[]){"a=1\0b=2"}, .size = 8, .n = 2}, ret = {0},
		    own = {.data = (char[]){"b=3\0c=4"}, .size = 8, .n = 2};
	struct ctx_err e = {0};
	int r = context_values_merge(&inherited, &own, &ret, &e);

	alloc_off();
	if (r == 0)
		ok(ret.n == 3 && memcmp(ret.data, "a=1\0b=3\0c=4", 12) == 0);
	else
		ok(r == -ENOMEM && ret.n == 0);
	strv_done(&ret);
	return r != 0;
}
TEST(context_values)
{
	alloc_each(merging);
}

/* ---- metrics */

static int
counting(void)
{
	struct metrics m = {.classes = NULL};
	struct job j = {.class_name = (char[]){"one"}, .attempt = 1, .state = JOB_SUCCEEDED};
	bool counted;

	metrics_started(&m, &j); /* what cannot be remembered is not counted */
	alloc_off();
	metrics_ended(&m, &j);
	counted = metrics_class(&m, "one")->started == 1;
	ok(counted || metrics_class(&m, "one")->started == 0);
	metrics_done(&m);
	return !counted;
}
TEST(metrics)
{
	alloc_each(counting);
}

/* ---- values of the configuration */

static int
value(enum policy_type t, const char *text, const char *other, void *field)
{
	const char *reason = NULL;
	_free_ char *before = NULL, *after = NULL;
	bool on = alloc.on;
	int r;

	alloc.on = false;
	need(policy_value_parse(t, text, 0, INT64_MAX, field, &reason) == 0);
	before = policy_value_format(t, field);
	need(before);
	alloc.on = on;
	r = policy_value_parse(t, other, 0, INT64_MAX, field, &reason);
	on = alloc.on;
	alloc.on = false;
	after = policy_value_format(t, field);
	need(after);
	ok(r == 0 || r == -ENOMEM);
	is_str(after, r == 0 ? other : before);
	alloc.on = on;
	return r;
}

static int
values(void)
{
	struct policy_env_mode mode = {.mode = ENV_MODE_ALL};
	struct policy_names names = {.v = NULL};
	char *command = NULL, *text = NULL;
	int64_t n = 5;
	int r = value(POLICY_NAMES, "a,b", "one,two,three", &names);

	r = r ? r : value(POLICY_ENVMODE, "all", "A,B,C", &mode);
	r = r ? r : value(POLICY_COMMAND, "true", "logger -t ctx something", &command);
	if (r == 0) {
		text = policy_value_format(POLICY_DUR, &n);
		r = text ? 0 : -ENOMEM;
	}
	alloc_off();
	free(text);
	policy_value_done(POLICY_NAMES, &names);
	policy_value_done(POLICY_ENVMODE, &mode);
	policy_value_done(POLICY_COMMAND, &command);
	return r != 0;
}
TEST(policy_values)
{
	alloc_each(values);
}

/* ---- the configuration as a whole */

static char dir[64], path[128];

static void
write_file(const char *name, const char *text)
{
	char to[160];
	FILE *f;

	snprintf(to, sizeof(to), "%s/%s", dir, name);
	f = fopen(to, "w");
	need(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static const char user_text[] =
	"[limits]\nrunning = 7\nqueued = 9\n[access]\nadmins = root,@root\n"
	"[environment]\nmode = A,B\ndeny = SECRET,OTHER\n"
	"[daemon]\non_half_processed = logger -t ctx\n"
	"[class one]\ntimeout = 5m\npriority = 3\n[class two]\nrunning = 2\n";

static int
told(void *arg, const char *section, const char *key, const char *text)
{
	(void)section, (void)key, (void)text;
	++*(int *)arg;
	return 0;
}

static int
differs(void *arg, const char *section, const char *key, const char *old, const char *new,
	const char *acts)
{
	(void)section, (void)key, (void)old, (void)new, (void)acts;
	++*(int *)arg;
	return 0;
}

static bool
is_complete(const struct policy *p)
{
	const struct policy_class *one = policy_class_find(p, "one"),
				  *two = policy_class_find(p, "two");

	return p->running == 7 && p->queued == 9 && p->admins.n == 2 && p->admin_ids.n_uids == 1 &&
	       p->admin_ids.n_gids == 1 && p->env_mode.names.n == 2 && p->env_deny.n == 2 &&
	       p->on_half_processed && one && one->timeout_us == 300000000 && one->priority == 3 &&
	       two && two->running == 2;
}

static int
loading_from(const char *explicit_path)
{
	struct config_errors errs = {.n = 0};
	struct policy *p = NULL, *defaults = NULL;
	int r = config_load(explicit_path, false, &p, &errs), n = 0, m = 0;

	if (r == 0) {
		ok(is_complete(p));
		r = config_each(p, told, &n);
		ok(r == 0 ? n > 20 : r == -ENOMEM);
	}
	if (r == 0) {
		defaults = policy_new();
		r = defaults ? config_diff(defaults, p, differs, &m) : -ENOMEM;
		ok(r == 0 ? m > 8 : r == -ENOMEM);
	}
	alloc_off();
	ok(r == 0 || r == -ENOMEM);
	(void)policy_free(p);
	(void)policy_free(defaults);
	config_errors_done(&errs);
	return r != 0;
}

static int
loading(void)
{
	return loading_from(path);
}

static int
loading_own(void)
{
	return loading_from(NULL);
}

static int
loading_wrong(void)
{
	struct config_errors errs = {.n = 0};
	struct policy *p = NULL;
	char wrong[160];
	int r;

	snprintf(wrong, sizeof(wrong), "%s/wrong.conf", dir);
	r = config_load(wrong, false, &p, &errs);
	alloc_off();
	ok(!p && (r == -EINVAL || r == -ENOMEM));
	is_int(errs.n + errs.more, r == -EINVAL ? 3 : (int)(errs.n + errs.more));
	ok(r != -EINVAL || errs.n == 3 || alloc.fired);
	config_errors_done(&errs);
	return r != -EINVAL || errs.more > 0;
}

static int
printing(void)
{
	struct policy *p = policy_new();
	FILE *f;
	int r;

	alloc.on = false;
	f = fopen("/dev/null", "w");
	need(f);
	alloc.on = alloc.left > 0 || alloc.all;
	r = p ? config_print(p, f) : -ENOMEM;
	alloc_off();
	ok(r == 0 || r == -ENOMEM);
	(void)fclose(f);
	(void)policy_free(p);
	return r != 0;
}

static void
bad_name(void *arg, const char *name, const char *why)
{
	(void)arg, (void)name, (void)why;
}

static int
resolving(void)
{
	char *v[] = {(char[]){"root"}, (char[]){"@root"}, (char[]){"daemon"}};
	struct policy_names names = {.v = v, .n = 3};
	struct policy_ids ids = {.uids = NULL};
	int r = names_resolve(&names, &ids, bad_name, NULL);

	alloc_off();
	ok(r == 0 ? ids.n_uids == 2 && ids.n_gids == 1 : r == -ENOMEM);
	policy_ids_done(&ids);
	return r != 0;
}
TEST(names)
{
	alloc_each(resolving);
}

TEST(configuration)
{
	char to[160];

	snprintf(dir, sizeof(dir), "%s", "/tmp/ctx-alloc-XXXXXX");
	need(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/ctxd/ctxd.conf", dir);
	snprintf(to, sizeof(to), "%s/ctxd", dir);
	need(mkdir(to, 0700) == 0);
	snprintf(to, sizeof(to), "%s/ctxd/ctxd.conf.d", dir);
	need(mkdir(to, 0700) == 0);
	write_file("ctxd/ctxd.conf", user_text);
	write_file("ctxd/ctxd.conf.d/1.conf", "[limits]\nstdin_max = 1M\n");
	write_file("wrong.conf", "[limits]\nrunning = many\nnonsense = 1\n[nonsense]\n");
	need(setenv("XDG_CONFIG_HOME", dir, 1) == 0);
	alloc_each(loading);
	alloc_each(loading_own);
	alloc_each(loading_wrong);
	alloc_each(printing);
	for (size_t i = 0; i < 4; i++) {
		static const char *const files[] = {"ctxd/ctxd.conf.d/1.conf", "ctxd/ctxd.conf.d",
						    "ctxd/ctxd.conf", "ctxd"};

		snprintf(to, sizeof(to), "%s/%s", dir, files[i]);
		ok(remove(to) == 0);
	}
	snprintf(to, sizeof(to), "%s/wrong.conf", dir);
	ok(remove(to) == 0 && remove(dir) == 0);
}
