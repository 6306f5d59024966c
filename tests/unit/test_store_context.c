/* test_store_context.c - the tree of contexts in the store: keys, children, scopes, bound jobs,
 * values; what a retry undoes; counts and retention with scopes. */
#include "store_fixture.h"

static struct job *
scope_like(enum job_state state, int64_t deadline_ns)
{
	struct job *j = job_like("default", 1, state);

	j->kind = JOB_KIND_SCOPE;
	strv_done(&j->argv);
	need(job_set(&j->cwd, NULL) == 0);
	j->deadline_boot_ns = deadline_ns;
	return j;
}

static struct job *
child_of(uint64_t parent, uint32_t inherit, enum job_state state)
{
	struct job *j = job_like("default", 1, state);

	j->parent = parent;
	j->inherit = inherit;
	return j;
}

static void
begin(struct store *s)
{
	need(store_begin(s, "test") == 0);
}

static void
commit(struct store *s)
{
	need(store_commit(s) == 0);
}

/* Change the state of ID as the engine does. */
static void
take_to(struct store *s, uint64_t id, enum job_state to)
{
	end_job(s, id, to, job_state_ended(to) ? T0 + 1000 + (int64_t)id : 0);
}

static const char *
ids_text(const uint64_t *ids, size_t n)
{
	static char text[200];

	text[0] = '\0';
	for (size_t i = 0; i < n; i++)
		(void)sprintf(text + strlen(text), "%llu ", (unsigned long long)ids[i]);
	return text;
}

/* ---- keys */

static uint64_t
put_key(struct store *s, uint32_t uid, const char *key, int want)
{
	_cleanup_(job_freep) struct job *j = job_like("default", uid, JOB_QUEUED);

	need(job_set(&j->key, key) == 0);
	is_int(store_job_insert(s, j, NULL), want);
	return j->id;
}

static void
key_is(struct store *s, uint32_t uid, const char *key, uint64_t want)
{
	uint64_t id = 0;

	is_int(store_job_by_key(s, uid, key, &id), want ? 0 : STORE_E_NOT_FOUND);
	is_int(id, want);
}

TEST(a_key_is_of_one_user)
{
	struct store *s;

	dir_new();
	s = store_must_open();
	begin(s);
	put_key(s, 1, "a", 0);
	put_key(s, 2, "a", 0);
	put_key(s, 4294967295U, "~hidden", 0);
	put_key(s, 1, "A", 0);
	put_key(s, 1, "", 0);
	key_is(s, 1, "a", 1); /* in the transaction already */
	commit(s);
	key_is(s, 2, "a", 2);
	key_is(s, 3, "a", 0);
	key_is(s, 4294967295U, "~hidden", 3);
	key_is(s, 1, "~hidden", 0);
	key_is(s, 1, "A", 4);
	key_is(s, 1, "", 5);
	key_is(s, 1, "b", 0);
	/* Whatever its state; free again with the record. */
	begin(s);
	take_to(s, 1, JOB_FAILED);
	commit(s);
	key_is(s, 1, "a", 1);
	begin(s);
	need(store_job_delete(s, 1) == 0);
	commit(s);
	key_is(s, 1, "a", 0);
	begin(s);
	is_int(put_key(s, 1, "a", 0), 6);
	commit(s);
	store_close(s);
}

/* Who inserts has looked; if not, it is an error like any other: nothing of the transaction stays.
 */
TEST(a_key_twice_is_an_error)
{
	struct store *s;

	dir_new();
	s = store_must_open();
	begin(s);
	put_key(s, 1, "a", 0);
	commit(s);
	begin(s);
	put_key(s, 1, "b", 0);
	is_int(put_key(s, 1, "a", -EEXIST), 0);
	ok(store_poisoned(s));
	is_int(store_commit(s), -ECANCELED);
	store_rollback(s);
	key_is(s, 1, "a", 1);
	key_is(s, 1, "b", 0);
	begin(s);
	is_int(put_key(s, 1, "b", 0), 2);
	commit(s);
	counts_are_real(s);
	store_close(s);
}

/* ---- children */

static void
attached_are(struct store *s, uint64_t parent, uint64_t after, size_t max, const char *want)
{
	uint64_t ids[8];
	size_t n = 99;

	need(max <= ARRAY_SIZE(ids));
	is_int(store_attached(s, parent, after, ids, max, &n), 0);
	is_str(ids_text(ids, n), want);
}

