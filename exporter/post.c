/* post.c - POST with libcurl, see post.h.
 *
 * Redirections are not followed and nothing but HTTP is spoken, so that what a collector answers
 * never takes us elsewhere. Certificates are verified. */
#include "exporter/post.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "exporter/settings.h"

enum { RETRY_AFTER_MAX_S = 600, STATUS_TEXT = 120 };

struct post {
	CURL *curl;                 /* owned */
	struct curl_slist *headers; /* owned */
	const atomic_bool *stop;    /* not owned */
	char error[CURL_ERROR_SIZE];
};

/* More than we look at is an answer like any other; it is cut off. */
static size_t
on_body(char *data, size_t size, size_t n, void *arg)
{
	struct buf *b = arg;
	size_t room = POST_BODY_MAX - buf_len(b), all = size * n;

	(void)buf_put(b, data, all < room ? all : room);
	return b->failed ? 0 : all;
}

static int
on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct post *p = arg;

	(void)a, (void)b, (void)c, (void)d;
	return atomic_load(p->stop);
}

static bool
add_header(struct post *p, const char *name, const char *value)
{
	struct curl_slist *more;
	char *line;

	if (asprintf(&line, "%s: %s", name, value) < 0)
		return false;
	more = curl_slist_append(p->headers, line);
	free(line);
	if (more)
		p->headers = more;
	return more;
}

#define SET(option, value) ok = ok && curl_easy_setopt(p->curl, option, value) == CURLE_OK

static bool
set_up(struct post *p, const struct settings *s)
{
	bool ok = add_header(p, "Content-Type", "application/json") && add_header(p, "Expect", "");

	for (size_t i = 0; i < s->n_headers; i++)
		ok = ok && add_header(p, s->header[i].name, s->header[i].value);
	SET(CURLOPT_URL, s->url);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_POST, 1L);
	SET(CURLOPT_HTTPHEADER, p->headers);
	SET(CURLOPT_USERAGENT, "ctx-exporter/" CTX_VERSION);
	SET(CURLOPT_TIMEOUT_MS, s->timeout_ms);
	SET(CURLOPT_CONNECTTIMEOUT_MS, s->timeout_ms);
	SET(CURLOPT_ERRORBUFFER, p->error);
	SET(CURLOPT_WRITEFUNCTION, on_body);
	SET(CURLOPT_NOPROGRESS, 0L);
	SET(CURLOPT_XFERINFOFUNCTION, on_progress);
	SET(CURLOPT_XFERINFODATA, p);
	if (s->ca)
		SET(CURLOPT_CAINFO, s->ca);
	if (s->client_cert)
		SET(CURLOPT_SSLCERT, s->client_cert);
	if (s->client_key)
		SET(CURLOPT_SSLKEY, s->client_key);
	return ok;
}

struct post *
post_new(const struct settings *s, const atomic_bool *stop)
{
	struct post *p = calloc(1, sizeof(*p));

	if (p) {
		p->stop = stop;
		p->curl = curl_easy_init();
	}
	if (!p || !p->curl || !set_up(p, s)) {
		log_err("the HTTP client cannot be set up");
		return post_free(p);
	}
	return p;
}

struct post *
post_free(struct post *p)
{
	if (!p)
		return NULL;
	curl_easy_cleanup(p->curl);
	curl_slist_free_all(p->headers);
	free(p);
	return NULL;
}

/* What is wrong with the request itself is final. Everything else is tried again: also a wrong path
 * or a missing right, for somebody will mend that, and nothing is lost until then. */
static enum post_result
judge(long status)
{
	if (status >= 200 && status < 300)
		return POST_TAKEN;
	return status == 400 || status == 413 || status == 422 ? POST_REFUSED : POST_LATER;
}

static void
look_at(struct post *p, struct post_answer *ret, long status)
{
	curl_off_t after = 0;
	char text[STATUS_TEXT], shown[STATUS_TEXT];

	if (curl_easy_getinfo(p->curl, CURLINFO_RETRY_AFTER, &after) == CURLE_OK && after > 0)
		ret->retry_after_ms =
			1000 * (int64_t)(after < RETRY_AFTER_MAX_S ? after : RETRY_AFTER_MAX_S);
	(void)snprintf(text, sizeof(text), "%.*s", (int)buf_len(&ret->body), buf_head(&ret->body));
	text[strcspn(text, "\r\n")] = '\0';
	(void)snprintf(ret->why, sizeof(ret->why), "status %ld%s%s", status, *text ? ": " : "",
		       text_escape(text, shown, sizeof(shown)));
}

enum post_result
post_send(struct post *p, const char *data, size_t n, struct post_answer *ret)
{
	bool ok = true;
	long status = 0;
	CURLcode rc;

	*ret = (struct post_answer){0};
	p->error[0] = '\0';
	SET(CURLOPT_POSTFIELDS, data);
	SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)n);
	SET(CURLOPT_WRITEDATA, &ret->body);
	rc = ok ? curl_easy_perform(p->curl) : CURLE_OUT_OF_MEMORY;
	if (atomic_load(p->stop) && rc != CURLE_OK)
		return POST_STOPPED;
	if (rc != CURLE_OK) {
		(void)text_escape(*p->error ? p->error : curl_easy_strerror(rc), ret->why,
				  sizeof(ret->why));
		return POST_LATER;
	}
	(void)curl_easy_getinfo(p->curl, CURLINFO_RESPONSE_CODE, &status);
	look_at(p, ret, status);
	return judge(status);
}

void
post_answer_done(struct post_answer *a)
{
	buf_done(&a->body);
}
