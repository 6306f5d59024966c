/* test_store_broken.c - rows of jobs that no version of this program wrote: found when they are
 * read, left as they are, and in nobody's way. And which files of output nobody wants. */
#include "base/err.h"
#include "store_fixture.h"

enum { ALICE = 1001 };

static struct store *s;

static void
setup(void)
{
	dir_new();
	s = store_must_open();
}

static void
outside_do(const char *sql)
{
	sqlite3 *db = outside(SQLITE_OPEN_READWRITE);

	need(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK);
	(void)sqlite3_close(db);
}

static void
spoil(uint64_t id, const char *set)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "UPDATE job SET %s WHERE id = %llu", set,
		 (unsigned long long)id);
	outside_do(sql);
}

static int
found(uint64_t id)
{
	struct job *j = NULL;
	int r = store_job_get(s, id, &j);

	(void)job_free(j);
	return r;
}

static int
ids(void *arg, const struct job *j)
{
	char *text = arg;

	(void)sprintf(text + strlen(text), "%llu ", (unsigned long long)j->id);
	return 0;
}

TEST(every_part_that_can_be_malformed)
{
	static const char *const ways[] = {
		"trace_id = x'00'",   "span_id = x'0001'", "parent_span = x''",
		"boot = x'0102'",     "gids = x'010203'",  "argv = x'6162'",
		"ctx_values = x'41'", "kind = 7",          "state = 99",
	};

	setup();
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		uint64_t id = put_one(s, "a", ALICE, JOB_RUNNING);

		is_int(found(id), 0);
		spoil(id, ways[i]);
		if (found(id) != -EUCLEAN)
			printf("# %s\n", ways[i]);
		is_int(found(id), -EUCLEAN);
		ok(store_broken(s, id));
		is_int(store_n_broken(s), i + 1);
	}
	(void)store_close(s);
	s = store_must_open(); /* it is found again, not remembered */
	is_int(store_n_broken(s), 0);
	is_int(found(1), -EUCLEAN);
	s = store_close(s);
	dir_remove();
}

TEST(walks_go_past_it)
{
	struct store_filter all = {.limit = 0};
	char text[100] = "";
	uint64_t next = 5;

	setup();
	for (int i = 0; i < 3; i++)
		(void)put_one(s, "a", ALICE, JOB_RUNNING);
	spoil(2, "trace_id = x'00'");
	is_int(store_live_each(s, ids, text), 0);
	is_str(text, "1 3 ");
	text[0] = '\0';
	is_int(store_list(s, &all, ids, text, &next), 0);
	is_str(text, "1 3 ");
	is_int(next, 0);
	is_int(store_n_broken(s), 1);
	s = store_close(s);
	dir_remove();
}

static uint64_t queued;

static int
add_lane(void *arg, const struct store_lane *l)
{
	(void)arg;
	queued += l->n;
	return 0;
}

/* Once it is known. */
TEST(the_queue_goes_past_it)
{
	uint64_t head = 0, due[4];
	int32_t priority;
	int64_t us = 0;
	size_t n = 0;

	setup();
	for (int i = 0; i < 3; i++)
		(void)put_one(s, "a", ALICE, JOB_QUEUED);
	spoil(1, "priority = 9, argv = x'61', deadline = 5");
	spoil(2, "deadline = 7");
	is_int(store_lane_head(s, "a", ALICE, &head, &priority), 0);
	is_int(head, 1);
	is_int(found(1), -EUCLEAN);
	is_int(store_lane_head(s, "a", ALICE, &head, &priority), 0);
	is_int(head, 2);
	is_int(store_lanes_each(s, add_lane, NULL), 0);
	is_int(queued, 2);
	is_int(store_queue_next_deadline(s, &us), 0);
	is_int(us, 7);
	is_int(store_queue_overdue(s, 100, due, 4, &n), 0);
	ok(n == 1 && due[0] == 2);
	s = store_close(s);
	dir_remove();
}

TEST(output_that_nobody_wants)
{
	setup();
	for (uint64_t id = 1; id <= 3; id++) {
		need(put_one(s, "a", ALICE, JOB_RUNNING) == id && store_begin(s, "t") == 0);
		end_job(s, id, JOB_FAILED, T0);
		need(store_commit(s) == 0);
	}
	is_int(store_output_kept(s, 1), 1);
	need(store_begin(s, "t") == 0 && store_output_gone(s, 1) == 0 &&
	     store_job_delete(s, 2) == 0);
	need(store_commit(s) == 0);
	is_int(store_output_kept(s, 1), 0); /* marked */
	is_int(store_output_kept(s, 2), 0); /* its record is gone */
	is_int(store_output_kept(s, 3), 1);
	is_int(store_output_kept(s, 4), 1); /* no job of this database */
	is_int(store_output_kept(s, UINT64_MAX), 1);
	spoil(1, "state = 1"); /* queued again */
	is_int(store_output_kept(s, 1), 1);
	s = store_close(s);
	dir_remove();
}
