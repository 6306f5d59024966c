/* follow_channel.c - the connections of one who stays with jobs.
 *
 * When a channel is lost it is opened again, for at most RECONNECT_S seconds an outage, and its
 * call is made anew from where it was: the ends not yet known, the output from the offset reached.
 * Channels are apart because the connection of a bound job must stay open even when another one
 * breaks: closing it cancels the job. When it is the one that broke, ctxd gives us a few seconds to
 * be back, so we try at once and then often. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/follow_impl.h"
#include "cli/out.h"
#include "cli/view.h"

enum {
	RECONNECT_S = 10,
	PAUSE_MS = 50,
	HELD_S = 1, /* a connection that was open so long was no part of the outage before */
};

bool
follow_passed(struct mono at)
{
	return mono_diff(at, mono_now()).ns <= 0;
}

static struct mono
in_ms(int ms)
{
	return mono_add(mono_now(), (struct dur){ms * NSEC_PER_MSEC});
}

int
follow_give_up(struct loop *l, int code)
{
	l->f->exit = code;
	return FOLLOW_E_GIVEN_UP;
}

bool
follow_end_known(const struct loop *l)
{
	const struct follow *f = l->f;

	return f->any ? f->n_ended > 0 : f->n_ended == f->n;
}

/* ---- outages */

static bool
is_outage(const struct loop *l, const struct channel *ch, enum ctxd_error code)
{
	if (!l->connected)
		return false;
	return code == CTXD_E_LOST || code == CTXD_E_UNREACHABLE ||
	       (ch->down && code == CTXD_E_NOT_READY);
}

static void
say_lost(struct loop *l)
{
	const struct follow *f = l->f;

	if (l->told)
		return;
	l->told = true;
	bar_wipe(&l->bar);
	if (f->n == 1)
		out_error("the connection to ctxd is lost; job %" PRIu64
			  " goes on (`%s wait %" PRIu64 "` finds it again); trying again for %d s",
			  f->ids[0], f->cli->self, f->ids[0], RECONNECT_S);
	else
		out_error("the connection to ctxd is lost; the jobs go on; trying again for %d s",
			  RECONNECT_S);
}

static void
channel_up(struct loop *l, struct channel *ch)
{
	ch->down = false;
	l->told = l->end.down || l->output[OUT].ch.down || l->output[ERR].ch.down;
}

static void
channel_heard(struct loop *l, struct channel *ch)
{
	if (ch->down && l->told && out_err_is_terminal()) {
		bar_wipe(&l->bar);
		out_error("ctxd is back");
	}
	channel_up(l, ch);
}

/* CH has failed for good. Output that is lost does not end the wait for the job. */
static int
channel_lost(struct loop *l, struct channel *ch, const struct ctxd_failure *f)
{
	int code;

	bar_wipe(&l->bar);
	code = conn_fail(l->f->cli, f);
	if (ch == &l->end || !l->end.used)
		return follow_give_up(l, code);
	ch->done = true;
	l->f->incomplete = true;
	return 0;
}

/* CH has failed with F. 0: it will be tried again; or the end of all this. */
static int
channel_failed(struct loop *l, struct channel *ch, const struct ctxd_failure *f)
{
	/* Nothing may have come over it, as of a job that is silent. */
	if (ch->c && mono_diff(mono_now(), ch->opened).ns >= HELD_S * NSEC_PER_SEC)
		channel_up(l, ch);
	ch->c = ctxd_close(ch->c);
	if (!is_outage(l, ch, f->code))
		return channel_lost(l, ch, f);
	if (!ch->down) {
		say_lost(l);
		ch->down = true;
		ch->retry = mono_now();
		ch->give_up = in_ms(RECONNECT_S * 1000);
		return 0;
	}
	if (follow_passed(ch->give_up))
		return channel_lost(l, ch, f);
	ch->retry = in_ms(PAUSE_MS);
	return 0;
}

/* ---- calls */

static json_t *
wait_params(const struct loop *l)
{
	const struct follow *f = l->f;
	json_t *ids = json_array(), *p;
	size_t n = 0;

	for (size_t i = 0; ids && i < f->n && n < FOLLOW_ANY_MAX; i++) {
		if (f->jobs[i])
			continue;
		n++;
		if (json_array_append_new(ids, json_integer((json_int_t)f->ids[i])) < 0) {
			json_decref(ids);
			return NULL;
		}
	}
	p = json_pack("{s:o, s:b}", "ids", ids, "any", f->any);
	if (p && l->has_until) {
		int64_t left = mono_diff(l->until, mono_now()).ns / NSEC_PER_USEC;

		if (json_object_set_new(p, "timeout_usec", json_integer(left > 1 ? left : 1)) < 0) {
			json_decref(p);
			return NULL;
		}
	}
	return p;
}

static json_t *
logs_params(const struct loop *l, const struct output *o)
{
	const struct follow *f = l->f;
	json_t *p = json_pack("{s:I, s:s*, s:b}", "id", (json_int_t)f->ids[0], "stream", o->stream,
			      "follow", f->output_follows);
	int r = 0;

	if (p && o->offset >= 0)
		r = json_object_set_new(p, "offset", json_integer(o->offset));
	else if (p && f->tail >= 0)
		r = json_object_set_new(p, "tail", json_integer(f->tail));
	if (r < 0) {
		json_decref(p);
		return NULL;
	}
	return p;
}

