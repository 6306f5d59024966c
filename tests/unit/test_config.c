/* Configuration files: what is taken, what is refused and how it is said, printing, comparing. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "config.h"
#include "core/policy.h"
#include "tap.h"

static char dir[64], main_path[128];
static struct policy *policy;
static struct config_errors errs;

/* Files. */

static void
remove_all(void)
{
	char path[256];
	static const char *const names[] = {"a.conf.d/10-a.conf",    "a.conf.d/20-b.conf",
					    "a.conf.d/9-c.conf",     "a.conf.d/B.conf",
					    "a.conf.d/.hidden.conf", "a.conf.d/x.conf~",
					    "a.conf.d/.conf",        "a.conf",
					    "ctxd/ctxd.conf",        ".config/ctxd/ctxd.conf"};
	static const char *const dirs[] = {"a.conf.d/sub.conf", "a.conf.d", "a.conf", "ctxd",
					   ".config/ctxd",      ".config",  ""};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, dirs[i]);
		rmdir(path);
	}
}

static const char *
path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void
write_bytes(const char *name, const char *data, size_t n)
{
	FILE *f = fopen(path_of(name), "w");

	need(f);
	ok(fwrite(data, 1, n, f) == n);
	ok(fclose(f) == 0);
}

static void
write_file(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text));
}

