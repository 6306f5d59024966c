/* listen.c - sockets of the exporter, see listen.h. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sock.h"
#include "base/text.h"
#include "exporter/listen.h"

enum { BACKLOG = 64, HOST_MAX = 64, UNIX_MODE = 0660 };

/* "HOST:PORT" or "[HOST]:PORT" taken apart. 0 or -EINVAL. */
static int
split(const char *text, char host[HOST_MAX], const char **ret_port)
{
	const char *colon = strrchr(text, ':'), *from = text, *to = colon;

	if (!colon || !colon[1])
		return -EINVAL;
	if (*text == '[') {
		if (colon == text || colon[-1] != ']')
			return -EINVAL;
		from++;
		to--;
	} else if (memchr(text, ':', (size_t)(colon - text))) {
		return -EINVAL;
	}
	if (to <= from || to - from >= HOST_MAX)
		return -EINVAL;
	memcpy(host, from, (size_t)(to - from));
	host[to - from] = '\0';
	*ret_port = colon + 1;
	return 0;
}

static int
bind_to(const struct addrinfo *a)
{
	_close_ int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return take_fd(fd);
}

static int
listen_inet(const char *text, const char **reason)
{
	static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
					      .ai_flags =
						      AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
	struct addrinfo *a = NULL;
	const char *port = NULL;
	char host[HOST_MAX];
	uint64_t n;
	int fd;

	*reason = "is not ADDRESS:PORT (with a numeric address) or unix:/PATH";
	if (split(text, host, &port) < 0 || text_u64(port, &n) < 0 || n == 0 || n > UINT16_MAX ||
	    getaddrinfo(host, port, &hints, &a) != 0)
		return -EINVAL;
	fd = bind_to(a);
	freeaddrinfo(a);
	if (fd < 0)
		*reason = strerror(-fd);
	return fd;
}

int
listen_at(const char *text, const char **reason)
{
	int fd;

	if (strncmp(text, "unix:", 5) != 0)
		return listen_inet(text, reason);
	if (text[5] != '/') {
		*reason = "needs an absolute path behind unix:";
		return -EINVAL;
	}
	fd = sock_listen(text + 5, SOCK_STREAM, UNIX_MODE, BACKLOG);
	if (fd < 0)
		*reason = strerror(-fd);
	return fd;
}

static bool
listens(int fd)
{
	int on = 0, type = 0;
	socklen_t size = sizeof(on);

	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) < 0)
		return false;
	size = sizeof(type);
	return on && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

int
listen_inherited(int *ret, size_t max)
{
	int n = sock_inherited(ret, max);

	for (int i = 0; i < n; i++)
		if (!listens(ret[i]))
			return -ENOTSOCK;
	return n;
}
