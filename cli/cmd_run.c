/* cmd_run.c - run a command with its output here.
 *
 * The job is bound to the connection that submitted it, so that the end of this process cancels it;
 * its output comes over others. When that connection breaks the same call is made again, in time
 * for a ctxd that was started anew. With --detach nothing is bound. */
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
};
static const struct options_def defs[] = {
	SUBMISSION_OPTIONS(struct options, s,
			   "end with this client and with the parent (this is the default)",
			   "end with neither: Ctrl-C, or the loss of this terminal, leaves it\n"
			   "running"),
};
static const struct options_spec spec = {
	"[OPTIONS] [--] COMMAND [ARGUMENT...]",
	"Run COMMAND as a job of ctxd, with its output (stdout and stderr) on the standard output, "
	"and exit\n"
	"as it did. Ctrl-C cancels it, a second one kills it, a third gives up waiting. It ends "
	"with this\n"
	"client and, inside a job, with that job, unless --detach is given. A ctxd that dies ends "
	"nothing:\n"
	"its successor is waited for.\n"
	"Exit code: the command's own; 128+N: killed by signal N; 122 canceled; 123 interrupted;\n"
	"124 deadline exceeded; 125 ctxctl or ctxd failed; 126, 127 cannot be executed, not found.",
	"  ctxctl run -t 5m -- make check\n"
	"  ctxctl run --detach -t 6h -n import -- ./import.sh",
	defs,
	ARRAY_SIZE(defs),
	true,
};

static int
stay(struct cli *cli, struct options *o, struct ctxd_client **c, const struct view *v)
{
	bool bound = o->s.bound;
	_cleanup_(follow_done) struct follow f = {
		.cli = cli,
		.ids = &v->id,
		.n = 1,
		.end = true,
		.signals = bound ? FOLLOW_CANCELS : FOLLOW_DETACHES,
		.bound = take_ptr(*c),
		.reattach = bound ? submission_again : NULL,
		.arg = &o->s,
		.output = true,
		.output_follows = true,
		.output_json = cli->json,
		.output_split = o->s.split_output,
		.tail = -1,
		.bar = true,
	};
	struct view end;

	if (follow(&f))
		return f.exit;
	follow_say_dropped(&f);
	if (view_read(f.jobs[0], &end) == 0)
		view_say_end(&end);
	if (cli->json)
		submission_print_end(f.jobs[0]);
	return f.incomplete ? EXITCODE_OURS : follow_exit(&f);
}

static int
run(struct cli *cli, struct options *o)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	struct view v;
	int r = submission_make(cli, &o->s, &c, &reply, &v);

	if (r)
		return r;
	submission_say(&v, reply);
	return stay(cli, o, &c, &v);
}

int
cmd_run(struct cli *cli, int argc, char **argv)
{
	struct options o = {.s = {.more = true, .context = {.attaches = true}}};
	int r;

	cli->as_job = true;
	r = options_parse(cli, &spec, &o, &argc, &argv);
	o.s.bound = !o.s.context.detach;
	if (r)
		r = options_exit(cli, r);
	else if ((r = submission_prepare(cli, &o.s, argc, argv)) == 0)
		r = run(cli, &o);
	submission_done(&o.s);
	return r;
}
