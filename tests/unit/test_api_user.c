/* test_api_user.c - names of uids: asked of a child, with a time limit, cached, bounded. The child
 * is a script here. */
#include <ev.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "api/lookup.h"
#include "api/user.h"
#include "base/mem.h"
#include "lookup_fixture.h"

static struct user_table *
table_of(const char *what)
{
	struct user_table *t = NULL;

	need(lookup_table_new(ev_default_loop(0), what, &lookups) == 0);
	lookup_set_limit(lookups, 60);
	need(user_table_new(lookups, &t) == 0);
	return t;
}

static struct user_table *
table(const char *body)
{
	script(body);
	return table_of(program);
}

static void
table_done(struct user_table *t)
{
	(void)user_table_free(t);
	lookups = lookup_table_free(lookups);
}

/* Ask for U and wait; true if the answer was there at once. */
static bool
ask(struct user *u)
{
	struct user_wait w = {.on_ready = on_ready};

	list_init(&w.link);
	told = 0;
	if (user_names(u, &w))
		return true;
	run_until(1);
	return false;
}

TEST(the_answer_is_split_and_cached)
{
	struct user_table *t =
		table("[ \"$1\" = --lookup-uid ] && printf 'u%s\\0/home/u\\0/bin/sh\\0' \"$2\"");
	struct user *u = user_get(t, 1234);

	ok(!ask(u));
	is_str(u->name, "u1234");
	is_str(u->home, "/home/u");
	is_str(u->shell, "/bin/sh");
	ok(ask(u));
	(void)user_put(u);
	u = user_get(t, 1234);
	ok(ask(u));
	(void)user_put(u);
	table_done(t);
}

TEST(whatever_else_is_said_means_not_known)
{
	static const char *const bodies[] = {
		"exit 1",
		"printf 'u\\0/home\\0'",
		"printf 'u\\0/home\\0/bin/sh'",
		"printf 'u\\0/home\\0/bin/sh\\0more'",
		"printf '\\377\\0/home\\0/bin/sh\\0'",
		"head -c 100000 /dev/zero | tr '\\0' x",
		"kill -9 $$",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct user_table *t = table(bodies[i]);
		struct user *u = user_get(t, 7);

		ok(!ask(u));
		ok(!u->name && !u->home && !u->shell);
		ok(ask(u)); /* that is kept as well, for a while */
		(void)user_put(u);
		table_done(t);
	}
}

TEST(a_child_that_hangs_is_given_up)
{
	struct user_table *t = table("exec tail -f /dev/null");
	struct user *u = user_get(t, 7);
	struct mono before = mono_now();

	ev_now_update(EV_DEFAULT); /* from which a timer counts */
	lookup_set_limit(lookups, 0.2);
	ok(!ask(u));
	ok(!u->name);
	ok(mono_diff(mono_now(), before).ns >= dur_sec(1).ns / 5);
	(void)user_put(u);
	table_done(t);
}

TEST(an_answer_that_is_there_counts_however_late_the_loop_looks)
{
	struct user_table *t = table("printf 'n\\0/h\\0/s\\0'");
	struct user *u = user_get(t, 7);
	struct user_wait w = {.on_ready = on_ready};
	struct mono limit = mono_add(mono_now(), dur_sec(1));
	siginfo_t si;

	list_init(&w.link);
	told = 0;
	lookup_set_limit(lookups, 0.1);
	ok(!user_names(u, &w));
	need(waitid(P_ALL, 0, &si, WEXITED | WNOWAIT) == 0);
	while (mono_now().ns < limit.ns)
		(void)poll(NULL, 0, 10);
	run_until(1);
	is_str(u->name, "n");
	(void)user_put(u);
	table_done(t);
}

TEST(a_program_that_is_not_there_is_an_answer_too)
{
	struct user_table *t = table_of("/nonexistent/program");
	struct user *u = user_get(t, 7);

	ok(!ask(u));
	ok(!u->name);
	(void)user_put(u);
	table_done(t);
}

TEST(many_at_once_are_answered_and_one_child_serves_all_who_ask_for_one)
{
	struct user_table *t = table("printf 'u%s\\0\\0\\0' \"$2\"");
	struct user_wait w[40] = {0};
	struct user *u[40];

	told = 0;
	for (uint32_t i = 0; i < 40; i++) {
		u[i] = user_get(t, i / 2);
		list_init(&w[i].link);
		w[i].on_ready = on_ready;
		ok(!user_names(u[i], &w[i]));
	}
	run_until(40);
	is_int(user_table_size(t), 20);
	is_str(u[39]->name, "u19");
	ok(!u[39]->home);
	for (int i = 0; i < 40; i++)
		(void)user_put(u[i]);
	table_done(t);
}

TEST(freed_in_the_middle)
{
	struct user_table *t = table("exec tail -f /dev/null");
	struct user *u = user_get(t, 1);
	struct user_wait w = {.on_ready = on_ready};

	list_init(&w.link);
	ok(!user_names(u, &w));
	ev_run(ev_default_loop(0), EVRUN_NOWAIT);
	list_unlink(&w.link);
	(void)user_put(u);
	table_done(t);
}

TEST(the_table_is_bounded)
{
	struct user_table *t = table("exit 1");

	for (uint32_t i = 0; i < 5000; i++)
		(void)user_put(user_get(t, i));
	is_int(user_table_size(t), USER_CACHE_MAX);
	table_done(t);
}

static int
child_status(char *number)
{
	char name[] = "ctxd", option[] = "--lookup-uid", *argv[] = {name, option, number, NULL};
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

		_exit(null < 0 || dup2(null, 1) < 0 ? 99 : lookup_main(3, argv));
	}
	need(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(the_child_itself)
{
	char root[] = "0", nobody[] = "4000000000", bad[] = "-1", text[] = "root";

	is_int(child_status(root), 0);
	is_int(child_status(nobody), 1);
	is_int(child_status(bad), 2);
	is_int(child_status(text), 2);
}
