/* follow.c - staying with jobs.
 *
 * A channel is one connection with one call on it that brings replies until it is done. When a
 * channel is lost it is opened again, for at most RECONNECT_S seconds an outage, and its call is
 * made anew from where it was: the ends not yet known, the output from the offset reached. Channels
 * are apart because the connection of a bound job must stay open even when another one breaks:
 * closing it cancels the job. When it is the one that broke, ctxd gives us a few seconds to be
 * back, so we try at once and then often. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/follow.h"
#include "cli/out.h"
#include "cli/sink.h"
#include "cli/stop.h"
#include "cli/view.h"

enum {
	RECONNECT_S = 10,
	PAUSE_MS = 50,
	HELD_S = 1, /* a connection that was open so long was no part of the outage before */
	SLACK_MS =
		1000, /* the daemon tells the end of a time limit; this is for one that is gone */
	GONE = 3,     /* signals until we go */
};

struct channel {
	struct ctxd_client *c; /* owned; NULL: not open */
	bool used, done;
	bool down; /* lost, and not yet heard of again */
	struct mono opened, retry, give_up;
};

struct output {
	struct channel ch;
	struct sink own, *sink; /* lines of JSON of both go one way, so that they do not mix */
	const char *stream;     /* NULL: stdout */
	int64_t offset;         /* -1: nothing came yet */
	bool shows;             /* on a terminal */
};
enum { OUT, ERR, OUTPUTS };

struct loop {
	struct follow *f;
	struct channel end;
	struct output output[OUTPUTS];
	struct stop stop;
	struct bar bar;
	bool connected; /* was reached once: from then on a loss is an outage */
	int signals;    /* signalfd, or -1 */
	int n_signals;
	bool has_until;
	struct mono until;
	bool told; /* of this outage */
	bool timed_out;
};

static bool
passed(struct mono at)
{
	return mono_diff(at, mono_now()).ns <= 0;
}

static struct mono
in_ms(int ms)
{
	return mono_add(mono_now(), (struct dur){ms * NSEC_PER_MSEC});
}

static int
give_up(struct loop *l, int code)
{
	l->f->exit = code;
	return FOLLOW_E_GIVEN_UP;
}

static bool
end_known(const struct loop *l)
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
			  " goes on (`ctxctl wait %" PRIu64
			  "` finds it again); trying again for %d s",
			  f->ids[0], f->ids[0], RECONNECT_S);
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
		return give_up(l, code);
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
	if (passed(ch->give_up))
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
		return give_up(l, conn_no_memory(f->cli));
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
		return give_up(l, EXITCODE_OURS);
	}
	if (job)
		job_seen(l, job);
	for (size_t i = 0; i < json_array_size(jobs); i++)
		job_seen(l, json_array_get(jobs, i));
	if (continues)
		return 0;
	l->end.done = end_known(l);
	if (l->end.done)
		return 0;
	if (l->has_until && passed(l->until)) {
		l->timed_out = true;
		return 0;
	}
	if (l->f->n_ended == before && !job && l->f->n <= FOLLOW_ANY_MAX)
		return give_up(l, conn_strange(l->f->cli, "ended job"));
	return channel_start(l, &l->end); /* the next portion of ids */
}

/* A line of JSON; that of the second stream says so. */
static int
put_json(struct output *o, json_t *reply)
{
	_free_ char *line = NULL;

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
		return give_up(l, conn_strange(l->f->cli, "data"));
	if (l->f->output_json)
		r = put_json(o, reply);
	else
		r = text_base64_decode(json_string_value(data), json_string_length(data),
				       &o->sink->pending);
	if (r < 0)
		return give_up(l, r == -EINVAL ? conn_strange(l->f->cli, "readable data")
					       : conn_no_memory(l->f->cli));
	o->offset = json_integer_value(offset);
	l->f->dropped += (uint64_t)json_integer_value(json_object_get(reply, "dropped"));
	o->ch.done = !continues;
	return 0;
}

/* No more can be taken of CH before some of it is written. What tells the end is always read: that
 * a bound connection is lost must be seen at once. */
static bool
channel_full(const struct loop *l, struct channel *ch)
{
	return ch != &l->end && sink_full(container_of(ch, struct output, ch)->sink);
}

