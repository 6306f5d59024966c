/* test_sock.c - base/sock.h: long paths, stale files, modes, credentials, descriptors in messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sock.h"
#include "tap.h"
#include "tmpdir.h"

static const char *
in_dir(const char *name)
{
	static char path[4][1000];
	static int turn;

	turn = (turn + 1) % 4;
	snprintf(path[turn], sizeof(path[0]), "%s/%s", dir_path, name);
	return path[turn];
}

/* A directory so deep that nothing in it fits sun_path. */
static const char *
deep_dir(void)
{
	static char path[600];

	if (!path[0]) {
		size_t n = (size_t)snprintf(path, sizeof(path), "%s", dir_path);

		while (n < 300)
			n += (size_t)snprintf(path + n, sizeof(path) - n,
					      "/a-rather-long-component");
		need(file_mkdirs(path, 0700) == 0);
	}
	return path;
}

static int
next_fd(void)
{
	int fd = dup(dir);

	close(fd);
	return fd;
}

/* Send a byte through the pair of a listener and a connection to it. */
static void
talk(int listener, int client)
{
	_close_ int peer = -1;
	char c = 0;
	int type;
	socklen_t size = sizeof(type);

	need(listener >= 0 && client >= 0);
	ok(fcntl(listener, F_GETFD) & FD_CLOEXEC && fcntl(client, F_GETFD) & FD_CLOEXEC);
	ok(fcntl(listener, F_GETFL) & O_NONBLOCK && fcntl(client, F_GETFL) & O_NONBLOCK);
	need(getsockopt(listener, SOL_SOCKET, SO_TYPE, &type, &size) == 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	need(peer >= 0);
	is_int(sock_recv(peer, &c, 1, NULL, NULL), -EAGAIN);
	is_int(sock_send(client, "x", 1, NULL, 0), 0);
	is_int(sock_recv(peer, &c, 1, NULL, NULL), 1);
	is_int(c, 'x');
}

TEST(listen_and_connect)
{
	static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};

	for (int i = 0; i < 2; i++) {
		_close_ int l = sock_listen(in_dir("s"), types[i], 0600, 5);
		_close_ int c = sock_connect(in_dir("s"), types[i]);

		talk(l, c);
		need(unlinkat(dir, "s", 0) == 0);
	}
}

TEST(mode_is_exact_and_umask_kept)
{
	static const mode_t modes[] = {0600, 0660, 0666, 0777, 0, 0640};
	static const mode_t masks[] = {0, 022, 077, 0777};
	struct stat st;

	for (size_t m = 0; m < sizeof(masks) / sizeof(masks[0]); m++)
		for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
			mode_t old = umask(masks[m]);
			_close_ int l = sock_listen(in_dir("mode"), SOCK_STREAM, modes[i], 5);
			_close_ int at = sock_listen_at(dir, "mode2", SOCK_STREAM, modes[i], 5);

			is_int(umask(old), masks[m]);
			need(l >= 0 && at >= 0);
			need(fstatat(dir, "mode", &st, 0) == 0);
			is_int(st.st_mode & 07777, modes[i]);
			need(fstatat(dir, "mode2", &st, 0) == 0);
			is_int(st.st_mode & 07777, modes[i]);
			need(unlinkat(dir, "mode", 0) == 0 && unlinkat(dir, "mode2", 0) == 0);
		}
}

TEST(long_path)
{
	char path[700];
	_close_ int l = -1, c = -1, again = -1;
	struct stat st;

	snprintf(path, sizeof(path), "%s/sock", deep_dir());
	l = sock_listen(path, SOCK_SEQPACKET, 0640, 5);
	c = sock_connect(path, SOCK_SEQPACKET);
	talk(l, c);
	need(stat(path, &st) == 0);
	ok(S_ISSOCK(st.st_mode));
	is_int(st.st_mode & 07777, 0640);
	is_int(sock_listen(path, SOCK_SEQPACKET, 0600, 5), -EADDRINUSE);
	close(take_fd(l));
	is_int(sock_connect(path, SOCK_SEQPACKET), -ECONNREFUSED);
	again = sock_listen(path, SOCK_SEQPACKET, 0600, 5);
	ok(again >= 0);
}

