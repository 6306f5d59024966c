/* submission_send.c - the way of a submission to ctxd.
 *
 * A connection that breaks before the answer leaves open whether the job was accepted. So the same
 * call is made again, with the same key, until ctxd says which job that is: an hour of outage is
 * not waited for, but a restart is. Before a first connection there is nothing to find out, and a
 * ctxd that is not there is said at once. */
#include <inttypes.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/out.h"
#include "cli/submission.h"

#define MESSAGE_USUAL ((size_t)1 << 20) /* [daemon] max_message, if not configured */

enum {
	AGAIN_S = 10,
	PAUSE_MS = 50,
	LARGE_TRIES = 2, /* of a call that may be too large for ctxd, which then hangs up */
};

struct sending {
	const struct cli *cli;
	struct submission *s;
	struct ctxd_client *c; /* owned */
	bool connected;        /* there was a connection */
	bool open;             /* one was lost: whether there is a job is not known */
	struct mono give_up;
	struct wall begun;
	int losses;
};

static bool
is_large(const struct submission *s)
{
	return s->bytes > MESSAGE_USUAL / 2;
}

/* ---- failures */

static int
fail(const struct sending *x, const struct ctxd_failure *f)
{
	const struct submission *s = x->s;
	int r = context_fail(x->cli, f);

	if (f->code == CTXD_E_KEY_CONFLICT && x->open)
		out_error(
			"the connection broke before: it may be this very call that made the job");
	else if (f->code == CTXD_E_KEY_CONFLICT && !s->if_exists)
		out_error("that job differs in its command, directory, name, class, timeout, "
			  "standard input or --split-output");
	if (!is_large(s) || f->code == CTXD_E_UNREACHABLE)
		return r;
	out_error("the command and the environment are about %zu bytes; ctxd takes messages of at "
		  "most %zu, unless it is "
		  "configured otherwise ([daemon] max_message): try --env-mode none, or a file in "
		  "place of arguments",
		  s->bytes, MESSAGE_USUAL);
	return !x->cli->as_job && f->code == CTXD_E_LOST ? EXITCODE_REFUSED : r;
}

static int
fail_open(const struct sending *x, const struct ctxd_failure *f)
{
	char at[CLOCK_TEXT], key[160];

	(void)conn_fail(x->cli, f);
	if (x->s->key)
		out_error("the job may or may not have been accepted; see `%s list --all --key "
			  "%s`, or submit it again with this key",
			  x->cli->self, text_escape(x->s->key, key, sizeof(key)));
	else
		out_error("the job may or may not have been accepted; see `%s list --since %s`",
			  x->cli->self, wall_format(x->begun, at, sizeof(at)));
	return x->cli->as_job ? EXITCODE_OURS : EXITCODE_UNREACHABLE;
}

/* Is F the end of ctxd, or its beginning? */
static bool
is_outage(const struct sending *x, const struct ctxd_failure *f)
{
	if (f->code == CTXD_E_LOST)
		return x->connected && (!is_large(x->s) || x->losses < LARGE_TRIES);
	return x->open && (f->code == CTXD_E_UNREACHABLE || f->code == CTXD_E_NOT_READY);
}

/* 0: try again; else the exit code. */
static int
failed(struct sending *x, const struct ctxd_failure *f)
{
	x->c = ctxd_close(x->c);
	x->losses += f->code == CTXD_E_LOST;
	if (context_orphan(&x->s->context, x->s->params, f)) {
		(void)snprintf(x->s->why_orphan, sizeof(x->s->why_orphan), "%s", f->text);
		return 0;
	}
	if (!is_outage(x, f))
		return f->code == CTXD_E_TIMEOUT && x->connected ? fail_open(x, f) : fail(x, f);
	if (!x->open) { /* at once, the first time */
		x->open = true;
		x->give_up = mono_add(mono_now(), dur_sec(AGAIN_S));
		if (out_err_is_terminal())
			out_error("the connection to ctxd broke before its answer; asking again "
				  "for at most %d s",
				  AGAIN_S);
		return 0;
	}
	if (mono_diff(x->give_up, mono_now()).ns <= 0)
		return fail_open(x, f);
	(void)poll(NULL, 0, PAUSE_MS);
	return 0;
}

