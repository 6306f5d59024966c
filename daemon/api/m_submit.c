/* m_submit.c - accepting a job. With `more` a second reply comes when it has ended; it may then be
 * bound to the connection, too: cancelled when that ends before the job does. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "api/account.h"
#include "api/conn.h"
#include "api/jobjson.h"
#include "api/methods.h"
#include "api/server.h"
#include "api/ties.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/policy.h"

enum { KEY_BYTES_MAX = 128, RETRIES_MOST = 1000 };

struct submit_op {
	struct op op;
	struct engine *engine;
	struct engine_watch watch;
	uint64_t id;
	bool created;
	bool tied; /* the job ends with this connection, or with the last one tied to it */
};

/* ---- arguments */

static int
take_span(struct call *c, const char *field, bool has, int64_t us, int64_t *ret)
{
	if (has && (us <= 0 || us > DUR_MAX_US))
		return call_invalid(c, field, "must be greater than 0 and at most ten years");
	*ret = us;
	return 0;
}

static int
take_spans(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	int r = call_timeout(c, a->has_timeout, a->timeout_usec);

	s->timeout_us = a->timeout_usec;
	if (r == 0)
		r = take_span(c, "grace_usec", a->has_grace, a->grace_usec, &s->grace_us);
	if (r == 0)
		r = take_span(c, "warn_usec", a->has_warn, a->warn_usec, &s->warn_us);
	if (r == 0)
		r = take_span(c, "watchdog_usec", a->has_watchdog, a->watchdog_usec,
			      &s->watchdog_us);
	if (r == 0)
		r = take_span(c, "backoff_usec", a->has_backoff, a->backoff_usec, &s->backoff_us);
	if (r == 0 && a->not_before)
		r = call_time(c, "not_before", a->not_before, &s->not_before_us);
	s->after = a->after;
	return r ? r : call_latest(c, a->deadline_at, &s->deadline_us);
}

static int
take_signals(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	if (a->stop_signal && text_signal(a->stop_signal, &s->stop_signal) < 0)
		return call_invalid(c, "stop_signal", "no such signal");
	if (a->warn_signal && text_signal(a->warn_signal, &s->warn_signal) < 0)
		return call_invalid(c, "warn_signal", "no such signal");
	if (a->warn_signal && !a->has_warn)
		return call_invalid(c, "warn_signal", "needs warn_usec: how long before the end");
	return 0;
}

static int
take_numbers(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	if (a->has_umask && (a->umask < 0 || a->umask > 0777))
		return call_invalid(c, "umask", "must be within 0 and 511 (octal 777)");
	if (a->has_priority && (a->priority < INT32_MIN || a->priority > INT32_MAX))
		return call_invalid(c, "priority", "out of range");
	s->has_umask = a->has_umask;
	s->umask = (uint32_t)a->umask;
	s->has_priority = a->has_priority;
	s->priority = (int32_t)a->priority;
	if (a->has_retries && (a->retries < 0 || a->retries > RETRIES_MOST))
		return call_invalid(c, "retries", "must be within 0 and %d", RETRIES_MOST);
	s->retries = (uint32_t)a->retries;
	return take_signals(c, a, s);
}

static int
take_texts(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	const char *first = strv_first(&a->argv);

	if (!first || !*first)
		return call_invalid(c, "argv", "no command is given");
	if (a->cwd && a->cwd[0] != '/')
		return call_invalid(c, "cwd", "must be an absolute path");
	if (a->cwd && strlen(a->cwd) >= PATH_MAX)
		return call_invalid(c, "cwd", "longer than %d bytes", PATH_MAX - 1);
	s->argv = a->argv;
	s->env = a->env;
	s->name = a->name;
	s->class_name = a->class_name;
	s->cwd = a->cwd;
	return call_labels(c, a->name, a->class_name);
}

static int
take_key(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	static const char *const names[] = {
		[IF_EXISTS_RETURN] = "return",
		[IF_EXISTS_RETRY] = "retry",
		[IF_EXISTS_FAIL] = "fail",
	};
	size_t i = IF_EXISTS_RETURN;

	if (a->key && !*a->key)
		return call_invalid(c, "key", "is empty");
	if (a->if_exists && !a->key)
		return call_invalid(c, "if_exists", "needs a key");
	while (a->if_exists && i < ARRAY_SIZE(names) && strcmp(a->if_exists, names[i]) != 0)
		i++;
	if (i == ARRAY_SIZE(names))
		return call_invalid(c, "if_exists", "must be return, retry or fail");
	s->key = a->key;
	s->if_exists = (enum if_exists)i;
	return a->key ? call_text(c, "key", a->key, KEY_BYTES_MAX) : 0;
}

/* Is the job to end with this connection? Asked for by name, or by inheriting cancellation with no
 * parent to take it from. */
static int
take_bound(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	s->bound = a->bound || (s->context.inherit & INHERIT_CANCEL && !a->context.has_parent);
	return s->bound && !c->more ? CALL_E_EXPECTED_MORE : 0;
}

static int
take_stdin(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	if (!a->has_stdin)
		return 0;
	s->stdin_spool = m_spool_find(c, a->stdin_spool);
	if (!s->stdin_spool)
		return call_invalid(c, "stdin", "this connection has no such spool");
	return 0;
}

static int
take_all(struct call *c, const struct args_submit *a, struct submit_args *s)
{
	static int (*const take[])(struct call * c, const struct args_submit *a,
				   struct submit_args *s) = {take_texts, take_spans, take_numbers,
							     take_key, take_stdin};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(take) && r == 0; i++)
		r = take[i](c, a, s);
	if (r == 0)
		r = call_context(c, &a->context, &s->context);
	s->split_output = a->split_output;
	return r ? r : take_bound(c, a, s);
}

