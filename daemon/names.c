/* names.c - users and groups of the configuration, by name service.
 *
 * A name service may be a daemon or a server somewhere, and be slow or stuck; and its libraries
 * stay in the process that asked. So a child asks, and is waited for only so long. */
#include "names.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "core/policy.h"

enum {
	ENTRY_START = 1024,  /* bytes */
	ENTRY_MAX = 4 << 20, /* groups with very many members exist */
	WAIT_SECONDS = 10,   /* for all names together; less than the watchdog's patience */
};

struct answer {    /* of the child */
	int32_t r; /* 0, or negative errno; -ENOENT: unknown */
	uint32_t id;
};

/* One try with SIZE bytes of room. 0, -ENOENT: unknown, -ERANGE: too small, or another negative
 * errno. */
static int
lookup_try(const char *name, bool group, char *room, size_t size, uint32_t *ret)
{
	struct passwd pw, *found_pw = NULL;
	struct group gr, *found_gr = NULL;
	int r;

	do
		r = group ? getgrnam_r(name, &gr, room, size, &found_gr)
			  : getpwnam_r(name, &pw, room, size, &found_pw);
	while (r == EINTR);
	/* "Not found" has many names: see ERRORS of getpwnam(3). */
	if (r == ENOENT || r == ESRCH || r == EBADF || r == EPERM)
		return -ENOENT;
	if (r != 0)
		return r > 0 ? -r : -EIO;
	if (found_gr)
		*ret = gr.gr_gid;
	else if (found_pw)
		*ret = pw.pw_uid;
	else
		return -ENOENT;
	return 0;
}

static int
lookup(const char *name, bool group, uint32_t *ret)
{
	for (size_t size = ENTRY_START; size <= ENTRY_MAX; size *= 4) {
		_free_ char *room = malloc(size);
		int r;

		if (!room)
			return -ENOMEM;
		r = lookup_try(name, group, room, size, ret);
		if (r != -ERANGE)
			return r;
	}
	return -ERANGE;
}

/* The child: an answer for each name, in their order. */
static void __attribute__((noreturn)) answer_all(const struct policy_names *names, int fd)
{
	for (size_t i = 0; i < names->n; i++) {
		bool group = names->v[i][0] == '@';
		struct answer a = {0};

		a.r = lookup(names->v[i] + group, group, &a.id);
		if (file_write_full(fd, &a, sizeof(a)) < 0)
			break;
	}
	_exit(0);
}

/* Wait for the next answer, until END. It is written at once, so one read has all of it. */
static int
answer_read(int fd, struct mono end, struct answer *ret)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	ssize_t n;
	int r;

	do {
		int64_t ms = mono_diff(end, mono_now()).ns / NSEC_PER_MSEC;

		r = poll(&p, 1, ms > 0 ? (int)ms : 0);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (r == 0)
		return -ETIMEDOUT;
	n = file_read_full(fd, ret, sizeof(*ret));
	if (n < 0)
		return (int)n;
	return n == sizeof(*ret) ? 0 : -EIO;
}

static int
add(uint32_t **ids, size_t *n, uint32_t id)
{
	uint32_t *bigger = reallocarray(*ids, *n + 1, sizeof(**ids));

	if (!bigger)
		return -ENOMEM;
	*ids = bigger;
	bigger[(*n)++] = id;
	return 0;
}

/* Take the answer R, ID for NAME. 0 or what is wrong, said. */
static int
take(struct policy_ids *ids, const char *name, int r, uint32_t id, names_bad_fn on_bad, void *arg)
{
	bool group = name[0] == '@';
	char why[160];

	if (r == 0)
		return group ? add(&ids->gids, &ids->n_gids, id)
			     : add(&ids->uids, &ids->n_uids, id);
	if (r == -ENOENT) {
		on_bad(arg, name,
		       group ? "is no group of this system" : "is no user of this system");
		return -EINVAL;
	}
	snprintf(why, sizeof(why), "cannot be looked up: %s",
		 r == -ETIMEDOUT ? "the name service does not answer" : strerror(-r));
	on_bad(arg, name, why);
	return r;
}

static int
take_all(const struct policy_names *names, struct policy_ids *ret, int fd, names_bad_fn on_bad,
	 void *arg)
{
	struct mono end = mono_add(mono_now(), dur_sec(WAIT_SECONDS));
	int worst = 0;

	for (size_t i = 0; i < names->n; i++) {
		struct answer a = {0};
		int r = answer_read(fd, end, &a), said;

		said = take(ret, names->v[i], r < 0 ? r : a.r, a.id, on_bad, arg);
		if (said == -EINVAL || worst == 0)
			worst = said;
		if (r < 0) /* nor will there be another */
			break;
	}
	return worst;
}

int
names_resolve(const struct policy_names *names, struct policy_ids *ret, names_bad_fn on_bad,
	      void *arg)
{
	_close_ int rd = -1, wr = -1;
	int fds[2], r;
	pid_t pid;

	policy_ids_done(ret);
	if (names->n == 0)
		return 0;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_raise(-errno, "pipe for the name service");
	rd = fds[0];
	wr = fds[1];
	pid = fork();
	if (pid < 0)
		return err_raise(-errno, "fork for the name service");
	if (pid == 0)
		answer_all(names, wr);
	(void)close(take_fd(wr));
	r = take_all(names, ret, rd, on_bad, arg);
	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return r;
}
