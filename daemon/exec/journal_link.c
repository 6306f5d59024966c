/* journal_link.c - sending to the journal, see journal_link.h.
 *
 * The socket is connected, for then the kernel says when the receiver has room again, which it does
 * not for one that names its receiver with each datagram. SIOCOUTQ tells how much of what was sent
 * has not been read. While journald is started anew its socket is kept by the service manager, and
 * so is what lies in it; when the socket itself goes, it is lost. */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "exec/journal_link.h"

#define JOURNAL_LINK_MAGIC UINT32_C(0x6a6c6e6b)
#define AGAIN_FIRST 0.25 /* seconds until it is looked for again; doubled each time */
#define AGAIN_MOST 10.0
#define PACE_SEC 0.2
#define STUCK_AFTER 10.0 /* seconds in which it takes nothing: said */

struct journal_link {
	uint32_t magic;
	struct ev_loop *loop;
	const char *path;
	void (*on_change)(void *arg), (*on_lost)(void *arg);
	void *arg;
	int fd;    /* -1: not connected */
	dev_t dev; /* of the name, when it was */
	ino_t ino;
	struct timespec since; /* it was last changed */
	ev_io writable;        /* there was no room */
	ev_timer again;        /* it was not there */
	ev_timer stuck;
	double wait;
	bool said;                      /* that it takes nothing */
	double per_second, burst, left; /* 0: not paced; entries that may be sent now */
	struct mono left_at;
	ev_timer pace;
};

static void
say(struct journal_link *l, int error)
{
	if (!l->said)
		log_warn("the journal does not take the output of jobs (%s): it stays in the files "
			 "until it does, continuing",
			 strerror(error));
	l->said = true;
}

static void
went_well(struct journal_link *l)
{
	l->wait = AGAIN_FIRST;
	ev_timer_stop(l->loop, &l->stuck);
	if (l->said)
		log_info("the journal takes the output of jobs again");
	l->said = false;
}

static void
link_close(struct journal_link *l)
{
	if (l->fd < 0)
		return;
	ev_io_stop(l->loop, &l->writable);
	(void)close(l->fd);
	l->fd = -1;
}

/* Gone, or not there: later. */
static int
later(struct journal_link *l, int error)
{
	link_close(l);
	ev_timer_stop(l->loop, &l->stuck);
	say(l, error);
	l->on_lost(l->arg);
	ev_timer_set(&l->again, l->wait, 0.);
	ev_timer_start(l->loop, &l->again);
	l->wait = l->wait * 2 < AGAIN_MOST ? l->wait * 2 : AGAIN_MOST;
	return -EAGAIN;
}

static int
link_open(struct journal_link *l)
{
	struct stat st;
	int fd;

	if (stat(l->path, &st) < 0)
		return later(l, errno);
	fd = sock_connect(l->path, SOCK_DGRAM);
	if (fd < 0)
		return later(l, -fd);
	l->fd = fd;
	l->dev = st.st_dev;
	l->ino = st.st_ino;
	l->since = st.st_ctim;
	ev_io_set(&l->writable, fd, EV_WRITE);
	return 0;
}

static void
on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct journal_link *l = container_of(w, struct journal_link, writable);

	(void)revents;
	CHECK_MAGIC(l, JOURNAL_LINK_MAGIC);
	ev_io_stop(loop, w);
	l->on_change(l->arg);
}

static void
on_again(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct journal_link *l = container_of(w, struct journal_link, again);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, JOURNAL_LINK_MAGIC);
	l->on_change(l->arg);
}

static void
on_stuck(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct journal_link *l = container_of(w, struct journal_link, stuck);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, JOURNAL_LINK_MAGIC);
	say(l, EAGAIN);
}

static int
full(struct journal_link *l)
{
	ev_io_start(l->loop, &l->writable);
	if (!ev_is_active(&l->stuck) && !l->said) {
		ev_timer_set(&l->stuck, STUCK_AFTER, 0.);
		ev_timer_start(l->loop, &l->stuck);
	}
	return -EAGAIN;
}

