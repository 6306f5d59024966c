/* follow.c - staying with jobs.
 *
 * A channel is one connection with one call on it that brings replies until it is done. When a
 * channel is lost it is opened again, for at most RECONNECT_S seconds an outage, and its call is
 * made anew from where it was: the ends not yet known, the output from the offset reached. Channels
 * are apart because the connection of an attached job must stay open even when another one breaks:
 * closing it cancels the job. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/follow.h"
#include "cli/out.h"
#include "cli/stop.h"
#include "cli/view.h"

enum {
	RECONNECT_S = 10,
	PAUSE_FIRST_MS = 20,
	PAUSE_MAX_MS = 250,
	PENDING_MAX =
		1 << 20, /* bytes for the standard output, above which no more is taken from ctxd */
	PIPE_PIECE = 4096, /* a pipe that is ready takes this many without blocking */
	SLACK_MS =
		1000, /* the daemon tells the end of a time limit; this is for one that is gone */
	GONE = 3,     /* signals until we go */
};

struct channel {
	struct ctxd_client *c; /* owned; NULL: not open */
	bool used, done;
	bool down; /* lost, and not yet heard of again */
	struct mono retry, give_up;
	int pause_ms;
};

struct loop {
	struct follow *f;
	struct channel end, output;
	struct stop stop;
	bool connected; /* was reached once: from then on a loss is an outage */
	int signals;    /* signalfd, or -1 */
	int n_signals;
	bool has_until;
	struct mono until;
	int64_t offset; /* of the output; -1: none came yet */
	struct buf pending;
	bool regular; /* the standard output is a file: it never blocks for long */
	bool told;    /* of this outage */
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
	if (f->n == 1)
		out_error("the connection to ctxd is lost; job %" PRIu64
			  " goes on (`ctxctl wait %" PRIu64
			  "` finds it again); trying again for %d s",
			  f->ids[0], f->ids[0], RECONNECT_S);
	else
		out_error("the connection to ctxd is lost; the jobs go on; trying again for %d s",
			  RECONNECT_S);
}

/* CH has failed for good. Output that is lost does not end the wait for the job. */
static int
channel_lost(struct loop *l, struct channel *ch, const struct ctxd_failure *f)
{
	int code = conn_fail(l->f->cli, f);

	if (ch != &l->output || !l->end.used)
		return give_up(l, code);
	ch->done = true;
	l->f->incomplete = true;
	return 0;
}

/* CH has failed with F. 0: it will be tried again; or the end of all this. */
static int
channel_failed(struct loop *l, struct channel *ch, const struct ctxd_failure *f)
{
	ch->c = ctxd_close(ch->c);
	if (!is_outage(l, ch, f->code))
		return channel_lost(l, ch, f);
	if (!ch->down) {
		say_lost(l);
		ch->down = true;
		ch->pause_ms = PAUSE_FIRST_MS;
		ch->give_up = in_ms(RECONNECT_S * 1000);
	} else if (passed(ch->give_up)) {
		return channel_lost(l, ch, f);
	}
	ch->retry = in_ms(ch->pause_ms);
	ch->pause_ms = ch->pause_ms * 2 < PAUSE_MAX_MS ? ch->pause_ms * 2 : PAUSE_MAX_MS;
	return 0;
}

static void
channel_heard(struct loop *l, struct channel *ch)
{
	if (ch->down && l->told && out_err_is_terminal())
		out_error("ctxd is back");
	ch->down = false;
	l->told = l->end.down || l->output.down;
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
logs_params(const struct loop *l)
{
	const struct follow *f = l->f;
	json_t *p = json_pack("{s:I, s:s*, s:b}", "id", (json_int_t)f->ids[0], "stream", f->stream,
			      "follow", f->output_follows);
	int r = 0;

	if (p && l->offset >= 0)
		r = json_object_set_new(p, "offset", json_integer(l->offset));
	else if (p && f->tail >= 0)
		r = json_object_set_new(p, "tail", json_integer(f->tail));
	if (r < 0) {
		json_decref(p);
		return NULL;
	}
	return p;
}

/* Open CH if need be, and make its call. */
static int
channel_start(struct loop *l, struct channel *ch)
{
	struct follow *f = l->f;
	struct ctxd_failure why;
	json_t *params = ch == &l->end ? wait_params(l) : logs_params(l);
	int r = 0;

	if (!params)
		return give_up(l, conn_no_memory(f->cli));
	if (!ch->c)
		r = conn_try(f->cli, &ch->c, &why);
	if (r < 0) {
		json_decref(params);
		return channel_failed(l, ch, &why);
	}
	l->connected = true;
	if (ctxd_send(ch->c, ch == &l->end ? "Wait" : "Logs", params, CTXD_CALL_MORE, &why) < 0)
		return channel_failed(l, ch, &why);
	return 0;
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
		if (f->on_end)
			f->on_end(f, &v);
	}
}

