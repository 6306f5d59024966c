/* api_fixture.h - what the tests of the interface share: an engine of our own whose commits can be
 * made to fail, the server before it on a real socket, and clients. */
#ifndef CTX_TESTS_API_FIXTURE_H
#define CTX_TESTS_API_FIXTURE_H

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/api.h"
#include "api/lookup.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sock.h"
#include "core/policy.h"
#include "engine/engine.h"
#include "tap.h"

/* The server looks names up with this very program. */
__attribute__((constructor)) static void
lookup_instead(int argc, char **argv)
{
	if (lookup_is_child(argc, argv))
		_exit(lookup_main(argc, argv));
}

/* ---- an engine: jobs are numbers; those up to ENDED have ended */

static struct policy *policy;
static struct list effects = LIST_INIT(effects), watches = LIST_INIT(watches);
static int commit_result;
static uint64_t submitted, ended, gone, list_rows, listed_up_to, gets;
static uint64_t n_gone; /* calls of engine_client_gone */
static uint64_t exists; /* a submission with a key is this job */
static bool exists_bound;
static bool may_submit_for;
static char asked[1 << 16]; /* what the engine was asked last, as text */
static size_t spools;       /* that are there */
static int spool_result;    /* of the next calls */
static uint64_t edges;      /* history: each of job number edge, or of the one asked for */
static bool said_anything;  /* then running jobs tell SAID */
static uint64_t said;
static struct list listeners = LIST_INIT(listeners);
static ev_prepare prepare;

static void
on_prepare(struct ev_loop *loop, ev_prepare *w, int revents)
{
	struct list now = LIST_INIT(now), *l;

	(void)loop, (void)w, (void)revents;
	list_splice(&now, &effects);
	while ((l = list_pop(&now))) {
		struct effect *fx = list_entry(l, struct effect, link);

		fx->run(fx, commit_result);
	}
}

const struct policy *
engine_policy(const struct engine *g)
{
	(void)g;
	return policy;
}

bool
engine_is_admin(const struct engine *g, const struct requester *who)
{
	(void)g;
	return who->uid == 0;
}

void
engine_defer(struct engine *g, struct effect *fx)
{
	(void)g;
	list_append(&effects, &fx->link);
}

static struct job *
make_job(uint64_t id)
{
	struct job *j = job_new();

	need(j != NULL && job_set(&j->class_name, "default") == 0 &&
	     strv_add(&j->argv, "true") == 0);
	j->id = id;
	j->state = id <= ended ? JOB_SUCCEEDED : JOB_RUNNING;
	j->stop_signal = 15;
	if (said_anything && id > ended) {
		j->progress_us = INT64_C(1700000000000000) + (int64_t)said;
		j->has_percent = true;
		j->percent = (double)said / 2;
	}
	return j;
}

/* One fact of what the engine was asked, " name=value". */
__attribute__((format(printf, 1, 2))) static void
note(const char *fmt, ...)
{
	size_t n = strlen(asked);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(asked + n, sizeof(asked) - n, fmt, ap);
	va_end(ap);
}

static void
note_text(const char *name, const char *value)
{
	if (value)
		note(" %s=%s", name, value);
}

static void
note_context(const struct context_args *a)
{
	if (a->parent)
		note(" parent=%llu", (unsigned long long)a->parent);
	if (a->has_inherit)
		note(" inherit=%u", a->inherit);
	for (const char *s = strv_first(&a->values); s; s = strv_next(&a->values, s))
		note(" value:%s", s);
	note_text("traceparent", a->traceparent);
	note_text("tracestate", a->tracestate);
	note_text("baggage", a->baggage);
}

struct spool {
	size_t n;
};

int
engine_submit_for(struct engine *g, const struct requester *who, struct refusal *r)
{
	(void)g, (void)who;
	if (may_submit_for)
		return 0;
	return refusal_set(r, REFUSAL_NOT_PERMITTED, NULL, "not for others");
}

