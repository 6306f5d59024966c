/* sink.c - bytes on their way to a descriptor. */
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/sink.h"

enum {
	PENDING_MAX = 1 << 20,
	PIPE_PIECE = 4096, /* a pipe that is ready takes this many without blocking */
};

void
sink_init(struct sink *s, int fd)
{
	struct stat st;

	*s = (struct sink){.fd = fd, .regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode)};
}

void
sink_done(struct sink *s)
{
	buf_done(&s->pending);
}

bool
sink_full(const struct sink *s)
{
	return buf_len(&s->pending) >= PENDING_MAX;
}

int
sink_write(struct sink *s)
{
	const char *p = buf_head(&s->pending);
	size_t n = buf_len(&s->pending);
	ssize_t w;

	if (!s->regular && n > PIPE_PIECE)
		n = PIPE_PIECE;
	w = write(s->fd, p, n);
	if (w < 0)
		return errno == EINTR || errno == EAGAIN ? 0 : -errno;
	if (w > 0)
		s->midline = p[w - 1] != '\n';
	buf_consume(&s->pending, (size_t)w);
	return 0;
}
