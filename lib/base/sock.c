/* sock.c - Unix sockets. Never blocks, never raises SIGPIPE; every descriptor is close-on-exec from
 * birth.
 *
 * Replacing a stale socket file is a check and then an act: two programs that do it at once may
 * both see it as stale. Who can be started twice holds a lock first. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sock.h"
#include "base/text.h"

enum { INHERITED_START = 3 };

enum { GROUPS_FIRST = 64 };

static int
new_socket(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/* The address of NAME in the open directory DIRFD, or of DIRFD itself when NAME is NULL. */
static int
address_at(struct sockaddr_un *a, int dirfd, const char *name)
{
	int n;

	*a = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (!name)
		n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d", dirfd);
	else if (dirfd == AT_FDCWD || name[0] == '/')
		n = snprintf(a->sun_path, sizeof(a->sun_path), "%s", name);
	else
		n = snprintf(a->sun_path, sizeof(a->sun_path), "/proc/self/fd/%d/%s", dirfd, name);
	if (n <= 0)
		return -EINVAL;
	return (size_t)n < sizeof(a->sun_path) ? 0 : -ENAMETOOLONG;
}

/* Born with MODE: the umask acts on the file as bind makes it. A default ACL of the directory can
 * still have changed it, only to less than MODE allows the group, hence the chmod. */
static int
bind_mode(int fd, const struct sockaddr_un *a, int dirfd, const char *name, mode_t mode)
{
	mode_t old = umask(0777 & ~mode);
	int r = bind(fd, (const struct sockaddr *)a, sizeof(*a)) < 0 ? -errno : 0;

	(void)umask(old);
	if (r == 0 && fchmodat(dirfd, name, mode, 0) < 0) {
		r = -errno;
		(void)unlinkat(dirfd, name, 0);
	}
	return r;
}

static int
listen_address(const struct sockaddr_un *a, int dirfd, const char *name, int type, mode_t mode,
	       int backlog)
{
	_close_ int fd = new_socket(type);
	int r;

	if (fd < 0)
		return fd;
	r = bind_mode(fd, a, dirfd, name, mode);
	if (r < 0)
		return r;
	if (listen(fd, backlog) < 0) {
		r = -errno;
		(void)unlinkat(dirfd, name, 0);
		return r;
	}
	return take_fd(fd);
}

int
sock_bind_at(int dirfd, const char *name, int type, mode_t mode)
{
	_close_ int fd = new_socket(type);
	struct sockaddr_un a;
	int r;

	if (fd < 0)
		return fd;
	r = address_at(&a, dirfd, name);
	if (r == 0)
		r = bind_mode(fd, &a, dirfd, name, mode);
	return r < 0 ? r : take_fd(fd);
}

static int
connect_address(const struct sockaddr_un *a, int type)
{
	_close_ int fd = new_socket(type);

	if (fd < 0)
		return fd;
	while (connect(fd, (const struct sockaddr *)a, sizeof(*a)) < 0)
		if (errno != EINTR)
			return -errno;
	return take_fd(fd);
}

/* What is at NAME, which bind found taken: 0 nothing any more, or removed because nobody listens;
 * else why not. */