TEST(attached_ones)
{
	enum { ALL = INHERIT_VALUES | INHERIT_TRACE | INHERIT_DEADLINE | INHERIT_CANCEL };
	struct store *s;
	struct job *j;

	dir_new();
	s = store_must_open();
	begin(s);
	put(s, scope_like(JOB_OPEN, 0));                                  /* 1 */
	put(s, child_of(1, ALL, JOB_QUEUED));                             /* 2 */
	put(s, child_of(1, INHERIT_VALUES | INHERIT_TRACE, JOB_RUNNING)); /* 3: detached */
	put(s, child_of(1, INHERIT_CANCEL, JOB_RUNNING));                 /* 4 */
	put(s, child_of(1, ALL, JOB_STOPPING));                           /* 5 */
	put(s, child_of(1, ALL, JOB_FAILED));                             /* 6: over */
	put(s, child_of(2, ALL, JOB_RUNNING));                            /* 7: a grandchild */
	j = scope_like(JOB_OPEN, 0);
	j->parent = 1;
	j->inherit = ALL;
	put(s, j);                                                         /* 8 */
	put(s, child_of(1, ALL & ~(uint32_t)INHERIT_CANCEL, JOB_RUNNING)); /* 9: its deadline */
	put(s, child_of(0, INHERIT_CANCEL, JOB_RUNNING));                  /* 10: a client's */
	attached_are(s, 1, 0, 8, "2 4 5 8 ");
	commit(s);
	attached_are(s, 1, 0, 8, "2 4 5 8 ");
	attached_are(s, 1, 0, 2, "2 4 ");
	attached_are(s, 1, 4, 2, "5 8 ");
	attached_are(s, 1, 8, 2, "");
	attached_are(s, 1, 0, 0, "");
	attached_are(s, 1, UINT64_MAX, 8, "");
	attached_are(s, 2, 0, 8, "7 ");
	attached_are(s, 3, 0, 8, "");
	attached_are(s, 0, 0, 8, ""); /* no parent is no parent */
	attached_are(s, UINT64_MAX, 0, 8, "");
	begin(s);
	take_to(s, 4, JOB_SUCCEEDED);
	take_to(s, 5, JOB_CANCELED);
	take_to(s, 8, JOB_CLOSED);
	attached_are(s, 1, 0, 8, "2 ");
	take_to(s, 5, JOB_QUEUED); /* a retry is alive again */
	commit(s);
	attached_are(s, 1, 0, 8, "2 5 ");
	store_close(s);
}

/* ---- scopes */

static int
take_id(void *arg, const struct job *j)
{
	char *text = arg;

	is_int(j->kind, JOB_KIND_SCOPE);
	is_int(j->argv.n, 0);
	(void)sprintf(text + strlen(text), "%llu ", (unsigned long long)j->id);
	return 0;
}

static void
scopes_are(struct store *s, const char *want)
{
	char text[100] = "";

	is_int(store_scopes_each(s, take_id, text), 0);
	is_str(text, want);
}

static void
overdue_are(struct store *s, int64_t now_ns, size_t max, const char *want)
{
	uint64_t ids[8];
	size_t n = 99;

	is_int(store_scope_overdue(s, now_ns, ids, max, &n), 0);
	is_str(ids_text(ids, n), want);
}

static int
stop_at_once(void *arg, const struct job *j)
{
	(void)arg;
	return (int)j->id + 100;
}

TEST(scopes_by_deadline)
{
	struct store *s;
	struct job *j;
	int64_t ns = 7;

	dir_new();
	s = store_must_open();
	is_int(store_scope_next_deadline(s, &ns), STORE_E_NOT_FOUND);
	is_int(ns, 7);
	overdue_are(s, INT64_MAX, 8, "");
	begin(s);
	put(s, scope_like(JOB_OPEN, 0)); /* 1: without a deadline */
	put(s, scope_like(JOB_OPEN, 50));
	put(s, scope_like(JOB_OPEN, 30));
	put(s, scope_like(JOB_OPEN, 50));
	put(s, scope_like(JOB_CLOSED, 10));
	j = job_like("default", 1, JOB_RUNNING);
	j->deadline_boot_ns = 5;
	put(s, j);
	commit(s);
	scopes_are(s, "1 3 2 4 ");
	is_int(store_scopes_each(s, stop_at_once, NULL), 101);
	is_int(store_scope_next_deadline(s, &ns), 0);
	is_int(ns, 30);
	overdue_are(s, 29, 8, "");
	overdue_are(s, 30, 8, "3 ");
	overdue_are(s, INT64_MAX, 8, "3 2 4 ");
	overdue_are(s, INT64_MAX, 2, "3 2 ");
	overdue_are(s, INT64_MAX, 0, "");
	begin(s);
	take_to(s, 3, JOB_DEADLINE_EXCEEDED);
	take_to(s, 2, JOB_CANCELED);
	commit(s);
	scopes_are(s, "1 4 ");
	is_int(store_scope_next_deadline(s, &ns), 0);
	is_int(ns, 50);
	begin(s);
	take_to(s, 4, JOB_CLOSED);
	commit(s);
	is_int(store_scope_next_deadline(s, &ns), STORE_E_NOT_FOUND);
	scopes_are(s, "1 ");
	counts_are_real(s);
	store_close(s);
}