/* ---- the call */

/* 0; -1 with F; or the exit code (said). */
static int
send_call(const struct cli *cli, struct submission *s, struct ctxd_client *c,
	  struct ctxd_failure *f)
{
	int64_t spool = 0;
	int r = s->input.given ? input_send(cli, &s->input, c, &spool, f) : 0;

	if (r)
		return r;
	if (spool && json_object_set_new(s->params, "stdin", json_integer(spool)) < 0)
		return conn_no_memory(cli);
	return ctxd_send(c, "Submit", json_incref(s->params), s->more ? CTXD_CALL_MORE : 0, f);
}

/* 0 with the reply; 1: try again; else the exit code in *RET_EXIT. */
static int
try_call(struct sending *x, json_t **ret_reply, int *ret_exit)
{
	struct ctxd_failure f;
	int r = conn_try(x->cli, &x->c, &f);

	if (r == 0) {
		x->connected = true;
		r = send_call(x->cli, x->s, x->c, &f);
	}
	if (r == 0)
		r = ctxd_receive(x->c, ret_reply, NULL, &f);
	if (r < 0)
		r = failed(x, &f);
	else if (r == 0)
		return 0;
	*ret_exit = r;
	return r == 0 ? 1 : -1;
}

static int
accepted(struct sending *x, const json_t *reply, struct view *ret)
{
	if (view_read(json_object_get(reply, "job"), ret) < 0)
		return conn_strange(x->cli, "job");
	if (x->s->why_orphan[0])
		context_say_orphan(&x->s->context, x->s->why_orphan);
	conn_say_notices(reply);
	/* Once more, for a connection that is lost later, means this job and no other. */
	(void)json_object_del(x->s->params, "if_exists");
	return 0;
}

int
submission_make(const struct cli *cli, struct submission *s, struct ctxd_client **ret,
		json_t **ret_reply, struct view *ret_view)
{
	struct sending x = {.cli = cli, .s = s, .begun = wall_now()};
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	int exit_code = 0, r;

	do
		r = try_call(&x, &reply, &exit_code);
	while (r > 0);
	if (r == 0)
		exit_code = accepted(&x, reply, ret_view);
	if (exit_code) {
		x.c = ctxd_close(x.c);
		return exit_code;
	}
	*ret = take_ptr(x.c);
	*ret_reply = take_ptr(reply);
	return 0;
}

int
submission_again(const struct cli *cli, void *s, struct ctxd_client *c, struct ctxd_failure *f)
{
	int r = send_call(cli, s, c, f);

	if (r > 0)
		*f = (struct ctxd_failure){CTXD_E_MEMORY, "the submission cannot be made again"};
	return r ? -1 : 0;
}

void
submission_say(const struct view *v, const json_t *reply)
{
	char span[CLOCK_TEXT] = "", at[CLOCK_TEXT];

	if (!out_err_is_terminal())
		return;
	if (json_is_false(json_object_get(reply, "created"))) {
		out_say("job %" PRIu64 " was there already: %s", v->id, v->state);
		return;
	}
	if (v->timeout)
		(void)dur_format(dur_usec(v->timeout), span, sizeof(span));
	if (v->deadline)
		out_say("job %" PRIu64 ": deadline %s (%s%srule %s)", v->id,
			wall_format(wall_usec(v->deadline), at, sizeof(at)), span,
			*span ? ", " : "", v->rule ? v->rule : "unknown");
	else
		out_say("job %" PRIu64 ": %s; deadline %s after its start (rule %s)", v->id,
			v->state, *span ? span : "unknown", v->rule ? v->rule : "unknown");
}

void
submission_print_end(const json_t *job)
{
	if (!job)
		return;
	out_puts("{\"job\":");
	out_json(job);
	out_puts("}\n");
}
