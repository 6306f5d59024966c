/* test_engine_spool.c - standard input of jobs: engine/spool.c and what it needs of txn.c, against
 * a real store. */
#include "core/policy.h"
#include "engine/impl.h"
#include "store_fixture.h"

enum { MOST = 1000, ALICE = 1001, BOB = 1002, FILES_MOST = 256 };

static struct engine eng;
static const struct requester alice = {.uid = ALICE}, bob = {.uid = BOB};

static void
before(void *arg)
{
	if (spool_before_commit(arg) < 0)
		txn_spoil(eng.txn);
}

static void
nothing(void *arg)
{
	(void)arg;
}

static const struct txn_ops ops = {.before = before, .failed = nothing, .settled = nothing};

static void
setup(void)
{
	dir_new();
	eng = (struct engine){.store = store_must_open(), .started_us = T0};
	eng.policy = policy_new();
	eng.loop = ev_loop_new(0);
	need(eng.policy && eng.loop);
	eng.policy->stdin_max = MOST;
	spool_init(&eng);
	need(spool_open_dir(&eng, dir) == 0);
	need(txn_new(eng.loop, eng.store, &ops, &eng, &eng.txn) == 0);
}

/* What a test kept goes too: dir_remove takes plain files only. */
static void
teardown(void)
{
	eng.txn = txn_free(eng.txn);
	for (uint64_t id = 1; id < 3000; id++)
		if (spool_kept(&eng, id))
			spool_remove(&eng, id);
	spool_done(&eng);
	ok(rmdir(path_of("stdin")) == 0);
	eng.store = store_close(eng.store);
	eng.policy = policy_free(eng.policy);
	ev_loop_destroy(eng.loop);
}

static struct spool *
spool_of(const struct requester *who, const char *text)
{
	struct spool *s = NULL;

	need(engine_spool_new(&eng, who, &s) == 0);
	need(engine_spool_add(&eng, s, text, strlen(text)) == 0);
	return s;
}

static void
iteration(void)
{
	(void)ev_run(eng.loop, EVRUN_NOWAIT);
}

/* Keep S for job ID in an iteration that writes something. */
static int
keep(struct spool *s, uint64_t id)
{
	struct job j = {.id = id};
	uint64_t seq;
	int r = spool_sync(s);

	if (r < 0)
		return r;
	need(txn_write(eng.txn, __func__) == 0 && store_seq_next(eng.store, &seq) == 0);
	return spool_keep(&eng, s, &j);
}

static void
content_is(uint64_t id, const char *want)
{
	char got[64] = "";
	struct stat st;
	int fd = spool_open(&eng, id);

	need(fd >= 0 && fstat(fd, &st) == 0);
	is_int(st.st_mode & 07777, 0444);
	is_int(st.st_size, strlen(want));
	need(read(fd, got, sizeof(got) - 1) >= 0);
	is_str(got, want);
	(void)close(fd);
}

TEST(the_hash_is_fnv_1a_however_it_comes)
{
	static const struct {
		const char *text;
		uint64_t hash;
	} known[] = {{"", UINT64_C(0xcbf29ce484222325)},
		     {"a", UINT64_C(0xaf63dc4c8601ec8c)},
		     {"foobar", UINT64_C(0x85944171f73967e8)}};
	struct spool *s;

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		s = spool_of(&alice, known[i].text);
		ok(spool_hash(s) == known[i].hash);
		is_int(spool_bytes(s), strlen(known[i].text));
		spool_free(s);
	}
	s = spool_of(&alice, "foo");
	need(engine_spool_add(&eng, s, "", 0) == 0 && engine_spool_add(&eng, s, "bar", 3) == 0);
	ok(spool_hash(s) == known[2].hash);
	spool_free(s);
	teardown();
}

TEST(as_much_as_is_allowed_and_no_byte_more)
{
	char data[MOST + 1] = {0};
	struct spool *s;

	setup();
	s = spool_of(&alice, "");
	is_int(engine_spool_add(&eng, s, data, MOST + 1), -EFBIG);
	is_int(spool_bytes(s), 0);
	is_int(engine_spool_add(&eng, s, data, MOST), 0);
	is_int(engine_spool_add(&eng, s, data, 1), -EFBIG);
	is_int(engine_spool_add(&eng, s, data, SIZE_MAX), -EFBIG);
	is_int(spool_bytes(s), MOST);
	eng.policy->stdin_max = 10; /* a reload */
	is_int(engine_spool_add(&eng, s, data, 1), -EFBIG);
	spool_free(s);
	teardown();
}

