/* test_store_forward.c - how far output has come on its way to the journal, and what of it still
 * counts for its user. */
#include "store_fixture.h"

static struct store *s;

static struct store_forward
forward_of(uint64_t job, uint32_t attempt, bool keep)
{
	return (struct store_forward){.job = job, .attempt = attempt, .keep = keep};
}

static uint64_t
waiting(void)
{
	uint64_t n = 99;

	need(store_forward_count(s, &n) == 0);
	return n;
}

static int64_t
kept(void)
{
	struct store_kept k;

	need(store_kept(s, 1000, &k) == 0);
	return k.output;
}

/* Its id; it has ended with BYTES of output. */
static uint64_t
put_ended(uint64_t bytes)
{
	struct job *j = job_like("default", 1000, JOB_FAILED);
	uint64_t id;

	j->out_bytes = bytes;
	need(store_job_insert(s, j, NULL) == 0);
	id = j->id;
	(void)job_free(j);
	return id;
}

static void
add(uint64_t job, uint32_t attempt, bool keep)
{
	struct store_forward f = forward_of(job, attempt, keep);

	need(store_forward_add(s, &f) == 0);
}

TEST(places)
{
	struct store_forward f, g;
	uint64_t ids[8];
	size_t n;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	is_int(store_forward_get(s, 7, 1, &f), STORE_E_NOT_FOUND);
	add(7, 1, false);
	add(7, 2, true);
	add(9, 1, true);
	is_int(waiting(), 3);
	need(store_forward_jobs(s, 0, ids, 8, &n) == 0 && n == 2 && ids[0] == 7 && ids[1] == 9);
	need(store_forward_jobs(s, 7, ids, 8, &n) == 0 && n == 1 && ids[0] == 9);
	need(store_forward_first(s, 7, &f) == 0);
	ok(f.attempt == 1 && !f.keep && !f.done && f.stream[0].at == 0 && f.stream[1].round == 0);
	f.stream[0].at = 100;
	f.stream[1].at = 50;
	f.stream[1].round = 2;
	need(store_forward_place(s, &f) == 0 && store_forward_get(s, 7, 1, &g) == 0);
	ok(g.stream[0].at == 100 && g.stream[0].round == 0 && g.stream[1].at == 50 &&
	   g.stream[1].round == 2);
	add(7, 1, true); /* the same attempt begins anew */
	need(store_forward_get(s, 7, 1, &g) == 0);
	ok(g.keep && g.stream[0].at == 0 && g.stream[1].round == 0);
	is_int(waiting(), 3);
	need(store_forward_drop(s, 7, 1) == 0 && store_forward_first(s, 7, &f) == 0);
	is_int(f.attempt, 2);
	need(store_commit(s) == 0);
	store_close(s);
}

TEST(what_is_kept_no_more)
{
	struct store_forward f, g;
	uint64_t id;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	id = put_ended(1000);
	is_int(kept(), 1000);
	add(id, 1, false);
	f = forward_of(id, 1, false);
	f.stream[0].at = 1000;
	need(store_forward_done(s, &f, 1000) == 0);
	is_int(kept(), 0);
	is_int(waiting(), 0);
	need(store_forward_get(s, id, 1, &g) == 0);
	ok(g.done && g.stream[0].at == 1000);
	is_int(store_forward_first(s, id, &g), STORE_E_NOT_FOUND);
	need(store_forward_place(s, &f) == 0); /* too late */
	f = forward_of(put_ended(500), 1, true);
	add(f.job, 1, true);
	need(store_forward_done(s, &f, 0) == 0);
	is_int(kept(), 500); /* its file stays */
	is_int(store_forward_get(s, f.job, 1, &g), STORE_E_NOT_FOUND);
	need(store_job_delete(s, id) == 0);
	is_int(store_forward_get(s, id, 1, &g), STORE_E_NOT_FOUND);
	is_int(kept(), 500);
	need(store_commit(s) == 0);
	store_close(s);
}

/* Its first attempt is sent when the second has ended. */
TEST(an_earlier_attempt)
{
	struct store_forward f;
	struct job *j = NULL;
	uint64_t id;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	id = put_ended(1000);
	add(id, 1, false);
	need(store_job_get(s, id, &j) == 0);
	j->state = JOB_QUEUED;
	j->attempt = 2;
	j->out_bytes = 0;
	need(store_job_update(s, j, JOB_FAILED) == 0);
	j->state = JOB_RUNNING;
	need(store_job_update(s, j, JOB_QUEUED) == 0);
	add(id, 2, false);
	j->state = JOB_FAILED;
	j->out_bytes = 30;
	need(store_job_update(s, j, JOB_RUNNING) == 0);
	(void)job_free(j);
	is_int(kept(), 1030);
	f = forward_of(id, 1, false);
	need(store_forward_done(s, &f, 1000) == 0);
	is_int(kept(), 30);
	f = forward_of(id, 2, false);
	need(store_forward_done(s, &f, 30) == 0);
	is_int(kept(), 0);
	need(store_commit(s) == 0);
	store_close(s);
}

/* Retention takes the files whether they were sent or not. */
TEST(output_that_goes_before)
{
	struct store_forward f;
	uint64_t id;

	dir_new();
	s = store_must_open();
	need(store_begin(s, "t") == 0);
	id = put_ended(10);
	add(id, 1, false);
	need(store_output_gone(s, id) == 0);
	is_int(waiting(), 0);
	is_int(kept(), 0);
	id = put_ended(10);
	add(id, 1, false);
	f = forward_of(id, 1, false);
	need(store_forward_done(s, &f, 10) == 0 && store_output_gone(s, id) == 0);
	is_int(kept(), 0);
	need(store_forward_get(s, id, 1, &f) == 0); /* still to be read there */
	ok(f.done);
	need(store_commit(s) == 0);
	store_close(s);
}
