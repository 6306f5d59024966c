/* linger.c - does a ctxd outlive its user's last logout? Told by its cgroup, and by what logind
 * writes down of a user and of who lingers: no bus is asked, and no name service, which a static
 * program had better not. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/linger.h"

#define LINGER_DIR "/var/lib/systemd/linger"

enum { FILE_MOST = 8192 };

/* A small file as a text: 0 or -1. */
static int
read_text(const char *path, char text[FILE_MOST])
{
	ssize_t n = file_read_at(AT_FDCWD, path, text, FILE_MOST - 1);

	text[n < 0 ? 0 : n] = '\0';
	return n > 0 ? 0 : -1;
}

/* The value of NAME=, which logind's file of a user has; cut out of TEXT. */
static const char *
user_name(char *text)
{
	char *p = strncmp(text, "NAME=", 5) == 0 ? text : strstr(text, "\nNAME=");

	if (!p)
		return NULL;
	p = strchr(p, '=') + 1;
	p[strcspn(p, "\n")] = '\0';
	return *p && !strchr(p, '/') ? p : NULL;
}

bool
linger_missing(int64_t pid)
{
	char path[64], text[FILE_MOST], manager[64];
	_free_ char *mark = NULL;
	const char *name;
	struct stat st;

	(void)snprintf(path, sizeof(path), "/proc/%lld/cgroup", (long long)pid);
	(void)snprintf(manager, sizeof(manager), "/user@%u.service/", (unsigned)geteuid());
	if (read_text(path, text) < 0 || !strstr(text, manager))
		return false;
	(void)snprintf(path, sizeof(path), "/run/systemd/users/%u", (unsigned)geteuid());
	if (read_text(path, text) < 0)
		return false;
	name = user_name(text);
	mark = name ? text_format(LINGER_DIR "/%s", name) : NULL;
	return mark && lstat(mark, &st) < 0;
}
