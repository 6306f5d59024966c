/* journal.c - entries with fields, see journal.h. A value of one line is NAME=VALUE; one with a
 * line end in it follows its length, 64 bits in little endian. */
#include "base/journal.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/mem.h"

static void
put(struct journal_entry *e, const void *p, size_t n)
{
	memcpy(e->data + e->n, p, n);
	e->n += n;
}

const char *
journal_socket(void)
{
	const char *path = getenv("CTXD_JOURNAL");

	return path && *path == '/' ? path : JOURNAL_SOCKET;
}

void
journal_begin(struct journal_entry *e)
{
	e->n = 0;
}

void
journal_add(struct journal_entry *e, const char *name, const char *value, size_t n)
{
	uint64_t len = htole64(n);
	size_t name_n = strlen(name);

	if (name_n + n + sizeof(len) + 3 > sizeof(e->data) - e->n)
		return;
	put(e, name, name_n);
	if (n > 0 && memchr(value, '\n', n)) {
		put(e, "\n", 1);
		put(e, &len, sizeof(len));
	} else {
		put(e, "=", 1);
	}
	if (n > 0)
		put(e, value, n);
	put(e, "\n", 1);
}

int
journal_send(const char *path, const struct journal_entry *e)
{
	_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t n = strlen(path);

	if (fd < 0)
		return -errno;
	if (n >= sizeof(to.sun_path))
		return -ENAMETOOLONG;
	memcpy(to.sun_path, path, n + 1);
	if (sendto(fd, e->data, e->n, MSG_NOSIGNAL | MSG_DONTWAIT, (const struct sockaddr *)&to,
		   sizeof(to)) < 0)
		return -errno;
	return 0;
}
