/* test_rundir.c - record/rundir.h: in a temporary directory of its own. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "record/rundir.h"
#include "tap.h"
#include "tmpdir.h"

static void
put(const char *name, const void *p, size_t n)
{
	_close_ int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	need(fd >= 0 && write(fd, p, n) == (ssize_t)n);
}

TEST(names)
{
	static const char *const bad[] = {
		"",
		".",
		"1",
		"1.",
		".1",
		"01.1",
		"1.01",
		"0.1",
		"1.0",
		"-1.1",
		"1.-1",
		"+1.1",
		"1.1 ",
		" 1.1",
		"1.1.1",
		"a.1",
		"1.b",
		".new.1.1",
		"uuid",
		"seen",
		"1.4294967296",
		"18446744073709551616.1",
		"11111111111111111111111111111111111111111111111111111111.1"};
	char buf[RUNDIR_NAME];
	uint64_t id = 0;
	uint32_t attempt = 0;

	is_str(rundir_name(42, 1, buf), "42.1");
	is_str(rundir_name(UINT64_MAX, UINT32_MAX, buf), "18446744073709551615.4294967295");
	is_int(rundir_parse(buf, &id, &attempt), 0);
	ok(id == UINT64_MAX && attempt == UINT32_MAX);
	is_int(rundir_parse("42.1", &id, &attempt), 0);
	is_int(id, 42);
	is_int(attempt, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (rundir_parse(bad[i], &id, &attempt) != -EINVAL) {
			printf("# accepted: %s\n", bad[i]);
			ok(false);
		}
	}
	is_int(id, 42); /* untouched on failure */
}

TEST(seen)
{
	static const char *const bad[] = {"",
					  "\n",
					  "7",
					  " 7\n",
					  "7 \n",
					  "-1\n",
					  "+7\n",
					  "7\n\n",
					  "0x7\n",
					  "7a\n",
					  "18446744073709551616\n",
					  "1111111111111111111111111\n"};
	uint64_t v = 5;

	is_int(rundir_seen_read(dir, &v), -ENOENT);
	is_int(rundir_seen_write(dir, 0), 0);
	is_int(rundir_seen_read(dir, &v), 0);
	is_int(v, 0);
	is_int(rundir_seen_write(dir, UINT64_MAX), 0);
	is_int(rundir_seen_read(dir, &v), 0);
	ok(v == UINT64_MAX);
	put("seen", "41\n", 3); /* what a person would write */
	is_int(rundir_seen_read(dir, &v), 0);
	is_int(v, 41);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put("seen", bad[i], strlen(bad[i]));
		if (rundir_seen_read(dir, &v) != -EPROTO) {
			printf("# accepted: %s\n", bad[i]);
			ok(false);
		}
	}
	put("seen", "7\0\n", 3);
	is_int(rundir_seen_read(dir, &v), -EPROTO);
	is_int(v, 41);
}

TEST(uuid)
{
	static const uint8_t u[16] = {0, 1, 0xab, 0xff, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xf0};
	uint8_t got[16];

	is_int(rundir_uuid_read(dir, got), -ENOENT);
	is_int(rundir_uuid_write(dir, u), 0);
	is_int(rundir_uuid_read(dir, got), 0);
	ok(memcmp(u, got, 16) == 0);
	put("uuid", "0001abff0405060708090a0b0c0d0ef0", 32);
	is_int(rundir_uuid_read(dir, got), 0);
	ok(memcmp(u, got, 16) == 0);
	put("uuid", "0001abff0405060708090a0b0c0d0ef", 31);
	is_int(rundir_uuid_read(dir, got), -EPROTO);
	put("uuid", "0001abff0405060708090a0b0c0d0ef0\n", 33);
	is_int(rundir_uuid_read(dir, got), -EPROTO);
	put("uuid", "0001abff0405060708090a0b0c0d0eg0", 32);
	is_int(rundir_uuid_read(dir, got), -EPROTO);
	put("uuid", "", 0);
	is_int(rundir_uuid_read(dir, got), -EPROTO);
}

