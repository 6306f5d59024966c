/* test_spec.c - record/spec.h: what was sealed is read back; what was not, or is not whole, is
 * refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "record/spec.h"
#include "tap.h"

enum { ALL_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

static char root[] = "/srv/data";
static uint32_t groups[] = {7, 4000000000u};

static void
fill(struct spec *s)
{
	*s = (struct spec){
		.id = 42,
		.attempt = 3,
		.uid = 1000,
		.gid = 1001,
		.groups = groups,
		.n_groups = 2,
		.umask = 027,
		.stop_signal = 15,
		.nice = -5,
		.deadline_ns = INT64_C(123456789012345),
		.grace_ns = 10,
		.limit_ns = INT64_C(123456789012346),
		.warn_ns = 11,
		.watchdog_ns = 12,
		.warn_signal = 64,
		.out_max = UINT64_C(1) << 40,
		.out_gid = 99,
		.memory_max = UINT64_C(1) << 30,
		.pids_max = 100,
		.cpu_percent = 150,
		.io_weight = 50,
		.rlimits = SPEC_LIMIT_OF(SPEC_NOFILE) | SPEC_LIMIT_OF(SPEC_CORE) |
			   SPEC_LIMIT_OF(SPEC_DATA),
		.limit = {[SPEC_NOFILE] = 1024, [SPEC_DATA] = SPEC_INFINITY},
		.cwd = root,
	};
	need(strv_add(&s->argv, "sh") == 0 && strv_add(&s->argv, "") == 0 &&
	     strv_add(&s->argv, "a b") == 0);
	need(strv_add(&s->env, "PATH=/bin") == 0 && strv_add(&s->env, "EMPTY=") == 0);
}

static void
drop(struct spec *s)
{
	strv_done(&s->argv);
	strv_done(&s->env);
}

/* The bytes of a valid spec, for tests that spoil them. */
static size_t
bytes_of(char *buf, size_t room)
{
	struct spec s;
	int fd;
	ssize_t n;

	fill(&s);
	fd = spec_seal(&s);
	drop(&s);
	need(fd >= 0);
	n = pread(fd, buf, room, 0);
	(void)close(fd);
	need(n > 0 && (size_t)n < room);
	return (size_t)n;
}

static int
read_bytes(const char *p, size_t n, int seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), r;
	struct spec s = {0};

	need(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	need(seals == 0 || fcntl(fd, F_ADD_SEALS, seals) == 0);
	r = spec_read(fd, &s);
	(void)close(fd);
	spec_done(&s);
	return r;
}

TEST(there_and_back)
{
	struct spec s, t;
	_close_ int fd = -1;

	fill(&s);
	fd = spec_seal(&s);
	need(fd >= 0);
	is_int(fcntl(fd, F_GET_SEALS) & ALL_SEALS, ALL_SEALS);
	is_int(write(fd, "x", 1), -1);
	for (int i = 0; i < 2; i++) { /* reading moves nothing */
		is_int(spec_read(fd, &t), 0);
		is_int(t.id, 42);
		is_int(t.attempt, 3);
		is_int(t.uid, 1000);
		is_int(t.gid, 1001);
		is_int(t.n_groups, 2);
		ok(memcmp(t.groups, groups, sizeof(groups)) == 0);
		is_int(t.umask, 027);
		is_int(t.stop_signal, 15);
		is_int(t.nice, -5);
		is_int(t.deadline_ns, s.deadline_ns);
		is_int(t.grace_ns, 10);
		is_int(t.limit_ns, s.limit_ns);
		is_int(t.warn_ns, 11);
		is_int(t.watchdog_ns, 12);
		is_int(t.warn_signal, 64);
		is_int(t.out_max, s.out_max);
		is_int(t.out_gid, 99);
		is_int(t.memory_max, 1 << 30);
		is_int(t.pids_max, 100);
		is_int(t.cpu_percent, 150);
		is_int(t.io_weight, 50);
		is_int(t.rlimits, s.rlimits);
		ok(memcmp(t.limit, s.limit, sizeof(t.limit)) == 0);
		is_str(t.cwd, root);
		is_int(t.argv.n, 3);
		ok(t.argv.size == s.argv.size &&
		   memcmp(t.argv.data, s.argv.data, s.argv.size) == 0);
		is_int(t.env.n, 2);
		ok(t.env.size == s.env.size && memcmp(t.env.data, s.env.data, s.env.size) == 0);
		spec_done(&t);
	}
	drop(&s);
}

TEST(no_environment_no_groups)
{
	char cwd[] = "/";
	struct spec s = {.id = 1,
			 .attempt = 1,
			 .stop_signal = 9,
			 .deadline_ns = 1,
			 .limit_ns = 1,
			 .cwd = cwd},
		    t;
	_close_ int fd = -1;

	need(strv_add(&s.argv, "true") == 0);
	fd = spec_seal(&s);
	need(fd >= 0);
	is_int(spec_read(fd, &t), 0);
	is_int(t.env.n, 0);
	ok(t.groups == NULL);
	spec_done(&t);
	drop(&s);
}

TEST(too_large)
{
	struct spec s;
	char *big = malloc(SPEC_MAX);

	need(big);
	fill(&s);
	memset(big, 'x', SPEC_MAX - 1);
	big[SPEC_MAX - 1] = '\0';
	need(strv_add(&s.argv, big) == 0);
	is_int(spec_seal(&s), -E2BIG);
	free(big);
	drop(&s);
}

