/* traces.c - the way of the spans, see traces.h.
 *
 * One page at a time, so memory is bounded; while the collector is away the rest stays in the
 * outbox. A page that is refused is halved until the span that the collector does not want is
 * found: that one is dropped and counted. */
#include "exporter/traces.h"

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/client.h"
#include "exporter/otlp.h"
#include "exporter/post.h"
#include "exporter/settings.h"

enum {
	PAGE = 500,
	GATHER_MS = 1000, /* more may end in this time: fewer requests */
	LOOK_MS = 500,    /* how soon a stop is seen while waiting for ctxd */
	ANSWER_MS = 10000,
	WAIT_FIRST_MS = 500,
	WAIT_MOST_MS = 60000,
};

struct traces {
	const struct settings *settings;
	struct traces_options options;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	atomic_bool stop;
	atomic_ullong sent, refused, requests, failed;
	struct post *post;
	struct ctxd_client *client; /* NULL: not connected */
	int64_t wait_ms;            /* before the next try */
	bool told;                  /* that something is wrong */
};

static int64_t
first_wait(const struct traces *t)
{
	return t->options.wait_most_ms < WAIT_FIRST_MS ? t->options.wait_most_ms : WAIT_FIRST_MS;
}

/* Sleeps, unless it is time to stop. */
static void
rest(struct traces *t, int64_t ms)
{
	struct timespec end;

	(void)clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ms / 1000;
	end.tv_nsec += ms % 1000 * NSEC_PER_MSEC;
	if (end.tv_nsec >= NSEC_PER_SEC) {
		end.tv_sec++;
		end.tv_nsec -= NSEC_PER_SEC;
	}
	(void)pthread_mutex_lock(&t->lock);
	while (!atomic_load(&t->stop) && pthread_cond_timedwait(&t->wake, &t->lock, &end) == 0)
		;
	(void)pthread_mutex_unlock(&t->lock);
}

/* Longer each time, with some chance in it, so that many do not come at once. */
static void
rest_longer(struct traces *t, int64_t least_ms)
{
	int64_t ms = t->wait_ms / 2 +
		     (int64_t)((uint64_t)mono_now().ns / 1000 % (uint64_t)(t->wait_ms / 2 + 1));

	t->wait_ms =
		t->wait_ms * 2 < t->options.wait_most_ms ? t->wait_ms * 2 : t->options.wait_most_ms;
	rest(t, ms > least_ms ? ms : least_ms);
}

static void
went_well(struct traces *t, const char *what)
{
	if (t->told)
		log_notice("%s again", what);
	t->told = false;
	t->wait_ms = first_wait(t);
}

static void
went_wrong(struct traces *t, const char *what, const char *why)
{
	if (!t->told)
		log_warn("%s: %s; spans wait in the outbox, continuing", what, why);
	t->told = true;
}

/* ---- ctxd */

static void
lose(struct traces *t, const struct ctxd_failure *f)
{
	t->client = ctxd_close(t->client);
	if (atomic_load(&t->stop))
		return;
	went_wrong(t, "ctxd", f->text);
	rest_longer(t, 0);
}

/* A call whose answer may take long: 0, or -1. */
static int
ask(struct traces *t, const char *method, json_t *params, int64_t limit_ms, json_t **ret)
{
	int64_t end = mono_now().ns + limit_ms * NSEC_PER_MSEC;
	struct ctxd_failure f = {0};
	int r;

	if (!t->client &&
	    ctxd_open_default(t->options.socket, t->options.mode, &t->client, &f) < 0) {
		json_decref(params);
		lose(t, &f);
		return -1;
	}
	ctxd_set_timeout(t->client, LOOK_MS);
	r = ctxd_send(t->client, method, params, 0, &f);
	while (r == 0) {
		r = ctxd_receive(t->client, ret, NULL, &f);
		if (r == 0)
			return 0;
		if (f.code != CTXD_E_TIMEOUT || atomic_load(&t->stop) ||
		    (limit_ms > 0 && mono_now().ns > end))
			break;
		r = 0;
	}
	lose(t, &f);
	return -1;
}

/* The next page, which is the first: what was sent on is forgotten. *RET may be an empty list. 0 or
 * -1. */
static int
take(struct traces *t, bool wait, json_t **ret)
{
	json_t *params = json_pack("{s:i, s:b}", "limit", (int)PAGE, "wait", (int)wait);

	return ask(t, "Spans", params, wait ? 0 : ANSWER_MS, ret);
}

static int
forget(struct traces *t, uint64_t seq)
{
	json_t *answer = NULL;

	while (!atomic_load(&t->stop)) {
		if (ask(t, "ForgetSpans", json_pack("{s:I}", "seq", (json_int_t)seq), ANSWER_MS,
			&answer) < 0)
			continue;
		json_decref(answer);
		return 0;
	}
	return -1;
}

/* ---- the collector */

static void
taken(struct traces *t, const struct post_answer *a, size_t n)
{
	_free_ char *why = NULL;
	uint64_t rejected = otlp_rejected(buf_head(&a->body), buf_len(&a->body), &why);
	char shown[256];

	rejected = rejected < n ? rejected : n;
	if (rejected > 0)
		log_warn("the collector did not take %ju of %zu spans, which are dropped%s%s",
			 (uintmax_t)rejected, n, why ? ": " : "",
			 why ? text_escape(why, shown, sizeof(shown)) : "");
	atomic_fetch_add(&t->refused, rejected);
	atomic_fetch_add(&t->sent, n - rejected);
	went_well(t, "the collector takes spans");
}

