/* relay.c - bytes both ways.
 *
 * The standard input and output may be pipes, sockets (of sshd), terminals or files that others use
 * as well, so they are not made non-blocking: nothing is read that poll has not announced, and no
 * more is written than is sure to be taken at once. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/relay.h"

enum {
	READ_SIZE = 64 << 10,
	PIPE_PIECE = 4096, /* a pipe that is ready takes this many without blocking */
};

struct way {
	int from, to;
	struct buf b; /* read and not written yet */
	bool to_socket;
	size_t piece; /* at most so much in one write */
	bool ended;   /* nothing more comes from FROM */
};

/* Take what poll has announced. 0 or -errno. */
static int
way_read(struct way *w)
{
	char *p = buf_reserve(&w->b, READ_SIZE);
	ssize_t n;

	if (!p)
		return w->b.failed;
	n = read(w->from, p, READ_SIZE);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (n < 0 && errno != ECONNRESET && errno != EIO) /* EIO: a terminal that is gone */
		return -errno;
	buf_wrote(&w->b, n > 0 ? (size_t)n : 0);
	w->ended = n <= 0;
	return 0;
}

/* 0, -EPIPE: nobody takes it, or -errno. */
static int
way_write(struct way *w)
{
	size_t n = buf_len(&w->b);
	ssize_t done;

	if (w->piece && n > w->piece)
		n = w->piece;
	if (w->to_socket)
		done = send(w->to, buf_head(&w->b), n, MSG_DONTWAIT | MSG_NOSIGNAL);
	else
		done = write(w->to, buf_head(&w->b), n);
	if (done < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	if (done < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	buf_consume(&w->b, (size_t)done);
	return 0;
}

static void
way_init(struct way *w, int from, int to)
{
	struct stat st = {.st_mode = 0};

	*w = (struct way){.from = from, .to = to};
	if (fstat(to, &st) == 0)
		w->to_socket = S_ISSOCK(st.st_mode);
	w->piece = w->to_socket || S_ISREG(st.st_mode) ? 0 : PIPE_PIECE;
}

struct both {
	struct way up, down; /* to the socket, from it */
	bool one_ends_all;   /* as in struct relay */
	bool told;           /* the socket knows that no more comes */
	bool deaf;           /* the socket takes no more: its last answers are still wanted */
	bool gone;           /* nobody reads the output */
};

/* What is there of the input when its reader goes is still passed on, but nothing is waited for. */
static int
step_up(struct both *x, const struct pollfd *in, const struct pollfd *out)
{
	int r = 0;

	if (in->revents)
		r = way_read(&x->up);
	if (r == 0 && out->revents) {
		r = way_write(&x->up);
		if (r == -EPIPE) {
			x->deaf = true;
			r = 0;
		}
	}
	if (r == 0 && x->up.ended && buf_len(&x->up.b) == 0 && !x->told) {
		x->told = true;
		(void)shutdown(x->up.to, SHUT_WR);
	}
	return r;
}

static int
step_down(struct both *x, const struct pollfd *in, const struct pollfd *out)
{
	int r = 0;

	if (in->revents)
		r = way_read(&x->down);
	if (r == 0 && (out->revents & POLLOUT) && buf_len(&x->down.b) > 0)
		r = way_write(&x->down);
	if (r == -EPIPE || (out->revents & (POLLERR | POLLHUP | POLLNVAL)))
		x->gone = true;
	return r == -EPIPE ? 0 : r;
}

static bool
over(const struct both *x)
{
	return (x->down.ended && buf_len(&x->down.b) == 0) || (x->told && x->one_ends_all);
}

static int
run(struct both *x, const char **what)
{
	enum { INPUT, TO, FROM, OUTPUT, N };

	while (!over(x)) {
		bool up = buf_len(&x->up.b) > 0, down = buf_len(&x->down.b) > 0;
		struct pollfd p[N] = {
			[INPUT] = {x->up.ended || up || x->deaf ? -1 : x->up.from, POLLIN, 0},
			[TO] = {up && !x->deaf ? x->up.to : -1, POLLOUT, 0},
			[FROM] = {x->down.ended || down || x->gone ? -1 : x->down.from, POLLIN, 0},
			[OUTPUT] = {x->gone ? -1 : x->down.to, down ? POLLOUT : 0, 0},
		};
		int n = poll(p, N, x->gone ? 0 : -1), r;

		*what = "waiting";
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0)
			return 0; /* gone */
		if (n < 0)
			continue;
		*what = "passing on to ctxd";
		r = step_up(x, &p[INPUT], &p[TO]);
		if (r < 0)
			return r;
		*what = "passing on from ctxd";
		r = step_down(x, &p[FROM], &p[OUTPUT]);
		if (r < 0)
			return r;
	}
	return 0;
}

int
relay(const struct relay *r, const char **ret_what)
{
	struct both x = {.one_ends_all = r->one_ends_all};
	int e;

	way_init(&x.up, STDIN_FILENO, r->sock);
	way_init(&x.down, r->sock, STDOUT_FILENO);
	*ret_what = "the first words";
	e = buf_put(&x.down.b, r->hello, r->size);
	if (e == 0)
		e = run(&x, ret_what);
	buf_done(&x.up.b);
	buf_done(&x.down.b);
	return e;
}
