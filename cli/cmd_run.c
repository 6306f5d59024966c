/* cmd_run.c - run a command with its output here.
 *
 * Two connections: the job is bound to the one that submitted it, so that the end of this process
 * cancels it; its output comes over the other. With --detach nothing is bound. */
#include <inttypes.h>

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
	bool detach;
};
static const struct options_def defs[] = {
	SUBMISSION_OPTIONS(struct options, s),
	{"detach", 0, NULL, "Ctrl-C, or the loss of this terminal, leaves it running", OPTIONS_FLAG,
	 offsetof(struct options, detach)},
};
static const struct options_spec spec = {
	"[OPTIONS] [--] COMMAND [ARGUMENT...]",
	"Run COMMAND as a job of ctxd, with its output (stdout and stderr) on the standard output, "
	"and exit\n"
	"as it did. Ctrl-C cancels it, a second one kills it, a third gives up waiting; so does, "
	"without\n"
	"--detach, the end of this client. A ctxd that dies does not: its successor is waited "
	"for.\n"
	"Exit code: the command's own; 128+N: killed by signal N; 122 canceled; 123 interrupted;\n"
	"124 deadline exceeded; 125 ctxctl or ctxd failed; 126, 127 cannot be executed, not found.",
	"  ctxctl run -t 5m -- make check\n"
	"  ctxctl run --detach -t 6h -n import -- ./import.sh",
	defs,
	ARRAY_SIZE(defs),
	true,
};

static int
stay(struct cli *cli, const struct options *o, struct ctxd_client **c, const struct view *v)
{
	_cleanup_(follow_done) struct follow f = {
		.cli = cli,
		.ids = &v->id,
		.n = 1,
		.end = true,
		.signals = o->detach ? FOLLOW_DETACHES : FOLLOW_CANCELS,
		.bound = take_ptr(*c),
		.output = true,
		.output_follows = true,
		.output_json = cli->json,
		.tail = -1,
	};
	struct view end;

	if (follow(&f))
		return f.exit;
	if (f.dropped)
		out_error("job %" PRIu64 ": %" PRIu64
			  " bytes of its output are not there: they were beyond the limit",
			  v->id, f.dropped);
	if (view_read(f.jobs[0], &end) == 0)
		view_say_end(&end);
	if (cli->json) {
		out_puts("{\"job\":");
		out_json(f.jobs[0]);
		out_puts("}\n");
	}
	return f.incomplete ? EXITCODE_OURS : follow_exit(&f);
}

static int
run(struct cli *cli, struct options *o, json_t *params)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	struct ctxd_failure why;
	struct view v;
	int r = conn_open(cli, &c);

	if (r == 0 && !o->detach &&
	    json_object_set_new(params, "inherit", json_pack("[s]", "cancel")) < 0)
		r = conn_no_memory(cli);
	if (r) {
		json_decref(params);
		return r;
	}
	if (ctxd_send(c, "Submit", params, CTXD_CALL_MORE, &why) < 0 ||
	    ctxd_receive(c, &reply, NULL, &why) < 0)
		return submission_fail(cli, &o->s, &why);
	r = submission_accepted(cli, reply, &v);
	if (r)
		return r;
	submission_say(&v);
	return stay(cli, o, &c, &v);
}

int
cmd_run(struct cli *cli, int argc, char **argv)
{
	struct options o = {.detach = false};
	json_t *params = NULL;
	int r;

	cli->as_job = true;
	r = options_parse(cli, &spec, &o, &argc, &argv);
	if (r)
		r = options_exit(cli, r);
	else if ((r = submission_params(cli, &o.s, argc, argv, &params)) == 0)
		r = run(cli, &o, params);
	submission_done(&o.s);
	return r;
}