static void
setup(void)
{
	if (dir[0])
		remove_all();
	else
		atexit(remove_all);
	snprintf(dir, sizeof(dir), "%s/test_config.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	need(mkdtemp(dir));
	snprintf(main_path, sizeof(main_path), "%s/a.conf", dir);
}

static int
load(void)
{
	policy = policy_free(policy);
	config_errors_done(&errs);
	return config_load(main_path, false, &policy, &errs);
}

static int
load_text(const char *text)
{
	setup();
	write_file("a.conf", text);
	return load();
}

/* The I-th error is at LINE of FILE and has TEXT in it. */
static void
is_error(size_t i, const char *file, unsigned line, const char *text)
{
	char start[256];

	if (i >= errs.n) {
		printf("# there is no error %zu: %s\n", i, text);
		ok(i < errs.n);
		return;
	}
	snprintf(start, sizeof(start), "%s/%s:%u: ", dir, file, line);
	if (strncmp(errs.v[i].text, start, strlen(start)) != 0 || !strstr(errs.v[i].text, text)) {
		printf("# got  %s\n# want %s… %s\n", errs.v[i].text, start, text);
		ok(!"the wanted error");
	}
}

/* Exactly one error, at LINE, with TEXT. */
static void
refuses_bytes(const char *data, size_t n, unsigned line, const char *want)
{
	setup();
	write_bytes("a.conf", data, n);
	is_int(load(), -EINVAL);
	is_int(errs.n, 1);
	for (size_t i = 1; i < errs.n; i++)
		printf("# more: %s\n", errs.v[i].text);
	is_error(0, "a.conf", line, want);
	ok(policy == NULL);
}

static void
refuses(const char *text, unsigned line, const char *want)
{
	refuses_bytes(text, strlen(text), line, want);
}

/* What is taken. */

TEST(empty_file_gives_the_defaults)
{
	is_int(load_text(""), 0);
	need(policy);
	is_int(policy->max_connections, 1024);
	is_int(policy->max_message, 1 << 20);
	is_int(policy->reattach_us, 5000000);
	is_int(policy->stdin_max, 64 << 20);
	is_int(policy->running, 64);
	is_int(policy->running_per_user, 0);
	is_int(policy->timeout_us, 600 * 1000000LL);
	is_int(policy->max_timeout_us, 86400 * 1000000LL);
	is_int(policy->stop_signal, 15);
	is_int(policy->env_mode.mode, ENV_MODE_ALL);
	ok(policy->classes == NULL);
}

TEST(every_key)
{
	is_int(load_text("[daemon]\nmax_connections=10\nmax_connections_per_user=5\nmax_message="
			 "128K\nreattach=1500ms\n"
			 "[limits]\nrunning=3\nqueued=7\nrunning_per_user=2\nqueued_per_user=6\n"
			 "stdin_max=0\n"
			 "[deadline]\ntimeout=90\nmax_timeout=2h\ngrace=250ms\nsignal=SIGUSR1\n"
			 "[output]\nmax_bytes=1G\n"
			 "[retention]\njobs=2d\noutput=1h30m\n"
			 "[access]\nadmins=root, @root\n"
			 "[environment]\nmode=PATH,LANG\ndeny=LD_PRELOAD , IFS\nkeep=5m\n"
			 "[class "
			 "web]\ntimeout=5s\nmax_timeout=10s\ngrace=1s\nsignal=INT\nrunning="
			 "2\npriority=-3\nnice=0\n"
			 "[class default]\n[class a-b_9]\npriority=0\n"),
	       0);
	config_errors_print(&errs, stdout);
	need(policy);
	is_int(policy->max_connections, 10);
	is_int(policy->max_connections_per_user, 5);
	is_int(policy->max_message, 131072);
	is_int(policy->reattach_us, 1500000);
	is_int(policy->stdin_max, 0);
	is_int(policy->running, 3);
	is_int(policy->queued, 7);
	is_int(policy->running_per_user, 2);
	is_int(policy->queued_per_user, 6);
	is_int(policy->timeout_us, 90 * 1000000LL);
	is_int(policy->max_timeout_us, 7200 * 1000000LL);
	is_int(policy->grace_us, 250000);
	is_int(policy->stop_signal, 10);
	is_int(policy->output_max, 1 << 30);
	is_int(policy->keep_jobs_us, 172800 * 1000000LL);
	is_int(policy->keep_output_us, 5400 * 1000000LL);
	is_int(policy->admins.n, 2);
	is_int(policy->admin_ids.n_uids, 1);
	is_int(policy->admin_ids.uids[0], 0);
	is_int(policy->admin_ids.n_gids, 1);
	is_int(policy->admin_ids.gids[0], 0);
	is_int(policy->env_mode.mode, ENV_MODE_LIST);
	ok(policy_env_taken(policy, "LANG", 4));
	is_int(policy->env_deny.n, 2);
	is_str(policy->env_deny.v[1], "IFS");
	is_int(policy->env_keep_us, 300 * 1000000LL);
	const struct policy_class *c = policy->classes;
	need(c);
	is_str(c->name, "web");
	is_int(c->timeout_us, 5000000);
	is_int(c->max_timeout_us, 10000000);
	is_int(c->grace_us, 1000000);
	is_int(c->stop_signal, 2);
	is_int(c->running, 2);
	ok(c->has_priority && c->priority == -3);
	ok(c->has_nice && c->nice == 0);
	c = c->next;
	need(c);
	is_str(c->name, "default");
	ok(!c->has_priority && !c->has_nice && c->timeout_us == 0);
	c = c->next;
	need(c);
	is_str(c->name, "a-b_9");
	ok(c->has_priority && c->priority == 0);
	ok(c->next == NULL);
}

TEST(limits_of_a_class)
{
	const struct policy_class *c;
	int64_t v;

	is_int(load_text("[class a]\nmemory_max=512M\ncpu_max=150%\npids_max=10\nio_weight=50\n"
			 "umask=0\nlimit_nofile=1024\nlimit_core=0\nlimit_stack=infinity\n"
			 "limit_cpu=2m\n[class b]\n"),
	       0);
	need(policy && policy->classes);
	c = policy->classes;
	is_int(c->memory_max, 512 << 20);
	is_int(c->cpu_max, 150);
	is_int(c->pids_max, 10);
	is_int(c->io_weight, 50);
	ok(policy_limit(c->umask, &v) && v == 0);
	ok(policy_limit(c->rlimit[POLICY_NOFILE], &v) && v == 1024);
	ok(policy_limit(c->rlimit[POLICY_CORE], &v) && v == 0);
	ok(policy_limit(c->rlimit[POLICY_STACK], &v) && v == POLICY_INFINITY);
	ok(policy_limit(c->rlimit[POLICY_CPU], &v) && v == 120);
	ok(!policy_limit(c->rlimit[POLICY_DATA], &v));
	c = c->next;
	need(c);
	is_int(c->memory_max | c->cpu_max | c->pids_max | c->io_weight, 0);
	ok(!policy_limit(c->umask, &v));
	for (int i = 0; i < POLICY_RLIMITS; i++)
		ok(!policy_limit(c->rlimit[i], &v));
}

TEST(forms_that_are_fine)
{
	/* Byte order mark, CR LF, blanks around, comments, no newline at the end, an empty value
	 * where there may be one. */
	is_int(load_text("\xef\xbb\xbf# x\r\n[limits]  \r\n \t \r\n\t ; indented comment\r\n "
			 "running_is = not here; # no\r\n"),
	       -EINVAL);
	is_int(load_text("\xef\xbb\xbf[limits]  \r\n \t \r\n\t ; indented comment\r\n  # "
			 "another\r\nrunning \t=\t 5 \t\r\n"
			 "running_per_user=\n[environment]\ndeny =\n[access]\nadmins="),
	       0);
	config_errors_print(&errs, stdout);
	need(policy);
	is_int(policy->running, 5);
	is_int(policy->running_per_user, 0);
	is_int(policy->env_deny.n, 0);
}

TEST(longest_line)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "[environment]\ndeny=");

	while (n < 14 + 198)
		text[n++] = 'A';
	memcpy(text + n, "\nkeep=5s\n", 10);
	is_int(load_text(text), 0);
	need(policy);
	is_int(strlen(policy->env_deny.v[0]), 198 - 5);
	is_int(policy->env_keep_us, 5000000);
	memcpy(text + n, "A\nkeep=5s\n", 11);
	refuses(text, 2, "too long: 199 bytes, at most 198");
	for (int i = 200; i < 500; i++) /* what inih would take for two lines */
		text[i] = i == 460 ? '\n' : 'A';
	text[500] = '\0';
	is_int(load_text(text), -EINVAL);
	is_int(errs.n, 2);
	is_error(0, "a.conf", 2, "too long");
	is_error(1, "a.conf", 3, "no '='");
	memset(text, '#', 300);
	text[300] = '\0';
	refuses(text, 1, "too long: 300 bytes");
}