TEST(path_of_each_length_around_the_limit)
{
	char path[300];
	size_t base = strlen(dir_path) + 1;

	for (size_t n = 100; n < 116; n++) {
		_close_ int l = -1, c = -1;

		snprintf(path, sizeof(path), "%s/", dir_path);
		memset(path + base, 'p', n - base);
		path[n] = '\0';
		l = sock_listen(path, SOCK_STREAM, 0600, 1);
		if (l == -ENAMETOOLONG) {
			ok(n >= 108);
			continue;
		}
		c = sock_connect(path, SOCK_STREAM);
		talk(l, c);
		need(unlink(path) == 0);
	}
}

TEST(stale_is_replaced_once_dead)
{
	_close_ int l = sock_listen(in_dir("stale"), SOCK_STREAM, 0600, 5), l2 = -1, c = -1;
	int fd = next_fd();

	need(l >= 0);
	is_int(sock_listen(in_dir("stale"), SOCK_STREAM, 0600, 5), -EADDRINUSE);
	is_int(sock_listen(in_dir("stale"), SOCK_SEQPACKET, 0600, 5), -EADDRINUSE);
	is_int(next_fd(), fd);
	close(take_fd(l));
	is_int(sock_connect(in_dir("stale"), SOCK_STREAM), -ECONNREFUSED);
	l2 = sock_listen(in_dir("stale"), SOCK_SEQPACKET, 0600, 5);
	c = sock_connect(in_dir("stale"), SOCK_SEQPACKET);
	talk(l2, c);
}

TEST(living_with_full_backlog_is_not_stale)
{
	_close_ int l = sock_listen(in_dir("full"), SOCK_STREAM, 0600, 0);
	int held[8], n = 0, r = 0;

	need(l >= 0);
	while (n < 8 && (r = sock_connect(in_dir("full"), SOCK_STREAM)) >= 0)
		held[n++] = r;
	is_int(r, -EAGAIN);
	is_int(sock_listen(in_dir("full"), SOCK_STREAM, 0600, 5), -EADDRINUSE);
	while (n > 0)
		close(held[--n]);
}

