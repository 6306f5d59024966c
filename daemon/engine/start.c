/* start.c - starting a job: its deadline, its environment, its spec; handed to exec after the
 * commit that made it running.
 *
 * If anything fails here, nothing was started, provably: the job goes back to the queue. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/buf.h"
#include "base/crash.h"
#include "base/err.h"
#include "base/jw.h"
#include "base/log.h"
#include "core/context.h"
#include "core/deadline.h"
#include "engine/forward.h"
#include "engine/impl.h"
#include "engine/live.h"
#include "engine/queue.h"
#include "engine/tell.h"
#include "record/spec.h"

#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

struct start_fx {
	struct effect fx;
	struct engine *g;
	struct job *job; /* owned */
	struct strv env; /* owned */
};

void
start_prepare(struct engine *g, struct job *j, uint64_t seq)
{
	struct wall now = wall_now();

	j->seq = seq;
	memcpy(j->boot, g->boot, sizeof(j->boot));
	j->started_us = wall_to_usec(now);
	j->pid = 0;
	j->progress_us = j->ready_us = 0;
	j->has_percent = false;
	(void)job_set(&j->progress_text, NULL);
	deadline_start(g->policy, j, now, mono_now());
}

/* Variables that belong to a process, not to a context: those of the submitter must not reach the
 * job. */
static bool
dropped(const struct engine *g, const char *entry)
{
	static const char *const names[] = {
		"CTX_ID=",       "CTX_ATTEMPT=",     "CTX_NAME=",        "CTX_CLASS=",
		"CTX_KEY=",      "CTX_DEADLINE=",    "CTXD_SOCKET=",     "CTX_DEADLINE_EPOCH=",
		"LISTEN_FDS=",   "LISTEN_PID=",      "LISTEN_FDNAMES=",  "NOTIFY_SOCKET=",
		"WATCHDOG_PID=", "WATCHDOG_USEC=",   "TRACEPARENT=",     "TRACESTATE=",
		"BAGGAGE=",      "CTX_PARENT=",      "CTX_LAST_STATUS=", "CTX_LAST_PERCENT=",
		"CTX_VALUES=",   CONTEXT_ENV_PREFIX,
	};
	static const char *const user_names[] = {"HOME=", "USER=", "LOGNAME=", "SHELL="};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strncmp(entry, names[i], strlen(names[i])) == 0)
			return true;
	}
	for (size_t i = 0; g->system_mode && i < ARRAY_SIZE(user_names); i++) {
		if (strncmp(entry, user_names[i], strlen(user_names[i])) == 0)
			return true;
	}
	return false;
}

static int
add(struct strv *v, const char *name, const char *value)
{
	return value ? strv_add_pair(v, name, value) : 0;
}

/* All of them as one JSON object, and each by itself. */
static int
add_values(const struct job *j, struct strv *v)
{
	_cleanup_(buf_done) struct buf json = {0};
	struct jw w;
	int r = 0;

	jw_init(&w, &json);
	jw_obj_open(&w, NULL);
	for (const char *s = strv_first(&j->values); s && !r; s = strv_next(&j->values, s)) {
		size_t n = strcspn(s, "=");
		char name[CONTEXT_NAME_MAX + 1], env[CONTEXT_ENV_NAME];

		if (n > CONTEXT_NAME_MAX || s[n] != '=') /* checked when it was accepted */
			return err_raise(-EUCLEAN, "the values of job %" PRIu64, j->id);
		memcpy(name, s, n);
		name[n] = '\0';
		jw_str(&w, name, s + n + 1);
		r = strv_add_pair(v, context_env_name(s, n, env), s + n + 1);
	}
	jw_obj_close(&w);
	buf_putc(&json, '\0');
	if (json.failed)
		return json.failed;
	return r ? r : add(v, "CTX_VALUES", buf_head(&json));
}

static int
add_trace(const struct job *j, struct strv *v)
{
	char text[TRACE_PARENT_TEXT];
	int r = add(v, "TRACEPARENT", trace_format(&j->trace, text));

	r = r ? r : add(v, "TRACESTATE", j->tracestate);
	return r ? r : add(v, "BAGGAGE", j->baggage);
}

