/* test_journal_link.c - sending to the journal: as a datagram, as a sealed file, when there is no
 * room, when it is gone. */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "exec/journal_link.h"
#include "tap.h"

static struct ev_loop *loop;
static char dir[] = "/tmp/test_journal.XXXXXX", path[64];
static int changes, losses;

static void
on_change(void *arg)
{
	(void)arg;
	changes++;
}

static void
on_lost(void *arg)
{
	(void)arg;
	losses++;
}

/* The journal: a socket bound at PATH. */
static int
journal(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	strcpy(a.sun_path, path);
	need(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

static struct journal_link *
link_new(void)
{
	struct journal_link *l = journal_link_new(loop, path, on_change, on_lost, NULL);

	need(l);
	changes = losses = 0;
	return l;
}

static int
send_text(struct journal_link *l, const char *text)
{
	struct iovec v[2] = {{(char *)(uintptr_t)text, 1}, {(char *)(uintptr_t)text + 1, 0}};

	v[1].iov_len = strlen(text) - 1;
	return journal_link_send(l, v, 2);
}

static void
run_until(const int *count)
{
	while (*count == 0)
		ev_run(loop, EVRUN_ONCE);
}

TEST(setup)
{
	loop = ev_loop_new(EVFLAG_AUTO);
	need(loop && mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
}

TEST(a_datagram_and_whether_it_was_read)
{
	int fd = journal();
	struct journal_link *l = link_new();
	char got[64];

	ok(journal_link_taken(l));
	is_int(send_text(l, "MESSAGE=x\n"), 0);
	ok(!journal_link_taken(l));
	is_int(recv(fd, got, sizeof(got), 0), 10);
	ok(memcmp(got, "MESSAGE=x\n", 10) == 0 && journal_link_taken(l));
	ok(journal_link_ok(l) && changes == 0 && losses == 0);
	is_int(journal_link_look(path), 0);
	(void)journal_link_free(l);
	close(fd);
	unlink(path);
}

/* The descriptor that comes instead of bytes. */
static int
receive_fd(int fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} c;
	char b[8];
	struct iovec v = {b, sizeof(b)};
	struct msghdr m = {.msg_iov = &v,
			   .msg_iovlen = 1,
			   .msg_control = c.bytes,
			   .msg_controllen = sizeof(c.bytes)};
	int got;

	need(recvmsg(fd, &m, 0) == 0 && CMSG_FIRSTHDR(&m));
	memcpy(&got, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(got));
	return got;
}

TEST(what_no_datagram_holds_comes_as_a_sealed_file)
{
	enum { SIZE = 8 << 20 };
	int fd = journal(), file;
	struct journal_link *l = link_new();
	char *big = malloc(SIZE), *back = malloc(SIZE);
	struct iovec v[2] = {{(char[]){"MESSAGE="}, 8}, {big, SIZE - 8}};

	need(big && back);
	memset(big, 'x', SIZE);
	is_int(journal_link_send(l, v, 2), 0);
	ok(!journal_link_taken(l));
	file = receive_fd(fd);
	ok(journal_link_taken(l));
	is_int(lseek(file, 0, SEEK_END), SIZE);
	is_int(pread(file, back, SIZE, 0), SIZE);
	ok(memcmp(back, "MESSAGE=", 8) == 0 && memcmp(back + 8, big, SIZE - 8) == 0);
	is_int(fcntl(file, F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL);
	close(file);
	free(big);
	free(back);
	(void)journal_link_free(l);
	close(fd);
	unlink(path);
}

TEST(no_room_now)
{
	int fd = journal(), n = 0, r;
	struct journal_link *l = link_new();
	char got[64];

	while ((r = send_text(l, "MESSAGE=y\n")) == 0)
		need(++n < 1000000);
	is_int(r, -EAGAIN);
	ok(changes == 0 && losses == 0 && journal_link_ok(l));
	while (recv(fd, got, sizeof(got), 0) > 0)
		n--;
	is_int(n, 0);
	run_until(&changes);
	is_int(send_text(l, "MESSAGE=z\n"), 0);
	(void)journal_link_free(l);
	close(fd);
	unlink(path);
}

TEST(not_there_gone_and_back)
{
	struct journal_link *l = link_new();
	int fd;

	ok(journal_link_look(path) == -ENOENT);
	is_int(send_text(l, "MESSAGE=a\n"), -EAGAIN);
	ok(!journal_link_ok(l) && losses == 1);
	is_int(send_text(l, "MESSAGE=a\n"), -EAGAIN);
	is_int(losses, 1);
	fd = journal();
	run_until(&changes);
	is_int(send_text(l, "MESSAGE=a\n"), 0);
	ok(journal_link_ok(l));
	close(fd); /* with what it had not read */
	is_int(send_text(l, "MESSAGE=b\n"), -EAGAIN);
	ok(!journal_link_ok(l) && losses == 2 && journal_link_taken(l));
	unlink(path);
	(void)journal_link_free(l);
}

TEST(what_it_took_along_was_not_read)
{
	int fd = journal();
	struct journal_link *l = link_new();

	is_int(send_text(l, "MESSAGE=a\n"), 0);
	close(fd); /* nothing is in any queue any more */
	ok(!journal_link_taken(l));
	is_int(losses, 1);
	unlink(path);
	fd = journal();
	run_until(&changes);
	is_int(send_text(l, "MESSAGE=a\n"), 0);
	unlink(path);
	close(fd);
	fd = journal(); /* another one, under the same name */
	ok(!journal_link_taken(l));
	is_int(losses, 2);
	close(fd);
	unlink(path);
	(void)journal_link_free(l);
}

TEST(no_more_than_so_many)
{
	int fd = journal(), n = 0;
	struct journal_link *l = link_new();

	journal_link_pace(l, 1000, 5);
	while (n < 5 && send_text(l, "MESSAGE=p\n") == 0)
		n++;
	is_int(n, 5);
	while (n < 1000 && send_text(l, "MESSAGE=p\n") == 0)
		n++;
	ok(n < 1000);
	ok(losses == 0 && journal_link_ok(l));
	while (recv(fd, &n, sizeof(n), 0) > 0)
		continue;
	run_until(&changes);
	is_int(send_text(l, "MESSAGE=p\n"), 0);
	(void)journal_link_free(l);
	close(fd);
	unlink(path);
}

TEST(teardown)
{
	ok(rmdir(dir) == 0);
	ev_loop_destroy(loop);
}
