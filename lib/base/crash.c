/* crash.c - dying at a named point, see crash.h. Reads the environment anew each time: a test is in
 * no hurry, and a monitor, which is a fork, has it from its spawner. */
#include "base/crash.h"

#ifdef CTX_CRASH_POINTS
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"

enum {
	NAME_MAX_SIZE = 64,
	COMMITS_MAX = 64,
	LINE_MAX_SIZE = 32,
	PIDS_MAX_SIZE = 65536,
	ARMED_MAX = 8
};
enum { WITH_CTXD = 1, WITH_SPAWNER = 2, WITH_MONITORS = 4, WITH_ALL = 7 };

struct armed {
	char name[NAME_MAX_SIZE];
	uint64_t nth;
	unsigned with;
};

/* How often this process, and those it is a fork of, came by the points that are armed. */
static uint64_t passed[ARMED_MAX];

static struct {
	const char *name[COMMITS_MAX];
	size_t n;      /* noted */
	size_t n_open; /* of these, in the transaction that is being committed */
} commits;

static bool
take(const char **p, const char *word)
{
	size_t n = strlen(word);

	if (strncmp(*p, word, n) != 0)
		return false;
	*p += n;
	return true;
}

/* One item of the list; false: there is none. What is malformed shall not look like a survival. */
static bool
next_armed(const char **p, struct armed *ret)
{
	char number[LINE_MAX_SIZE];
	size_t n = strcspn(*p, ":+,");

	if (n == 0)
		return false;
	if (n >= sizeof(ret->name))
		abort();
	*ret = (struct armed){.nth = 1};
	memcpy(ret->name, *p, n);
	*p += n;
	if (take(p, ":")) {
		n = strcspn(*p, "+,");
		if (n == 0 || n >= sizeof(number))
			abort();
		memcpy(number, *p, n);
		number[n] = '\0';
		if (text_u64(number, &ret->nth) < 0)
			abort();
		*p += n;
	}
	while (take(p, "+")) {
		if (take(p, "all"))
			ret->with |= WITH_ALL;
		else if (take(p, "ctxd"))
			ret->with |= WITH_CTXD;
		else if (take(p, "spawner"))
			ret->with |= WITH_SPAWNER;
		else if (take(p, "monitors"))
			ret->with |= WITH_MONITORS;
		else
			abort();
	}
	(void)take(p, ",");
	return true;
}

static int
open_beside(const char *suffix, int flags)
{
	const char *file = getenv("CTX_CRASH_FILE");
	char path[PATH_MAX];
	int n = file ? snprintf(path, sizeof(path), "%s.%s", file, suffix) : -1;

	return n < 0 || (size_t)n >= sizeof(path) ? -1 : open(path, flags | O_CLOEXEC, 0666);
}

static void
write_pid(int fd)
{
	char line[LINE_MAX_SIZE];
	int n = snprintf(line, sizeof(line), "%d\n", (int)getpid());

	if (write(fd, line, (size_t)n) != n)
		abort();
}

void
crash_process(void)
{
	int fd = open_beside("pids", O_WRONLY | O_CREAT | O_APPEND);

	if (fd < 0)
		return;
	write_pid(fd);
	(void)close(fd);
}

/* Of which kind is the process that has this id now? */
static unsigned
kind_of(const char *pid)
{
	char path[LINE_MAX_SIZE * 2], name[LINE_MAX_SIZE] = "";
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read(fd, name, sizeof(name) - 1);
	(void)close(fd);
	if (n <= 0)
		return 0;
	return strcmp(name, "ctxd\n") == 0          ? WITH_CTXD
	       : strcmp(name, "ctx-spawner\n") == 0 ? WITH_SPAWNER
	       : strcmp(name, "ctx-monitor\n") == 0 ? WITH_MONITORS
						    : 0;
}

/* The ids in FD, separated by spaces or lines. FORKS: they are this process's children, of which
 * one that has not got its own name yet is a monitor. */
static void
kill_listed(int fd, unsigned with, bool forks)
{
	static char text[PIDS_MAX_SIZE];
	char *save = NULL;
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		(void)close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	for (char *w = strtok_r(text, " \n", &save); w; w = strtok_r(NULL, " \n", &save)) {
		uint64_t pid;
		unsigned kind = kind_of(w);

		if (forks && kind == WITH_SPAWNER)
			kind = WITH_MONITORS;
		if (text_u64(w, &pid) == 0 && pid > 1 && (pid_t)pid != getpid() && kind & with)
			(void)kill((pid_t)pid, SIGKILL);
	}
}

static bool
am_spawner(void)
{
	return kind_of("self") == WITH_SPAWNER;
}

static void
take_along(unsigned with)
{
	char path[LINE_MAX_SIZE * 2];

	if (!with)
		return;
	/* A fork that has not put itself down yet is found as a child. */
	(void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	kill_listed(open_beside("pids", O_RDONLY), with, false);
	if (with & WITH_MONITORS)
		kill_listed(open(path, O_RDONLY | O_CLOEXEC), WITH_MONITORS, am_spawner());
}

static void
die(const struct armed *a)
{
	int fd = open_beside(a->name, O_WRONLY | O_CREAT | O_EXCL);

	if (fd < 0 && getenv("CTX_CRASH_FILE")) /* it has killed already */
		return;
	if (fd >= 0)
		write_pid(fd);
	take_along(a->with);
	(void)kill(getpid(), SIGKILL);
	abort();
}

void
crash_point(const char *name)
{
	const char *p = getenv("CTX_CRASH_AT");
	struct armed a;

	for (size_t i = 0; p && i < ARMED_MAX && next_armed(&p, &a); i++) {
		if (strcmp(a.name, name) == 0 && ++passed[i] == a.nth)
			die(&a);
	}
}

void
crash_commit(const char *name)
{
	for (size_t i = commits.n_open; i < commits.n; i++) {
		if (strcmp(commits.name[i], name) == 0)
			return;
	}
	if (commits.n < COMMITS_MAX)
		commits.name[commits.n++] = name;
}

void
crash_commit_stage(enum crash_stage stage)
{
	static const char *const suffix[] = {
		[CRASH_COMMIT_NEXT] = "commit",
		[CRASH_COMMITTED] = "committed",
		[CRASH_ANSWERED] = "answered",
		[CRASH_DONE] = "done",
	};
	char name[NAME_MAX_SIZE];

	if (stage == CRASH_COMMIT_NEXT)
		commits.n_open = commits.n;
	for (size_t i = 0; i < commits.n_open; i++) {
		(void)snprintf(name, sizeof(name), "%s.%s", commits.name[i], suffix[stage]);
		crash_point(name);
	}
	if (stage != CRASH_DONE)
		return;
	commits.n -= commits.n_open; /* an effect may have noted more */
	memmove(commits.name, commits.name + commits.n_open, commits.n * sizeof(commits.name[0]));
	commits.n_open = 0;
}
#endif