static int
clear_stale(const struct sockaddr_un *a, int dirfd, const char *name, int type)
{
	struct stat st;
	int fd;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = connect_address(a, type);
	if (fd >= 0) {
		(void)close(fd);
		return -EADDRINUSE;
	}
	/* A full backlog and a listener of another type are alive as well. */
	if (fd == -EAGAIN || fd == -EPROTOTYPE)
		return -EADDRINUSE;
	if (fd == -ENOENT)
		return 0;
	if (fd != -ECONNREFUSED)
		return fd;
	return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* Open the directory of PATH; its last component is returned in RET_NAME. */
static int
open_parent(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;
	char *dir;
	int fd;

	if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return -EINVAL;
	if (slash)
		dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	else
		dir = strdup(".");
	if (!dir)
		return -ENOMEM;
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	free(dir);
	*ret_name = name;
	return fd;
}

int
sock_listen(const char *path, int type, mode_t mode, int backlog)
{
	_close_ int dir = -1;
	const char *name = "";
	struct sockaddr_un a;
	int r;

	dir = open_parent(path, &name);
	if (dir < 0)
		return dir;
	/* The plain path where it fits: it is what ss(8) and the peer's getpeername show. */
	r = address_at(&a, AT_FDCWD, path);
	if (r == -ENAMETOOLONG)
		r = address_at(&a, dir, name);
	if (r < 0)
		return r;
	r = listen_address(&a, dir, name, type, mode, backlog);
	if (r != -EADDRINUSE)
		return r;
	r = clear_stale(&a, dir, name, type);
	return r < 0 ? r : listen_address(&a, dir, name, type, mode, backlog);
}

int
sock_listen_at(int dirfd, const char *name, int type, mode_t mode, int backlog)
{
	struct sockaddr_un a;
	int r = address_at(&a, dirfd, name);

	return r < 0 ? r : listen_address(&a, dirfd, name, type, mode, backlog);
}

/* A handle on the socket file makes an address of any path, and does not follow a link in the last
 * component. */
static int
connect_handle(int dirfd, const char *path, int type)
{
	struct sockaddr_un a;
	_close_ int handle = openat(dirfd, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	int r;

	if (handle < 0)
		return -errno;
	r = address_at(&a, handle, NULL);
	return r < 0 ? r : connect_address(&a, type);
}

int
sock_connect(const char *path, int type)
{
	struct sockaddr_un a;
	int r = address_at(&a, AT_FDCWD, path);

	if (r == -ENAMETOOLONG)
		return connect_handle(AT_FDCWD, path, type);
	return r < 0 ? r : connect_address(&a, type);
}

int
sock_connect_at(int dirfd, const char *name, int type)
{
	return connect_handle(dirfd, name, type);
}

int
sock_pair(int type, int ret[2])
{
	int fds[2];

	if (socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	ret[0] = fds[0];
	ret[1] = fds[1];
	return 0;
}

/* Supplementary groups of the peer at the time it connected. */
static int
peer_groups(int fd, gid_t **ret, size_t *ret_n)
{
	socklen_t size = GROUPS_FIRST * sizeof(gid_t);
	_free_ gid_t *groups = NULL;

	/* On ERANGE the kernel says how much it needs; the set of a peer never changes. */
	for (int i = 0; i < 2; i++) {
		gid_t *p = realloc(groups, size);

		if (!p)
			return -ENOMEM;
		groups = p;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0) {
			*ret_n = size / sizeof(gid_t);
			*ret = take_ptr(groups);
			return 0;
		}
		if (errno != ERANGE)
			break;
	}
	return -errno;
}

int
sock_peer(int fd, struct sock_peer *ret)
{
	struct sock_peer peer = {0};
	struct ucred cred;
	socklen_t size = sizeof(cred);
	int r;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return -errno;
	if (size != sizeof(cred) || cred.uid == (uid_t)-1)
		return -ENOTCONN;
	r = peer_groups(fd, &peer.groups, &peer.n_groups);
	if (r < 0)
		return r;
	peer.pid = cred.pid;
	peer.uid = cred.uid;
	peer.gid = cred.gid;
	*ret = peer;
	return 0;
}

void
sock_peer_done(struct sock_peer *p)
{
	free(p->groups);
	*p = (struct sock_peer){.uid = (uid_t)-1, .gid = (gid_t)-1};
}

union control {
	struct cmsghdr align;
	char space[CMSG_SPACE(sizeof(int) * SOCK_MAX_FDS)];
};

int
sock_send(int fd, const void *p, size_t size, const int *fds, size_t n)
{
	struct iovec iov = {.iov_len = size};
	union control control = {0};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t sent;

	if (n > SOCK_MAX_FDS)
		return -EINVAL;
	memcpy(&iov.iov_base, &p, sizeof(p)); /* struct iovec knows no const */
	if (n > 0) {
		m.msg_control = control.space;
		m.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(&control.align), fds, sizeof(int) * n);
	}
	do
		sent = sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	/* A stream took a part of it: no message any more. */
	return (size_t)sent == size ? 0 : -EMSGSIZE;
}

/* Copy the descriptors of M to FDS, whose room is SOCK_MAX_FDS; returns how many. */
static size_t
take_fds(struct msghdr *m, int *fds)
{
	size_t got = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t n;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		assert(got + n <= SOCK_MAX_FDS); /* no more fit in the control space */
		memcpy(fds + got, CMSG_DATA(c), n * sizeof(int));
		got += n;
	}
	return got;
}

ssize_t
sock_recv(int fd, void *p, size_t size, int *fds, size_t *n)
{
	struct iovec iov = {.iov_base = p, .iov_len = size};
	union control control = {0};
	struct msghdr m = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.space,
		.msg_controllen = CMSG_LEN(sizeof(int) * SOCK_MAX_FDS),
	};
	int got_fds[SOCK_MAX_FDS];
	size_t got, room = fds && n ? *n : 0;
	ssize_t len;

	do
		len = recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	got = take_fds(&m, got_fds);
	if (m.msg_flags & MSG_TRUNC)
		len = -EMSGSIZE;
	else if (m.msg_flags & MSG_CTRUNC && got < SOCK_MAX_FDS) /* not for want of space */
		len = -EMFILE;
	else if (m.msg_flags & MSG_CTRUNC || got > room)
		len = -EPROTO;
	if (len < 0) {
		for (size_t i = 0; i < got; i++)
			(void)close(got_fds[i]);
		return len;
	}
	if (got)
		memcpy(fds, got_fds, got * sizeof(int));
	if (n)
		*n = got;
	return len;
}

static uint64_t
inherited_number(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t p = 0, n = 0;

	if (!pid || !fds || text_u64(pid, &p) < 0 || p != (uint64_t)getpid() ||
	    text_u64(fds, &n) < 0)
		n = 0;
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return n;
}

int
sock_inherited(int *ret, size_t max)
{
	uint64_t n = inherited_number();

	if (n > max)
		return -E2BIG;
	for (int i = 0; i < (int)n; i++) {
		int fd = INHERITED_START + i, flags = fcntl(fd, F_GETFL);

		if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
		    fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return -errno;
		ret[i] = fd;
	}
	return (int)n;
}
