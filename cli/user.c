/* user.c - a user's name to a uid. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/user.h"

#define PASSWD_MAX ((size_t)16 << 20)

enum { GETENT_MAX = 64 << 10, GETENT_MS = 5000, READ_SIZE = 4096 };

extern char **environ;

/* NAME:x:UID:… */
static int
line_uid(const char *line, size_t n, const char *name, uint32_t *ret)
{
	size_t len = strlen(name), digits;
	const char *end = line + n, *p;
	char number[16];
	uint64_t uid;

	if (n <= len || memcmp(line, name, len) != 0 || line[len] != ':')
		return USER_E_UNKNOWN;
	p = memchr(line + len + 1, ':', (size_t)(end - line) - len - 1);
	if (!p)
		return USER_E_UNKNOWN;
	p++;
	for (digits = 0; p + digits < end && p[digits] != ':';)
		digits++;
	if (digits >= sizeof(number))
		return USER_E_UNKNOWN;
	memcpy(number, p, digits);
	number[digits] = '\0';
	if (text_u64(number, &uid) < 0 || uid >= UINT32_MAX)
		return USER_E_UNKNOWN;
	*ret = (uint32_t)uid;
	return 0;
}

int
user_in_passwd(const char *text, size_t size, const char *name, uint32_t *ret_uid)
{
	while (size > 0) {
		const char *nl = memchr(text, '\n', size);
		size_t n = nl ? (size_t)(nl - text) : size;

		if (line_uid(text, n, name, ret_uid) == 0)
			return 0;
		n += nl != NULL;
		text += n;
		size -= n;
	}
	return USER_E_UNKNOWN;
}

static int
read_passwd(struct buf *b)
{
	_close_ int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return -errno;
	for (;;) {
		char *p = buf_reserve(b, READ_SIZE);
		ssize_t n;

		if (!p)
			return b->failed;
		n = file_read_full(fd, p, READ_SIZE);
		if (n < 0)
			return (int)n;
		buf_wrote(b, (size_t)n);
		if (n == 0)
			return 0;
	}
}

/* All that FD gives until its end, within the time limit. */
static int
read_answer(int fd, struct buf *b)
{
	struct mono until = mono_add(mono_now(), (struct dur){GETENT_MS * NSEC_PER_MSEC});

	for (;;) {
		int64_t ms = mono_diff(until, mono_now()).ns / NSEC_PER_MSEC;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		char *to;
		ssize_t n;

		if (ms <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)ms) < 0 && errno != EINTR)
			return -errno;
		if (!p.revents)
			continue;
		to = buf_reserve(b, READ_SIZE);
		if (!to)
			return b->failed;
		n = read(fd, to, READ_SIZE);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0;
		buf_wrote(b, n > 0 ? (size_t)n : 0);
	}
}

static int
start_getent(const char *name, int out, pid_t *ret)
{
	const char *argv[] = {"getent", "passwd", "--", name, NULL};
	posix_spawn_file_actions_t fa;
	int r = posix_spawn_file_actions_init(&fa);

	if (r)
		return -r;
	r = posix_spawn_file_actions_adddup2(&fa, out, STDOUT_FILENO);
	if (!r)
		r = posix_spawn_file_actions_addopen(&fa, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
	if (!r)
		r = posix_spawnp(ret, "getent", &fa, NULL, (char *const *)(uintptr_t)argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	return -r;
}

static int
ask_getent(const char *name, struct buf *b)
{
	int p[2] = {-1, -1}, r, status = 0;
	pid_t pid = 0;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	r = start_getent(name, p[1], &pid);
	(void)close(p[1]);
	if (r == 0 && pid > 0) {
		r = read_answer(p[0], b);
		if (r < 0)
			(void)kill(pid, SIGKILL);
		while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
			continue;
	}
	(void)close(p[0]);
	return r;
}

int
user_find(const char *name, uint32_t *ret_uid)
{
	_cleanup_(buf_done) struct buf b = {.max = PASSWD_MAX};
	uint64_t uid;
	int r = text_u64(name, &uid);

	if (r == 0 && uid < UINT32_MAX) {
		*ret_uid = (uint32_t)uid;
		return 0;
	}
	if (r != -EINVAL || !*name || strpbrk(name, ":\n"))
		return USER_E_UNKNOWN;
	if (read_passwd(&b) == 0 && user_in_passwd(buf_head(&b), buf_len(&b), name, ret_uid) == 0)
		return 0;
	buf_done(&b);
	buf_init(&b, GETENT_MAX);
	r = ask_getent(name, &b);
	if (r == -ENOENT)
		return USER_E_UNKNOWN; /* no getent here */
	return r < 0 ? r : user_in_passwd(buf_head(&b), buf_len(&b), name, ret_uid);
}
