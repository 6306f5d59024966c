/* limits.c - limits of a job, and what it used; see limits.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "record/result.h"
#include "record/spec.h"
#include "spawner/limits.h"

enum { CPU_PERIOD_US = 100000, WEIGHT_DEFAULT = 100, BFQ_WEIGHT_MAX = 1000 };

static const struct controller {
	uint32_t bit;
	const char *name, *key;
} controllers[] = {
	{SPEC_LIMIT_MEMORY_MAX, "memory", "memory_max"},
	{SPEC_LIMIT_CPU_MAX, "cpu", "cpu_max"},
	{SPEC_LIMIT_PIDS_MAX, "pids", "pids_max"},
	{SPEC_LIMIT_IO_WEIGHT, "io", "io_weight"},
};
static const int resources[SPEC_RLIMITS] = {
	[SPEC_NOFILE] = RLIMIT_NOFILE,   [SPEC_NPROC] = RLIMIT_NPROC, [SPEC_CORE] = RLIMIT_CORE,
	[SPEC_FSIZE] = RLIMIT_FSIZE,     [SPEC_AS] = RLIMIT_AS,       [SPEC_STACK] = RLIMIT_STACK,
	[SPEC_MEMLOCK] = RLIMIT_MEMLOCK, [SPEC_CPU] = RLIMIT_CPU,     [SPEC_DATA] = RLIMIT_DATA,
};

/* A whole small file of a cgroup as text; false: it is not there, or too large to be believed. */
static bool
read_text(int dir, const char *name, char *text, size_t size)
{
	ssize_t n = file_read_at(dir, name, text, size - 1);

	text[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

static int
write_text(int dir, const char *name, const char *text)
{
	_close_ int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : file_write_full(fd, text, strlen(text));
}

static bool
has_word(const char *text, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = text; (p = strstr(p, word)); p += n) {
		if ((p == text || p[-1] == ' ') && strchr(" \n", p[n]))
			return true;
	}
	return false;
}

/* The controllers in the file NAME as bits; 0 too where it cannot be read. */
static uint32_t
controllers_in(int dir, const char *name)
{
	char text[256];
	uint32_t bits = 0;

	if (!read_text(dir, name, text, sizeof(text)))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		if (has_word(text, controllers[i].name))
			bits |= controllers[i].bit;
	}
	return bits;
}

/* A cgroup that holds a process can give memory and io to none below it. With the others, which
 * know threads, it would become the root of a threaded tree, in which no job could be started. */
static bool
holds_processes(int parent_fd)
{
	char text[16];

	return file_read_at(parent_fd, "cgroup.procs", text, sizeof(text)) != 0;
}

/* One at a time: one that is refused does not keep the others away. */
static int
enable(int parent_fd, const struct controller *c)
{
	char text[16];

	if (holds_processes(parent_fd))
		return -EBUSY;
	(void)snprintf(text, sizeof(text), "+%s", c->name);
	return write_text(parent_fd, "cgroup.subtree_control", text);
}

uint32_t
limits_enable(int parent_fd)
{
	uint32_t there = controllers_in(parent_fd, "cgroup.controllers"), on;
	int failed[ARRAY_SIZE(controllers)] = {0};

	on = controllers_in(parent_fd, "cgroup.subtree_control");
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		if (there & ~on & controllers[i].bit)
			failed[i] = enable(parent_fd, &controllers[i]);
	}
	on = controllers_in(parent_fd, "cgroup.subtree_control");
	for (size_t i = 0; i < ARRAY_SIZE(controllers); i++) {
		if (!(on & controllers[i].bit))
			log_warn("%s of classes cannot be enforced: the controller %s %s%s; "
				 "continuing",
				 controllers[i].key, controllers[i].name,
				 failed[i] ? "cannot be given to jobs: " : "is not there",
				 failed[i] ? strerror(-failed[i]) : "");
	}
	return on;
}

/* ---- a cgroup */

static int
set_number(int dir, const char *name, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%ju", (uintmax_t)v);
	return write_text(dir, name, text);
}

/* All of it dies, or nothing: half a job is of no use, and its end would name no cause. Where the
 * kernel is older than this file, it kills one process at a time. */
static int
set_memory(int dir, const struct spec *s)
{
	(void)write_text(dir, "memory.oom.group", "1");
	return s->memory_max ? set_number(dir, "memory.max", s->memory_max) : 0;
}

static int
set_cpu(int dir, const struct spec *s)
{
	char text[48];

	(void)snprintf(text, sizeof(text), "%ju %d",
		       (uintmax_t)s->cpu_percent * (CPU_PERIOD_US / 100), (int)CPU_PERIOD_US);
	return write_text(dir, "cpu.max", text);
}

/* That of the scheduler BFQ goes to 1000 only: what is above 100 is spread over the rest. */
static int
set_io(int dir, const struct spec *s)
{
	uint32_t w = s->io_weight;
	int r = set_number(dir, "io.weight", w);

	if (r != -ENOENT)
		return r;
	if (w > WEIGHT_DEFAULT)
		w = WEIGHT_DEFAULT + (w - WEIGHT_DEFAULT) * (BFQ_WEIGHT_MAX - WEIGHT_DEFAULT) /
					     (SPEC_IO_WEIGHT_MAX - WEIGHT_DEFAULT);
	return set_number(dir, "io.bfq.weight", w);
}

