/* main.c - ctx-exporter: what ctxd counts, for monitoring systems that speak HTTP, and its spans,
 * for a collector.
 *
 * A client like any other, without any right: ctxd itself stays on its Unix socket. It may be
 * killed at any time, and ctxd may be; nothing is kept here. */
#include <curl/curl.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "exporter/collect.h"
#include "exporter/http.h"
#include "exporter/listen.h"
#include "exporter/settings.h"
#include "exporter/traces.h"

enum { EXIT_USAGE = 2 };
enum { O_LISTEN = 1, O_SOCKET, O_USER, O_SYSTEM, O_RETRY, O_VERSION, O_HELP };

static const char usage_text[] =
	"Usage: ctx-exporter [OPTION]...\n"
	"Serves what ctxd counts: /metrics (OpenMetrics and Prometheus text) and /health (JSON; "
	"503\n"
	"when ctxd cannot take or start jobs), where --listen says and on the sockets of the "
	"service\n"
	"manager. Sends the spans of its outbox to the collector at $OTEL_EXPORTER_OTLP_ENDPOINT, "
	"if set.\n"
	"\n"
	"  --listen WHERE  may be repeated; a numeric address, as 127.0.0.1:9469 or [::1]:9469\n"
	"  --socket PATH   where ctxd listens; else $CTXD_SOCKET, your own ctxd if it runs, the "
	"system's\n"
	"  --user          your own ctxd only\n"
	"  --system        the system's ctxd only\n"
	"  --retry SPAN    longest wait between two tries to send spans (1m)\n"
	"  --version, --help\n";

struct options {
	const char *listen[LISTEN_MAX];
	size_t n_listen;
	const char *socket;
	char mode;
	int64_t retry_ms; /* 0: not given */
};

_Noreturn static void
usage_error(const char *what, const char *arg)
{
	char shown[256];

	(void)fprintf(stderr, "ctx-exporter: %s%s%s\nTry 'ctx-exporter --help'.\n", what,
		      arg ? ": " : "", arg ? text_escape(arg, shown, sizeof(shown)) : "");
	exit(EXIT_USAGE);
}

static int64_t
retry_span(const char *text)
{
	const char *why = NULL;
	struct dur d;

	if (dur_parse(text, &d, &why) < 0)
		usage_error(why, text);
	return d.ns < NSEC_PER_MSEC ? 1 : d.ns / NSEC_PER_MSEC;
}

static void
take(struct options *o, int c)
{
	if (c == O_LISTEN) {
		if (o->n_listen == LISTEN_MAX)
			usage_error("too many --listen", NULL);
		o->listen[o->n_listen++] = optarg;
	} else if (c == O_SOCKET) {
		o->socket = optarg;
	} else if (c == O_USER || c == O_SYSTEM) {
		o->mode = c == O_USER ? 'u' : 's';
	} else if (c == O_RETRY) {
		o->retry_ms = retry_span(optarg);
	} else if (c == O_VERSION || c == O_HELP) {
		(void)fputs(c == O_HELP ? usage_text : "ctx-exporter " CTX_VERSION "\n", stdout);
		exit(0);
	} else {
		exit(EXIT_USAGE);
	}
}

static void
parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"listen", required_argument, NULL, O_LISTEN},
		{"socket", required_argument, NULL, O_SOCKET},
		{"retry", required_argument, NULL, O_RETRY},
		{"user", no_argument, NULL, O_USER},
		{"system", no_argument, NULL, O_SYSTEM},
		{"version", no_argument, NULL, O_VERSION},
		{"help", no_argument, NULL, O_HELP},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		take(o, c);
	if (optind < argc)
		usage_error("unexpected argument", argv[optind]);
}

/* How many there are in FDS; exits when one cannot be had. */
static size_t
open_sockets(const struct options *o, int *fds)
{
	int n = listen_inherited(fds, LISTEN_MAX);
	const char *reason;

	if (n < 0) {
		log_err("the sockets that were handed over cannot be used: %s", strerror(-n));
		exit(1);
	}
	for (size_t i = 0; i < o->n_listen; i++) {
		char shown[256];
		int fd = n < LISTEN_MAX ? listen_at(o->listen[i], &reason) : -E2BIG;

		if (fd == -EINVAL)
			usage_error(reason, o->listen[i]);
		if (fd < 0) {
			log_err("cannot listen at %s: %s",
				text_escape(o->listen[i], shown, sizeof(shown)),
				fd == -E2BIG ? "too many sockets" : reason);
			exit(1);
		}
		fds[n++] = fd;
	}
	return (size_t)n;
}

/* All parts, of which each may be missing. */
struct exporter {
	struct settings settings;
	struct traces *traces;
	struct collect *collect;
	struct http *http[LISTEN_MAX];
};

static int
start(struct exporter *x, const struct options *o)
{
	int fds[LISTEN_MAX];
	size_t n;

	if (settings_read(&x->settings) < 0)
		return EXIT_USAGE;
	n = open_sockets(o, fds);
	if (n == 0 && !x->settings.url)
		usage_error("nothing to do: give --listen, or $OTEL_EXPORTER_OTLP_ENDPOINT", NULL);
	if (x->settings.url) {
		if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
			return 1;
		x->traces = traces_start(&x->settings,
					 &(struct traces_options){o->socket, o->mode, o->retry_ms});
		if (!x->traces)
			return 1;
	}
	x->collect = collect_new(o->socket, o->mode, x->traces);
	if (!x->collect) {
		log_err("out of memory");
		return 1;
	}
	for (size_t i = 0; i < n; i++) {
		x->http[i] = http_start(fds[i], x->collect);
		if (!x->http[i])
			return 1;
	}
	return 0;
}

static void
finish(struct exporter *x)
{
	for (size_t i = 0; i < LISTEN_MAX; i++)
		x->http[i] = http_stop(x->http[i]);
	x->collect = collect_free(x->collect);
	if (x->settings.url) {
		x->traces = traces_stop(x->traces);
		curl_global_cleanup();
	}
	settings_done(&x->settings);
}

int
main(int argc, char **argv)
{
	static struct exporter x;
	struct options o = {0};
	sigset_t stop;
	int sig, rc;

	parse(argc, argv, &o);
	log_init("ctx-exporter");
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGINT);
	/* Before there are threads, so that none of them takes these. */
	if (sigprocmask(SIG_BLOCK, &stop, NULL) < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return 1;
	rc = start(&x, &o);
	if (rc == 0) {
		log_notice("ctx-exporter " CTX_VERSION " ready");
		rc = sigwait(&stop, &sig) != 0;
	}
	finish(&x);
	return rc;
}