int
engine_submit(struct engine *g, const struct requester *who, const struct submit_args *a,
	      struct job **ret, bool *ret_created, struct notices *n, struct refusal *r)
{
	(void)g, (void)who, (void)r;
	asked[0] = '\0';
	if (a->as)
		note(" as=%u:%u:%s", a->as->uid, a->as->gid, a->as->user);
	note_context(&a->context);
	note_text("key", a->key);
	if (a->if_exists)
		note(" if_exists=%d", (int)a->if_exists);
	if (a->bound)
		note(" bound");
	if (a->split_output)
		note(" split");
	if (a->stdin_spool)
		note(" stdin=%zu", a->stdin_spool->n);
	if (a->warn_us)
		note(" warn=%lld:%d", (long long)a->warn_us, a->warn_signal);
	if (a->watchdog_us)
		note(" watchdog=%lld", (long long)a->watchdog_us);
	n->n = 1;
	(void)snprintf(n->text[0], sizeof(n->text[0]), "noted");
	*ret_created = !(a->key && exists);
	*ret = make_job(*ret_created ? ++submitted : exists);
	(*ret)->bound = *ret_created ? a->bound : exists_bound;
	return 0;
}

int
engine_scope(struct engine *g, const struct requester *who, const struct scope_args *a,
	     struct job **ret, struct notices *n, struct refusal *r)
{
	(void)g, (void)who, (void)r;
	asked[0] = '\0';
	note_context(&a->context);
	note_text("name", a->name);
	note_text("class", a->class_name);
	if (a->timeout_us)
		note(" timeout=%lld", (long long)a->timeout_us);
	if (a->deadline_us)
		note(" deadline=%lld", (long long)a->deadline_us);
	n->n = 1;
	(void)snprintf(n->text[0], sizeof(n->text[0]), "noted");
	*ret = make_job(++submitted);
	(*ret)->kind = JOB_KIND_SCOPE;
	(*ret)->state = JOB_OPEN;
	strv_done(&(*ret)->argv);
	return 0;
}

int
engine_get(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	   struct refusal *r)
{
	(void)g, (void)who;
	gets++;
	if (id > 100000) {
		r->id = id;
		return refusal_set(r, REFUSAL_NO_SUCH_JOB, NULL, "no such job");
	}
	*ret = make_job(id);
	return 0;
}

int
engine_list(struct engine *g, const struct requester *who, const struct store_filter *f,
	    store_job_fn fn, void *arg, uint64_t *ret_next, struct refusal *r)
{
	int e = 0;
	uint32_t n = 0;

	(void)g, (void)who, (void)r;
	asked[0] = '\0';
	if (f->parent)
		note(" parent=%llu", (unsigned long long)f->parent);
	if (f->trace_id)
		note(" trace=%02x..%02x", f->trace_id[0], f->trace_id[15]);
	if (f->values)
		for (const char *s = strv_first(f->values); s; s = strv_next(f->values, s))
			note(" value:%s", s);
	*ret_next = 0;
	for (uint64_t id = f->after + 1; id <= list_rows && e == 0; id++) {
		_cleanup_(job_freep) struct job *j = make_job(id);

		if (f->budget && n++ == f->budget) {
			*ret_next = id - 1;
			return 0;
		}
		listed_up_to = id;
		e = fn(arg, j);
	}
	return e;
}

int
engine_cancel(struct engine *g, const struct requester *who, uint64_t id, const char *cause,
	      bool now, struct job **ret, struct refusal *r)
{
	(void)cause, (void)now;
	return engine_get(g, who, id, ret, r);
}

/* Reaches as many as its id says. */
int
engine_close(struct engine *g, const struct requester *who, uint64_t id, const char *cause,
	     bool now, struct job **ret, struct engine_ids *reached, struct refusal *r)
{
	asked[0] = '\0';
	note_text("cause", cause);
	note(now ? " now" : " soon");
	reached->v = calloc(id, sizeof(*reached->v));
	need(reached->v != NULL);
	for (uint64_t i = 0; i < id; i++)
		reached->v[reached->n++] = id + 1 + i;
	return engine_get(g, who, id, ret, r);
}