TEST(a_user_holds_only_so_much)
{
	char data[MOST] = {0};
	struct spool *s[8], *one;

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(s); i++) {
		s[i] = spool_of(&alice, "");
		is_int(engine_spool_add(&eng, s[i], data, MOST), 0);
	}
	one = spool_of(&alice, "");
	is_int(engine_spool_add(&eng, one, data, 1), -EDQUOT);
	is_int(spool_bytes(one), 0);
	spool_free(spool_of(&bob, "he is not concerned"));
	need(keep(s[0], 1) == 0); /* what a job has is not held */
	iteration();
	is_int(engine_spool_add(&eng, one, data, MOST), 0);
	is_int(engine_spool_add(&eng, one, data, 1), -EFBIG);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		spool_free(s[i]);
	spool_free(one);
	is_int(eng.spools.users.n, 0);
	teardown();
}

TEST(and_only_so_many)
{
	struct spool *s[FILES_MOST], *more = NULL;

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		s[i] = spool_of(&alice, "x");
	is_int(engine_spool_new(&eng, &alice, &more), -EDQUOT);
	ok(!more);
	spool_free(spool_of(&bob, "x"));
	spool_free(s[0]);
	s[0] = spool_of(&alice, "x");
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		spool_free(s[i]);
	is_int(eng.spools.users.n, 0);
	teardown();
}

TEST(kept_by_the_commit)
{
	struct spool *a, *b, *c;

	setup();
	a = spool_of(&alice, "one");
	b = spool_of(&alice, "two");
	c = spool_of(&bob, "of another thousand");
	need(keep(a, 1) == 0 && keep(c, 2001) == 0 && keep(b, 2) == 0);
	ok(eng.spools.dirty_fd >= 0);
	iteration();
	ok(eng.spools.dirty_fd < 0); /* synced */
	ok(txn_ok(eng.txn));
	content_is(1, "one");
	content_is(2, "two");
	content_is(2001, "of another thousand");
	is_int(spool_open(&eng, 3), -ENOENT);
	/* Emptied: there is nothing to be had of it any more. */
	is_int(engine_spool_add(&eng, a, "x", 1), -EBADF);
	is_int(spool_sync(a), -EBADF);
	spool_free(a), spool_free(b), spool_free(c);
	content_is(1, "one");
	teardown();
}

TEST(what_stands_in_the_way_is_of_no_job)
{
	struct spool *a, *b;

	setup();
	a = spool_of(&alice, "old");
	need(keep(a, 7) == 0);
	iteration();
	b = spool_of(&alice, "new");
	need(keep(b, 7) == 0);
	iteration();
	content_is(7, "new");
	spool_free(a), spool_free(b);
	teardown();
}

TEST(gone_when_the_iteration_is_spoiled)
{
	struct spool *s;
	uint64_t before_seq, seq;

	setup();
	before_seq = store_seq_last(eng.store);
	s = spool_of(&alice, "in vain");
	need(keep(s, 5) == 0);
	ok(spool_kept(&eng, 5));
	txn_spoil(eng.txn);
	is_int(txn_write(eng.txn, __func__), -ECANCELED);
	iteration();
	ok(!spool_kept(&eng, 5));
	ok(!txn_ok(eng.txn));
	spool_free(s);
	/* And the next is as any other; nothing of the spoiled one is in the database. */
	need(txn_write(eng.txn, __func__) == 0 && store_seq_next(eng.store, &seq) == 0);
	is_int(seq, before_seq + 1);
	s = spool_of(&alice, "kept");
	need(keep(s, 5) == 0);
	iteration();
	ok(txn_ok(eng.txn));
	content_is(5, "kept");
	spool_free(s);
	teardown();
}

TEST(removed_when_it_is_not_needed)
{
	struct spool *s;

	setup();
	s = spool_of(&alice, "x");
	need(keep(s, 1000) == 0);
	iteration();
	ok(access(path_of("stdin/1/1000"), F_OK) == 0);
	spool_remove(&eng, 1000);
	spool_remove(&eng, 1000); /* twice is nothing */
	ok(!spool_kept(&eng, 1000));
	ok(access(path_of("stdin/1"), F_OK) < 0);
	spool_free(s);
	teardown();
}
