/* cmd_doctor.c - jobs that were half-processed when something died, and whatever else keeps the
 * daemon from its work. */
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/view.h"

static const struct options_spec spec = {
	"",
	"List the jobs that are half-processed: they had been started, and how they ended is not "
	"known; and\n"
	"say what is wrong with the daemon, if anything. Exit code 0: nothing; 1: something is "
	"there.",
	"  ctxctl doctor || mail -s 'ctxd needs a look' root",
	NULL,
	0,
	false,
};

struct doctor {
	struct cli *cli;
	struct ctxd_client *c;
	json_t *problems; /* owned: array of texts */
	size_t n;         /* half-processed */
};

static int
problem(struct doctor *d, const char *text)
{
	if (!d->cli->json)
		out_printf("%s\n", text);
	return json_array_append_new(d->problems, json_string(text)) < 0 ? conn_no_memory(d->cli)
									 : 0;
}

/* How many jobs need a spawner now? */
static int64_t
live_jobs(const json_t *stats)
{
	const json_t *jobs = json_object_get(stats, "jobs");

	return json_integer_value(json_object_get(jobs, "queued")) +
	       json_integer_value(json_object_get(jobs, "running")) +
	       json_integer_value(json_object_get(jobs, "stopping"));
}

static int
check_daemon(struct doctor *d)
{
	_cleanup_(conn_jsonp) json_t *stats = NULL;
	const char *mode;
	bool idle;
	int r = conn_call(d->cli, d->c, "Stats", json_object(), &stats);

	if (r)
		return r;
	mode = json_string_value(json_object_get(stats, "mode"));
	/* A private spawner leaves when it has nothing to do. */
	idle = mode && strcmp(mode, "user") == 0 && live_jobs(stats) == 0;
	if (!json_is_true(json_object_get(stats, "storage_ok")))
		r = problem(d, "storage: the database cannot be written; new jobs are refused, "
			       "ends are kept until it can");
	if (r == 0 && !idle && !json_is_true(json_object_get(stats, "spawner_up")))
		r = problem(d, "spawner: not connected; nothing can be started (see the log of "
			       "ctx-spawner)");
	return r;
}

static void
print_job(const struct view *v)
{
	_cleanup_(buf_done) struct buf b = {0};
	char at[CLOCK_TEXT];

	out_printf("job %" PRIu64, v->id);
	if (v->name) {
		out_puts(" (");
		out_text(v->name);
		out_puts(")");
	}
	out_puts(": ");
	if (view_end(v, &b) == 0)
		out_put(buf_head(&b), buf_len(&b));
	buf_clear(&b);
	if (view_argv(v->json, &b) == 0) {
		out_puts("\n  command: ");
		out_put(buf_head(&b), buf_len(&b));
	}
	if (v->started)
		out_printf("\n  started: %s", wall_format(wall_usec(v->started), at, sizeof(at)));
	if (v->cause_code) {
		out_puts("\n  evidence: ");
		out_text(v->cause_code);
	}
	if (json_is_true(json_object_get(v->json, "survivors_possible")))
		out_puts("\n  processes of it may still be running: look for them first");
	out_printf("\n  see how far it came: `ctxctl status %" PRIu64 "`, `ctxctl logs %" PRIu64
		   "`; it was not started again and will not be\n",
		   v->id, v->id);
}

static int
print_page(struct doctor *d, const json_t *jobs)
{
	for (size_t i = 0; i < json_array_size(jobs); i++) {
		struct view v;

		if (view_read(json_array_get(jobs, i), &v) < 0)
			return conn_strange(d->cli, "job");
		if (d->cli->json) {
			out_puts(d->n ? ",\n" : "\n");
			out_json(v.json);
		} else {
			print_job(&v);
		}
		d->n++;
	}
	return 0;
}

static int
check_jobs(struct doctor *d)
{
	bool continues = true;
	int r = conn_send(d->cli, d->c, "List", json_pack("{s:b}", "half_processed", 1),
			  CTXD_CALL_MORE);

	while (continues && r == 0) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;

		r = conn_receive(d->cli, d->c, &reply, &continues);
		if (r == 0)
			r = print_page(d, json_object_get(reply, "jobs"));
	}
	return r;
}

static int
doctor(struct doctor *d)
{
	int r = d->problems ? conn_open(d->cli, &d->c) : conn_no_memory(d->cli);

	if (r == 0)
		r = check_daemon(d);
	if (r == 0 && d->cli->json)
		out_puts("{\"half_processed\":[");
	if (r == 0)
		r = check_jobs(d);
	if (r == EXITCODE_REFUSED) /* what it was said with is what is wrong */
		return EXITCODE_FAILED;
	if (r)
		return r;
	if (d->cli->json) {
		out_puts(d->n ? "\n],\"problems\":" : "],\"problems\":");
		out_json(d->problems);
		out_puts("}\n");
	} else if (d->n == 0) {
		out_puts("nothing half-processed\n");
	}
	return d->n || json_array_size(d->problems) ? EXITCODE_FAILED : EXITCODE_OK;
}

int
cmd_doctor(struct cli *cli, int argc, char **argv)
{
	struct doctor d = {.cli = cli};
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	d.problems = json_array();
	r = doctor(&d);
	json_decref(d.problems);
	(void)ctxd_close(d.c);
	return r;
}
