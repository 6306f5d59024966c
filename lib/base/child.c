/* child.c - starting a program to read what it writes, see child.h. */
#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <unistd.h>

#include "base/mem.h"

static int
prepare(posix_spawn_file_actions_t *fa, posix_spawnattr_t *at, int out)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	if (posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0) ||
	    posix_spawn_file_actions_adddup2(fa, out, 1) ||
	    posix_spawn_file_actions_addopen(fa, 2, "/dev/null", O_WRONLY, 0) ||
	    posix_spawnattr_setsigmask(at, &none) || posix_spawnattr_setsigdefault(at, &all) ||
	    posix_spawnattr_setflags(at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
		return -ENOMEM;
	return 0;
}

static int
spawn(const char *program, char *const argv[], int out, pid_t *ret)
{
	char path[] = "PATH=/usr/bin:/bin", *envp[] = {path, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int r;

	if (posix_spawn_file_actions_init(&fa))
		return -ENOMEM;
	if (posix_spawnattr_init(&at)) {
		(void)posix_spawn_file_actions_destroy(&fa);
		return -ENOMEM;
	}
	r = prepare(&fa, &at, out);
	if (r == 0)
		r = -posix_spawnp(ret, program, &fa, &at, argv, envp);
	(void)posix_spawnattr_destroy(&at);
	(void)posix_spawn_file_actions_destroy(&fa);
	return r;
}

int
child_start(const char *program, char *const argv[], int *ret_fd, pid_t *ret_pid)
{
	_close_ int in = -1, out = -1;
	int p[2], r;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	in = p[0];
	out = p[1];
	if (fcntl(in, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	r = spawn(program, argv, out, ret_pid);
	if (r == 0)
		*ret_fd = take_fd(in);
	return r;
}