int
engine_signal(struct engine *g, const struct requester *who, uint64_t id, int signo, bool tree,
	      struct job **ret, struct refusal *r)
{
	asked[0] = '\0';
	note(" %d %s", signo, tree ? "tree" : "main");
	return engine_get(g, who, id, ret, r);
}

int
engine_progress(struct engine *g, const struct requester *who, uint64_t id, bool has_percent,
		double percent, const char *text, struct job **ret, struct refusal *r)
{
	asked[0] = '\0';
	if (has_percent)
		note(" %g", percent);
	note_text("text", text);
	return engine_get(g, who, id, ret, r);
}

int
engine_spool_new(struct engine *g, const struct requester *who, struct spool **ret)
{
	(void)g, (void)who;
	if (spool_result == -EDQUOT)
		return spool_result;
	*ret = calloc(1, sizeof(**ret));
	need(*ret != NULL);
	spools++;
	return 0;
}

int
engine_spool_add(struct engine *g, struct spool *s, const void *p, size_t n)
{
	(void)g, (void)p;
	s->n += spool_result ? 0 : n;
	return spool_result;
}

uint64_t
spool_bytes(const struct spool *s)
{
	return s->n;
}

struct spool *
spool_free(struct spool *s)
{
	spools -= s != NULL;
	free(s);
	return NULL;
}

int
engine_events(struct engine *g, const struct requester *who, const struct store_event_filter *f,
	      store_event_fn fn, void *arg, uint64_t *ret_next, struct refusal *r)
{
	uint32_t n = 0;
	int e = 0;

	(void)g, (void)who, (void)r;
	*ret_next = 0;
	for (uint64_t i = f->after + 1; i <= edges && e == 0; i++) {
		uint64_t id = f->job ? f->job : i;
		struct store_event ev = {
			.edge = i,
			.e = {.job = id,
			      .attempt = 1,
			      .at_us = (int64_t)i * 1000000,
			      .from = i == 1 ? 0 : JOB_QUEUED,
			      .to = id <= ended && i == edges ? JOB_SUCCEEDED : JOB_RUNNING,
			      .by_uid = i == 1 ? 1000 : -1},
			.uid = 1000,
			.kind = JOB_KIND_JOB};

		if (f->budget && n++ == f->budget) {
			*ret_next = i - 1;
			return 0;
		}
		listed_up_to = i;
		e = fn(arg, &ev);
	}
	return e;
}

void
engine_listener_add(struct engine *g, struct engine_listener *l)
{
	(void)g;
	list_append(&listeners, &l->link);
}

void
engine_listener_remove(struct engine_listener *l)
{
	list_unlink(&l->link);
}

/* Something changed. */
__attribute__((unused)) static void
tell_listeners(void)
{
	list_for_each_safe (l, &listeners) {
		struct engine_listener *e = list_entry(l, struct engine_listener, link);

		e->on_change(e);
	}
}

void
engine_client_gone(struct engine *g, uint64_t id)
{
	(void)g;
	gone = id;
	n_gone++;
}

int
engine_extend(struct engine *g, const struct requester *who, uint64_t id, int64_t by_us,
	      int64_t to_us, struct job **ret, struct refusal *r)
{
	(void)by_us, (void)to_us;
	return engine_get(g, who, id, ret, r);
}

int
engine_retry(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	     struct refusal *r)
{
	asked[0] = '\0';
	note(" retry");
	return engine_get(g, who, id, ret, r);
}

int
engine_resolve(struct engine *g, const struct requester *who, uint64_t id, const char *as,
	       const char *note_, struct job **ret, struct refusal *r)
{
	asked[0] = '\0';
	note(" %s %s", as, note_ ? note_ : "-");
	return engine_get(g, who, id, ret, r);
}

