/* journal_read.c - output out of the journal, see journal_read.h.
 *
 * Anybody may write to the journal what he likes, but not under another uid: only what this uid has
 * sent counts, and of that what bears the name of this database, for there may be several.
 *
 * For a tail the journal is first read backwards, until so many lines were seen; then forwards from
 * the entry found. Entries come in the order in which they were sent, so one that begins before
 * what is expected was sent before: what is new of it is taken. */
#include "exec/journal_read.h"

#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/child.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "exec/journal_export.h"

#define JOURNAL_READ_MAGIC UINT32_C(0x6a72656d)
enum {
	READ_SIZE = 64 << 10,
	READ_AHEAD = 4 * READ_SIZE /* far more than an entry has */,
	CURSOR_MAX = 512,
	FIELD = 80,
	ARGS_MAX = 16
};

struct journal_read_table {
	struct ev_loop *loop;
	struct list queued, running; /* of struct journal_read */
	size_t n_running;
};

struct journal_read {
	uint32_t magic;
	struct journal_read_table *table;
	struct list link; /* in queued or running */
	struct journal_query q;
	uint32_t uid;
	void (*on_ready)(void *arg); /* NULL: freed, but for the child */
	void *arg;
	pid_t pid; /* 0: none */
	int fd;    /* owned; -1: none */
	ev_io io;
	ev_child child;
	ev_timer soon;
	struct buf in;
	bool started, eof, any;
	int error;     /* negative errno */
	uint64_t next; /* byte that is expected */
	int64_t tail;  /* -1: forwards */
	uint64_t low;  /* backwards: all from here on was seen */
	int64_t lines; /* so many begin there, or before */
	char cursor[CURSOR_MAX];
};

static void start_some(struct journal_read_table *t);

static void
really_free(struct journal_read *r)
{
	list_unlink(&r->link);
	ev_child_stop(r->table->loop, &r->child);
	buf_done(&r->in);
	r->magic = 0;
	free(r);
}

/* No more is read of the child; it is reaped by itself. */
static void
let_go(struct journal_read *r)
{
	ev_io_stop(r->table->loop, &r->io);
	if (r->fd >= 0)
		(void)close(take_fd(r->fd));
	if (r->pid > 0)
		(void)kill(r->pid, SIGKILL);
}

static void
on_child(struct ev_loop *loop, ev_child *w, int revents)
{
	struct journal_read *r = container_of(w, struct journal_read, child);
	struct journal_read_table *t = r->table;

	(void)revents;
	CHECK_MAGIC(r, JOURNAL_READ_MAGIC);
	ev_child_stop(loop, w);
	r->pid = 0;
	t->n_running--;
	list_unlink(&r->link);
	if (!r->on_ready)
		really_free(r);
	else if (!r->started) { /* backwards is over, now forwards */
		list_append(&t->queued, &r->link);
	}
	start_some(t);
}

static void
on_soon(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct journal_read *r = container_of(w, struct journal_read, soon);

	(void)loop, (void)revents;
	CHECK_MAGIC(r, JOURNAL_READ_MAGIC);
	r->on_ready(r->arg);
}

static void
tell_soon(struct journal_read *r)
{
	ev_timer_stop(r->table->loop, &r->soon);
	ev_timer_set(&r->soon, 0., 0.);
	ev_timer_start(r->table->loop, &r->soon);
}

static void
fail(struct journal_read *r, int error)
{
	r->error = error;
	let_go(r);
	tell_soon(r);
}

/* ---- backwards */

static void
keep_cursor(struct journal_read *r, const struct journal_line *l)
{
	size_t n = l->cursor_n < sizeof(r->cursor) ? l->cursor_n : 0;

	if (n > 0)
		memcpy(r->cursor, l->cursor, n);
	r->cursor[n] = '\0'; /* none: from the beginning */
}

/* An entry, seen from the end of the file. True: no more are needed. */
static bool
look_back(struct journal_read *r, const struct journal_line *l)
{
	uint64_t end = l->offset + l->n + l->newline;

	if (r->any && end > r->low) /* it was sent twice */
		return false;
	if (l->newline || !r->any) {
		if (r->lines == r->tail) { /* it belongs to the line before */
			if (!r->any)
				keep_cursor(r, l);
			r->any = true;
			r->low = end;
			return true;
		}
		r->lines++;
	}
	r->any = true;
	r->low = l->offset;
	keep_cursor(r, l);
	return false;
}

/* Where the tail begins is known: forwards from there. */
static void
turn_round(struct journal_read *r)
{
	r->next = r->any ? r->low : 0;
	r->tail = -1;
	r->any = r->eof = r->started = false;
	buf_clear(&r->in);
	let_go(r);
	if (r->pid == 0) { /* else when it has gone */
		list_append(&r->table->queued, &r->link);
		start_some(r->table);
	}
}