static int
end_reply(struct loop *l, const json_t *reply, bool continues)
{
	const json_t *jobs = json_object_get(reply, "jobs");
	json_t *job = json_object_get(reply, "job");
	size_t before = l->f->n_ended;

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

static int
output_reply(struct loop *l, const json_t *reply, bool continues)
{
	const json_t *data = json_object_get(reply, "data"),
		     *offset = json_object_get(reply, "offset");
	_free_ char *line = NULL;

	if (!json_is_string(data) || !json_is_integer(offset))
		return give_up(l, conn_strange(l->f->cli, "data"));
	if (l->f->output_json) {
		line = json_dumps(reply, JSON_COMPACT);
		(void)buf_puts(&l->pending, line ? line : "");
		(void)buf_putc(&l->pending, '\n');
	} else if (text_base64_decode(json_string_value(data), json_string_length(data),
				      &l->pending) == -EINVAL) {
		return give_up(l, conn_strange(l->f->cli, "readable data"));
	}
	if (l->pending.failed || (l->f->output_json && !line))
		return give_up(l, conn_no_memory(l->f->cli));
	l->offset = json_integer_value(offset);
	l->f->dropped += (uint64_t)json_integer_value(json_object_get(reply, "dropped"));
	l->output.done = !continues;
	return 0;
}

/* Take what CH has to say now. */
static int
channel_drain(struct loop *l, struct channel *ch)
{
	while (ch->c && !ch->done && buf_len(&l->pending) < PENDING_MAX) {
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
				  : output_reply(l, reply, continues);
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

static int
signal_came(struct loop *l)
{
	const struct follow *f = l->f;

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
		r = signal_came(l);
	return r;
}

/* Those that are ignored stay so: nohup, and background jobs of a script. */
static int
signals_open(struct loop *l)
{
	static const int which[] = {SIGINT, SIGTERM, SIGHUP};
	sigset_t set;

	l->signals = -1;
	if (l->f->signals == FOLLOW_DIES)
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

/* ---- the standard output */

static int
output_write(struct loop *l)
{
	size_t n = buf_len(&l->pending);
	ssize_t w;

	if (!l->regular && n > PIPE_PIECE)
		n = PIPE_PIECE;
	w = write(STDOUT_FILENO, buf_head(&l->pending), n);
	if (w >= 0) {
		buf_consume(&l->pending, (size_t)w);
		return 0;
	}
	if (errno == EINTR || errno == EAGAIN)
		return 0;
	if (errno != EPIPE)
		out_error("cannot write the output: %s", strerror(errno));
	return give_up(l, l->f->cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED);
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
	const struct channel *all[] = {&l->end, &l->output};
	int64_t ms = -1;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (all[i]->used && !all[i]->done && !all[i]->c)
			sooner(&ms, all[i]->retry);
	if (!l->end.done && stop_due(&l->stop))
		sooner(&ms, l->stop.retry);
	if (l->has_until)
		sooner(&ms, mono_add(l->until, (struct dur){SLACK_MS * NSEC_PER_MSEC}));
	return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static void
watch(struct pollfd *p, const struct channel *ch)
{
	*p = (struct pollfd){.fd = ch->c && !ch->done ? ctxd_fd(ch->c) : -1, .events = POLLIN};
}

static int
sleep_until(struct loop *l)
{
	enum { END, OUTPUT, CANCEL, SIGNALS, STDOUT, N };
	bool full = buf_len(&l->pending) >= PENDING_MAX;
	struct pollfd p[N];

	watch(&p[END], &l->end);
	watch(&p[OUTPUT], &l->output);
	p[CANCEL] = (struct pollfd){.fd = l->stop.c && !l->end.done ? ctxd_fd(l->stop.c) : -1,
				    .events = POLLIN};
	p[SIGNALS] = (struct pollfd){.fd = l->signals, .events = POLLIN};
	p[STDOUT] =
		(struct pollfd){.fd = buf_len(&l->pending) ? STDOUT_FILENO : -1, .events = POLLOUT};
	if (full)
		p[END].fd = p[OUTPUT].fd = -1;
	if (poll(p, N, time_left(l)) < 0) {
		if (errno == EINTR)
			return 0;
		out_error("poll: %s", strerror(errno));
		return give_up(l, l->f->cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED);
	}
	if (p[SIGNALS].revents) {
		int r = signals_read(l);

		if (r)
			return r;
	}
	return p[STDOUT].revents ? output_write(l) : 0;
}

static bool
over(const struct loop *l)
{
	return (!l->end.used || l->end.done) && (!l->output.used || l->output.done) &&
	       buf_len(&l->pending) == 0;
}

static int
run(struct loop *l)
{
	for (;;) {
		int r = channel_step(l, &l->end);

		if (r == 0 && !l->timed_out)
			r = channel_step(l, &l->output);
		if (r)
			return r;
		if (!l->end.done)
			stop_step(&l->stop);
		if (l->has_until &&
		    passed(mono_add(l->until, (struct dur){SLACK_MS * NSEC_PER_MSEC})))
			l->timed_out = true;
		if (l->timed_out)
			return FOLLOW_E_TIMEOUT;
		if (over(l))
			return 0;
		r = sleep_until(l);
		if (r)
			return r;
	}
}

int
follow(struct follow *f)
{
	struct loop l = {.f = f, .offset = -1, .stop = {.cli = f->cli, .id = f->n ? f->ids[0] : 0}};
	struct stat st;
	int r;

	l.regular = fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode);
	l.end.used = f->end;
	l.end.c = f->bound;
	l.connected = f->bound != NULL;
	l.output.used = f->output;
	f->bound = NULL;
	if (f->timeout) {
		l.has_until = true;
		l.until = mono_add(mono_now(), dur_usec(f->timeout));
	}
	f->jobs = calloc(f->n ? f->n : 1, sizeof(json_t *));
	r = f->jobs ? signals_open(&l) : give_up(&l, conn_no_memory(f->cli));
	if (r == 0)
		r = run(&l);
	(void)ctxd_close(l.end.c);
	(void)ctxd_close(l.output.c);
	stop_done(&l.stop);
	if (l.signals >= 0)
		(void)close(l.signals);
	buf_done(&l.pending);
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
