/* follow.c - staying with jobs: the loop, the signals and the outputs. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/follow_impl.h"
#include "cli/out.h"
#include "cli/view.h"

enum {
	SLACK_MS =
		1000, /* the daemon tells the end of a time limit; this is for one that is gone */
	GONE = 3,     /* signals until we go */
};

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
	return follow_give_up(l, EXITCODE_SIGNAL + sig);
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
		out_error("job %" PRIu64 "%s: %s wait %" PRIu64, f->ids[0],
			  f->signals == FOLLOW_DETACHES ? " goes on" : " is being canceled",
			  f->cli->self, f->ids[0]);
		return follow_give_up(l, EXITCODE_OURS);
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
	return follow_give_up(l, EXITCODE_OURS);
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
	return follow_give_up(l, l->f->cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED);
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
	if (!follow_end_known(l))
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
	return ch->c && !ch->done && !follow_channel_full(l, ch) ? ctxd_fd(ch->c) : -1;
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
		return follow_give_up(l, l->f->cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED);
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
		int r = follow_channel_step(l, &l->end);

		for (size_t i = 0; i < OUTPUTS && r == 0 && !l->timed_out; i++)
			r = follow_channel_step(l, &l->output[i].ch);
		if (r)
			return r;
		if (!l->end.done)
			stop_step(&l->stop);
		bar_step(&l->bar);
		if (l->has_until &&
		    follow_passed(mono_add(l->until, (struct dur){SLACK_MS * NSEC_PER_MSEC})))
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
	if (f->bar && f->n == 1 && !f->cli->host) /* not worth one more ssh */
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
	r = f->jobs ? signals_open(&l) : follow_give_up(&l, conn_no_memory(f->cli));
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
