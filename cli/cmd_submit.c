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
	bool wait, follow;
};
static const struct options_def defs[] = {
	SUBMISSION_OPTIONS(struct options, s, CONTEXT_ATTACH, CONTEXT_DETACH),
	{"wait", 'w', NULL, "wait for its end, and exit as it did; Ctrl-C only detaches",
	 OPTIONS_FLAG, offsetof(struct options, wait)},
	{"follow", 'f', NULL,
	 "the same with its output here; the id is said on stderr; it reads\n"
	 "on until its end, also when ctxd dies meanwhile",
	 OPTIONS_FLAG, offsetof(struct options, follow)},
};
static const struct options_spec spec = {
	"[OPTIONS] [--] COMMAND [ARGUMENT...]",
	"Start COMMAND as a job of ctxd and print the id of the job, and nothing else, once the "
	"job is\n"
	"safely on disk. It goes on whatever becomes of this terminal, of ctxctl or of ctxd; it "
	"is\n"
	"stopped, with all its processes, at its deadline. There is no shell unless --shell asks "
	"for one.\n"
	"Inside a job it derives from that job: it carries the same values and the same trace, and "
	"outlives\n"
	"it; --attach ends it with that job, --background takes nothing.\n"
	"DUR: 90 (seconds), 90s, 10m, 1h30m, 2d, 250ms. TIME: 2026-11-21T03:00:00Z, @1795230000, "
	"now+2h.",
	"  ctxctl submit -t 2h -- tar czf /var/backups/home.tgz /home\n"
	"  id=$(ctxctl submit -n deploy --shell 'make && make install')\n"
	"  ctxctl submit -w -t 90s ./check || echo failed with $?\n"
	"  ctxctl submit -k order-4711 -v customer=81 -- ./invoice 4711   (again: the same job)",
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

/* With --json the one document is the job at its end, or, when nobody waits that long, as it was
 * accepted. With the output it is a last line. */
static void
print_end(const struct cli *cli, const struct options *o, const struct follow *f,
	  const struct view *v)
{
	if (!cli->json)
		return;
	if (o->follow)
		submission_print_end(f->jobs ? f->jobs[0] : NULL);
	else
		out_document(f->jobs && f->jobs[0] ? f->jobs[0] : v->json);
}

/* Wait on the connection of the submission. */
static int
stay(struct cli *cli, const struct options *o, struct ctxd_client **c, const struct view *v)
{
	_cleanup_(follow_done) struct follow f = {
		.cli = cli,
		.ids = &v->id,
		.n = 1,
		.end = true,
		.signals = FOLLOW_DETACHES,
		.bound = take_ptr(*c),
		.output = o->follow,
		.output_follows = true,
		.output_json = cli->json,
		.output_split = o->s.split_output,
		.tail = -1,
		.bar = true,
	};
	struct view end;
	int r = follow(&f);

	follow_say_dropped(&f);
	print_end(cli, o, &f, v);
	if (r)
		return f.exit;
	if (f.jobs && view_read(f.jobs[0], &end) == 0)
		view_say_end(&end);
	return f.incomplete ? EXITCODE_OURS : follow_exit(&f);
}

static int
submit(struct cli *cli, struct options *o)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	bool stays = o->wait || o->follow;
	struct view v;
	int r;

	o->s.more = stays;
	r = submission_make(cli, &o->s, &c, &reply, &v);
	if (r)
		return r;
	if (!o->follow && !cli->json)
		r = print_id(cli, &v);
	else if (!stays)
		out_document(v.json);
	else if (o->follow && !out_err_is_terminal()) /* there it is said with the deadline */
		out_say("job %" PRIu64, v.id);
	submission_say(&v, reply);
	return r || !stays ? r : stay(cli, o, &c, &v);
}

int
cmd_submit(struct cli *cli, int argc, char **argv)
{
	struct options o = {.wait = false};
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	cli->as_job = o.wait || o.follow;
	if (r)
		r = options_exit(cli, r);
	else if ((r = submission_prepare(cli, &o.s, argc, argv)) == 0)
		r = submit(cli, &o);
	submission_done(&o.s);
	return r;
}