static bool
is_ours(const struct journal_read *r, const struct journal_line *l)
{
	return l->has_offset && l->message && l->round == r->q.round &&
	       l->offset <= INT64_MAX - l->n - 1;
}

/* 0: more is needed; 1: forwards now; -errno. */
static int
read_back(struct journal_read *r)
{
	struct journal_line l;
	long used;

	while ((used = journal_export_next(buf_head(&r->in), buf_len(&r->in), &l)) > 0) {
		if (is_ours(r, &l) && look_back(r, &l))
			return 1;
		buf_consume(&r->in, (size_t)used);
	}
	if (used == 0 && buf_len(&r->in) >= READ_AHEAD)
		used = -EPROTO;
	return used < 0 ? err_raise((int)used, "what journalctl writes") : r->eof;
}

/* ---- the pipe */

/* 0 or -errno. */
static int
fill(struct journal_read *r)
{
	for (int i = 0; i < 4 && buf_len(&r->in) < READ_AHEAD; i++) {
		char *p = buf_reserve(&r->in, READ_SIZE);
		ssize_t n;

		if (!p)
			return r->in.failed;
		n = read(r->fd, p, READ_SIZE);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return err_raise(-errno, "read what journalctl writes");
		if (n < 0)
			return 0;
		if (n == 0) {
			r->eof = true;
			ev_io_stop(r->table->loop, &r->io);
			return 0;
		}
		buf_wrote(&r->in, (size_t)n);
	}
	return 0;
}

static void
on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct journal_read *r = container_of(w, struct journal_read, io);
	int e;

	(void)revents;
	CHECK_MAGIC(r, JOURNAL_READ_MAGIC);
	e = fill(r);
	if (e == 0 && r->tail >= 0) {
		e = read_back(r);
		if (e > 0)
			turn_round(r);
		if (e >= 0)
			return;
	}
	if (e < 0) {
		fail(r, e);
		return;
	}
	if (buf_len(&r->in) >= READ_AHEAD)
		ev_io_stop(loop, w);
	r->on_ready(r->arg);
}

/* ---- the child */

struct args {
	char uid[FIELD], store[FIELD], job[FIELD], attempt[FIELD], stream[FIELD];
	char cursor[CURSOR_MAX + 16];
	char *v[ARGS_MAX];
};

static void
make_args(const struct journal_read *r, struct args *a)
{
	static char program[] = "journalctl", quiet[] = "-q", pager[] = "--no-pager",
		    format[] = "--output=export", back[] = "--reverse",
		    fields[] = "--output-fields=MESSAGE,CTX_OFFSET,CTX_ROUND,CTX_NO_NEWLINE";
	size_t n = 0;

	(void)snprintf(a->uid, FIELD, "_UID=%u", geteuid());
	(void)snprintf(a->store, FIELD, "CTX_STORE=%s", r->q.store_id);
	(void)snprintf(a->job, FIELD, "CTX_ID=%" PRIu64, r->q.job);
	(void)snprintf(a->attempt, FIELD, "CTX_ATTEMPT=%" PRIu32, r->q.attempt);
	(void)snprintf(a->stream, FIELD, "CTX_STREAM=%s", r->q.stream);
	(void)snprintf(a->cursor, sizeof(a->cursor), "--cursor=%s", r->cursor);
	a->v[n++] = program;
	a->v[n++] = quiet;
	a->v[n++] = pager;
	a->v[n++] = format;
	a->v[n++] = fields;
	if (r->tail >= 0)
		a->v[n++] = back;
	else if (*r->cursor)
		a->v[n++] = a->cursor;
	a->v[n++] = a->uid;
	a->v[n++] = a->store;
	a->v[n++] = a->job;
	a->v[n++] = a->attempt;
	a->v[n++] = a->stream;
	a->v[n] = NULL;
	assert(n < ARGS_MAX);
}

static void
start(struct journal_read *r)
{
	struct journal_read_table *t = r->table;
	struct args a;
	int e;

	make_args(r, &a);
	r->started = true;
	list_unlink(&r->link);
	list_append(&t->running, &r->link);
	e = child_start(a.v[0], a.v, &r->fd, &r->pid);
	if (e < 0) {
		r->pid = 0;
		list_unlink(&r->link);
		fail(r, e);
		return;
	}
	t->n_running++;
	ev_io_set(&r->io, r->fd, EV_READ);
	ev_io_start(t->loop, &r->io);
	ev_child_set(&r->child, r->pid, 0);
	ev_child_start(t->loop, &r->child);
}

static bool
may_start(const struct journal_read_table *t, uint32_t uid)
{
	size_t n = 0;

	list_for_each (l, &t->running)
		n += list_entry(l, const struct journal_read, link)->uid == uid;
	return n < JOURNAL_READS_PER_USER;
}

