/* collect.c - what ctxd says of itself, see collect.h.
 *
 * One connection is kept. ctxd may have been started again meanwhile: then one more is tried before
 * it counts as away. Each wait has a limit, and who waits for the lock waits no longer than that
 * for the same answer. */
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/client.h"
#include "exporter/collect.h"
#include "exporter/traces.h"

enum { ANSWER_MS = 5000 };
#define KEPT_NS NSEC_PER_SEC

struct collect {
	pthread_mutex_t lock;
	const char *socket; /* borrowed; may be NULL */
	char mode;
	const struct traces *traces; /* not owned; may be NULL */
	struct ctxd_client *client;  /* NULL: not connected */
	bool asked, up;              /* UP: the last time it answered */
	int64_t at_ns;               /* when that was */
	json_t *stats, *metrics;     /* of the last answer; NULL while it is not up */
	uint64_t fetched, failed;
	struct ctxd_failure failure;
};

struct collect *
collect_new(const char *socket, char mode, const struct traces *traces)
{
	struct collect *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->socket = socket;
	c->mode = mode;
	c->traces = traces;
	if (pthread_mutex_init(&c->lock, NULL) != 0) {
		free(c);
		return NULL;
	}
	return c;
}

static void
forget(struct collect *c)
{
	json_decref(c->stats);
	json_decref(c->metrics);
	c->stats = c->metrics = NULL;
}

struct collect *
collect_free(struct collect *c)
{
	if (!c)
		return NULL;
	forget(c);
	c->client = ctxd_close(c->client);
	(void)pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

static int
fetch(struct collect *c)
{
	if (!c->client) {
		if (ctxd_open_default(c->socket, c->mode, &c->client, &c->failure) < 0)
			return -1;
		ctxd_set_timeout(c->client, ANSWER_MS);
	}
	if (ctxd_call(c->client, "Stats", NULL, &c->stats, &c->failure) < 0 ||
	    ctxd_call(c->client, "Metrics", NULL, &c->metrics, &c->failure) < 0) {
		c->client = ctxd_close(c->client);
		forget(c);
		return -1;
	}
	return 0;
}

/* With the lock. */
static void
refresh(struct collect *c)
{
	bool had = c->client != NULL, was = c->up;

	if (c->asked && mono_now().ns - c->at_ns < KEPT_NS)
		return;
	forget(c);
	c->up = fetch(c) == 0;
	if (!c->up && had && c->failure.code == CTXD_E_LOST)
		c->up = fetch(c) == 0;
	c->fetched++;
	c->failed += !c->up;
	if (!c->up && (was || !c->asked))
		log_warn("%s, continuing", c->failure.text);
	else if (c->up && !was && c->asked)
		log_notice("ctxd answers again");
	c->asked = true;
	c->at_ns =
		mono_now().ns; /* counted from the answer: a slow one is not asked at once again */
}

static void
put_traces(const struct metrics_text *t, const struct traces *traces)
{
	struct traces_counts n;

	if (!traces)
		return;
	traces_counts(traces, &n);
	metrics_text_one(t, "ctx_exporter_spans_sent", "counter", "Spans that the collector took.",
			 (double)n.sent);
	metrics_text_one(t, "ctx_exporter_spans_refused", "counter",
			 "Spans that the collector did not want: dropped.", (double)n.refused);
	metrics_text_one(t, "ctx_exporter_posts", "counter", "Requests to the collector.",
			 (double)n.requests);
	metrics_text_one(t, "ctx_exporter_posts_failed", "counter",
			 "Requests to the collector that have to be tried again.",
			 (double)n.failed);
}

void
collect_metrics(struct collect *c, enum metrics_format format, struct buf *out)
{
	struct metrics_text t = {.out = out, .format = format};

	(void)pthread_mutex_lock(&c->lock);
	refresh(c);
	metrics_text_one(&t, "ctx_up", "gauge", "Whether ctxd answered.", c->up);
	metrics_text_one(&t, "ctx_exporter_fetches", "counter", "How often ctxd was asked.",
			 (double)c->fetched);
	metrics_text_one(&t, "ctx_exporter_fetches_failed", "counter",
			 "How often it did not answer.", (double)c->failed);
	put_traces(&t, c->traces);
	if (c->up)
		metrics_text_daemon(&t, c->stats, c->metrics);
	(void)pthread_mutex_unlock(&c->lock);
	metrics_text_end(&t);
}

static int64_t
number(const json_t *o, const char *key)
{
	return (int64_t)json_integer_value(json_object_get(o, key));
}

bool
collect_health(struct collect *c, struct buf *out)
{
	bool storage, spawner;
	struct jw j;

	(void)pthread_mutex_lock(&c->lock);
	refresh(c);
	storage = c->up && json_is_true(json_object_get(c->stats, "storage_ok"));
	spawner = c->up && !json_is_true(json_object_get(c->stats, "spawner_missing"));
	jw_init(&j, out);
	jw_obj_open(&j, NULL);
	jw_str(&j, "status", storage && spawner ? "ok" : "failing");
	jw_bool(&j, "ctxd", c->up);
	if (c->up) {
		jw_bool(&j, "storage", storage);
		jw_bool(&j, "spawner", spawner);
		jw_int(&j, "half_processed", number(c->stats, "half_processed"));
	} else {
		jw_str(&j, "reason", c->failure.text);
	}
	jw_obj_close(&j);
	(void)pthread_mutex_unlock(&c->lock);
	(void)buf_putc(out, '\n');
	return storage && spawner;
}