TEST(what_is_no_socket_stays)
{
	_close_ int f = openat(dir, "file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	need(f >= 0);
	need(mkdirat(dir, "folder", 0700) == 0);
	need(symlinkat("file", dir, "link") == 0);
	need(symlinkat("nowhere", dir, "dangling") == 0);
	is_int(sock_listen(in_dir("file"), SOCK_STREAM, 0600, 5), -EEXIST);
	is_int(sock_listen(in_dir("folder"), SOCK_STREAM, 0600, 5), -EEXIST);
	is_int(sock_listen(in_dir("link"), SOCK_STREAM, 0600, 5), -EEXIST);
	is_int(sock_listen(in_dir("dangling"), SOCK_STREAM, 0600, 5), -EEXIST);
	ok(faccessat(dir, "file", F_OK, 0) == 0 && faccessat(dir, "nowhere", F_OK, 0) < 0);
}

TEST(bad_paths)
{
	char name[300];

	is_int(sock_listen(in_dir("no/such/dir"), SOCK_STREAM, 0600, 5), -ENOENT);
	is_int(sock_listen(in_dir("file/x"), SOCK_STREAM, 0600, 5), -ENOTDIR);
	is_int(sock_listen("", SOCK_STREAM, 0600, 5), -EINVAL);
	is_int(sock_listen("/", SOCK_STREAM, 0600, 5), -EINVAL);
	is_int(sock_listen(in_dir("folder/.."), SOCK_STREAM, 0600, 5), -EINVAL);
	is_int(sock_connect("", SOCK_STREAM), -EINVAL);
	is_int(sock_connect(in_dir("nobody"), SOCK_STREAM), -ENOENT);
	is_int(sock_connect(in_dir("file"), SOCK_STREAM), -ECONNREFUSED);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	is_int(sock_listen(in_dir(name), SOCK_STREAM, 0600, 5), -ENAMETOOLONG);
	is_int(sock_listen_at(dir, name, SOCK_STREAM, 0600, 5), -ENAMETOOLONG);
	is_int(sock_connect(in_dir(name), SOCK_STREAM), -ENAMETOOLONG);
}

TEST(relative_path)
{
	_close_ int l = -1, c = -1, here = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	need(here >= 0 && fchdir(dir) == 0);
	l = sock_listen("rel", SOCK_STREAM, 0600, 5);
	c = sock_connect("./rel", SOCK_STREAM);
	need(fchdir(here) == 0);
	talk(l, c);
}

TEST(relative_to_a_directory)
{
	_close_ int deep = open(deep_dir(), O_PATH | O_DIRECTORY | O_CLOEXEC), l = -1, c = -1;

	need(deep >= 0);
	l = sock_listen_at(deep, "ctl", SOCK_SEQPACKET, 0600, 5);
	c = sock_connect_at(deep, "ctl", SOCK_SEQPACKET);
	talk(l, c);
	is_int(sock_listen_at(deep, "ctl", SOCK_SEQPACKET, 0600, 5), -EADDRINUSE);
	close(take_fd(l));
	is_int(sock_listen_at(deep, "ctl", SOCK_SEQPACKET, 0600, 5), -EADDRINUSE);
	is_int(sock_connect_at(deep, "ctl", SOCK_SEQPACKET), -ECONNREFUSED);
	is_int(sock_connect_at(deep, "none", SOCK_SEQPACKET), -ENOENT);
	need(symlinkat("ctl", deep, "ctl-link") == 0);
	is_int(sock_connect_at(deep, "ctl-link", SOCK_SEQPACKET), -ECONNREFUSED);
}

TEST(bound_for_datagrams)
{
	_close_ int fd = sock_bind_at(dir, "datagrams", SOCK_DGRAM, 0600);
	_close_ int client = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	mode_t old = umask(0);
	struct stat st;
	char c = 0;

	need(fd >= 0 && client >= 0);
	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", in_dir("datagrams"));
	is_int(fstatat(dir, "datagrams", &st, 0), 0);
	is_int(st.st_mode & 07777, 0600);
	is_int(fcntl(fd, F_GETFD), FD_CLOEXEC);
	is_int(recv(fd, &c, 1, 0), -1); /* does not block */
	is_int(sendto(client, "x", 1, 0, (struct sockaddr *)&a, sizeof(a)), 1);
	is_int(recv(fd, &c, 1, 0), 1);
	is_int(c, 'x');
	is_int(sock_bind_at(dir, "datagrams", SOCK_DGRAM, 0600), -EADDRINUSE);
	(void)umask(old);
}

TEST(peer)
{
	int s[2];
	struct sock_peer p;
	gid_t mine[1000];
	int n = getgroups(1000, mine);

	need(sock_pair(SOCK_STREAM, s) == 0);
	need(sock_peer(s[0], &p) == 0);
	is_int(p.pid, getpid());
	is_int(p.uid, geteuid());
	is_int(p.gid, getegid());
	is_int(p.n_groups, n);
	for (size_t i = 0; i < p.n_groups && (int)i < n; i++) {
		bool found = false;

		for (int k = 0; k < n; k++)
			found |= mine[k] == p.groups[i];
		ok(found);
	}
	sock_peer_done(&p);
	ok(p.groups == NULL && p.n_groups == 0 && p.uid == (uid_t)-1);
	sock_peer_done(&p);
	close(s[0]);
	close(s[1]);
}

TEST(peer_unknown)
{
	struct sock_peer p = {.pid = 77};
	_close_ int lone = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	is_int(sock_peer(lone, &p), -ENOTCONN);
	is_int(sock_peer(dir, &p), -ENOTSOCK);
	is_int(p.pid, 77);
}

TEST(messages_keep_their_bounds)
{
	int s[2];
	char buf[64];
	size_t n = 0;

	need(sock_pair(SOCK_SEQPACKET, s) == 0);
	is_int(sock_recv(s[1], buf, sizeof(buf), NULL, NULL), -EAGAIN);
	is_int(sock_send(s[0], "first", 5, NULL, 0), 0);
	is_int(sock_send(s[0], "second!", 7, NULL, 0), 0);
	is_int(sock_recv(s[1], buf, sizeof(buf), NULL, &n), 5);
	is_int(sock_recv(s[1], buf, 7, NULL, &n), 7);
	ok(memcmp(buf, "second!", 7) == 0);
	is_int(n, 0);
	is_int(sock_send(s[0], "too long", 8, NULL, 0), 0);
	is_int(sock_recv(s[1], buf, 7, NULL, NULL), -EMSGSIZE);
	is_int(sock_recv(s[1], buf, 7, NULL, NULL), -EAGAIN);
	close(s[0]);
	is_int(sock_recv(s[1], buf, sizeof(buf), NULL, NULL), 0);
	is_int(sock_send(s[1], "x", 1, NULL, 0), -EPIPE); /* and the test is still alive */
	close(s[1]);
}

TEST(full_queue)
{
	int s[2], r, i = 0;
	char msg[1000] = "";

	need(sock_pair(SOCK_SEQPACKET, s) == 0);
	while ((r = sock_send(s[0], msg, sizeof(msg), NULL, 0)) == 0 && i < 100000)
		i++;
	is_int(r, -EAGAIN);
	ok(i > 10);
	close(s[0]);
	close(s[1]);
	need(sock_pair(SOCK_SEQPACKET, s) == 0);
	{
		size_t huge = 64 << 20;
		char *p = calloc(1, huge);

		need(p);
		is_int(sock_send(s[0], p, huge, NULL, 0), -EMSGSIZE);
		free(p);
	}
	close(s[0]);
	close(s[1]);
}

TEST(descriptors_travel)
{
	for (size_t count = 1; count <= SOCK_MAX_FDS; count++) {
		int s[2], fds[SOCK_MAX_FDS], got[SOCK_MAX_FDS], before;
		size_t n = SOCK_MAX_FDS;
		char buf[8], c;

		need(sock_pair(SOCK_SEQPACKET, s) == 0);
		for (size_t i = 0; i < count; i++)
			fds[i] = s[1];
		before = next_fd();
		is_int(sock_send(s[0], "fds", 3, fds, count), 0);
		is_int(sock_recv(s[1], buf, sizeof(buf), got, &n), 3);
		need(n == count);
		for (size_t i = 0; i < n; i++)
			ok(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
		is_int(sock_send(s[0], "y", 1, NULL, 0), 0);
		is_int(read(got[n - 1], &c, 1), 1);
		for (size_t i = 0; i < n; i++)
			close(got[i]);
		is_int(next_fd(), before);
		close(s[0]);
		close(s[1]);
	}
}

TEST(too_many_to_send)
{
	int s[2], fds[SOCK_MAX_FDS + 1];

	need(sock_pair(SOCK_SEQPACKET, s) == 0);
	for (size_t i = 0; i <= SOCK_MAX_FDS; i++)
		fds[i] = dir;
	is_int(sock_send(s[0], "x", 1, fds, SOCK_MAX_FDS + 1), -EINVAL);
	fds[1] = -1;
	is_int(sock_send(s[0], "x", 1, fds, 2), -EBADF);
	close(s[0]);
	close(s[1]);
}

TEST(descriptors_nobody_asked_for_are_closed)
{
	int s[2], fds[4] = {dir, dir, dir, dir}, got[4] = {-7, -7, -7, -7}, before;
	size_t n;
	char buf[8];

	need(sock_pair(SOCK_SEQPACKET, s) == 0);
	before = next_fd();
	/* None, room for fewer, truncated data. */
	is_int(sock_send(s[0], "x", 1, fds, 1), 0);
	is_int(sock_recv(s[1], buf, sizeof(buf), NULL, NULL), -EPROTO);
	is_int(next_fd(), before);
	n = 3;
	is_int(sock_send(s[0], "x", 1, fds, 4), 0);
	is_int(sock_recv(s[1], buf, sizeof(buf), got, &n), -EPROTO);
	is_int(next_fd(), before);
	is_int(n, 3);
	is_int(got[0], -7);
	n = 4;
	is_int(sock_send(s[0], "longer than that", 16, fds, 4), 0);
	is_int(sock_recv(s[1], buf, sizeof(buf), got, &n), -EMSGSIZE);
	is_int(next_fd(), before);
	is_int(got[0], -7);
	n = 4;
	is_int(sock_send(s[0], "x", 1, fds, 4), 0);
	is_int(sock_recv(s[1], buf, sizeof(buf), got, &n), 1);
	is_int(n, 4);
	for (size_t i = 0; i < n; i++)
		close(got[i]);
	close(s[0]);
	close(s[1]);
}

/* A peer that does not use sock_send may put more descriptors into a message than we ever take. */
TEST(flood_of_descriptors)
{
	enum { FLOOD = 100 };
	int s[2], fds[FLOOD], got[SOCK_MAX_FDS], before;
	struct iovec iov = {.iov_base = fds, .iov_len = 1};
	union {
		struct cmsghdr h;
		char space[CMSG_SPACE(sizeof(int) * FLOOD)];
	} control = {0};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = &control,
			   .msg_controllen = sizeof(control)};
	size_t n = SOCK_MAX_FDS;
	char buf[8];

	need(sock_pair(SOCK_SEQPACKET, s) == 0);
	for (int i = 0; i < FLOOD; i++)
		fds[i] = dir;
	control.h.cmsg_level = SOL_SOCKET;
	control.h.cmsg_type = SCM_RIGHTS;
	control.h.cmsg_len = CMSG_LEN(sizeof(fds));
	memcpy(CMSG_DATA(&control.h), fds, sizeof(fds));
	before = next_fd();
	is_int(sendmsg(s[0], &m, 0), 1);
	is_int(sock_recv(s[1], buf, sizeof(buf), got, &n), -EPROTO);
	is_int(next_fd(), before);
	close(s[0]);
	close(s[1]);
}

/* Out of descriptors in the middle of receiving: none is lost, and what was said is known. */
TEST(no_room_in_the_table)
{
	const char *preload = getenv("LD_PRELOAD");
	int s[2], fds[4] = {dir, dir, dir, dir}, got[4], before;
	struct rlimit old, tight;
	size_t n = 4;
	char buf[8] = "";

	if (preload && strstr(preload, "vgpreload"))
		return; /* valgrind only plays this limit */
	need(sock_pair(SOCK_SEQPACKET, s) == 0);
	before = next_fd();
	need(getrlimit(RLIMIT_NOFILE, &old) == 0);
	tight = old;
	tight.rlim_cur = (rlim_t)before + 2;
	is_int(sock_send(s[0], "x", 1, fds, 4), 0);
	need(setrlimit(RLIMIT_NOFILE, &tight) == 0);
	is_int(sock_recv(s[1], buf, sizeof(buf), got, &n), -EMFILE);
	need(setrlimit(RLIMIT_NOFILE, &old) == 0);
	is_int(next_fd(), before);
	is_str(buf, "x");
	close(s[0]);
	close(s[1]);
}
