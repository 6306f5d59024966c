/* journal.h - a journal: its socket, and what comes over it. */
#ifndef CTX_TESTS_JOURNAL_H
#define CTX_TESTS_JOURNAL_H

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/journal.h"
#include "tap.h"
#include "tmpdir.h"

static char journal_path[64];

static int
journal_open(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	(void)snprintf(journal_path, sizeof(journal_path), "%s/journal", dir_path);
	(void)unlink(journal_path);
	memcpy(a.sun_path, journal_path, sizeof(journal_path));
	need(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

/* The next that came. */
static const char *
journal_entry(int fd)
{
	static char data[JOURNAL_ENTRY_MAX + 1];
	ssize_t n = recv(fd, data, sizeof(data) - 1, 0);

	need(n >= 0);
	data[n] = '\0';
	return data;
}

#endif