/* What is refused. */

TEST(lines)
{
	refuses("[limits]\nrunning:5\n", 2, "':' after the key: write key=value");
	refuses("[limits]\nrunning : 5=6\n", 2, "':' after the key");
	refuses("[limits]\n\nrunning\n", 3, "no '='");
	refuses("[limits]\n=5\n", 2, "no key");
	refuses("[limits]\nrunning=5\n 6\n", 3, "cannot be continued");
	refuses("[limits]\nrunning=5\n\tqueued=6\n", 3, "starts with a blank");
	refuses("[limits]\nrunning=5 ; five\n", 2, "\" ;\" at byte 10 is ambiguous");
	refuses("[limits]\nrunning=5\t# five\n", 2, "ambiguous");
	refuses("[limits]\nrunning= #5\n", 2, "ambiguous");
	refuses("[limits]\nrunning ;=5\n", 2, "ambiguous");
	refuses("[limits] # x\n", 1, "ambiguous");
	refuses("[access]\nadmins=a;b\n", 2, "access.admins: 'a;b' ");
	refuses("running=5\n", 1, "before the first [section]");
	refuses_bytes("[limits]\nrunning=5\0 6\n", 22, 2, "a NUL byte, the 10th");
	refuses_bytes("[limits]\nrunning=5\n\0", 20, 3, "NUL");
	refuses("[limits]\nrunning=\xff\n", 2, "invalid UTF-8 (0xff) at byte 9");
	refuses("# \xc3(\n", 1, "invalid UTF-8");
	refuses("[limits]\nrunning=5\x1b[1m\n", 2, "control character (0x1b) at byte 10");
	refuses("[limits]\rrunning=5\n", 1, "control character (0x0d)");
	refuses("[limits]\nrunning=5\v\n", 2, "control character (0x0b)");
}

