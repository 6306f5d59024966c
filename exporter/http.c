/* http.c - the HTTP side, see http.h. */
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "exporter/collect.h"
#include "exporter/http.h"

enum { CONNECTIONS = 128, SECONDS = 10, MEMORY = 16384 };

struct http {
	struct MHD_Daemon *daemon; /* owned */
	struct collect *collect;   /* not owned */
};

static const char index_text[] = "ctx-exporter\n/metrics\n/health\n";

static enum MHD_Result
answer(struct MHD_Connection *c, unsigned status, const char *type, const char *text, size_t n)
{
	struct MHD_Response *r =
		MHD_create_response_from_buffer(n, (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result ok;

	if (!r)
		return MHD_NO; /* the connection is closed */
	ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	if (ok == MHD_YES)
		ok = MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (ok == MHD_YES && status == MHD_HTTP_METHOD_NOT_ALLOWED)
		ok = MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	if (ok == MHD_YES)
		ok = MHD_queue_response(c, status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result
say(struct MHD_Connection *c, unsigned status, const char *text)
{
	return answer(c, status, "text/plain; charset=utf-8", text, strlen(text));
}

static enum MHD_Result
answer_metrics(const struct http *h, struct MHD_Connection *c)
{
	const char *accept =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
	bool open = accept && strstr(accept, "application/openmetrics-text");
	_cleanup_(buf_done) struct buf b = {0};

	collect_metrics(h->collect, open ? METRICS_OPENMETRICS : METRICS_PROMETHEUS, &b);
	if (b.failed)
		return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
	return answer(c, MHD_HTTP_OK, open ? METRICS_TYPE_OPENMETRICS : METRICS_TYPE_PROMETHEUS,
		      buf_head(&b), buf_len(&b));
}

static enum MHD_Result
answer_health(const struct http *h, struct MHD_Connection *c)
{
	_cleanup_(buf_done) struct buf b = {0};
	bool ok = collect_health(h->collect, &b);

	if (b.failed)
		return say(c, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory\n");
	return answer(c, ok ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE, "application/json",
		      buf_head(&b), buf_len(&b));
}

/* Called at the head of a request, with its body in pieces, and at its end: only then is there an
 * answer. */
static enum MHD_Result
on_request(void *arg, struct MHD_Connection *c, const char *url, const char *method,
	   const char *version, const char *upload, size_t *upload_size, void **state)
{
	static int begun;
	const struct http *h = arg;

	(void)version, (void)upload;
	if (!*state) {
		*state = &begun;
		return MHD_YES;
	}
	if (*upload_size > 0) {
		*upload_size = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return say(c, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
	if (strcmp(url, "/metrics") == 0)
		return answer_metrics(h, c);
	if (strcmp(url, "/health") == 0)
		return answer_health(h, c);
	if (strcmp(url, "/") == 0)
		return say(c, MHD_HTTP_OK, index_text);
	return say(c, MHD_HTTP_NOT_FOUND, "there are /metrics and /health\n");
}

__attribute__((format(printf, 2, 0))) static void
on_log(void *arg, const char *fmt, va_list ap)
{
	char text[256], shown[512];

	(void)arg;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text_escape(text, shown, sizeof(shown)));
}

struct http *
http_start(int fd, struct collect *c)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h) {
		(void)close(fd);
		log_err("out of memory");
		return NULL;
	}
	h->collect = c;
	h->daemon = MHD_start_daemon(
		MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_ITC | MHD_USE_ERROR_LOG, 0,
		NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)SECONDS,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY, MHD_OPTION_END);
	if (!h->daemon) {
		(void)close(fd);
		free(h);
		log_err("the HTTP server cannot be started");
		return NULL;
	}
	return h;
}

struct http *
http_stop(struct http *h)
{
	MHD_socket fd;

	if (!h)
		return NULL;
	/* Taken back first: a daemon that is stopped with it shuts it down, and it is systemd's,
	 * too. */
	fd = MHD_quiesce_daemon(h->daemon);
	MHD_stop_daemon(h->daemon);
	if (fd != MHD_INVALID_SOCKET)
		(void)close(fd);
	free(h);
	return NULL;
}