/* 0, 1 when no job could connect to a socket of that path, or -ENOMEM. */
static int
add_notify(struct engine *g, const struct job *j, struct strv *v)
{
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)], num[32];
	int r = exec_notify_path(g->exec, j->id, j->attempt, path, sizeof(path));

	if (r < 0 && !log_rate_ok(&g->notify_rate, 5))
		return 1;
	if (r < 0) {
		log_job(LOG_LVL_WARN, j,
			"gets no NOTIFY_SOCKET%s: its path in the runtime directory is too long "
			"for a client, continuing",
			j->watchdog_us > 0 ? " and no watchdog" : "");
		return 1;
	}
	r = add(v, "NOTIFY_SOCKET", path);
	if (r || j->watchdog_us == 0)
		return r;
	(void)snprintf(num, sizeof(num), "%" PRId64, j->watchdog_us);
	return add(v, "WATCHDOG_USEC", num);
}

/* What an earlier attempt told last: from where this one may go on. */
static int
add_last(const struct job *j, struct strv *v)
{
	char num[32];
	int r = add(v, "CTX_LAST_STATUS", j->last_text);

	if (r || !j->has_last_percent)
		return r;
	(void)snprintf(num, sizeof(num), "%.15g", j->last_percent);
	return add(v, "CTX_LAST_PERCENT", num);
}

static int
add_context(struct engine *g, const struct job *j, struct strv *v)
{
	char num[32], when[CLOCK_TEXT];
	int r;

	(void)snprintf(num, sizeof(num), "%" PRIu64, j->id);
	r = add(v, "CTX_ID", num);
	(void)snprintf(num, sizeof(num), "%" PRIu32, j->attempt);
	r = r ? r : add(v, "CTX_ATTEMPT", num);
	r = r ? r : add(v, "CTX_NAME", j->name);
	r = r ? r : add(v, "CTX_CLASS", j->class_name);
	r = r ? r : add(v, "CTX_KEY", j->key && !job_key_is_hidden(j->key) ? j->key : NULL);
	r = r ? r
	      : add(v, "CTX_DEADLINE", wall_format(wall_usec(j->deadline_us), when, sizeof(when)));
	(void)snprintf(num, sizeof(num), "%" PRId64, j->deadline_us / 1000000);
	r = r ? r : add(v, "CTX_DEADLINE_EPOCH", num);
	r = r ? r : add(v, "CTXD_SOCKET", g->socket_path);
	r = r ? r : add_last(j, v);
	r = r ? r : add_values(j, v);
	return r ? r : add_trace(j, v);
}

static int
make_environment(struct engine *g, const struct job *j, const struct strv *env, struct strv *ret)
{
	int r = 0;

	for (const char *e = strv_first(env); e && !r; e = strv_next(env, e)) {
		if (!dropped(g, e))
			r = strv_add(ret, e);
	}
	if (!r && !strv_env_get(env, "PATH"))
		r = add(ret, "PATH", PATH_DEFAULT);
	if (!r && g->system_mode) {
		r = add(ret, "HOME", j->home ? j->home : "/");
		r = r ? r : add(ret, "USER", j->user);
		r = r ? r : add(ret, "LOGNAME", j->user);
		r = r ? r : add(ret, "SHELL", j->shell ? j->shell : "/bin/sh");
	}
	return r ? r : add_context(g, j, ret);
}

static void
fill_spec(struct engine *g, const struct job *j, struct spec *s)
{
	int64_t limit = deadline_limit(g->policy, j, wall_now(), mono_now());

	*s = (struct spec){
		.id = j->id,
		.attempt = j->attempt,
		.uid = j->uid,
		.gid = j->gid,
		.groups = j->groups, /* borrowed, as all below */
		.n_groups = (uint32_t)j->n_groups,
		.umask = j->umask,
		.stop_signal = j->stop_signal,
		.deadline_ns = j->deadline_boot_ns,
		.grace_ns = j->grace_us * NSEC_PER_USEC,
		.limit_ns = limit > j->deadline_boot_ns ? limit : j->deadline_boot_ns,
		.warn_ns = j->warn_us * NSEC_PER_USEC,
		.warn_signal = j->warn_us > 0 ? j->warn_signal : 0,
		.watchdog_ns = j->watchdog_us * NSEC_PER_USEC,
		.out_max = (uint64_t)g->policy->output_max,
		.out_gid = g->system_mode ? (uint32_t)getgid() : UINT32_MAX,
		.cwd = j->cwd,
		.argv = j->argv,
	};
	limits_spec(g, j, s);
}