TEST(sections)
{
	refuses("[limit]\nrunning=5\nx=y\n", 1,
		"unknown section [limit]; known: [daemon], [limits], ");
	refuses("[Limits]\n", 1, "unknown section");
	refuses("[ limits ]\n", 1, "unknown section [ limits ]");
	refuses("[]\n", 1, "unknown section []");
	refuses("[limits\nrunning=no\n", 1, "no ']'");
	refuses(" [limits]\nrunning=no\n", 1, "starts with a blank");
	refuses("[limits] x\n", 1, "text after ']'");
	refuses("[limits]]\n", 1, "text after ']'");
	refuses("[limits]\nrunning=5\n[daemon]\n[limits]\nqueued=9\n", 4,
		"[limits] is here a second time; first on line 1");
	refuses("[limits12345678901234567890123456789012345678901234]\n", 1,
		"too long: 50 bytes, at most 49");
	refuses("[class 12345678901234567890123456789012]\n[class "
		"123456789012345678901234567890123]\n",
		2, "1 to 32 of");
	refuses("[class]\n", 1, "the name of a class");
	refuses("[class ]\n", 1, "the name of a class");
	refuses("[class  web]\n", 1, "the name of a class");
	refuses("[class\tweb]\n", 1, "the name of a class");
	refuses("[class Web]\n", 1, "the name of a class");
	refuses("[class w\xc3\xa4]\n", 1, "the name of a class");
	refuses("[classes]\n", 1, "unknown section");
	refuses("[class web]\n[class default]\n[class web]\nnice=1\n", 3,
		"[class web] is here a second time; first on line 1");
}

TEST(keys)
{
	refuses("[limits]\nruning=5\n", 2,
		"unknown key 'runing' in [limits]; known: running, queued, ");
	refuses("[limits]\nRunning=5\n", 2, "unknown key");
	refuses("[limits]\ntimeout=5\n", 2, "unknown key 'timeout' in [limits]");
	refuses("[class web]\nqueued=5\n", 2,
		"unknown key 'queued' in [class web]; known: timeout, max_timeout, ");
	refuses("[class web]\nmemory_low=5M\n", 2, "unknown key");
	refuses("[limits]\nmemory_max=5M\n", 2, "unknown key");
	refuses("[class web]\nlimit_nofile=2\n", 2, "allowed: a whole number from 3 to");
	refuses("[class web]\ncpu_max=1.5\n", 2, "such as 150%");
	refuses("[class web]\numask=1777\n", 2, "an octal number from 000 to 777");
	refuses("[class web]\nlimit_core=\n", 2, "or infinity");
	refuses("[daemon]\nstdin_max=5M\n", 2, "unknown key 'stdin_max' in [daemon]");
	refuses("[limits]\nrunning=5\nrunning=5\n", 3,
		"limits.running is here a second time; first on line 2");
	refuses("[class web]\nnice=5\nnice=5\n", 3,
		"class web.nice is here a second time; first on line 2");
}

TEST(values)
{
	refuses("[limits]\nrunning=\n", 2,
		"limits.running: no value; allowed: a whole number from 1 to 100000");
	refuses("[limits]\nrunning=0\n", 2,
		"limits.running: '0' is out of range; allowed: a whole number from 1 to 100000");
	refuses("[limits]\nrunning=-1\n", 2, "out of range");
	refuses("[limits]\nstdin_max=\n", 2, "limits.stdin_max: no value");
	refuses("[limits]\nstdin_max=2T\n", 2, "limits.stdin_max: '2T' is out of range");
	refuses("[daemon]\nreattach=0\n", 2, "daemon.reattach: '0'");
	refuses("[daemon]\nreattach=2h\n", 2, "daemon.reattach: '2h' is out of range");
	refuses("[limits]\nrunning=100001\n", 2, "out of range");
	refuses("[limits]\nrunning=99999999999999999999\n", 2, "out of range");
	refuses("[limits]\nrunning=5x\n", 2, "'5x' is not a whole number");
	refuses("[limits]\nrunning=5 5\n", 2, "'5 5' is not");
	refuses("[limits]\nrunning==5\n", 2, "'=5' is not");
	refuses("[limits]\nrunning=\"5\"\n", 2, "is not a whole number");
	refuses("[limits]\nrunning_per_user=0\n", 2, "or empty for no limit");
	refuses("[daemon]\nmax_message=1X\n", 2, "daemon.max_message: '1X' is not a size");
	refuses("[daemon]\nmax_message=1K\n", 2, "allowed: a size from 64K to 64M");
	refuses("[daemon]\nmax_message=\n", 2, "no value");
	refuses("[deadline]\ngrace=1y\n", 2, "deadline.grace: '1y' is not a span");
	refuses("[deadline]\ngrace=0\n", 2, "deadline.grace: '0' ");
	refuses("[deadline]\ngrace=10us\n", 2,
		"out of range; allowed: a span of time from 1ms to 3650d");
	refuses("[deadline]\ngrace=infinity\n", 2, "deadline.grace");
	refuses("[deadline]\nsignal=FOO\n", 2, "deadline.signal: 'FOO' is not a signal");
	refuses("[deadline]\nsignal=0\n", 2, "deadline.signal");
	refuses("[deadline]\nsignal=\n", 2, "no value");
	refuses("[environment]\nmode=some*\n", 2, "environment.mode: 'some*' is not all, none");
	refuses("[environment]\nmode=\n", 2, "no value");
	refuses("[environment]\ndeny=A,,B\n", 2, "environment.deny");
	refuses("[environment]\ndeny=OK,1A\n", 2,
		"environment.deny: '1A' is no name of a variable");
	refuses("[class web]\nnice=20\n", 2,
		"class web.nice: '20' is out of range; allowed: a whole number from -20 to 19");
	refuses("[class web]\nnice=\n", 2, "class web.nice: no value");
	refuses("[class web]\ntimeout=\n", 2, "class web.timeout: no value");
	refuses("[limits]\nrunning=\xe2\x80\xae"
		"5\n",
		2, "limits.running: '\\");
}

