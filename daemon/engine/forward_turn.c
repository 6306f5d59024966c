/* forward_turn.c - one turn of one job: a piece of its files is read, and its lines are sent.
 *
 * An entry is a line: MESSAGE without the newline, CTX_STREAM and CTX_OFFSET say where it stood,
 * and CTX_NO_NEWLINE that nothing followed: a line longer than FORWARD_LINE is cut, one that does
 * not end for a second, or never, is sent as it is. So the entries give back each byte of the file.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/err.h"
#include "base/journal.h"
#include "base/mem.h"
#include "core/job.h"
#include "engine/forward.h"
#include "engine/impl.h"
#include "engine/tell.h"
#include "exec/journal_link.h"

#define SILENCE (INT64_C(1) * NSEC_PER_SEC)
enum { PRIORITY_OUT = 6, PRIORITY_ERR = 4, IDENTIFIER_MAX = 64, REST_MAX = 128 };

/* What is read of one stream in one turn. */
struct piece {
	struct forward *f;
	struct forward_job *e;
	struct forward_stream *s;
	struct journal_entry *head; /* the fields that all its entries have */
	uint64_t at;                /* of the first byte */
	size_t n;
};

static void
add_text(struct journal_entry *h, const char *name, const char *value)
{
	if (value)
		journal_add(h, name, value, strlen(value));
}

/* The command's own name. */
static void
add_identifier(struct journal_entry *h, const struct job *j)
{
	const char *argv0 = strv_first(&j->argv), *slash = argv0 ? strrchr(argv0, '/') : NULL;
	const char *name = slash ? slash + 1 : argv0;

	if (!name || !*name)
		name = "ctx";
	journal_add(h, "SYSLOG_IDENTIFIER", name, strnlen(name, IDENTIFIER_MAX));
}

const char *
forward_stream_name(const struct job *j, bool err)
{
	if (!j->split_output)
		return "output";
	return err ? "stderr" : "stdout";
}

static struct journal_entry *
make_head(const struct forward *f, const struct forward_job *e, const struct job *j, size_t stream)
{
	static struct journal_entry h; /* not of the stack: see journal.h */
	int priority = stream == OUTPUT_ERR ? PRIORITY_ERR : PRIORITY_OUT;
	char text[32];

	journal_begin(&h);
	(void)snprintf(text, sizeof(text), "%d", priority);
	add_text(&h, "PRIORITY", text);
	add_identifier(&h, j);
	add_text(&h, "CTX_STREAM", forward_stream_name(j, stream == OUTPUT_ERR));
	add_text(&h, "CTX_STORE", f->store_id);
	(void)snprintf(text, sizeof(text), "%" PRIu32, e->stream[stream].round);
	if (e->stream[stream].round > 0)
		add_text(&h, "CTX_ROUND", text);
	log_job_entry(&h, j, e->attempt);
	return &h;
}

/* N bytes at P as an entry. 0 or -EAGAIN. */
static int
send_line(const struct piece *p, const char *line, size_t n, bool newline)
{
	static const char message[] = "MESSAGE=";
	char rest[REST_MAX];
	int len = snprintf(rest, sizeof(rest), "\nCTX_OFFSET=%" PRIu64 "\n%s", p->s->sent,
			   newline ? "" : "CTX_NO_NEWLINE=1\n");
	const struct iovec v[] = {
		{p->head->data, p->head->n},
		{(void *)(uintptr_t)message, sizeof(message) - 1},
		{(void *)(uintptr_t)line, n},
		{rest, (size_t)len},
	};
	int r = journal_link_send(p->f->link, v, ARRAY_SIZE(v));

	if (r < 0)
		return r;
	p->s->sent += n + newline;
	CRASH_POINT("ctxd.line.sent");
	return 0;
}

/* All whole lines, and what is too long for one; the rest stays. *RET_LEFT: so many bytes. 0 or
 * -EAGAIN. */
static int
send_lines(const struct piece *p, size_t *ret_left)
{
	const char *at = p->f->piece, *end = at + p->n;
	int r = 0;

	while (at < end && r == 0) {
		size_t n = (size_t)(end - at);
		const char *newline = memchr(at, '\n', n < FORWARD_LINE ? n : FORWARD_LINE);

		if (newline)
			n = (size_t)(newline - at);
		else if (n > FORWARD_LINE)
			n = FORWARD_LINE;
		else
			break;
		r = send_line(p, at, n, newline != NULL);
		at += r == 0 ? n + (newline != NULL) : 0;
	}
	*ret_left = (size_t)(end - at);
	return r;
}