/* Standard input, output and error of J; -1 is what exec makes of it. 0 or -errno with *RET_WHAT.
 */
static int
open_streams(struct engine *g, const struct job *j, struct exec_job *x, const char **ret_what)
{
	*ret_what = "its output cannot be kept: ";
	x->out_fd = output_create(g->output, j->id, j->attempt, OUTPUT_OUT);
	if (x->out_fd < 0)
		return err_pass(x->out_fd);
	if (j->split_output) {
		x->err_fd = output_create(g->output, j->id, j->attempt, OUTPUT_ERR);
		if (x->err_fd < 0)
			return err_pass(x->err_fd);
	}
	*ret_what = "its standard input cannot be opened: ";
	if (j->has_stdin) {
		x->in_fd = spool_open(g, j->id);
		if (x->in_fd < 0)
			return err_pass(x->in_fd);
	}
	*ret_what = "";
	return 0;
}

static void
close_streams(struct exec_job *x)
{
	if (x->in_fd >= 0)
		(void)close(x->in_fd);
	if (x->out_fd >= 0)
		(void)close(x->out_fd);
	if (x->err_fd >= 0)
		(void)close(x->err_fd);
}

/* 0, or -errno with *RET_WHAT: what failed, as the beginning of a sentence. */
static int
start_now(struct engine *g, const struct job *j, const struct strv *env, const char **ret_what)
{
	_cleanup_(strv_done) struct strv full = {0};
	_cleanup_(close_streams) struct exec_job x = {
		.seq = j->seq, .in_fd = -1, .out_fd = -1, .err_fd = -1};
	struct spec s;
	int r;

	*ret_what = "";
	r = make_environment(g, j, env, &full);
	fill_spec(g, j, &s);
	if (r == 0)
		r = add_notify(g, j, &full);
	if (r < 0)
		return err_pass(r);
	if (r > 0) /* it could not show any sign of life */
		s.watchdog_ns = 0;
	r = open_streams(g, j, &x, ret_what);
	if (r < 0)
		return r;
	CRASH_POINT("ctxd.output.made");
	s.env = full;
	x.spec = &s;
	return exec_spawn(g->exec, &x);
}

static void
start_fx_free(struct start_fx *f)
{
	f->job = job_free(f->job);
	strv_done(&f->env);
	free(f);
}

static void
start_run(struct effect *fx, int result)
{
	struct start_fx *f = container_of(fx, struct start_fx, fx);
	struct engine *g = f->g;
	const char *what;
	struct live *l;
	int r;

	if (result < 0) { /* the row is as it was before */
		start_fx_free(f);
		return;
	}
	l = live_new(g, f->job);
	if (!l) /* the row says running and nobody could follow it: come back like after a crash */
		abort();
	r = start_now(g, f->job, &f->env, &what);
	if (r == 0) {
		CRASH_POINT("ctxd.spawn.sent");
		metrics_started(&g->metrics, f->job);
		forward_started(g, f->job);
		log_job_edge(f->job, "running");
	} else {
		char text[160];

		(void)snprintf(text, sizeof(text), "could not be started: %s%s", what,
			       strerror(-r));
		sched_hold(g);
		if (recovery_never_ran(g, take_ptr(f->job), text, -r) < 0)
			live_again(l); /* its row is put right like one found at a restart */
	}
	start_fx_free(f);
}

int
start_defer(struct engine *g, struct job *j, struct strv *env)
{
	struct start_fx *f = calloc(1, sizeof(*f));
	int r = f ? forward_row(g, j) : err_raise(-ENOMEM, "start a job");

	if (!f || r < 0) {
		(void)job_free(j);
		free(f);
		return err_pass(r);
	}
	f->fx.run = start_run;
	f->g = g;
	f->job = j;
	f->env = *env;
	*env = (struct strv){0};
	txn_defer(g->txn, &f->fx);
	return 0;
}
