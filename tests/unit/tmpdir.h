/* tmpdir.h - a directory of its own for a test program: open as `dir`, named `dir_path`, removed
 * with all that is in it. */
#ifndef CTX_TESTS_TMPDIR_H
#define CTX_TESTS_TMPDIR_H

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char dir_path[] = "/tmp/test.XXXXXX";
static int dir = -1;

__attribute__((constructor)) static void
setup(void)
{
	if (mkdtemp(dir_path))
		dir = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		abort();
}

static int
drop(const char *path, const struct stat *st, int what, struct FTW *at)
{
	(void)st, (void)what, (void)at;
	return remove(path);
}

__attribute__((destructor)) static void
cleanup(void)
{
	if (nftw(dir_path, drop, 8, FTW_DEPTH | FTW_PHYS) != 0)
		fprintf(stderr, "left behind: %s\n", dir_path);
}

#endif