TEST(every_seal_is_needed)
{
	static const int each[] = {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE};
	char buf[4096];
	size_t n = bytes_of(buf, sizeof(buf));

	is_int(read_bytes(buf, n, ALL_SEALS), 0);
	is_int(read_bytes(buf, n, 0), -EPROTO);
	for (size_t i = 0; i < ARRAY_SIZE(each); i++)
		is_int(read_bytes(buf, n, ALL_SEALS & ~each[i]), -EPROTO);
	is_int(read_bytes(buf, n, ALL_SEALS & ~F_SEAL_SEAL), -EPROTO);
}

TEST(no_memfd_at_all)
{
	struct spec s;
	int p[2];
	_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	is_int(spec_read(fd, &s), -EPROTO);
	is_int(spec_read(-1, &s), -EBADF);
	need(pipe2(p, O_CLOEXEC) == 0);
	is_int(spec_read(p[0], &s), -EPROTO);
	(void)close(p[0]);
	(void)close(p[1]);
}

TEST(cut_or_lengthened_anywhere)
{
	char buf[4096];
	size_t n = bytes_of(buf, sizeof(buf) - 1);

	for (size_t k = 1; k < n; k++)
		is_int(read_bytes(buf, k, ALL_SEALS), -EPROTO);
	buf[n] = '\0';
	is_int(read_bytes(buf, n + 1, ALL_SEALS), -EPROTO);
}

/* Whatever one byte becomes: read or refused, never a crash, and strings stay inside (the
 * sanitizers watch). */
TEST(any_byte_spoiled)
{
	char buf[4096];
	size_t n = bytes_of(buf, sizeof(buf));

	for (size_t i = 0; i < n; i++) {
		static const char masks[] = {1, 2, 64, -128, -1};

		for (size_t k = 0; k < sizeof(masks); k++) {
			int r;

			buf[i] ^= masks[k];
			r = read_bytes(buf, n, ALL_SEALS);
			ok(r == 0 || r == -EPROTO);
			buf[i] ^= masks[k];
		}
	}
}

/* Behind the fixed part of version 2: what is not used is 0. */
TEST(room_of_the_limits)
{
	char buf[4096];
	size_t n = bytes_of(buf, sizeof(buf));
	const size_t pad = 148, limit = 152, core = limit + 8 * SPEC_CORE;

	buf[core] = 1; /* asked for */
	is_int(read_bytes(buf, n, ALL_SEALS), 0);
	for (size_t i = pad; i < 280; i++) {
		bool used = i >= limit && (i - limit) / 8 < SPEC_RLIMITS &&
			    ((i - limit) / 8 == SPEC_NOFILE || (i - limit) / 8 == SPEC_CORE ||
			     (i - limit) / 8 == SPEC_DATA);

		buf[i] ^= 1;
		is_int(read_bytes(buf, n, ALL_SEALS), used ? 0 : -EPROTO);
		buf[i] ^= 1;
	}
}

static int
read_changed(void (*change)(struct spec *s))
{
	struct spec s, t = {0};
	int fd, r;

	fill(&s);
	change(&s);
	fd = spec_seal(&s);
	drop(&s);
	if (fd < 0)
		return fd;
	r = spec_read(fd, &t);
	(void)close(fd);
	spec_done(&t);
	return r;
}

#define REFUSED(name, change)                                                                      \
	static void change_##name(struct spec *s)                                                  \
	{                                                                                          \
		change;                                                                            \
	}                                                                                          \
	TEST(refused_##name)                                                                       \
	{                                                                                          \
		is_int(read_changed(change_##name), -EPROTO);                                      \
	}
static char relative[] = "tmp", empty[] = "";
REFUSED(id_zero, s->id = 0)
REFUSED(id_negative, s->id = UINT64_MAX)
REFUSED(attempt_zero, s->attempt = 0)
REFUSED(uid_minus_one, s->uid = UINT32_MAX)
REFUSED(gid_minus_one, s->gid = UINT32_MAX)
REFUSED(umask_large, s->umask = 01000)
REFUSED(signal_zero, s->stop_signal = 0)
REFUSED(signal_large, s->stop_signal = 65)
REFUSED(nice_large, s->nice = 41)
REFUSED(no_deadline, s->deadline_ns = 0)
REFUSED(grace_negative, s->grace_ns = -1)
REFUSED(limit_before_deadline, s->limit_ns = s->deadline_ns - 1)
REFUSED(no_limit, s->limit_ns = 0)
REFUSED(warn_negative, s->warn_ns = -1)
REFUSED(watchdog_negative, s->watchdog_ns = -1)
REFUSED(warn_without_signal, s->warn_signal = 0)
REFUSED(warn_signal_large, s->warn_signal = 65)
REFUSED(warn_signal_negative, s->warn_signal = -1)
REFUSED(cpu_large, s->cpu_percent = SPEC_CPU_MAX + 1)
REFUSED(io_weight_large, s->io_weight = SPEC_IO_WEIGHT_MAX + 1)
REFUSED(memory_huge, s->memory_max = UINT64_MAX)
REFUSED(pids_huge, s->pids_max = INT32_MAX + UINT64_C(1))
REFUSED(rlimit_unknown, s->rlimits = SPEC_LIMIT_OF(SPEC_RLIMITS))
REFUSED(rlimit_bit_of_another_kind, s->rlimits = SPEC_LIMIT_NICE)
REFUSED(cwd_relative, s->cwd = relative)
REFUSED(cwd_empty, s->cwd = empty)
REFUSED(no_argv, strv_done(&s->argv))
REFUSED(argv_count, s->argv.n++)
REFUSED(env_count, s->env.n--)
REFUSED(env_without_value, need(strv_add(&s->env, "NOVALUE") == 0))
REFUSED(env_without_name, need(strv_add(&s->env, "=x") == 0))
