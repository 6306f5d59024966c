/* m_logs.c - reading a job's output: one piece, all of it, or with `follow` until the job has
 * ended.
 *
 * Pieces go out as the peer takes them, so a file of any size costs one piece of memory. Following
 * waits for the file to change (follow.h) and for the end of the job, after which the file is read
 * to its end once more. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/conn.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/jw.h"
#include "base/mem.h"
#include "exec/follow.h"
#include "exec/journal_read.h"
#include "exec/output.h"

enum { PIECE = API_SCRATCH };

struct logs_op {
	struct op op;
	struct engine *engine;
	struct follow *follow;
	struct engine_watch watch;  /* the end of the job */
	struct follow_watch change; /* of the file; of its coming into being */
	uint64_t id;
	struct journal_read *journal; /* owned: where its output is now; NULL: in its file */
	int fd;                       /* owned; -1: there is none yet */
	uint64_t offset;
	int64_t tail; /* -1: not asked, or looked for already */
	bool seeking; /* SEEK is under way */
	struct output_tail seek;
	bool empty; /* it has ended and wrote nothing: the file may be another job's by now */
	bool err;   /* the stream of standard error */
	bool more, following, ended;
	bool again; /* there is a next attempt, with a file of its own */
};

/* By the word of its monitor. */
static bool
wrote_nothing(const struct logs_op *l, const struct job *job)
{
	return job_state_ended(job->state) && (l->err ? job->err_bytes : job->out_bytes) == 0 &&
	       (job->known_by == KNOWN_BY_MONITOR || job->known_by == KNOWN_BY_RESULT_FILE);
}

static void
logs_on_end(struct engine_watch *w, const struct job *job)
{
	struct logs_op *l = container_of(w, struct logs_op, watch);

	l->ended = true;
	l->empty = wrote_nothing(l, job);
	conn_op_ready(&l->op);
}

static void
logs_on_again(struct engine_watch *w)
{
	struct logs_op *l = container_of(w, struct logs_op, watch);

	l->again = true;
	conn_op_ready(&l->op);
}

static void
logs_on_change(struct follow_watch *w)
{
	conn_op_ready(&container_of(w, struct logs_op, change)->op);
}

static void
logs_on_journal(void *arg)
{
	struct logs_op *l = arg;

	conn_op_ready(&l->op);
}

static int
put_piece(struct logs_op *l, const void *p, size_t n, uint64_t dropped, bool continues)
{
	struct jw j;

	varlink_reply_open(&j, &l->op.conn->out);
	jw_base64(&j, "data", p, n);
	jw_int(&j, "offset", (int64_t)l->offset);
	jw_int(&j, "dropped", (int64_t)dropped);
	varlink_reply_close(&j, continues);
	return continues ? OP_AGAIN : OP_DONE;
}

static int
unreadable(struct refusal *r, int error)
{
	return refusal_set(r, REFUSAL_NOT_READY, NULL, "the output cannot be read: %s",
			   strerror(-error));
}

/* The file is there: where to begin, and watch it. */
static int
logs_begin(struct logs_op *l, struct refusal *r)
{
	int e = 0;

	if (l->tail >= 0)
		e = output_tail_begin(l->fd, (uint64_t)l->tail, &l->seek);
	if (e < 0)
		return unreadable(r, e);
	l->seeking = l->tail >= 0;
	l->tail = -1;
	if (l->following) {
		follow_remove(l->follow, &l->change);
		follow_add(l->follow, l->fd, &l->change);
	}
	return 0;
}

/* There is no file: is it in the journal? */
static int
logs_from_journal(struct logs_op *l, const struct job *job)
{
	struct journal_query q;
	int e = engine_journaled(l->engine, job, l->err, &q);

	if (e <= 0)
		return e;
	l->journal = journal_read_new(l->op.conn->api->journal, &q, l->offset, l->tail,
				      conn_who(l->op.conn)->uid, logs_on_journal, l);
	return l->journal ? 0 : -ENOMEM;
}

static int
not_in_journal(struct refusal *r, int error)
{
	if (error == -ENOENT)
		return refusal_set(r, REFUSAL_NOT_READY, NULL,
				   "the output is in the journal, and there is no journalctl here "
				   "to read it");
	if (error == -ENODATA)
		return refusal_set(r, REFUSAL_NOT_READY, NULL,
				   "the output was given to the journal, which does not have it "
				   "any more, or does not show it to ctxd");
	return refusal_set(r, REFUSAL_NOT_READY, NULL,
			   "the output cannot be read back from the "
			   "journal: %s",
			   strerror(-error));
}

/* Open the file if there is one (yet), and look whether the job has ended. */
static int
logs_open(struct logs_op *l, struct refusal *r)
{
	_cleanup_(job_freep) struct job *job = NULL;
	int e = engine_output(l->engine, conn_who(l->op.conn), l->id, l->err, &job, &l->fd, r);

	if (e != 0)
		return e;
	if (job->kind == JOB_KIND_SCOPE)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "id", "a scope has no output");
	if (l->err && !job->split_output)
		return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "stream",
				   "the standard error of this job is in the same stream");
	l->ended = job_state_ended(job->state);
	l->empty = wrote_nothing(l, job);
	if (l->fd < 0 && l->ended && !l->empty)
		return logs_from_journal(l, job);
	return l->fd >= 0 ? logs_begin(l, r) : 0;
}