int
engine_prune_check(struct engine *g, const struct requester *who, const struct engine_prune *p,
		   struct refusal *r)
{
	(void)g, (void)who, (void)r;
	asked[0] = '\0';
	for (size_t i = 0; i < p->n_ids; i++)
		note(" %llu", (unsigned long long)p->ids[i]);
	return 0;
}

/* One with each step. */
int
engine_prune_step(struct engine *g, const struct requester *who, struct engine_prune *p,
		  bool *ret_over)
{
	(void)g, (void)who;
	p->pruned++;
	*ret_over = ++p->i >= p->n_ids;
	return 0;
}

int
engine_output(struct engine *g, const struct requester *who, uint64_t id, bool err,
	      struct job **ret, int *ret_fd, struct refusal *r)
{
	(void)err;
	*ret_fd = -1;
	return engine_get(g, who, id, ret, r);
}

int
engine_journaled(struct engine *g, const struct job *j, bool err, struct journal_query *ret)
{
	(void)g, (void)j, (void)err, (void)ret;
	return 0;
}

int
engine_stats(struct engine *g, struct engine_stats *ret)
{
	(void)g, (void)ret;
	return 0;
}

int
engine_watch_add(struct engine *g, struct engine_watch *w)
{
	(void)g;
	list_append(&watches, &w->link);
	return 0;
}

void
engine_watch_remove(struct engine *g, struct engine_watch *w)
{
	(void)g;
	list_unlink(&w->link);
}

/* Jobs up to ID have ended. */
static void
end_jobs(uint64_t id)
{
	ended = id;
	list_for_each_safe (l, &watches) {
		struct engine_watch *w = list_entry(l, struct engine_watch, link);

		if (w->job > id)
			continue;
		list_unlink(l);
		w->on_end(w, NULL);
	}
}

/* ---- of the engine, and asked by no test here */

uint64_t
engine_running(const struct engine *g)
{
	(void)g;
	return 0;
}

bool
engine_drains(const struct engine *g)
{
	(void)g;
	return false;
}

int
engine_shutdown(struct engine *g, const struct requester *who, int64_t within_us, uint64_t *ret_n)
{
	(void)g, (void)who, (void)within_us;
	*ret_n = 0;
	return 0;
}

const struct metrics *
engine_metrics(struct engine *g)
{
	(void)g;
	return NULL;
}

void
engine_live_facts(struct engine *g, struct job *j)
{
	(void)g, (void)j;
}

int
engine_class_load(struct engine *g, const char *class_name, struct engine_class_load *ret)
{
	(void)g, (void)class_name;
	*ret = (struct engine_class_load){0};
	return 0;
}

int64_t
engine_started_us(const struct engine *g)
{
	(void)g;
	return 0;
}

int
engine_hold(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	    struct refusal *r)
{
	(void)g, (void)who, (void)ret;
	return refusal_set(r, REFUSAL_ALREADY_ENDED, NULL, "%ju", (uintmax_t)id);
}

int
engine_release(struct engine *g, const struct requester *who, uint64_t id, struct job **ret,
	       struct refusal *r)
{
	return engine_hold(g, who, id, ret, r);
}

int
engine_reprioritize(struct engine *g, const struct requester *who, uint64_t id, int32_t priority,
		    struct job **ret, struct refusal *r)
{
	(void)priority;
	return engine_hold(g, who, id, ret, r);
}

int
engine_pause(struct engine *g, const struct requester *who, const char *class_name,
	     struct refusal *r)
{
	(void)g, (void)who, (void)class_name, (void)r;
	return 0;
}

int
engine_resume(struct engine *g, const struct requester *who, const char *class_name,
	      struct refusal *r)
{
	return engine_pause(g, who, class_name, r);
}

int
engine_drain(struct engine *g, const struct requester *who)
{
	(void)g, (void)who;
	return 0;
}

