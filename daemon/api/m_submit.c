/* m_submit.c - accepting a job. With `more` a second reply comes when it has ended; with `cancel`
 * in `inherit` it is then bound to the connection, too: cancelled when that ends before the job
 * does. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/conn.h"
#include "api/jobjson.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/policy.h"

struct submit_op {
	struct op op;
	struct engine *engine;
	struct engine_watch watch;
	uint64_t id;
	bool bound;
};

/* ---- arguments */

static int
take_inherit(struct call *c, const struct strv *names, uint32_t *ret)
{
	for (const char *s = strv_first(names); s; s = strv_next(names, s)) {
		if (strcmp(s, "cancel") != 0)
			return call_invalid(c, "inherit",
					    "only `cancel` can be inherited from a connection");
		*ret |= INHERIT_CANCEL;
	}
	return *ret && !c->more ? CALL_E_EXPECTED_MORE : 0;
}

/* INT64_MAX is `max`. */
static int
take_spans(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	if (a->has_timeout && a->timeout_usec <= 0)
		return call_invalid(c, "timeout_usec", "must be greater than 0");
	if (a->has_timeout && a->timeout_usec > DUR_MAX_US && a->timeout_usec != INT64_MAX)
		return call_invalid(c, "timeout_usec", "longer than ten years");
	if (a->has_grace && (a->grace_usec <= 0 || a->grace_usec > DUR_MAX_US))
		return call_invalid(c, "grace_usec",
				    "must be greater than 0 and at most ten years");
	s->timeout_us = a->timeout_usec;
	s->grace_us = a->grace_usec;
	return 0;
}

static int
take_numbers(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	if (a->has_umask && (a->umask < 0 || a->umask > 0777))
		return call_invalid(c, "umask", "must be within 0 and 511 (octal 777)");
	if (a->has_priority && (a->priority < INT32_MIN || a->priority > INT32_MAX))
		return call_invalid(c, "priority", "out of range");
	if (a->stop_signal && text_signal(a->stop_signal, &s->stop_signal) < 0)
		return call_invalid(c, "stop_signal", "no such signal");
	s->has_umask = a->has_umask;
	s->umask = (uint32_t)a->umask;
	s->has_priority = a->has_priority;
	s->priority = (int32_t)a->priority;
	return 0;
}

static int
take_texts(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	const char *first = strv_first(&a->argv);

	if (!first || !*first)
		return call_invalid(c, "argv", "no command is given");
	if (a->name && !text_job_name(a->name))
		return call_invalid(c, "name", "must be 1 to 128 bytes without control characters");
	if (a->class_name && !text_class_name(a->class_name))
		return call_invalid(c, "class", "must be 1 to 32 of a-z, 0-9, _ and -");
	if (a->cwd && a->cwd[0] != '/')
		return call_invalid(c, "cwd", "must be an absolute path");
	if (a->cwd && strlen(a->cwd) >= PATH_MAX)
		return call_invalid(c, "cwd", "longer than %d bytes", PATH_MAX - 1);
	s->argv = a->argv;
	s->env = a->env;
	s->name = a->name;
	s->class_name = a->class_name;
	s->cwd = a->cwd;
	return 0;
}

static int
take_deadline(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	int r;

	if (!a->deadline_at)
		return 0;
	r = call_time(c, "deadline_at", a->deadline_at, &s->deadline_us);
	if (r == 0 && s->deadline_us == 0)
		return call_invalid(c, "deadline_at", "is not in the future");
	return r;
}

/* ---- the reply at the end */

static void
submit_on_end(struct engine_watch *w, const struct job *job)
{
	(void)job; /* read again when it is the reply's turn */
	conn_op_ready(&container_of(w, struct submit_op, watch)->op);
}

static void
put_reply(struct conn *c, const struct job *job, bool created, const struct notices *n,
	  bool continues)
{
	struct jw j;

	varlink_reply_open(&j, &c->out);
	jobjson_job(&j, "job", job);
	jw_bool(&j, "created", created);
	jw_arr_open(&j, "notices");
	for (size_t i = 0; i < n->n; i++)
		jw_str(&j, NULL, n->text[i]);
	jw_arr_close(&j);
	varlink_reply_close(&j, continues);
}

static int
submit_step(struct op *op, struct refusal *r)
{
	struct submit_op *s = container_of(op, struct submit_op, op);
	_cleanup_(job_freep) struct job *job = NULL;
	const struct notices none = {.n = 0};
	int e = engine_get(s->engine, conn_who(op->conn), s->id, &job, r);

	if (e != 0)
		return e;
	put_reply(op->conn, job, true, &none, false);
	return OP_DONE;
}

static void
submit_drop(struct op *op, bool gone)
{
	struct submit_op *s = container_of(op, struct submit_op, op);

	engine_watch_remove(s->engine, &s->watch);
	if (gone && s->bound)
		engine_client_gone(s->engine, s->id);
	free(s);
}

static const struct op_type submit_type = {"io.ctxd.Submit", submit_step, submit_drop};

static struct submit_op *
submit_op_new(struct engine *g, bool bound)
{
	struct submit_op *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->op.type = &submit_type;
	s->engine = g;
	s->bound = bound;
	s->watch.on_end = submit_on_end;
	list_init(&s->watch.link);
	return s;
}

/* ---- the method */

/* Submit, tell, and with `more` stay to tell the end (OP; else NULL). */
static int
submit(struct call *c, const struct submit_args *s, struct submit_op **op)
{
	_cleanup_(job_freep) struct job *job = NULL;
	struct notices n = {.n = 0};
	bool created;
	int r = engine_submit(c->engine, c->who, s, &job, &created, &n, &c->refusal);

	if (r != 0)
		return r;
	if (*op) {
		(*op)->id = (*op)->watch.job = job->id;
		r = engine_watch_add(c->engine, &(*op)->watch);
		if (r < 0) { /* the answer is a refusal, so the job must not run */
			engine_client_gone(c->engine, job->id);
			return r;
		}
	}
	put_reply(c->conn, job, true, &n, *op != NULL);
	if (*op)
		conn_op_start(c->conn, &take_ptr(*op)->op, false);
	return 0;
}

int
m_submit_submit(struct call *c, void *args)
{
	const struct args_submit *a = args;
	struct submit_args s = {.has_umask = false};
	_free_ struct submit_op *op = NULL;
	int r = take_texts(c, a, &s);

	if (r == 0)
		r = take_spans(c, a, &s);
	if (r == 0)
		r = take_numbers(c, a, &s);
	if (r == 0)
		r = take_deadline(c, a, &s);
	if (r == 0)
		r = take_inherit(c, &a->inherit, &s.context.inherit);
	s.bound = s.context.inherit & INHERIT_CANCEL;
	if (r == 0 && c->more) {
		op = submit_op_new(c->engine, s.bound);
		r = op ? 0 : -ENOMEM;
	}
	return r ? r : submit(c, &s, &op);
}