TEST(values_against_each_other)
{
	refuses("[deadline]\nmax_timeout=5m\n\ntimeout=10m\n", 4,
		"deadline.timeout: '10m' is more than deadline.max_timeout, which is 5m");
	refuses("[deadline]\ntimeout=25h\n", 2,
		"deadline.timeout: '1d1h' is more than deadline.max_timeout, which is 1d");
	refuses("[class w]\ntimeout=2h\nmax_timeout=1h\n", 2,
		"class w.timeout: '2h' is more than class w.max_timeout, which is 1h");
	refuses("[deadline]\nmax_timeout=1h\n[class w]\ntimeout=2h\n", 4,
		"class w.timeout: '2h' is more than deadline.max_timeout, which is 1h");
	refuses("[retention]\noutput=3d\njobs=2d\n", 2,
		"retention.output: '3d' is more than retention.jobs");
	/* A wrong value is one error, not two. */
	refuses("[deadline]\ntimeout=25h\nmax_timeout=48x\n", 3, "'48x' is not a span");
	refuses("[class w]\ntimeout=25h\nmax_timeout=48x\n[deadline]\nmax_timeout=30h\n", 3,
		"'48x' is not a span");
	/* Defaults follow. */
	is_int(load_text("[deadline]\nmax_timeout=5s\n[retention]\njobs=1h\n[class "
			 "w]\nmax_timeout=1s\n"),
	       0);
	need(policy);
	is_int(policy->timeout_us, 5000000);
	is_int(policy->keep_output_us, 3600 * 1000000LL);
}

TEST(names)
{
	struct passwd *pw;
	struct group *gr;
	char text[512];

	refuses("[access]\nadmins=root,no-such-user-here\n", 2,
		"access.admins: 'no-such-user-here' is no user");
	refuses("[access]\nadmins=@no-such-group-here\n", 2,
		"access.admins: '@no-such-group-here' is no group");
	refuses("[access]\nadmins=@\n", 2, "access.admins: '@' is no group");
	refuses("[access]\nadmins=root,\n", 2, "access.admins: 'root,' is not a comma list");
	pw = getpwnam("daemon");
	gr = getgrnam("tty");
	if (!pw || !gr)
		return;
	snprintf(text, sizeof(text), "[access]\nadmins=%s,@%s\n", pw->pw_name, gr->gr_name);
	is_int(load_text(text), 0);
	need(policy);
	ok(policy_is_admin(policy, pw->pw_uid, 4000000, NULL, 0));
	ok(policy_is_admin(policy, 4000000, gr->gr_gid, NULL, 0));
	ok(policy_is_admin(policy, 4000000, 4000000, &gr->gr_gid, 1));
	ok(!policy_is_admin(policy, 4000000, 4000000, NULL, 0));
}