void
engine_queue_each(const struct engine *g, void (*fn)(void *arg, const char *class_name), void *arg,
		  bool *ret_all, bool *ret_drain)
{
	(void)g;
	*ret_all = *ret_drain = false;
	fn(arg, "batch");
}

bool
engine_is_exporter(const struct engine *g, const struct requester *who)
{
	(void)g, (void)who;
	return false;
}

int
engine_spans(struct engine *g, uint64_t after, size_t max, store_outbox_fn fn, void *arg)
{
	(void)g, (void)after, (void)max, (void)fn, (void)arg;
	return 0;
}

int
engine_spans_forget(struct engine *g, uint64_t upto)
{
	(void)g, (void)upto;
	return 0;
}

void
engine_outbox(const struct engine *g, uint64_t *ret_waiting, uint64_t *ret_dropped)
{
	(void)g;
	*ret_waiting = *ret_dropped = 0;
}

/* ---- a server and its clients */

static char dir[] = "/tmp/ctx-c.XXXXXX";
static char path[64];
static struct api *api;

static int
no_reload(void *arg, bool dry, api_change_fn fn, void *fn_arg, struct refusal *r)
{
	(void)arg, (void)dry;
	fn(fn_arg, "daemon", "max_message", NULL, "2M", "now");
	return refusal_set(r, REFUSAL_INVALID_ARGUMENT, "config", "wrong");
}

static void
one_setting(void *arg, api_setting_fn fn, void *fn_arg)
{
	(void)arg;
	fn(fn_arg, "daemon", "max_message", "1M");
}

static void
remove_dir(void)
{
	(void)rmdir(dir);
}

static void
server_start(void)
{
	static char program[4096];
	struct api_options o = {.loop = ev_default_loop(0),
				.version = "1",
				.reload = no_reload,
				.config = one_setting};
	struct ctx_err e = {0};

	if (!path[0]) {
		need(mkdtemp(dir) != NULL);
		(void)snprintf(path, sizeof(path), "%s/sock", dir);
		(void)atexit(remove_dir);
		(void)setenv("CTXD_CHECK", "1", 1);
		ev_prepare_init(&prepare, on_prepare);
		ev_set_priority(&prepare, EV_MINPRI);
	}
	commit_result = 0;
	submitted = ended = gone = n_gone = list_rows = listed_up_to = gets = exists = edges = 0;
	exists_bound = true;
	spool_result = 0;
	said_anything = false;
	asked[0] = '\0';
	policy = policy_new();
	need(policy != NULL);
	ev_prepare_start(o.loop, &prepare);
	o.own_uid = geteuid();
	o.socket_path = path;
	/* Below valgrind /proc/self/exe is valgrind itself, but for readlink. */
	need(readlink("/proc/self/exe", program, sizeof(program) - 1) > 0);
	o.lookup_program = program;
	o.lookup_limit = 60;
	need(api_new(&o, &api, &e) == 0);
}

static void
server_stop(void)
{
	api = api_free(api);
	on_prepare(NULL, NULL, 0);
	ok(list_empty(&watches));
	ok(list_empty(&listeners));
	is_int(spools, 0);
	ok(access(path, F_OK) < 0);
	ev_prepare_stop(ev_default_loop(0), &prepare);
	policy = policy_free(policy);
}

struct client {
	int fd;
	struct buf in;
	bool eof;
};

static void
client_read(struct client *c)
{
	char p[65536];
	ssize_t n;

	while ((n = recv(c->fd, p, sizeof(p), MSG_DONTWAIT)) > 0)
		need(buf_put(&c->in, p, (size_t)n) == 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != ECONNRESET))
		c->eof = true;
}

static void
on_bound(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)w, (void)revents;
}

