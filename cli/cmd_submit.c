/* cmd_submit.c - start a command that outlives this one, and print its id. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/follow.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/submission.h"

struct options {
	struct submission s;
	bool wait;
};
static const struct options_def defs[] = {
	SUBMISSION_OPTIONS(struct options, s),
	{"wait", 'w', NULL, "wait for its end, and exit as it did; Ctrl-C only detaches",
	 OPTIONS_FLAG, offsetof(struct options, wait)},
};
static const struct options_spec spec = {
	"[OPTIONS] [--] COMMAND [ARGUMENT...]",
	"Start COMMAND as a job of ctxd and print the id of the job, and nothing else, once the "
	"job is\n"
	"safely on disk. It goes on whatever becomes of this terminal, of ctxctl or of ctxd; it "
	"is\n"
	"stopped, with all its processes, at its deadline. There is no shell unless --shell asks "
	"for one.\n"
	"DUR: 90 (seconds), 90s, 10m, 1h30m, 2d, 250ms. TIME: 2026-11-21T03:00:00Z, @1795230000, "
	"now+2h.",
	"  ctxctl submit -t 2h -- tar czf /var/backups/home.tgz /home\n"
	"  id=$(ctxctl submit -n deploy --shell 'make && make install')\n"
	"  ctxctl submit -w -t 90s ./check || echo failed with $?",
	defs,
	ARRAY_SIZE(defs),
	true,
};

/* The id must be out before anything else can happen to us. */
static int
print_id(const struct cli *cli, const struct view *v)
{
	int r;

	out_printf("%" PRIu64 "\n", v->id);
	r = out_flush();
	if (r < 0)
		out_error("job %" PRIu64 " was accepted, but its id cannot be written: %s", v->id,
			  strerror(-r));
	return r < 0 ? cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED : 0;
}

/* Wait on the connection of the submission. With --json the one document is the job at its end, or,
 * when nobody waits that long, as it was accepted. */
static int
wait_for(struct cli *cli, struct ctxd_client **c, const struct view *v)
{
	_cleanup_(follow_done) struct follow f = {
		.cli = cli,
		.ids = &v->id,
		.n = 1,
		.end = true,
		.signals = FOLLOW_DETACHES,
		.bound = take_ptr(*c),
		.tail = -1,
	};
	struct view end;
	int r = follow(&f);

	if (cli->json)
		out_document(f.jobs && f.jobs[0] ? f.jobs[0] : v->json);
	if (r)
		return f.exit;
	if (f.jobs && view_read(f.jobs[0], &end) == 0)
		view_say_end(&end);
	return follow_exit(&f);
}

static int
submit(struct cli *cli, struct options *o, json_t *params)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	struct ctxd_failure why;
	struct view v;
	int r = conn_open(cli, &c);

	if (r) {
		json_decref(params);
		return r;
	}
	if (ctxd_send(c, "Submit", params, o->wait ? CTXD_CALL_MORE : 0, &why) < 0 ||
	    ctxd_receive(c, &reply, NULL, &why) < 0)
		return submission_fail(cli, &o->s, &why);
	r = submission_accepted(cli, reply, &v);
	if (r)
		return r;
	if (!cli->json)
		r = print_id(cli, &v);
	else if (!o->wait)
		out_document(v.json);
	submission_say(&v);
	return r || !o->wait ? r : wait_for(cli, &c, &v);
}

int
cmd_submit(struct cli *cli, int argc, char **argv)
{
	struct options o = {.wait = false};
	json_t *params = NULL;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	cli->as_job = o.wait;
	if (r)
		r = options_exit(cli, r);
	else if ((r = submission_params(cli, &o.s, argc, argv, &params)) == 0)
		r = submit(cli, &o, params);
	submission_done(&o.s);
	return r;
}