/* An entry as a file in memory that nobody can change any more: fd or -errno. */
static int
seal(const struct iovec *v, size_t n)
{
	_close_ int fd = memfd_create("ctxd-journal", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_raise(-errno, "make a file in memory");
	for (size_t i = 0; i < n; i++) {
		int r = file_write_full(fd, v[i].iov_base, v[i].iov_len);

		if (r < 0)
			return err_raise(r, "write to a file in memory");
	}
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
		return err_raise(-errno, "seal a file in memory");
	return take_fd(fd);
}

static ssize_t
send_sealed(int to, const struct iovec *v, size_t n)
{
	_close_ int fd = seal(v, n);
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} c = {.bytes = {0}};
	struct msghdr m = {.msg_control = c.bytes, .msg_controllen = sizeof(c.bytes)};

	if (fd < 0) {
		errno = -fd;
		return -1;
	}
	c.head.cmsg_level = SOL_SOCKET;
	c.head.cmsg_type = SCM_RIGHTS;
	c.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&c.head), &fd, sizeof(int));
	return sendmsg(to, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void
journal_link_pace(struct journal_link *l, double per_second, double burst)
{
	l->per_second = per_second;
	l->burst = l->left = burst;
	l->left_at = mono_now();
}

/* May an entry be sent by the pace? If not, ON_CHANGE comes in a moment. */
static bool
in_pace(struct journal_link *l)
{
	struct mono now = mono_now();

	if (l->per_second <= 0 || l->left >= 1)
		return true;
	l->left += (double)mono_diff(now, l->left_at).ns / 1e9 * l->per_second;
	l->left = l->left < l->burst ? l->left : l->burst;
	l->left_at = now;
	if (l->left >= 1)
		return true;
	ev_timer_stop(l->loop, &l->pace);
	ev_timer_set(&l->pace, PACE_SEC, 0.);
	ev_timer_start(l->loop, &l->pace);
	return false;
}

static void
on_pace(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct journal_link *l = container_of(w, struct journal_link, pace);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, JOURNAL_LINK_MAGIC);
	l->on_change(l->arg);
}

int
journal_link_send(struct journal_link *l, const struct iovec *v, size_t n)
{
	struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = n};
	ssize_t sent;

	if (ev_is_active(&l->again) || !in_pace(l))
		return -EAGAIN;
	if (l->fd < 0 && link_open(l) < 0)
		return -EAGAIN;
	sent = sendmsg(l->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent < 0 && (errno == EMSGSIZE || errno == ENOBUFS))
		sent = send_sealed(l->fd, v, n);
	if (sent >= 0) {
		l->left -= l->per_second > 0;
		went_well(l);
		return 0;
	}
	if (errno == EAGAIN || errno == EINTR)
		return full(l);
	return later(l, errno);
}

/* Is the receiver still the one we are connected to? That its queue is empty may also mean that it
 * is gone, with what lay there. A socket that can be connected to under a name that has not
 * changed is the one that was bound to it. */
static bool
same_receiver(const struct journal_link *l)
{
	struct stat st;

	return journal_link_look(l->path) == 0 && stat(l->path, &st) == 0 && st.st_dev == l->dev &&
	       st.st_ino == l->ino && st.st_ctim.tv_sec == l->since.tv_sec &&
	       st.st_ctim.tv_nsec == l->since.tv_nsec;
}

bool
journal_link_taken(struct journal_link *l)
{
	int left = 0;

	if (l->fd < 0)
		return true;
	if (ioctl(l->fd, SIOCOUTQ, &left) < 0 || left > 0)
		return false;
	if (same_receiver(l))
		return true;
	(void)later(l, ECONNREFUSED);
	return false;
}

bool
journal_link_ok(const struct journal_link *l)
{
	return !l->said;
}

int
journal_link_look(const char *path)
{
	_close_ int fd = sock_connect(path, SOCK_DGRAM);

	return fd < 0 ? fd : 0;
}

struct journal_link *
journal_link_new(struct ev_loop *loop, const char *path, void (*on_change)(void *arg),
		 void (*on_lost)(void *arg), void *arg)
{
	struct journal_link *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	*l = (struct journal_link){.magic = JOURNAL_LINK_MAGIC,
				   .loop = loop,
				   .path = path,
				   .on_change = on_change,
				   .on_lost = on_lost,
				   .arg = arg,
				   .fd = -1,
				   .wait = AGAIN_FIRST};
	ev_init(&l->writable, on_writable);
	ev_init(&l->again, on_again);
	ev_init(&l->stuck, on_stuck);
	ev_init(&l->pace, on_pace);
	return l;
}

struct journal_link *
journal_link_free(struct journal_link *l)
{
	if (!l)
		return NULL;
	link_close(l);
	ev_timer_stop(l->loop, &l->again);
	ev_timer_stop(l->loop, &l->stuck);
	ev_timer_stop(l->loop, &l->pace);
	l->magic = 0;
	free(l);
	return NULL;
}
