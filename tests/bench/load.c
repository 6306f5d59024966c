/* load.c - many clients at once, in one process: CONNS connections to SOCKET, each with DEPTH
 * requests under way, TOTAL in all. The request is read from FILE (one JSON object without the
 * NUL). Prints replies per second and how many were errors.
 *
 *   load SOCKET FILE CONNS DEPTH TOTAL */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct client {
	long sent, got;
	size_t off;   /* of the request being written */
	size_t reply; /* bytes of the reply being read */
	char head[64];
};

static char request[65536];
static size_t request_len;
static long to_send, errors;

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static int
dial(const char *path)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(a.sun_path))
		die("socket");
	strcpy(a.sun_path, path);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		die(path);
	return fd;
}

static void
push(struct client *c, int fd, long depth)
{
	while (c->off > 0 || (to_send > 0 && c->sent - c->got < depth)) {
		ssize_t n = send(fd, request + c->off, request_len - c->off, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			die("send");
		if (c->off == 0) {
			c->sent++;
			to_send--;
		}
		c->off += (size_t)n;
		if (c->off == request_len)
			c->off = 0;
	}
}

static long
pull(struct client *c, int fd)
{
	static char p[262144];
	ssize_t n = recv(fd, p, sizeof(p), 0);
	long done = 0;

	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n <= 0) {
		(void)fprintf(stderr, "connection ended\n");
		exit(1);
	}
	for (ssize_t i = 0; i < n; i++) {
		if (c->reply < sizeof(c->head) - 1)
			c->head[c->reply] = p[i];
		c->reply++;
		if (p[i] == '\0') {
			errors += strncmp(c->head, "{\"error\"", 8) == 0;
			c->reply = 0;
			c->got++;
			done++;
		}
	}
	return done;
}

int
main(int argc, char **argv)
{
	long conns, depth, total, got = 0;
	struct client *c;
	struct pollfd *p;
	FILE *f;
	double t;

	if (argc != 6) {
		(void)fprintf(stderr, "usage: load SOCKET FILE CONNS DEPTH TOTAL\n");
		return 2;
	}
	conns = atol(argv[3]);
	depth = atol(argv[4]);
	total = to_send = atol(argv[5]);
	f = fopen(argv[2], "r");
	if (!f)
		die(argv[2]);
	request_len = fread(request, 1, sizeof(request) - 1, f);
	(void)fclose(f);
	while (request_len > 0 && request[request_len - 1] == '\n')
		request_len--;
	request[request_len++] = '\0';
	c = calloc((size_t)conns, sizeof(*c));
	p = calloc((size_t)conns, sizeof(*p));
	if (!c || !p)
		die("memory");
	for (long i = 0; i < conns; i++)
		p[i].fd = dial(argv[1]);
	t = now();
	while (got < total) {
		for (long i = 0; i < conns; i++) {
			push(&c[i], p[i].fd, depth);
			p[i].events = (short)(POLLIN | (c[i].off ? POLLOUT : 0));
		}
		if (poll(p, (nfds_t)conns, 60000) <= 0)
			die("poll");
		for (long i = 0; i < conns; i++) {
			if (p[i].revents)
				got += pull(&c[i], p[i].fd);
		}
	}
	t = now() - t;
	(void)printf("{\"per_s\": %.1f, \"seconds\": %.3f, \"errors\": %ld}\n", (double)total / t,
		     t, errors);
	return 0;
}