/* May a line be sent whose end is not there? */
static bool
waited(struct forward_stream *s, uint64_t end)
{
	if (!s->held || s->held_end != end) {
		s->held = true;
		s->held_end = end;
		s->held_ns = mono_now().ns;
		return false;
	}
	return mono_now().ns - s->held_ns >= SILENCE;
}

/* LEFT bytes of a line are the last of the piece. 0, or a value of enum forward_turn. */
static int
send_rest(const struct piece *p, int fd, size_t left)
{
	uint64_t end = p->at + p->n, next = end, dropped = 0;
	char c;
	ssize_t more = output_read(fd, &next, &c, 1, &dropped);

	if (more < 0)
		return (int)more;
	if (more > 0 && dropped == 0)
		return FORWARD_MORE; /* it goes on behind the piece */
	if (dropped == 0 && !p->e->over && !waited(p->s, end))
		return FORWARD_IDLE;
	p->s->held = false;
	if (send_line(p, p->f->piece + p->n - left, left, false) < 0)
		return FORWARD_BLOCKED;
	return FORWARD_MORE;
}

/* The job made its file shorter: what follows is new. Nobody is told of it before it is written
 * down, for a reader goes by that. */
static enum forward_turn
cut_off(struct forward_job *e, struct forward_stream *s)
{
	*s = (struct forward_stream){.round = s->round + 1};
	e->unwritten = e->dirty = true;
	return FORWARD_IDLE;
}

/* A piece of one stream. A value of enum forward_turn, or negative errno. */
static int
turn_stream(struct forward *f, struct forward_job *e, const struct job *j, size_t stream)
{
	struct forward_stream *s = &e->stream[stream];
	_close_ int fd = output_open(f->engine->output, e->id, e->attempt,
				     stream == OUTPUT_ERR ? OUTPUT_ERR : OUTPUT_OUT);
	struct piece p = {.f = f, .e = e, .s = s, .at = s->sent};
	uint64_t end = s->sent, dropped;
	size_t left = 0;
	ssize_t n;

	if (fd == -ENOENT)
		return FORWARD_IDLE;
	if (fd < 0)
		return fd;
	if (output_truncated(fd, s->sent))
		return cut_off(e, s);
	n = output_read(fd, &end, f->piece, FORWARD_PIECE, &dropped);
	if (n < 0)
		return (int)n;
	if (n == 0 && end == s->sent)
		return FORWARD_IDLE;
	if (n == 0) { /* nothing but a hole was left, and may be written behind it */
		s->sent = end;
		return FORWARD_MORE;
	}
	p.n = (size_t)n;
	p.at = s->sent = end - p.n;
	p.head = make_head(f, e, j, stream);
	if (send_lines(&p, &left) < 0)
		return FORWARD_BLOCKED;
	if (left > 0)
		return send_rest(&p, fd, left);
	s->held = false;
	return FORWARD_MORE;
}

static enum forward_turn
turn_failed(struct forward *f, const struct forward_job *e, int r)
{
	if (log_rate_ok(&f->rate, 5))
		log_warn("job %" PRIu64 ".%" PRIu32
			 ": its output cannot be read for the journal (%s), continuing",
			 e->id, e->attempt, strerror(-r));
	return FORWARD_GONE;
}

enum forward_turn
forward_turn(struct forward *f, struct forward_job *e)
{
	_cleanup_(job_freep) struct job *j = NULL;
	bool more = false;
	int r = store_job_get(f->engine->store, e->id, &j);

	if (r != 0)
		return FORWARD_GONE;
	if (e->unwritten)
		return FORWARD_IDLE;
	e->split = j->split_output;
	for (size_t i = 0; i < (e->split ? 2U : 1U); i++) {
		r = turn_stream(f, e, j, i);
		if (r < 0)
			return turn_failed(f, e, r);
		if (r == FORWARD_BLOCKED)
			return FORWARD_BLOCKED;
		more |= r == FORWARD_MORE;
	}
	if (more)
		return FORWARD_MORE;
	return e->over && !e->unwritten ? FORWARD_ALL : FORWARD_IDLE;
}

bool
forward_watch(struct forward *f, struct forward_job *e)
{
	bool grown = false;

	if (e->over || e->unwritten)
		return false;
	for (size_t i = 0; i < (e->split ? 2U : 1U); i++) {
		const struct forward_stream *s = &e->stream[i];
		_close_ int fd = output_open(f->engine->output, e->id, e->attempt,
					     i == OUTPUT_ERR ? OUTPUT_ERR : OUTPUT_OUT);
		uint64_t bytes = 0, dropped;

		follow_add(f->follow, fd < 0 ? -1 : fd, &e->watch[i]);
		if (fd >= 0 && output_measure(fd, &bytes, &dropped) == 0)
			grown |= bytes != (s->held ? s->held_end : s->sent);
	}
	return grown;
}