/* Take what CH has to say now. */
static int
channel_drain(struct loop *l, struct channel *ch)
{
	while (ch->c && !ch->done && !channel_full(l, ch)) {
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

static int
channel_step(struct loop *l, struct channel *ch)
{
	int r = 0;

	if (!ch->used || ch->done)
		return 0;
	if (!ch->c && (!ch->down || passed(ch->retry)))
		r = channel_start(l, ch);
	return r ? r : channel_drain(l, ch);
}

/* ---- signals */

/* As the signal would have done, were there no bar to be wiped. */
static int
die(struct loop *l, int sig)
{
	sigset_t set;

	bar_done(&l->bar);
	sigemptyset(&set);
	sigaddset(&set, sig);
	(void)raise(sig);
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	return give_up(l, EXITCODE_SIGNAL + sig);
}

static int
signal_came(struct loop *l, int sig)
{
	const struct follow *f = l->f;

	if (f->signals == FOLLOW_DIES)
		return die(l, sig);
	bar_wipe(&l->bar);
	l->n_signals++;
	if (f->signals == FOLLOW_DETACHES || l->n_signals >= GONE) {
		out_error("job %" PRIu64 "%s: ctxctl wait %" PRIu64, f->ids[0],
			  f->signals == FOLLOW_DETACHES ? " goes on" : " is being canceled",
			  f->ids[0]);
		return give_up(l, EXITCODE_OURS);
	}
	/* Asked before it is said: who reads this and sends the next signal has been heard. */
	stop_ask(&l->stop, l->n_signals);
	stop_step(&l->stop);
	out_error(l->n_signals == 1 ? "canceling job %" PRIu64 "; once more: kill it now"
				    : "killing job %" PRIu64,
		  f->ids[0]);
	return 0;
}

static int
signals_read(struct loop *l)
{
	struct signalfd_siginfo info;
	int r = 0;

	while (r == 0 && read(l->signals, &info, sizeof(info)) == (ssize_t)sizeof(info))
		r = signal_came(l, (int)info.ssi_signo);
	return r;
}

/* Those that are ignored stay so: nohup, and background jobs of a script. */
static int
signals_open(struct loop *l)
{
	static const int which[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t set;

	l->signals = -1;
	if (l->f->signals == FOLLOW_DIES && !l->bar.used)
		return 0;
	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(which); i++) {
		struct sigaction old;

		if (sigaction(which[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
			sigaddset(&set, which[i]);
	}
	if (sigprocmask(SIG_BLOCK, &set, NULL) == 0)
		l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (l->signals >= 0)
		return 0;
	out_error("cannot take signals: %s", strerror(errno));
	return give_up(l, EXITCODE_OURS);
}

/* ---- the outputs */

static int
output_write(struct loop *l, struct output *o)
{
	int r;

	if (o->shows)
		bar_wipe(&l->bar);
	r = sink_write(o->sink);
	if (r == 0)
		return 0;
	if (r != -EPIPE)
		out_error("cannot write the output: %s", strerror(-r));
	return give_up(l, l->f->cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED);
}

/* Below what was written, never in the middle of a line of it. */
static void
draw_bar(struct loop *l)
{
	for (size_t i = 0; i < OUTPUTS; i++) {
		const struct output *o = &l->output[i];

		if (o->shows && (o->sink->midline || buf_len(&o->sink->pending) > 0))
			return;
	}
	if (!end_known(l))
		bar_draw(&l->bar);
}

/* ---- the loop */

static void
sooner(int64_t *ms, struct mono at)
{
	int64_t left = (mono_diff(at, mono_now()).ns + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC;

	if (left < 0)
		left = 0;
	if (*ms < 0 || left < *ms)
		*ms = left;
}

static int
time_left(const struct loop *l)
{
	const struct channel *all[] = {&l->end, &l->output[OUT].ch, &l->output[ERR].ch};
	struct mono at;
	int64_t ms = -1;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->used && !all[i]->done && !all[i]->c)
			sooner(&ms, all[i]->retry);
	if (!l->end.done && stop_due(&l->stop))
		sooner(&ms, l->stop.retry);
	if (bar_retries(&l->bar, &at))
		sooner(&ms, at);
	if (l->has_until)
		sooner(&ms, mono_add(l->until, (struct dur){SLACK_MS * NSEC_PER_MSEC}));
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static int
watched(const struct loop *l, struct channel *ch)
{
	return ch->c && !ch->done && !channel_full(l, ch) ? ctxd_fd(ch->c) : -1;
}

static int
sleep_until(struct loop *l)
{
	enum { END, CANCEL, BAR, SIGNALS, READ, WRITE = READ + OUTPUTS, N = WRITE + OUTPUTS };
	struct pollfd p[N];
	int r = 0;

	for (size_t i = 0; i < N; i++)
		p[i] = (struct pollfd){.fd = -1, .events = i < WRITE ? POLLIN : POLLOUT};
	p[END].fd = watched(l, &l->end);
	p[CANCEL].fd = l->stop.c && !l->end.done ? ctxd_fd(l->stop.c) : -1;
	p[BAR].fd = bar_fd(&l->bar);
	p[SIGNALS].fd = l->signals;
	for (size_t i = 0; i < OUTPUTS; i++) {
		p[READ + i].fd = watched(l, &l->output[i].ch);
		if (buf_len(&l->output[i].own.pending) > 0)
			p[WRITE + i].fd = l->output[i].own.fd;
	}
	if (poll(p, N, time_left(l)) < 0) {
		if (errno == EINTR)
			return 0;
		out_error("poll: %s", strerror(errno));
		return give_up(l, l->f->cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED);
	}
	if (p[SIGNALS].revents)
		r = signals_read(l);
	for (size_t i = 0; i < OUTPUTS && r == 0; i++)
		if (p[WRITE + i].revents)
			r = output_write(l, &l->output[i]);
	return r;
}

static bool
output_over(const struct output *o)
{
	return (!o->ch.used || o->ch.done) && buf_len(&o->sink->pending) == 0;
}

static bool
over(const struct loop *l)
{
	return (!l->end.used || l->end.done) && output_over(&l->output[OUT]) &&
	       output_over(&l->output[ERR]);
}

static int
run(struct loop *l)
{
	for (;;) {
		int r = channel_step(l, &l->end);

		for (size_t i = 0; i < OUTPUTS && r == 0 && !l->timed_out; i++)
			r = channel_step(l, &l->output[i].ch);
		if (r)
			return r;
		if (!l->end.done)
			stop_step(&l->stop);
		bar_step(&l->bar);
		if (l->has_until &&
		    passed(mono_add(l->until, (struct dur){SLACK_MS * NSEC_PER_MSEC})))
			l->timed_out = true;
		if (l->timed_out)
			return FOLLOW_E_TIMEOUT;
		if (over(l))
			return 0;
		draw_bar(l);
		r = sleep_until(l);
		if (r)
			return r;
	}
}

static void
output_init(struct output *o, bool used, int fd, const char *stream)
{
	o->ch.used = used;
	o->stream = stream;
	o->offset = -1;
	o->shows = used && isatty(fd) == 1;
	o->sink = &o->own;
	sink_init(&o->own, fd);
}

static void
output_done(struct output *o)
{
	o->ch.c = ctxd_close(o->ch.c);
	sink_done(&o->own);
}

int
follow(struct follow *f)
{
	struct loop l = {.f = f, .stop = {.cli = f->cli, .id = f->n ? f->ids[0] : 0}};
	int r;

	output_init(&l.output[OUT], f->output, STDOUT_FILENO, f->stream);
	output_init(&l.output[ERR], f->output && f->output_split, STDERR_FILENO, "stderr");
	if (f->output_json)
		l.output[ERR].sink = &l.output[OUT].own;
	if (f->bar && f->n == 1)
		bar_init(&l.bar, f->cli, f->ids[0]);
	l.end.used = f->end;
	l.end.c = f->bound;
	l.connected = f->bound != NULL;
	f->bound = NULL;
	if (f->timeout) {
		l.has_until = true;
		l.until = mono_add(mono_now(), dur_usec(f->timeout));
	}
	f->jobs = calloc(f->n ? f->n : 1, sizeof(json_t *));
	r = f->jobs ? signals_open(&l) : give_up(&l, conn_no_memory(f->cli));
	if (r == 0)
		r = run(&l);
	bar_done(&l.bar);
	(void)ctxd_close(l.end.c);
	output_done(&l.output[OUT]);
	output_done(&l.output[ERR]);
	stop_done(&l.stop);
	if (l.signals >= 0)
		(void)close(l.signals);
	return r;
}

void
follow_done(struct follow *f)
{
	for (size_t i = 0; f->jobs && i < f->n; i++)
		json_decref(f->jobs[i]);
	free(f->jobs);
	f->jobs = NULL;
	f->bound = ctxd_close(f->bound);
}

void
follow_say_dropped(const struct follow *f)
{
	if (f->dropped)
		out_error("job %" PRIu64 ": %" PRIu64
			  " bytes of its output are not there: they were beyond the limit",
			  f->ids[0], f->dropped);
}

int
follow_exit(const struct follow *f)
{
	for (size_t i = 0; i < f->n; i++) {
		struct view v;
		int code;

		if (!f->jobs[i] || view_read(f->jobs[i], &v) < 0)
			continue;
		code = view_exit_code(&v);
		if (code != 0)
			return code;
	}
	return EXITCODE_OK;
}