/* Scopes are counted while they are open, and closed; the ends that jobs have too count jobs. */
TEST(counts_of_scopes)
{
	struct store_counts c;
	struct store *s;

	dir_new();
	s = store_must_open();
	begin(s);
	for (int i = 0; i < 5; i++)
		put(s, scope_like(JOB_OPEN, 0));
	put(s, job_like("default", 1, JOB_CANCELED));
	put(s, scope_like(JOB_CANCELED, 0));
	commit(s);
	need(store_counts(s, &c) == 0);
	is_int(c.by_state[JOB_OPEN], 5);
	is_int(c.by_state[JOB_CANCELED], 1);
	begin(s);
	take_to(s, 1, JOB_CLOSED);
	take_to(s, 2, JOB_CANCELED);
	take_to(s, 3, JOB_DEADLINE_EXCEEDED);
	need(store_job_delete(s, 4) == 0);
	need(store_job_delete(s, 7) == 0);
	commit(s);
	need(store_counts(s, &c) == 0);
	is_int(c.by_state[JOB_OPEN], 1);
	is_int(c.by_state[JOB_CLOSED], 1);
	is_int(c.by_state[JOB_CANCELED], 1);
	is_int(c.by_state[JOB_DEADLINE_EXCEEDED], 0);
	begin(s);
	need(store_job_delete(s, 1) == 0);
	need(store_job_delete(s, 3) == 0);
	commit(s);
	counts_are_real(s);
	need(store_counts(s, &c) == 0);
	is_int(c.by_state[JOB_CLOSED], 0);
	store_close(s);
}

/* ---- bound to a connection */

static void
bound_are(struct store *s, uint64_t after, size_t max, const char *want)
{
	uint64_t ids[8];
	size_t n = 99;

	is_int(store_bound(s, after, ids, max, &n), 0);
	is_str(ids_text(ids, n), want);
}

TEST(bound_ones)
{
	_cleanup_(job_freep) struct job *freed = NULL;
	struct store *s;
	struct job *j;

	dir_new();
	s = store_must_open();
	begin(s);
	for (int i = 0; i < 6; i++) {
		j = job_like("default", 1,
			     i == 5   ? JOB_FAILED
			     : i == 4 ? JOB_STOPPING
				      : JOB_QUEUED);
		j->bound = i > 0;
		put(s, j);
	}
	commit(s);
	bound_are(s, 0, 8, "2 3 4 5 ");
	bound_are(s, 2, 2, "3 4 ");
	bound_are(s, 5, 8, "");
	bound_are(s, UINT64_MAX, 8, "");
	bound_are(s, 0, 0, "");
	begin(s);
	take_to(s, 3, JOB_RUNNING);
	take_to(s, 4, JOB_CANCELED);
	need(store_job_get(s, 2, &freed) == 0);
	freed->bound = false;
	need(store_job_update(s, freed, JOB_QUEUED) == 0);
	commit(s);
	bound_are(s, 0, 8, "3 5 ");
	store_close(s);
}

/* ---- values */

TEST(values_are_kept_for_searching)
{
	struct store *s;
	struct job *j;
	char big[15000];

	dir_new();
	s = store_must_open();
	memset(big, 'v', sizeof(big));
	memcpy(big, "big=", 4);
	big[sizeof(big) - 1] = '\0';
	begin(s);
	j = job_like("default", 1, JOB_QUEUED);
	need(strv_add(&j->values, "a=1") == 0 && strv_add(&j->values, big) == 0 &&
	     strv_add(&j->values, "eq=x=y") == 0 && strv_add(&j->values, "none=") == 0);
	put(s, j);
	j = job_like("default", 1, JOB_QUEUED);
	need(strv_add(&j->values, "a=1") == 0);
	put(s, j);
	commit(s);
	is_int(outside_int("SELECT count(*) FROM job_value WHERE job = 1"), 4);
	is_int(outside_int("SELECT count(*) FROM job_value WHERE name = 'a' AND value = '1'"), 2);
	is_int(outside_int("SELECT length(value) FROM job_value WHERE name = 'big'"), 14995);
	is_str(outside_text("SELECT value FROM job_value WHERE name = 'eq'"), "x=y");
	is_str(outside_text("SELECT value FROM job_value WHERE name = 'none'"), "");
	begin(s);
	need(store_job_delete(s, 1) == 0);
	commit(s);
	is_int(outside_int("SELECT count(*) FROM job_value"), 1);
	is_int(outside_int("SELECT job FROM job_value"), 2);
	store_close(s);
}