TEST(wrong_in_ten_ways_at_once)
{
	is_int(load_text("running=1\n" /* 1 */
			 "[deadline]\n"
			 "timeout=25h\n" /* 3: more than the maximum */
			 "grace:5s\n"    /* 4 */
			 "signal=NOPE\n" /* 5 */
			 "[limts]\n"     /* 6 */
			 "[limits]\n"
			 "running=0\n"       /* 8 */
			 "queued=5 ; five\n" /* 9 */
			 "runnning=5\n"      /* 10 */
			 "running=7\n"       /* 11: again */
			 "   5\n"            /* 12 */
			 "[access]\n"
			 "admins=no-such-user-here\n"     /* 14 */
			 "[class Upper]\n"                /* 15 */
			 "[class a]\nnice=1\n[class a]\n" /* 18 */
			 "[output]\nmax_bytes\n" /* 20 */),
	       -EINVAL);
	is_int(errs.n, 14);
	is_int(errs.more, 0);
	is_error(0, "a.conf", 1, "before the first");
	is_error(1, "a.conf", 3, "deadline.timeout");
	is_error(2, "a.conf", 4, "':'");
	is_error(3, "a.conf", 5, "NOPE");
	is_error(4, "a.conf", 6, "unknown section [limts]");
	is_error(5, "a.conf", 8, "out of range");
	is_error(6, "a.conf", 9, "ambiguous");
	is_error(7, "a.conf", 10, "unknown key");
	is_error(8, "a.conf", 11, "second time");
	is_error(9, "a.conf", 12, "continued");
	is_error(10, "a.conf", 14, "no user");
	is_error(11, "a.conf", 15, "name of a class");
	is_error(12, "a.conf", 18, "second time");
	is_error(13, "a.conf", 20, "no '='");
	ok(policy == NULL);
}

TEST(very_many_errors_are_counted)
{
	char *text = malloc(200 * 4 + 16), *out = NULL;
	size_t n = 0, size;
	FILE *f;

	need(text);
	for (int i = 0; i < 150; i++)
		n += (size_t)snprintf(text + n, 8, "x=%d\n", i % 10);
	is_int(load_text(text), -EINVAL);
	free(text);
	is_int(errs.n, CONFIG_ERRORS_MAX);
	is_int(errs.more, 50);
	is_error(99, "a.conf", 100, "before the first");
	f = open_memstream(&out, &size);
	need(f);
	config_errors_print(&errs, f);
	fclose(f);
	ok(strstr(out, "a.conf:100: ") && strstr(out, "\nand 50 more\n"));
	free(out);
}

/* Files. */

TEST(directory_in_order_of_names)
{
	setup();
	write_file("a.conf", "[limits]\nrunning=1\nqueued=1\n[class web]\nnice=1\nrunning=1\n");
	need(mkdir(path_of("a.conf.d"), 0700) == 0);
	write_file("a.conf.d/10-a.conf",
		   "[limits]\nrunning=10\n[class web]\nnice=10\n[class ten]\n");
	write_file("a.conf.d/20-b.conf", "[limits]\nrunning=20\nqueued=20\n");
	write_file("a.conf.d/9-c.conf", "[limits]\nqueued=9\nqueued_per_user=9\n");
	write_file("a.conf.d/B.conf", "[limits]\nqueued=99\n");
	write_file("a.conf.d/.hidden.conf", "nonsense");
	write_file("a.conf.d/.conf", "nonsense");
	write_file("a.conf.d/x.conf~", "nonsense");
	is_int(load(), 0);
	config_errors_print(&errs, stdout);
	need(policy);
	is_int(policy->running, 20);
	is_int(policy->queued, 99); /* '9' < 'B' in C */
	is_int(policy->queued_per_user, 9);
	need(policy->classes && policy->classes->next);
	is_int(policy->classes->nice, 10);
	is_int(policy->classes->running, 1);
	is_str(policy->classes->next->name, "ten");

	write_file("a.conf.d/20-b.conf", "[limits]\nrunning=20\nrunning=20\n");
	write_file("a.conf.d/10-a.conf", "[deadline]\nmax_timeout=1m\n");
	write_file("a.conf", "x\n[deadline]\ntimeout=5m\n");
	is_int(load(), -EINVAL);
	is_int(errs.n, 3);
	is_error(0, "a.conf", 1, "no '='");
	is_error(1, "a.conf", 3, "deadline.timeout: '5m' is more than deadline.max_timeout");
	is_error(2, "a.conf.d/20-b.conf", 3, "second time");

	/* What was wrong in an earlier file is wrong, though it is overridden. */
	write_file("a.conf", "[limits]\nrunning=x\n");
	write_file("a.conf.d/20-b.conf", "[limits]\nrunning=20\n");
	is_int(load(), -EINVAL);
	is_int(errs.n, 1);
	is_error(0, "a.conf", 2, "limits.running");
}

