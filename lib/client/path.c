/* path.c - where ctxd listens. A place of the user's own counts only if something answers there:
 * what is left of a ctxd that ended must not hide the system's. No name service: a static program
 * has none. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "base/sock.h"
#include "base/text.h"
#include "client/client.h"
#include "client/path.h"

enum { N_OWN = 3 };

static const struct {
	const char *env;
	const char *below;
} own_places[N_OWN] = {
	{"XDG_RUNTIME_DIR", "ctxd/ctxd.sock"},
	{"XDG_STATE_HOME", "ctxd/run/ctxd.sock"},
	{"HOME", ".local/state/ctxd/run/ctxd.sock"},
};

/* 0 with *RET (NULL: no such place, its variable is unset or not absolute), or -ENOMEM. */
static int
own_path(size_t i, char **ret)
{
	const char *base = getenv(own_places[i].env);

	*ret = NULL;
	if (!base || base[0] != '/')
		return 0;
	*ret = text_format("%s/%s", base, own_places[i].below);
	return *ret ? 0 : -ENOMEM;
}

/* Try the places in turn. 0 with the path and the connection, or -EAGAIN as connection if the
 * answering one is too busy to accept; *RET NULL: nobody answers. */
static int
own_find(char **ret, int *ret_fd)
{
	for (size_t i = 0; i < N_OWN; i++) {
		_free_ char *path = NULL;
		int r = own_path(i, &path);

		if (r < 0)
			return r;
		r = path ? sock_connect(path, SOCK_STREAM) : -ENOENT;
		if (r >= 0 || r == -EAGAIN) {
			*ret = take_ptr(path);
			*ret_fd = r;
			return 0;
		}
	}
	*ret = NULL;
	return 0;
}

/* Where a ctxd of the user's own would listen: what the error names when none does. */
static int
own_default(char **ret)
{
	static const size_t order[N_OWN] = {1, 2, 0};

	*ret = NULL;
	for (size_t i = 0; i < N_OWN && !*ret; i++) {
		int r = own_path(order[i], ret);

		if (r < 0)
			return r;
	}
	if (!*ret)
		*ret = text_format("/run/user/%u/%s", (unsigned)getuid(), own_places[0].below);
	return *ret ? 0 : -ENOMEM;
}

static int
copy(const char *s, char **ret)
{
	*ret = strdup(s);
	return *ret ? 0 : -ENOMEM;
}

int
path_search(const char *explicit_path, char mode, char **ret, int *ret_fd)
{
	const char *env = mode == 0 ? getenv("CTXD_SOCKET") : NULL;

	*ret_fd = -ENOTCONN;
	if (explicit_path)
		return copy(explicit_path, ret);
	if (env && env[0])
		return copy(env, ret);
	if (mode != 's') {
		int r = own_find(ret, ret_fd);

		if (r < 0 || *ret)
			return r;
		if (mode == 'u')
			return own_default(ret);
	}
	return copy(CTXD_SYSTEM_SOCKET, ret);
}

bool
path_is_own(const char *path)
{
	for (size_t i = 0; i < N_OWN; i++) {
		_free_ char *own = NULL;

		if (own_path(i, &own) == 0 && own && strcmp(own, path) == 0)
			return true;
	}
	return false;
}

char *
ctxd_socket_path(const char *explicit_path, char mode)
{
	char *path = NULL;
	int fd;

	if (path_search(explicit_path, mode, &path, &fd) < 0)
		return NULL;
	if (fd >= 0)
		(void)close(fd);
	return path;
}