/* One turn of the loop that does not sleep for long. */
static void
turn(void)
{
	struct ev_timer t;

	ev_timer_init(&t, on_bound, 0.002, 0.);
	ev_timer_start(ev_default_loop(0), &t);
	ev_run(ev_default_loop(0), EVRUN_ONCE);
	ev_timer_stop(ev_default_loop(0), &t);
}

/* Until COND holds, or a minute is over: turns may be many, and take their time. */
#define TURN_UNTIL(cond)                                                                           \
	for (struct mono end_ = mono_add(mono_now(), dur_sec(60));                                 \
	     !(cond) && mono_now().ns < end_.ns;)                                                  \
	turn()

static struct client
client(void)
{
	struct client c = {.fd = sock_connect(path, SOCK_STREAM)};

	need(c.fd >= 0);
	return c;
}

static void
client_done(struct client *c)
{
	(void)close(c->fd);
	buf_done(&c->in);
}

/* Send all of it, turning the loop while the socket is full. */
static void
say(struct client *c, const char *p, size_t n)
{
	for (int i = 0; n > 0 && i < 20000; i++) {
		ssize_t sent = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0 && errno != EAGAIN)
			return;
		if (sent < 0) {
			turn();
			continue;
		}
		p += sent;
		n -= (size_t)sent;
	}
}

static void
call(struct client *c, const char *text)
{
	say(c, text, strlen(text) + 1);
}

/* Next reply; NULL when the server closed. */
static json_t *
reply(struct client *c)
{
	struct mono end = mono_add(mono_now(), dur_sec(60));

	while (mono_now().ns < end.ns) {
		const char *nul =
			buf_len(&c->in) ? memchr(buf_head(&c->in), '\0', buf_len(&c->in)) : NULL;

		if (nul) {
			json_t *v = json_loads(buf_head(&c->in), 0, NULL);

			buf_consume(&c->in, (size_t)(nul - buf_head(&c->in)) + 1);
			need(v != NULL);
			return v;
		}
		if (c->eof)
			return NULL;
		turn();
		client_read(c);
	}
	need(!"a reply in time");
	return NULL;
}

__attribute__((unused)) static bool
closed(struct client *c)
{
	json_t *v = reply(c);

	if (v)
		json_decref(v);
	return !v;
}

/* Expect an error of this name; its parameters, for the caller to look at before the next reply. */
static json_t *
error_reply(struct client *c, const char *name)
{
	static json_t *last;

	json_decref(last);
	last = reply(c);
	need(last != NULL);
	is_str(json_string_value(json_object_get(last, "error")), name);
	return json_object_get(last, "parameters");
}

/* Id of the job in the next reply; -1 for an error. */
static int64_t
job_reply(struct client *c, bool continues)
{
	json_t *v = reply(c), *job;
	int64_t id;

	need(v != NULL);
	job = json_object_get(json_object_get(v, "parameters"), "job");
	id = job ? json_integer_value(json_object_get(job, "id")) : -1;
	ok(json_is_true(json_object_get(v, "continues")) == continues);
	json_decref(v);
	return id;
}

/* Ids of the jobs in the next reply, as text "1 2 3"; "error" for an error. */
static const char *
jobs_reply(struct client *c, bool continues)
{
	static char text[1 << 16];
	json_t *v = reply(c), *jobs, *job;
	size_t i, n = 0;

	need(v != NULL);
	text[0] = '\0';
	jobs = json_object_get(json_object_get(v, "parameters"), "jobs");
	json_array_foreach (jobs, i, job) {
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%lld", i ? " " : "",
				      (long long)json_integer_value(json_object_get(job, "id")));
		need(n < sizeof(text));
	}
	ok(json_is_true(json_object_get(v, "continues")) == continues);
	if (!jobs)
		(void)snprintf(text, sizeof(text), "error");
	json_decref(v);
	return text;
}

#define GET(n) "{\"method\":\"io.ctxd.Get\",\"parameters\":{\"id\":" #n "}}"
#define STORAGE "io.ctxd.StorageUnavailable"

#endif