TEST(files_that_are_none)
{
	setup();
	is_int(load(), -EINVAL); /* --config that does not exist */
	is_int(errs.n, 1);
	is_error(0, "a.conf", 0, "No such file");
	need(mkdir(main_path, 0700) == 0);
	is_int(load(), -EINVAL);
	is_error(0, "a.conf", 0, "not a regular file");
	rmdir(main_path);
	need(mkfifo(main_path, 0600) == 0);
	is_int(load(), -EINVAL);
	is_error(0, "a.conf", 0, "not a regular file");
	unlink(main_path);
	write_file("a.conf", "");
	need(mkdir(path_of("a.conf.d"), 0700) == 0);
	need(mkdir(path_of("a.conf.d/sub.conf"), 0700) == 0);
	is_int(load(), -EINVAL);
	is_int(errs.n, 1);
	is_error(0, "a.conf.d/sub.conf", 0, "not a regular file");
	rmdir(path_of("a.conf.d/sub.conf"));
	need(symlink("nowhere", path_of("a.conf.d/10-a.conf")) == 0);
	is_int(load(), -EINVAL);
	is_error(0, "a.conf.d/10-a.conf", 0, "No such file");
	unlink(path_of("a.conf.d/10-a.conf"));
	rmdir(path_of("a.conf.d"));
	write_file("a.conf.d", "not a directory");
	is_int(load(), -EINVAL);
	is_error(0, "a.conf.d", 0, "Not a directory");
	unlink(path_of("a.conf.d"));
	is_int(truncate(main_path, CONFIG_FILE_BYTES_MAX + 1), 0);
	is_int(load(), -EINVAL);
	is_int(errs.n, 1);
	is_error(0, "a.conf", 0, "larger than 1048576 bytes");
	if (geteuid() != 0) {
		need(chmod(main_path, 0) == 0);
		is_int(load(), -EINVAL);
		is_error(0, "a.conf", 0, "Permission denied");
	}
}

TEST(default_places)
{
	_free_ char *path = NULL;

	setup();
	config_errors_done(&errs);
	setenv("XDG_CONFIG_HOME", dir, 1);
	setenv("HOME", "/nonexistent", 1);
	is_int(config_load(NULL, false, &policy, &errs), 0); /* missing is fine */
	policy = policy_free(policy);
	need(mkdir(path_of("ctxd"), 0700) == 0);
	write_file("ctxd/ctxd.conf", "[limits]\nrunning=11\n");
	is_int(config_load(NULL, false, &policy, &errs), 0);
	need(policy);
	is_int(policy->running, 11);
	policy = policy_free(policy);
	setenv("XDG_CONFIG_HOME", "relative", 1);
	setenv("HOME", dir, 1);
	need(mkdir(path_of(".config"), 0700) == 0);
	need(mkdir(path_of(".config/ctxd"), 0700) == 0);
	write_file(".config/ctxd/ctxd.conf", "[limits]\nrunning=12\n");
	is_int(config_load(NULL, false, &policy, &errs), 0);
	need(policy);
	is_int(policy->running, 12);
	path = config_path(true);
	need(path);
	is_str(path, CTX_SYSCONFDIR "/ctxd/ctxd.conf");
}

/* Printing and comparing. */

static char *
printed(const struct policy *p)
{
	char *out = NULL;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	need(f);
	is_int(config_print(p, f), 0);
	fclose(f);
	return out;
}

static char told[4096];

static int
tell_diff(void *arg, const char *section, const char *key, const char *old, const char *new,
	  const char *acts)
{
	size_t n = strlen(told);

	(void)arg;
	snprintf(told + n, sizeof(told) - n, "%s.%s %s>%s%s\n", section, key, old ? old : "-",
		 new ? new : "-", strcmp(acts, "new_jobs") == 0 ? " (new)" : "");
	return 0;
}