/* Make the call of CH, which is open. 0; -1 with WHY; FOLLOW_E_GIVEN_UP. */
static int
channel_call(struct loop *l, struct channel *ch, struct ctxd_failure *why)
{
	struct follow *f = l->f;
	bool is_end = ch == &l->end;
	json_t *params;

	if (is_end && f->reattach)
		return f->reattach(f->cli, f->arg, ch->c, why);
	params = is_end ? wait_params(l) : logs_params(l, container_of(ch, struct output, ch));
	if (!params)
		return follow_give_up(l, conn_no_memory(f->cli));
	return ctxd_send(ch->c, is_end ? "Wait" : "Logs", params, CTXD_CALL_MORE, why);
}

/* Open CH if need be, and make its call. */
static int
channel_start(struct loop *l, struct channel *ch)
{
	struct ctxd_failure why;
	int r = 0;

	if (!ch->c) {
		r = conn_try(l->f->cli, &ch->c, &why);
		ch->opened = mono_now();
	}
	if (r == 0) {
		l->connected = true;
		r = channel_call(l, ch, &why);
	}
	return r < 0 ? channel_failed(l, ch, &why) : r;
}

/* ---- replies */

static void
job_seen(struct loop *l, json_t *job)
{
	struct follow *f = l->f;
	struct view v;

	if (view_read(job, &v) < 0 || !view_ended(&v))
		return;
	for (size_t i = 0; i < f->n; i++) {
		if (f->ids[i] != v.id || f->jobs[i])
			continue;
		f->jobs[i] = json_incref(job);
		f->n_ended++;
		bar_wipe(&l->bar);
		if (f->on_end)
			f->on_end(f, &v);
	}
}

/* Its record is gone, and the same call has made another one: that one ends with our connection. */
static bool
is_another(const struct loop *l, const json_t *job)
{
	struct view v;

	return l->f->reattach && view_read(job, &v) == 0 && v.id != l->f->ids[0];
}

static int
end_reply(struct loop *l, const json_t *reply, bool continues)
{
	const json_t *jobs = json_object_get(reply, "jobs");
	json_t *job = json_object_get(reply, "job");
	size_t before = l->f->n_ended;

	if (job && is_another(l, job)) {
		out_error("ctxd does not know job %" PRIu64 " any more", l->f->ids[0]);
		return follow_give_up(l, EXITCODE_OURS);
	}
	if (job)
		job_seen(l, job);
	for (size_t i = 0; i < json_array_size(jobs); i++)
		job_seen(l, json_array_get(jobs, i));
	if (continues)
		return 0;
	l->end.done = follow_end_known(l);
	if (l->end.done)
		return 0;
	if (l->has_until && follow_passed(l->until)) {
		l->timed_out = true;
		return 0;
	}
	if (l->f->n_ended == before && !job && l->f->n <= FOLLOW_ANY_MAX)
		return follow_give_up(l, conn_strange(l->f->cli, "ended job"));
	return channel_start(l, &l->end); /* the next portion of ids */
}

/* A line of JSON; that of the second stream says so. */
static int
put_json(struct output *o, json_t *reply)
{
	_cleanup_(conn_textp) char *line = NULL;

	if (o->stream && json_object_set_new(reply, "stream", json_string(o->stream)) < 0)
		return -ENOMEM;
	line = json_dumps(reply, JSON_COMPACT);
	if (!line)
		return -ENOMEM;
	(void)buf_puts(&o->sink->pending, line);
	return buf_putc(&o->sink->pending, '\n');
}

static int
output_reply(struct loop *l, struct output *o, json_t *reply, bool continues)
{
	const json_t *data = json_object_get(reply, "data"),
		     *offset = json_object_get(reply, "offset");
	int r;

	if (!json_is_string(data) || !json_is_integer(offset))
		return follow_give_up(l, conn_strange(l->f->cli, "data"));
	if (l->f->output_json)
		r = put_json(o, reply);
	else
		r = text_base64_decode(json_string_value(data), json_string_length(data),
				       &o->sink->pending);
	if (r < 0)
		return follow_give_up(l, r == -EINVAL ? conn_strange(l->f->cli, "readable data")
						      : conn_no_memory(l->f->cli));
	o->offset = json_integer_value(offset);
	l->f->dropped += (uint64_t)json_integer_value(json_object_get(reply, "dropped"));
	o->ch.done = !continues;
	return 0;
}

/* No more can be taken of CH before some of it is written. What tells the end is always read: that
 * a bound connection is lost must be seen at once. */
bool
follow_channel_full(const struct loop *l, struct channel *ch)
{
	return ch != &l->end && sink_full(container_of(ch, struct output, ch)->sink);
}

/* Take what CH has to say now. */
static int
channel_drain(struct loop *l, struct channel *ch)
{
	while (ch->c && !ch->done && !follow_channel_full(l, ch)) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;
		struct ctxd_failure why;
		bool continues = false;
		int r = ctxd_poll(ch->c, &reply, &continues, &why);

		if (r > 0)
			return 0;
		if (r < 0)
			return channel_failed(l, ch, &why);
		channel_heard(l, ch);
		r = ch == &l->end ? end_reply(l, reply, continues)
				  : output_reply(l, container_of(ch, struct output, ch), reply,
						 continues);
		if (r != 0 || l->timed_out)
			return r;
	}
	return 0;
}

int
follow_channel_step(struct loop *l, struct channel *ch)
{
	int r = 0;

	if (!ch->used || ch->done)
		return 0;
	if (!ch->c && (!ch->down || follow_passed(ch->retry)))
		r = channel_start(l, ch);
	return r ? r : channel_drain(l, ch);
}