/* DATA is sent until it is taken or refused: POST_TAKEN, POST_REFUSED or POST_STOPPED. */
static enum post_result
send(struct traces *t, const struct buf *data, size_t n)
{
	enum post_result r = POST_LATER;

	while (r == POST_LATER) {
		_cleanup_(post_answer_done) struct post_answer a = {0};

		r = post_send(t->post, buf_head(data), buf_len(data), &a);
		atomic_fetch_add(&t->requests, r != POST_STOPPED);
		if (r == POST_TAKEN)
			taken(t, &a, n);
		if (r == POST_REFUSED && n == 1)
			log_warn("the collector refuses a span, which is dropped: %s", a.why);
		if (r != POST_LATER)
			break;
		atomic_fetch_add(&t->failed, 1);
		went_wrong(t, "the collector", a.why);
		rest_longer(t, a.retry_after_ms);
		if (atomic_load(&t->stop))
			r = POST_STOPPED;
	}
	return r;
}

/* Spans FROM to FROM+N-1: sent, or refused for good. 0; -1: not all of them, it is time to stop. */
static int
deliver(struct traces *t, const json_t *spans, size_t from, size_t n)
{
	_cleanup_(buf_done) struct buf b = {0};
	enum post_result r;

	otlp_request(spans, from, n, t->settings, &b);
	if (b.failed) { /* they are taken once more, later */
		rest_longer(t, 0);
		return -1;
	}
	r = send(t, &b, n);
	if (r == POST_REFUSED && n == 1)
		atomic_fetch_add(&t->refused, 1);
	if (r != POST_REFUSED || n == 1)
		return r == POST_STOPPED ? -1 : 0;
	buf_done(&b);
	if (deliver(t, spans, from, n / 2) < 0)
		return -1;
	return deliver(t, spans, from + n / 2, n - n / 2);
}

static uint64_t
last_seq(const json_t *spans)
{
	const json_t *last = json_array_get(spans, json_array_size(spans) - 1);

	return (uint64_t)json_integer_value(json_object_get(last, "seq"));
}

/* Is there more than the N spans of this page, which may be few large ones? */
static bool
page_is_full(const json_t *answer, size_t n)
{
	json_int_t waiting = json_integer_value(json_object_get(answer, "waiting"));

	return n == PAGE || (n > 0 && waiting > (json_int_t)n);
}

/* One page all the way. */
static void
work(struct traces *t, bool *ret_more)
{
	json_t *answer = NULL;
	const json_t *spans;
	bool full;
	size_t n;

	if (take(t, !*ret_more, &answer) < 0)
		return;
	spans = json_object_get(answer, "spans");
	n = json_array_size(spans);
	full = page_is_full(answer, n);
	if (!*ret_more && n > 0 && !full) { /* the first after a rest */
		json_decref(answer);
		rest(t, GATHER_MS);
		*ret_more = true;
		return;
	}
	if (n > 0 && deliver(t, spans, 0, n) == 0)
		(void)forget(t, last_seq(spans));
	*ret_more = full;
	json_decref(answer);
}

static void *
run(void *arg)
{
	struct traces *t = arg;
	bool more = true;

	while (!atomic_load(&t->stop))
		work(t, &more);
	t->client = ctxd_close(t->client);
	return NULL;
}

static struct traces *
discard(struct traces *t)
{
	t->post = post_free(t->post);
	(void)pthread_cond_destroy(&t->wake);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
	return NULL;
}

struct traces *
traces_start(const struct settings *s, const struct traces_options *o)
{
	struct traces *t = calloc(1, sizeof(*t));
	pthread_condattr_t attr;

	if (!t || pthread_condattr_init(&attr) != 0) {
		free(t);
		log_err("out of memory");
		return NULL;
	}
	t->settings = s;
	t->options = *o;
	if (t->options.wait_most_ms == 0)
		t->options.wait_most_ms = WAIT_MOST_MS;
	t->wait_ms = first_wait(t);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)pthread_cond_init(&t->wake, &attr);
	(void)pthread_condattr_destroy(&attr);
	t->post = post_new(s, &t->stop);
	if (!t->post)
		return discard(t);
	if (pthread_create(&t->thread, NULL, run, t) != 0) {
		log_err("a thread cannot be started");
		return discard(t);
	}
	return t;
}

struct traces *
traces_stop(struct traces *t)
{
	if (!t)
		return NULL;
	(void)pthread_mutex_lock(&t->lock);
	atomic_store(&t->stop, true);
	(void)pthread_cond_signal(&t->wake);
	(void)pthread_mutex_unlock(&t->lock);
	(void)pthread_join(t->thread, NULL);
	return discard(t);
}

void
traces_counts(const struct traces *t, struct traces_counts *ret)
{
	*ret = (struct traces_counts){
		.sent = atomic_load(&t->sent),
		.refused = atomic_load(&t->refused),
		.requests = atomic_load(&t->requests),
		.failed = atomic_load(&t->failed),
	};
}
