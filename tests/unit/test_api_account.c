/* test_api_account.c - accounts by name: what of an answer is believed, and how long it is kept.
 * The child that asks the name service is a script here. */
#include <errno.h>
#include <ev.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "api/account.h"
#include "api/lookup.h"
#include "api/user.h"
#include "base/mem.h"
#include "lookup_fixture.h"

static struct account_table *
table(const char *body)
{
	struct account_table *t = NULL;

	script(body);
	need(lookup_table_new(ev_default_loop(0), program, &lookups) == 0);
	lookup_set_limit(lookups, 60);
	need(account_table_new(lookups, &t) == 0);
	return t;
}

static void
table_done(struct account_table *t)
{
	(void)account_table_free(t);
	lookups = lookup_table_free(lookups);
}

/* Ask and wait. *RET_ASKED: the answer was not there at once. */
static int
ask(struct account_table *t, const char *name, const struct account **ret, bool *ret_asked)
{
	struct user_wait w = {.on_ready = on_ready};
	int r;

	list_init(&w.link);
	told = 0;
	r = account_find(t, name, &w, ret);
	*ret_asked = r == ACCOUNT_E_LATER;
	if (*ret_asked) {
		run_until(1);
		r = account_find(t, name, &w, ret);
	}
	return r;
}

TEST(an_account_with_its_groups_in_their_order)
{
	struct account_table *t =
		table("[ \"$1\" = --lookup-account ] && [ \"$2\" = 'a b' ] && "
		      "printf '1001\\0002002\\0002002 7 4294967294\\000ab\\000/h\\000\\000'");
	const struct account *a = NULL;
	bool asked;

	is_int(ask(t, "a b", &a, &asked), 0);
	ok(asked);
	need(a != NULL);
	is_int(a->uid, 1001);
	is_int(a->gid, 2002);
	is_int(a->n_groups, 3);
	ok(a->groups[0] == 2002 && a->groups[1] == 7 && a->groups[2] == 4294967294U);
	is_str(a->name, "ab");
	is_str(a->home, "/h");
	ok(a->shell == NULL);
	is_int(ask(t, "a b", &a, &asked), 0);
	ok(!asked);
	table_done(t);
}

TEST(what_is_not_an_answer_is_silence)
{
	static const char *const bodies[] = {
		"exit 1",
		"kill -9 $$",
		"printf 'x'",
		"printf '1\\0001\\0001\\000n\\000/h\\000'",
		"printf '1\\0001\\0001\\000n\\000/h\\000/s\\000more\\000'",
		"printf '1\\0001\\0001\\000n\\000/h\\000/s'",
		"printf '\\0001\\0001\\000n\\000/h\\000/s\\000'",
		"printf '%s\\0001\\0001\\000n\\000/h\\000/s\\000' -1",
		"printf '4294967295\\0001\\0001\\000n\\000/h\\000/s\\000'",
		"printf '1\\0004294967295\\0001\\000n\\000/h\\000/s\\000'",
		"printf '1\\0001\\0001  2\\000n\\000/h\\000/s\\000'",
		"printf '1\\0001\\0001 x\\000n\\000/h\\000/s\\000'",
		"printf '1\\0001\\00012345678901234567890\\000n\\000/h\\000/s\\000'",
		"printf '1\\0001\\0001\\000\\377\\000/h\\000/s\\000'",
		"head -c 3000000 /dev/zero",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct account_table *t = table(bodies[i]);
		const struct account *a = NULL;
		bool asked;

		is_int(ask(t, "n", &a, &asked), ACCOUNT_E_SILENT);
		ok(a == NULL);
		table_done(t);
	}
}

TEST(nobody_of_that_name_is_an_answer_too)
{
	struct account_table *t = table("printf '\\000'");
	const struct account *a = NULL;
	bool asked;

	is_int(ask(t, "n", &a, &asked), ACCOUNT_E_UNKNOWN);
	ok(a == NULL);
	table_done(t);
}

TEST(more_than_fit_are_all_answered_and_one_child_serves_all_who_ask_for_one)
{
	struct account_table *t = table("printf '%s\\0001\\0001\\000n\\000/h\\000/s\\000' \"$2\"");
	struct user_wait w[ACCOUNT_CACHE_MAX + 1] = {0};
	const struct account *a = NULL;
	char name[16];
	bool asked;

	told = 0;
	for (int i = 0; i <= ACCOUNT_CACHE_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%d", i / 2);
		list_init(&w[i].link);
		w[i].on_ready = on_ready;
		is_int(account_find(t, name, &w[i], &a), ACCOUNT_E_LATER);
	}
	run_until(ACCOUNT_CACHE_MAX + 1);
	for (int i = 0; i < 3 * ACCOUNT_CACHE_MAX; i++) { /* older ones go */
		(void)snprintf(name, sizeof(name), "%d", i);
		is_int(ask(t, name, &a, &asked), 0);
		is_int(a->uid, i);
		ok(asked == (i > ACCOUNT_CACHE_MAX / 2));
	}
	table_done(t);
}

TEST(all_places_taken_by_those_being_asked_about_is_an_error_not_a_wait)
{
	struct account_table *t = table("exec tail -f /dev/null");
	struct user_wait w[ACCOUNT_CACHE_MAX + 1] = {0};
	const struct account *a = NULL;
	char name[16];

	for (int i = 0; i <= ACCOUNT_CACHE_MAX; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		list_init(&w[i].link);
		w[i].on_ready = on_ready;
		is_int(account_find(t, name, &w[i], &a),
		       i < ACCOUNT_CACHE_MAX ? ACCOUNT_E_LATER : -ENOMEM);
	}
	table_done(t); /* and freed in the middle */
	for (int i = 0; i <= ACCOUNT_CACHE_MAX; i++)
		list_unlink(&w[i].link);
}

/* What the child says of NAME, into ANSWER. Exit status. */
static int
child(const char *name, char *answer, size_t size, ssize_t *ret_n)
{
	char self[] = "ctxd", option[] = LOOKUP_ACCOUNT, text[64];
	char *argv[] = {self, option, text, NULL};
	int p[2], status = -1;
	pid_t pid;

	(void)snprintf(text, sizeof(text), "%s", name);
	need(pipe(p) == 0);
	pid = fork();
	if (pid == 0)
		_exit(dup2(p[1], 1) < 0 ? 99 : lookup_main(3, argv));
	need(pid > 0 && close(p[1]) == 0);
	*ret_n = read(p[0], answer, size);
	need(close(p[0]) == 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	return WEXITSTATUS(status);
}

TEST(the_child_itself)
{
	char answer[4096];
	ssize_t n;

	is_int(child("root", answer, sizeof(answer), &n), 0);
	ok(n > 8 && memcmp(answer,
			   "0\0"
			   "0\0"
			   "0",
			   5) == 0);
	is_int(child("0", answer, sizeof(answer), &n), 0);
	ok(n > 8 && memcmp(answer,
			   "0\0"
			   "0\0"
			   "0",
			   5) == 0);
	is_int(child("no-such-user-here", answer, sizeof(answer), &n), 0);
	ok(n == 1 && answer[0] == '\0');
	is_int(child("4000000000", answer, sizeof(answer), &n), 0);
	is_int(n, 1);
	is_int(child("-1", answer, sizeof(answer), &n), 0);
	is_int(n, 1);
}