static void
start_some(struct journal_read_table *t)
{
	list_for_each_safe (l, &t->queued) {
		struct journal_read *r = list_entry(l, struct journal_read, link);

		if (t->n_running >= JOURNAL_READS_MAX)
			return;
		if (may_start(t, r->uid))
			start(r);
	}
}

/* ---- forwards */

/* Of L what is not given yet, as far as there is ROOM; *RET_ALL: to its end. */
static size_t
give(struct journal_read *r, const struct journal_line *l, char *to, size_t room, bool *ret_all)
{
	uint64_t end = l->offset + l->n + l->newline;
	size_t skip = (size_t)(r->next - l->offset), n = (size_t)(end - r->next);
	size_t text = l->n > skip ? l->n - skip : 0;

	*ret_all = n <= room;
	n = n < room ? n : room;
	memcpy(to, l->message + (skip < l->n ? skip : l->n), n < text ? n : text);
	if (n > text)
		to[n - 1] = '\n';
	r->next += n;
	return n;
}

/* As much as there is and fits. Bytes, or -EPROTO. */
static ssize_t
give_all(struct journal_read *r, char *to, size_t room, uint64_t *offset, uint64_t *dropped)
{
	struct journal_line l;
	size_t given = 0;
	bool all = true;
	long used;

	while (given < room &&
	       (used = journal_export_next(buf_head(&r->in), buf_len(&r->in), &l)) != 0) {
		if (used < 0)
			return used;
		if (is_ours(r, &l) && l.offset + l.n + l.newline > r->next) {
			if (l.offset > r->next && given > 0)
				break;
			if (l.offset > r->next) {
				*dropped += l.offset - r->next;
				*offset = r->next = l.offset;
			}
			r->any = true;
			given += give(r, &l, to + given, room - given, &all);
		}
		if (all)
			buf_consume(&r->in, (size_t)used);
	}
	return (ssize_t)given;
}

/* Nothing more comes: is something missing at the end? */
static ssize_t
at_end(struct journal_read *r, uint64_t *offset, uint64_t *dropped)
{
	if (r->next >= r->q.bytes)
		return 0;
	if (!r->any)
		return -ENODATA;
	*dropped = r->q.bytes - r->next;
	*offset = r->next = r->q.bytes;
	return 0;
}

ssize_t
journal_read_get(struct journal_read *r, uint64_t *offset, void *p, size_t n, uint64_t *ret_dropped)
{
	ssize_t got;

	*ret_dropped = 0;
	if (r->error)
		return r->error;
	if (!r->started || r->tail >= 0)
		return -EAGAIN;
	*offset = r->next;
	got = give_all(r, p, n, offset, ret_dropped);
	if (got < 0)
		return err_raise((int)got, "what journalctl writes");
	if (got > 0 || *ret_dropped > 0) {
		if (r->fd >= 0 && !r->eof)
			ev_io_start(r->table->loop, &r->io);
		*offset += (uint64_t)got;
		return got;
	}
	if (r->eof)
		return at_end(r, offset, ret_dropped);
	if (buf_len(&r->in) >= READ_AHEAD)
		return err_raise(-EPROTO, "an entry of the journal");
	ev_io_start(r->table->loop, &r->io);
	return -EAGAIN;
}

struct journal_read *
journal_read_new(struct journal_read_table *t, const struct journal_query *q, uint64_t offset,
		 int64_t tail, uint32_t uid, void (*on_ready)(void *arg), void *arg)
{
	struct journal_read *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct journal_read){.magic = JOURNAL_READ_MAGIC,
				   .table = t,
				   .q = *q,
				   .uid = uid,
				   .on_ready = on_ready,
				   .arg = arg,
				   .fd = -1,
				   .next = offset,
				   .tail = tail};
	buf_init(&r->in, READ_AHEAD + READ_SIZE);
	ev_init(&r->io, on_readable);
	ev_init(&r->child, on_child);
	ev_init(&r->soon, on_soon);
	list_append(&t->queued, &r->link);
	start_some(t);
	return r;
}

void
journal_read_free(struct journal_read *r)
{
	if (!r)
		return;
	r->on_ready = NULL;
	ev_timer_stop(r->table->loop, &r->soon);
	let_go(r);
	if (r->pid == 0)
		really_free(r);
}

struct journal_read_table *
journal_read_table_new(struct ev_loop *loop)
{
	struct journal_read_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->loop = loop;
	list_init(&t->queued);
	list_init(&t->running);
	return t;
}

struct journal_read_table *
journal_read_table_free(struct journal_read_table *t)
{
	if (!t)
		return NULL;
	assert(list_empty(&t->queued)); /* who asked is gone by now */
	list_for_each_safe (l, &t->running)
		really_free(list_entry(l, struct journal_read, link));
	free(t);
	return NULL;
}
