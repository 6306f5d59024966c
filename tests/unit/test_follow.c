/* test_follow.c - being told of changes, through inotify and by timer. */
#include <ev.h>
#include <fcntl.h>

#include "base/clock.h"
#include "base/mem.h"
#include "exec/follow.h"
#include "tap.h"

struct probe {
	struct follow_watch w;
	int told;
};

static void
on_change(struct follow_watch *w)
{
	container_of(w, struct probe, w)->told++;
}

static void
probe_init(struct probe *p)
{
	*p = (struct probe){.w.on_change = on_change};
	list_init(&p->w.link);
}

static int
temp_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	need(fd >= 0);
	return fd;
}

static void
run_until(struct probe *p, int n)
{
	struct mono end = mono_add(mono_now(), dur_sec(20));

	while (p->told < n && mono_now().ns < end.ns)
		ev_run(ev_default_loop(0), EVRUN_ONCE);
	ok(p->told >= n);
}

TEST(a_write_is_told_to_all_who_follow_the_file_and_to_no_other)
{
	struct follow *f = follow_new(ev_default_loop(0));
	int a = temp_file(), b = temp_file();
	struct probe one, two, other;

	need(f != NULL);
	probe_init(&one);
	probe_init(&two);
	probe_init(&other);
	follow_add(f, a, &one.w);
	follow_add(f, a, &two.w);
	follow_add(f, b, &other.w);
	is_int(follow_files(f), 2);
	need(write(a, "x", 1) == 1);
	run_until(&one, 1);
	run_until(&two, 1);
	is_int(other.told, 0);
	follow_remove(f, &one.w);
	is_int(follow_files(f), 2);
	need(write(a, "x", 1) == 1);
	run_until(&two, 2);
	is_int(one.told, 1);
	follow_remove(f, &two.w);
	follow_remove(f, &other.w);
	follow_remove(f, &other.w);
	is_int(follow_files(f), 0);
	(void)follow_free(f);
	(void)close(a);
	(void)close(b);
}

TEST(without_a_file_the_timer_asks)
{
	struct follow *f = follow_new(ev_default_loop(0));
	struct probe p;

	need(f != NULL);
	probe_init(&p);
	follow_add(f, -1, &p.w);
	is_int(follow_files(f), 0);
	run_until(&p, 2);
	follow_remove(f, &p.w);
	(void)follow_free(f);
}

TEST(many_come_and_go_and_nothing_is_left)
{
	struct follow *f = follow_new(ev_default_loop(0));

	need(f != NULL);
	for (int i = 0; i < 2000; i++) {
		int fd = temp_file();
		struct probe p;

		probe_init(&p);
		follow_add(f, fd, &p.w);
		need(write(fd, "x", 1) == 1);
		if (i % 100 == 0)
			run_until(&p, 1);
		follow_remove(f, &p.w);
		(void)close(fd);
		ev_run(ev_default_loop(0), EVRUN_NOWAIT);
	}
	is_int(follow_files(f), 0);
	(void)follow_free(f);
}