/* Does TEXT name WHO itself? */
static bool
is_oneself(const struct requester *who, const char *text)
{
	uint64_t uid;

	return (who->user && strcmp(who->user, text) == 0) ||
	       (text_u64(text, &uid) == 0 && uid == who->uid);
}

/* For whom: *RET, which borrows from the table of accounts, becomes S->as. The name service is
 * asked for those alone who may submit for others. */
static int
take_user(struct call *c, const struct args_submit *a, struct submit_args *s, struct requester *ret)
{
	const struct account *found = NULL;
	int r;

	if (!a->user || is_oneself(c->who, a->user))
		return 0;
	r = engine_submit_for(c->engine, c->who, &c->refusal);
	r = r ? r : call_text(c, "user", a->user, ACCOUNT_NAME_MAX);
	if (r)
		return r;
	if (!*a->user)
		return call_invalid(c, "user", "is empty");
	r = account_find(c->api->accounts, a->user, &c->conn->names, &found);
	if (r == ACCOUNT_E_LATER)
		return CALL_E_LATER;
	if (r == ACCOUNT_E_UNKNOWN)
		return call_invalid(c, "user", "there is no such user");
	if (r == ACCOUNT_E_SILENT)
		return refusal_set(&c->refusal, REFUSAL_NOT_READY, NULL,
				   "the name service does not say who that user is");
	if (r < 0)
		return r;
	*ret = (struct requester){.uid = found->uid,
				  .gid = found->gid,
				  .groups = found->groups,
				  .n_groups = found->n_groups,
				  .pid = c->who->pid,
				  .user = found->name,
				  .home = found->home,
				  .shell = found->shell};
	s->as = ret;
	return 0;
}

/* ---- the reply at the end */

/* No longer tied. True: the job was, and is now tied to nobody. */
static bool
untie(struct submit_op *s)
{
	bool was = s->tied;

	s->tied = false;
	return was && ties_remove(s->op.conn->api, s->id);
}

static void
submit_on_end(struct engine_watch *w, const struct job *job)
{
	struct submit_op *s = container_of(w, struct submit_op, watch);

	(void)job; /* read again when it is the reply's turn */
	/* Should somebody start it anew, then that is not this connection's affair. */
	(void)untie(s);
	conn_op_ready(&s->op);
}

static void
put_reply(struct conn *c, const struct job *job, bool created, const struct notices *n,
	  bool continues)
{
	struct jw j;

	varlink_reply_open(&j, &c->out);
	jobjson_job(&j, "job", job);
	jw_bool(&j, "created", created);
	call_put_notices(&j, n);
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
	if (!job_state_ended(job->state)) { /* it has ended, and was started anew since */
		e = engine_watch_add(s->engine, &s->watch);
		return e < 0 ? e : OP_WAIT;
	}
	put_reply(op->conn, job, s->created, &none, false);
	return OP_DONE;
}

static void
submit_drop(struct op *op, bool gone)
{
	struct submit_op *s = container_of(op, struct submit_op, op);

	engine_watch_remove(s->engine, &s->watch);
	if (untie(s) && gone)
		engine_client_gone(s->engine, s->id);
	free(s);
}

static const struct op_type submit_type = {"io.ctxd.Submit", submit_step, submit_drop};

static struct submit_op *
submit_op_new(struct call *c)
{
	struct submit_op *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->op = (struct op){.type = &submit_type, .conn = c->conn};
	s->engine = c->engine;
	s->watch.on_end = submit_on_end;
	list_init(&s->watch.link);
	return s;
}

/* ---- the method */

/* Be told of the end of JOB, and tie it to the connection if that was asked. A job that was there
 * already and belongs to no connection does not begin to belong to one. */
static int
follow_job(struct call *c, const struct submit_args *a, struct submit_op *s, const struct job *job)
{
	int r = 0;

	s->id = s->watch.job = job->id;
	if (job_state_ended(job->state))
		return 0;
	if (a->bound && job->bound) {
		r = ties_add(c->api, job->id);
		s->tied = r == 0;
	}
	return r < 0 ? r : engine_watch_add(c->engine, &s->watch);
}

/* Submit, tell, and with `more` stay to tell the end (OP; else NULL). */
static int
submit(struct call *c, const struct submit_args *a, struct submit_op **op)
{
	_cleanup_(job_freep) struct job *job = NULL;
	struct notices n = {.n = 0};
	bool created = true;
	int r = engine_submit(c->engine, c->who, a, &job, &created, &n, &c->refusal);

	if (r != 0)
		return r;
	if (*op) {
		(*op)->created = created;
		r = follow_job(c, a, *op, job);
		if (r < 0) { /* the answer is a refusal, so a new job must not run */
			if (untie(*op) || created)
				engine_client_gone(c->engine, job->id);
			return r;
		}
	}
	put_reply(c->conn, job, created, &n, *op != NULL);
	if (*op)
		conn_op_start(c->conn, &take_ptr(*op)->op, job_state_ended(job->state));
	return 0;
}

int
m_submit_submit(struct call *c, void *args)
{
	const struct args_submit *a = args;
	struct submit_args s = {.has_umask = false};
	_free_ struct submit_op *op = NULL;
	struct requester as;
	int r = take_all(c, a, &s);

	r = r ? r : take_user(c, a, &s, &as);

	if (r != 0)
		return r;
	if (c->more) {
		op = submit_op_new(c);
		if (!op)
			return -ENOMEM;
	}
	r = submit(c, &s, &op);
	if (r == 0 && a->has_stdin)
		m_spool_forget(c->conn, a->stdin_spool);
	return r;
}