static const char full[] =
	"[daemon]\nmax_connections=10\nmax_connections_per_user=5\nmax_message=100000\n"
	"reattach=90s\n[limits]\nrunning=3\nrunning_per_user=2\nstdin_max=5M\n"
	"[deadline]\ntimeout=3601001us\nmax_timeout=90m\ngrace=1500ms\nsignal=RTMIN+3\n"
	"[retention]\njobs=2d\n[access]\nadmins=root,@root\n"
	"[environment]\nmode=PATH,LANG\ndeny=LD_PRELOAD,IFS\n"
	"[class web]\ntimeout=5s\nsignal=INT\npriority=-3\nnice=0\n[class default]\n[class "
	"b]\npriority=0\n";

TEST(print_is_read_back)
{
	_free_ char *out = NULL, *again = NULL;
	struct policy *first;

	is_int(load_text(full), 0);
	config_errors_print(&errs, stdout);
	need(policy);
	out = printed(policy);
	first = take_ptr(policy);
	is_int(load_text(out), 0);
	config_errors_print(&errs, stdout);
	need(policy);
	told[0] = '\0';
	is_int(config_diff(first, policy, tell_diff, NULL), 0);
	is_str(told, "");
	again = printed(policy);
	is_str(again, out);
	is_int(policy->timeout_us, 3601001);
	ok(strstr(out, "\n[class default]\n\n[class b]\npriority=0\n") != NULL);
	ok(strstr(out, "\nmode=PATH,LANG\n") != NULL);
	ok(strstr(out, "\nrunning_per_user=2\n") != NULL);
	ok(strstr(out, "\nqueued_per_user=\n") != NULL);
	for (const char *p = out, *e; *p; p = e + 1) {
		e = strchr(p, '\n');
		ok(e && e - p <= 80);
	}
	policy_free(first);
}

TEST(defaults_are_read_back)
{
	_free_ char *out = NULL;
	struct policy *first = policy_new();

	need(first);
	out = printed(first);
	is_int(load_text(out), 0);
	config_errors_print(&errs, stdout);
	need(policy);
	told[0] = '\0';
	is_int(config_diff(first, policy, tell_diff, NULL), 0);
	is_str(told, "");
	policy_free(first);
}

TEST(differences)
{
	struct policy *old;

	is_int(load_text("[limits]\nrunning=5\n[class gone]\nnice=1\n[class bare]\n[class "
			 "same]\nnice=3\n"
			 "[class other]\nnice=0\ntimeout=5s\n[environment]\ndeny=A,B\n"),
	       0);
	need(policy);
	old = take_ptr(policy);
	is_int(load_text("[limits]\nrunning=6\nqueued_per_user=9\n[class new]\nrunning=1\n[class "
			 "empty]\n"
			 "[class other]\nnice=1\npriority=0\n[class "
			 "same]\nnice=3\n[environment]\ndeny=A\n"),
	       0);
	need(policy);
	told[0] = '\0';
	is_int(config_diff(old, policy, tell_diff, NULL), 0);
	is_str(told, "limits.running 5>6\nlimits.queued_per_user >9\nenvironment.deny A,B>A (new)\n"
		     "class gone.nice 1>- (new)\nclass bare. >-\n"
		     "class other.timeout 5s>- (new)\nclass other.priority ->0 (new)\n"
		     "class other.nice 0>1 (new)\n"
		     "class new.running ->1\nclass empty. ->\n");
	policy_free(old);
}

static int
tell_each(void *arg, const char *section, const char *key, const char *value)
{
	size_t n = strlen(told);

	if (arg)
		return 7;
	snprintf(told + n, sizeof(told) - n, "%s.%s=%s\n", section, key, value);
	return 0;
}

TEST(each)
{
	is_int(load_text("[class web]\nnice=0\n"), 0);
	need(policy);
	told[0] = '\0';
	is_int(config_each(policy, tell_each, NULL), 0);
	ok(strncmp(told, "daemon.max_connections=1024\n", 28) == 0);
	ok(strstr(told, "\nlimits.running_per_user=\n") != NULL);
	ok(strstr(told, "\nclass web.nice=0\n") != NULL);
	ok(strstr(told, "class web.timeout") == NULL);
	is_int(config_each(policy, tell_each, told), 7);
}

TEST(end)
{
	policy = policy_free(policy);
	config_errors_done(&errs);
}
