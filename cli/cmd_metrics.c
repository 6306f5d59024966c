/* cmd_metrics.c - what monitoring systems read. */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/options.h"
#include "cli/out.h"
#include "metrics/metrics_text.h"

struct metrics_opts {
	bool prometheus;
};

#define OPT(name, letter, arg, help, type, field)                                                  \
	{                                                                                          \
		name, letter, arg, help, OPTIONS_##type, offsetof(struct metrics_opts, field)      \
	}
static const struct options_def defs[] = {
	OPT("prometheus", 0, NULL, "Prometheus' own text format, for tools that read no other",
	    FLAG, prometheus),
};

static const struct options_spec spec = {
	"",
	"Print what is counted, as OpenMetrics text: jobs by state and class, how long they waited "
	"and ran,\n"
	"the database, the disks. Counters begin at 0 when ctxd is started. ctx-exporter(8) serves "
	"the same\n"
	"over HTTP.",
	"  ctxctl metrics --prometheus >/var/lib/prometheus/node-exporter/ctx.prom",
	defs,
	ARRAY_SIZE(defs),
	false,
};

int
cmd_metrics(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *stats = NULL, *metrics = NULL;
	_cleanup_(buf_done) struct buf b = {0};
	struct metrics_opts o = {0};
	struct metrics_text t = {.out = &b};
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	r = conn_open(cli, &c);
	if (r == 0)
		r = conn_call(cli, c, "Stats", json_object(), &stats);
	if (r == 0)
		r = conn_call(cli, c, "Metrics", json_object(), &metrics);
	if (r)
		return r;
	if (cli->json) {
		out_document(metrics);
		return 0;
	}
	t.format = o.prometheus ? METRICS_PROMETHEUS : METRICS_OPENMETRICS;
	metrics_text_daemon(&t, stats, metrics);
	metrics_text_end(&t);
	if (b.failed)
		return conn_no_memory(cli);
	out_put(buf_head(&b), buf_len(&b));
	return 0;
}