static uint32_t
asked(const struct spec *s)
{
	return (s->memory_max ? SPEC_LIMIT_MEMORY_MAX : 0u) |
	       (s->cpu_percent ? SPEC_LIMIT_CPU_MAX : 0u) |
	       (s->pids_max ? SPEC_LIMIT_PIDS_MAX : 0u) |
	       (s->io_weight ? SPEC_LIMIT_IO_WEIGHT : 0u);
}

uint32_t
limits_cgroup(int cgroup_fd, uint32_t enabled, const struct spec *s)
{
	uint32_t want = asked(s), missed;

	if (cgroup_fd < 0)
		return want;
	missed = want & ~enabled;
	want &= enabled;
	if (enabled & SPEC_LIMIT_MEMORY_MAX && set_memory(cgroup_fd, s) < 0)
		missed |= SPEC_LIMIT_MEMORY_MAX;
	if (want & SPEC_LIMIT_CPU_MAX && set_cpu(cgroup_fd, s) < 0)
		missed |= SPEC_LIMIT_CPU_MAX;
	if (want & SPEC_LIMIT_PIDS_MAX && set_number(cgroup_fd, "pids.max", s->pids_max) < 0)
		missed |= SPEC_LIMIT_PIDS_MAX;
	if (want & SPEC_LIMIT_IO_WEIGHT && set_io(cgroup_fd, s) < 0)
		missed |= SPEC_LIMIT_IO_WEIGHT;
	return missed;
}

/* ---- a process */

/* False: not, or not as far as asked. Without the right to raise a hard limit the old one stays the
 * most that can be had. */
static bool
set_resource(int resource, uint64_t v)
{
	rlim_t want = v == SPEC_INFINITY ? RLIM_INFINITY : (rlim_t)v;
	struct rlimit now, l = {want, want};

	if (setrlimit(resource, &l) == 0)
		return true;
	if (errno != EPERM || getrlimit(resource, &now) < 0)
		return false;
	l.rlim_cur = l.rlim_max = now.rlim_max;
	(void)setrlimit(resource, &l);
	return false;
}

static bool
add_nice(int by)
{
	int now;

	errno = 0;
	now = getpriority(PRIO_PROCESS, 0);
	if (now == -1 && errno)
		return false;
	return setpriority(PRIO_PROCESS, 0, now + by) == 0;
}

uint32_t
limits_process(const struct spec *s)
{
	uint32_t missed = 0;

	if (s->nice && !add_nice(s->nice))
		missed |= SPEC_LIMIT_NICE;
	for (unsigned i = 0; i < SPEC_RLIMITS; i++) {
		if (s->rlimits & SPEC_LIMIT_OF(i) && !set_resource(resources[i], s->limit[i]))
			missed |= SPEC_LIMIT_OF(i);
	}
	return missed;
}

/* ---- the end */

/* The number behind KEY, which begins a line of TEXT, or any word when SEP is a blank. */
static bool
number_at(const char *p, uint64_t *ret)
{
	char digits[24];
	size_t n = strspn(p, "0123456789");

	if (n == 0 || n >= sizeof(digits))
		return false;
	memcpy(digits, p, n);
	digits[n] = '\0';
	return text_u64(digits, ret) == 0;
}

static bool
line_number(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, key, n) == 0 && p[n] == ' ')
			return number_at(p + n + 1, ret);
	}
	return false;
}

/* Of all devices together. */
static uint64_t
sum_of(const char *text, const char *key)
{
	uint64_t sum = 0, v;

	for (const char *p = text; (p = strstr(p, key)); p++) {
		if (number_at(p + strlen(key), &v))
			sum += v;
	}
	return sum;
}

static void
look_for_oom(int dir, struct result *r)
{
	char text[512];
	uint64_t kills = 0, ooms = 0;

	if (!read_text(dir, "memory.events", text, sizeof(text)) ||
	    !line_number(text, "oom_kill", &kills) || kills == 0)
		return;
	r->oom_kills = kills < UINT32_MAX ? (uint32_t)kills : UINT32_MAX;
	/* That its own limit was what it ran into: else memory was short for all. */
	if (line_number(text, "oom", &ooms) && ooms > 0)
		r->flags |= RESULT_OOM_AT_LIMIT;
}

void
limits_usage(int cgroup_fd, struct result *r)
{
	char text[4096];
	uint64_t user, system, peak;

	if (read_text(cgroup_fd, "cpu.stat", text, sizeof(text)) &&
	    line_number(text, "user_usec", &user) && line_number(text, "system_usec", &system)) {
		r->user_us = user;
		r->system_us = system;
	}
	if (read_text(cgroup_fd, "memory.peak", text, sizeof(text)) && number_at(text, &peak)) {
		r->memory_peak_bytes = peak;
		r->flags |= RESULT_HAS_MEMORY_PEAK;
	}
	if (read_text(cgroup_fd, "io.stat", text, sizeof(text))) {
		r->io_read_bytes = sum_of(text, "rbytes=");
		r->io_write_bytes = sum_of(text, "wbytes=");
		r->flags |= RESULT_HAS_IO;
	}
	look_for_oom(cgroup_fd, r);
}
