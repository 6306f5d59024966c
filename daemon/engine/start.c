/* start.c - starting a job: its deadline, its environment, its spec; handed to exec after the
 * commit that made it running.
 *
 * If anything fails here, nothing was started, provably: the job goes back to the queue. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "core/deadline.h"
#include "engine/impl.h"
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
	deadline_start(g->policy, j, now, mono_now());
}

/* Variables that belong to a process, not to a context: those of the submitter must not reach the
 * job. */
static bool
dropped(const struct engine *g, const char *entry)
{
	static const char *const names[] = {
		"CTX_ID=",       "CTX_ATTEMPT=",   "CTX_NAME=",       "CTX_CLASS=",
		"CTX_KEY=",      "CTX_DEADLINE=",  "CTXD_SOCKET=",    "CTX_DEADLINE_EPOCH=",
		"LISTEN_FDS=",   "LISTEN_PID=",    "LISTEN_FDNAMES=", "NOTIFY_SOCKET=",
		"WATCHDOG_PID=", "WATCHDOG_USEC=",
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
	r = r ? r : add(v, "CTX_KEY", j->key);
	r = r ? r
	      : add(v, "CTX_DEADLINE", wall_format(wall_usec(j->deadline_us), when, sizeof(when)));
	(void)snprintf(num, sizeof(num), "%" PRId64, j->deadline_us / 1000000);
	r = r ? r : add(v, "CTX_DEADLINE_EPOCH", num);
	return r ? r : add(v, "CTXD_SOCKET", g->socket_path);
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
	const struct policy_class *c = policy_class_find(g->policy, j->class_name);

	*s = (struct spec){
		.id = j->id,
		.attempt = j->attempt,
		.uid = j->uid,
		.gid = j->gid,
		.groups = j->groups, /* borrowed, as all below */
		.n_groups = (uint32_t)j->n_groups,
		.umask = j->umask,
		.stop_signal = j->stop_signal,
		.nice = c && c->has_nice ? (int32_t)c->nice : 0,
		.deadline_ns = j->deadline_boot_ns,
		.grace_ns = j->grace_us * NSEC_PER_USEC,
		.limit_ns = j->deadline_boot_ns,
		.out_max = (uint64_t)g->policy->output_max,
		.out_gid = g->system_mode ? (uint32_t)getgid() : UINT32_MAX,
		.cwd = j->cwd,
		.argv = j->argv,
	};
}

static int
start_now(struct engine *g, const struct job *j, const struct strv *env)
{
	_cleanup_(strv_done) struct strv full = {0};
	_close_ int out = -1;
	struct spec s;
	struct exec_job x;
	int r;

	r = make_environment(g, j, env, &full);
	if (r < 0)
		return err_pass(r);
	out = output_create(g->output, j->id, j->attempt, OUTPUT_OUT);
	if (out < 0)
		return err_pass(out);
	fill_spec(g, j, &s);
	s.env = full;
	x = (struct exec_job){.seq = j->seq, .spec = &s, .in_fd = -1, .out_fd = out, .err_fd = -1};
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
	struct live *l;
	int r;

	if (result < 0) { /* the row is as it was before */
		start_fx_free(f);
		return;
	}
	l = live_new(g, f->job);
	if (!l) /* the row says running and nobody could follow it: come back like after a crash */
		abort();
	r = start_now(g, f->job, &f->env);
	if (r == 0) {
		engine_log_edge(f->job, "running");
	} else {
		char text[160];

		(void)snprintf(text, sizeof(text), "could not be started: %s", strerror(-r));
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

	if (!f) {
		(void)job_free(j);
		return err_raise(-ENOMEM, "start a job");
	}
	f->fx.run = start_run;
	f->g = g;
	f->job = j;
	f->env = *env;
	*env = (struct strv){0};
	txn_defer(g->txn, &f->fx);
	return 0;
}