TEST(look)
{
	struct rundir_evidence e;
	struct result r;

	is_int(rundir_look(dir, 42, 1, &e), 0);
	ok(!e.dir && !e.fresh && !e.started && !e.has_result);
	need(mkdirat(dir, "42.1", 0700) == 0);
	is_int(rundir_look(dir, 42, 1, &e), 0);
	ok(e.dir && !e.fresh && !e.started && !e.has_result);
	put("42.1/fresh", "", 0);
	is_int(rundir_look(dir, 42, 1, &e), 0);
	ok(e.dir && e.fresh && !e.started && !e.has_result);
	need(renameat(dir, "42.1/fresh", dir, "42.1/started") == 0);
	is_int(rundir_look(dir, 42, 1, &e), 0);
	ok(e.dir && !e.fresh && e.started && !e.has_result);
	put("42.1/fresh", "", 0); /* as if the rename came between two looks */
	is_int(rundir_look(dir, 42, 1, &e), 0);
	ok(!e.fresh && e.started && !e.swept);
	need(unlinkat(dir, "42.1/started", 0) == 0);
	need(renameat(dir, "42.1/fresh", dir, "42.1/swept") == 0);
	is_int(rundir_look(dir, 42, 1, &e), 0);
	ok(e.dir && e.swept && !e.fresh && !e.started);
	put("42.1/fresh", "", 0);
	is_int(rundir_look(dir, 42, 1, &e), 0);
	ok(e.swept && !e.fresh && !e.started);
	need(unlinkat(dir, "42.1/fresh", 0) == 0);
	need(renameat(dir, "42.1/swept", dir, "42.1/started") == 0);
	result_init(&r, 42, 1);
	r.flags = RESULT_HAS_STATUS;
	r.wait_status = 256;
	put("42.1/result", &r, sizeof(r));
	is_int(rundir_look(dir, 42, 1, &e), 0);
	ok(e.has_result);
	is_int(e.result.wait_status, 256);
	is_int(rundir_look(dir, 42, 2, &e), 0);
	ok(!e.dir);
}

TEST(look_reads_what_the_job_said)
{
	struct rundir_evidence e;
	struct progress p;

	need(mkdirat(dir, "46.2", 0700) == 0);
	is_int(rundir_look(dir, 46, 2, &e), 0);
	ok(e.dir && !e.has_progress);
	progress_init(&p, 46, 2);
	p.percent_milli = 42500;
	p.flags = PROGRESS_HAS_PERCENT;
	progress_seal(&p);
	put("46.2/progress", &p, sizeof(p));
	is_int(rundir_look(dir, 46, 2, &e), 0);
	ok(e.has_progress);
	is_int(e.progress.percent_milli, 42500);
	/* Half of it, more than it, or somebody else's: as if there were none, and no error. */
	put("46.2/progress", &p, sizeof(p) - 1);
	is_int(rundir_look(dir, 46, 2, &e), 0);
	ok(e.dir && !e.has_progress);
	put("46.2/progress", "", 0);
	is_int(rundir_look(dir, 46, 2, &e), 0);
	ok(!e.has_progress);
	{
		char longer[sizeof(p) + 1] = {0};

		memcpy(longer, &p, sizeof(p));
		put("46.2/progress", longer, sizeof(longer));
	}
	is_int(rundir_look(dir, 46, 2, &e), 0);
	ok(!e.has_progress);
	p.text[0] = 'x'; /* not sealed again */
	put("46.2/progress", &p, sizeof(p));
	is_int(rundir_look(dir, 46, 2, &e), 0);
	ok(!e.has_progress);
	progress_init(&p, 47, 2);
	progress_seal(&p);
	put("46.2/progress", &p, sizeof(p));
	is_int(rundir_look(dir, 46, 2, &e), 0);
	ok(!e.has_progress);
}

TEST(look_concludes_nothing_from_a_bad_result)
{
	struct rundir_evidence e = {.started = true};
	struct result r;

	need(mkdirat(dir, "43.1", 0700) == 0);
	put("43.1/started", "", 0);
	result_init(&r, 44, 1);
	r.flags = RESULT_HAS_STATUS;
	put("43.1/result", &r, sizeof(r));
	is_int(rundir_look(dir, 43, 1, &e), -EPROTO);
	r.id = 43;
	put("43.1/result", &r, sizeof(r) - 1);
	is_int(rundir_look(dir, 43, 1, &e), -EPROTO);
	put("43.1/result", "", 0);
	is_int(rundir_look(dir, 43, 1, &e), -EPROTO);
	{
		char longer[sizeof(r) + 1] = {0};

		memcpy(longer, &r, sizeof(r));
		put("43.1/result", longer, sizeof(longer));
	}
	is_int(rundir_look(dir, 43, 1, &e), -EPROTO);
	ok(e.dir && e.started && !e.fresh &&
	   !e.has_result); /* what else is there is told all the same */
}

TEST(look_follows_no_link)
{
	struct rundir_evidence e;

	need(symlinkat("42.1", dir, "45.1") == 0);
	ok(rundir_look(dir, 45, 1, &e) < 0);
}