/* ---- a retry */

static uint64_t
put_env(struct store *s, enum job_state state)
{
	_cleanup_(job_freep) struct job *j = job_like("default", 1, state);
	_cleanup_(strv_done) struct strv env = {0};

	need(strv_add(&env, "PATH=/bin") == 0 && store_job_insert(s, j, &env) == 0);
	return j->id;
}

static bool
has_env(struct store *s, uint64_t id)
{
	_cleanup_(strv_done) struct strv env = {0};

	return store_env_get(s, id, &env) == 0;
}

TEST(a_retry_keeps_its_environment)
{
	struct store *s;
	uint64_t ids[10] = {0};
	size_t n = 99;

	dir_new();
	s = store_must_open();
	begin(s);
	put_env(s, JOB_RUNNING);
	put_env(s, JOB_RUNNING);
	take_to(s, 1, JOB_FAILED);
	take_to(s, 2, JOB_INTERRUPTED);
	commit(s);
	begin(s);
	take_to(s, 1, JOB_QUEUED);
	commit(s);
	is_int(outside_int("SELECT ended FROM job_env WHERE job = 1"), 0);
	begin(s);
	need(store_env_expire(s, INT64_MAX, ids, 10, &n) == 0);
	commit(s);
	is_int(n, 1);
	is_int(ids[0], 2);
	ok(has_env(s, 1) && !has_env(s, 2));
	begin(s);
	take_to(s, 2, JOB_QUEUED); /* came too late: nothing to keep, no error */
	take_to(s, 1, JOB_RUNNING);
	take_to(s, 1, JOB_SUCCEEDED);
	commit(s);
	ok(!has_env(s, 1));
	counts_are_real(s);
	store_close(s);
}

TEST(a_retry_has_output_again)
{
	struct store_old old[4];
	struct store *s;
	size_t n = 99;

	dir_new();
	s = store_must_open();
	begin(s);
	put(s, job_like("default", 1, JOB_FAILED));
	need(store_output_gone(s, 1) == 0);
	commit(s);
	is_int(store_old_outputs(s, INT64_MAX, old, 4, &n), 0);
	is_int(n, 0);
	begin(s);
	take_to(s, 1, JOB_QUEUED);
	take_to(s, 1, JOB_RUNNING);
	take_to(s, 1, JOB_FAILED);
	commit(s);
	is_int(store_old_outputs(s, INT64_MAX, old, 4, &n), 0);
	is_int(n, 1);
	store_close(s);
}

/* ---- retention */

TEST(retention_of_scopes)
{
	struct store_old old[8];
	uint64_t ids[8];
	struct store *s;
	size_t n = 99;

	dir_new();
	s = store_must_open();
	begin(s);
	put(s, scope_like(JOB_OPEN, 0));
	put(s, scope_like(JOB_CLOSED, 0));
	put(s, scope_like(JOB_CANCELED, 0));
	put(s, scope_like(JOB_DEADLINE_EXCEEDED, 0));
	put(s, job_like("default", 1, JOB_CANCELED));
	put(s,
	    child_of(2, INHERIT_VALUES, JOB_RUNNING)); /* detached: outlives its parent's record */
	commit(s);
	is_int(store_old_jobs(s, INT64_MAX, old, 8, &n), 0);
	for (size_t i = 0; i < n; i++)
		ids[i] = old[i].id;
	is_str(ids_text(ids, n), "2 3 4 5 ");
	is_int(store_old_outputs(s, INT64_MAX, old, 8, &n), 0); /* a scope has none */
	need(n == 1);
	is_int(old[0].id, 5);
	begin(s);
	need(store_job_delete(s, 2) == 0);
	commit(s);
	{
		_cleanup_(job_freep) struct job *j = NULL;

		is_int(store_job_get(s, 6, &j), 0);
		is_int(j->parent, 2);
	}
	counts_are_real(s);
	store_close(s);
}