/* From the beginning of what the next attempt writes. */
static void
logs_next(struct logs_op *l)
{
	l->again = false;
	l->offset = 0;
	follow_remove(l->follow, &l->change);
	journal_read_free(take_ptr(l->journal));
	if (l->fd >= 0)
		(void)close(l->fd);
	l->fd = -1;
	follow_add(l->follow, -1, &l->change);
}

static int
logs_step(struct op *op, struct refusal *r)
{
	struct logs_op *l = container_of(op, struct logs_op, op);
	char *p = op->conn->api->scratch;
	uint64_t dropped = 0;
	ssize_t n = 0;
	int e = 0;

	if (l->fd < 0 && !l->empty && !l->journal)
		e = logs_open(l, r);
	if (e != 0)
		return e;
	if (l->empty)
		return put_piece(l, p, 0, 0, false);
	if (l->journal) {
		n = journal_read_get(l->journal, &l->offset, p, PIECE, &dropped);
		if (n < 0)
			return n == -EAGAIN ? OP_WAIT : not_in_journal(r, (int)n);
	}
	if (l->seeking) {
		e = output_tail(l->fd, &l->seek, &l->offset);
		if (e == OUTPUT_E_AGAIN)
			return OP_AGAIN;
		if (e < 0)
			return unreadable(r, e);
		l->seeking = false;
	}
	if (l->fd >= 0)
		n = output_read(l->fd, &l->offset, p, PIECE, &dropped);
	if (n == 0 && dropped == 0 && l->following && output_truncated(l->fd, l->offset)) {
		l->offset = 0; /* the job emptied its own output: what follows is new */
		n = output_read(l->fd, &l->offset, p, PIECE, &dropped);
	}
	if (n < 0)
		return unreadable(r, (int)n);
	if (n > 0 || dropped > 0)
		return put_piece(l, p, (size_t)n, dropped, l->more);
	if (l->again) { /* all of this attempt was read */
		logs_next(l);
		return OP_AGAIN;
	}
	if (l->following && !l->ended)
		return OP_WAIT;
	return put_piece(l, p, 0, 0, false);
}

static void
logs_free(struct logs_op *l)
{
	engine_watch_remove(l->engine, &l->watch);
	follow_remove(l->follow, &l->change);
	journal_read_free(l->journal);
	if (l->fd >= 0)
		(void)close(l->fd);
	free(l);
}

static void
logs_freep(struct logs_op **l)
{
	if (*l)
		logs_free(*l);
}

static void
logs_drop(struct op *op, bool gone)
{
	(void)gone;
	logs_free(container_of(op, struct logs_op, op));
}

static const struct op_type logs_type = {"io.ctxd.Logs", logs_step, logs_drop};

/* ---- the method */

static int
check_args(struct call *c, const struct args_logs *a)
{
	if (a->stream && strcmp(a->stream, "stdout") != 0 && strcmp(a->stream, "stderr") != 0)
		return call_invalid(c, "stream", "must be stdout or stderr");
	if (a->has_tail && a->tail < 0)
		return call_invalid(c, "tail", "must not be negative");
	if (a->has_offset && a->offset < 0)
		return call_invalid(c, "offset", "must not be negative");
	if (a->has_tail && a->has_offset)
		return call_invalid(c, "tail", "give either tail or offset");
	return a->follow && !c->more ? CALL_E_EXPECTED_MORE : 0;
}

static struct logs_op *
logs_new(struct call *c, const struct args_logs *a)
{
	struct logs_op *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->op = (struct op){.type = &logs_type, .conn = c->conn};
	l->engine = c->engine;
	l->follow = c->api->follow;
	l->id = l->watch.job = (uint64_t)a->id;
	l->watch.on_end = logs_on_end;
	l->watch.on_again = logs_on_again;
	list_init(&l->watch.link);
	l->change.on_change = logs_on_change;
	list_init(&l->change.link);
	l->fd = -1;
	l->offset = (uint64_t)a->offset;
	l->tail = a->has_tail ? a->tail : -1;
	l->err = a->stream && strcmp(a->stream, "stderr") == 0;
	l->more = c->more;
	l->following = a->follow;
	return l;
}

/* Be told when there is more to read, and when there will be no more. Until there is a file, look
 * for it by timer. */
static int
logs_watch(struct logs_op *l)
{
	if (!l->following || l->ended)
		return 0;
	if (l->fd < 0)
		follow_add(l->follow, -1, &l->change);
	return engine_watch_add(l->engine, &l->watch);
}

int
m_logs_logs(struct call *c, void *args)
{
	const struct args_logs *a = args;
	_cleanup_(logs_freep) struct logs_op *l = NULL;
	int r = call_id(c, a->id);

	if (r == 0)
		r = check_args(c, a);
	if (r != 0)
		return r;
	l = logs_new(c, a);
	if (!l)
		return -ENOMEM;
	r = logs_open(l, &c->refusal);
	if (r == 0)
		r = logs_watch(l);
	if (r == 0)
		conn_op_start(c->conn, &take_ptr(l)->op, true);
	return r;
}
