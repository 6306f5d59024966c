/* cmd_logs.c - the output of a job, as the bytes it wrote. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/follow.h"
#include "cli/options.h"
#include "cli/out.h"

struct options {
	bool follow, err;
	struct options_int tail;
};
static const struct options_def defs[] = {
	{"follow", 'f', NULL, "go on until the job has ended", OPTIONS_FLAG,
	 offsetof(struct options, follow)},
	{"tail", 0, "N", "begin with the last N lines", OPTIONS_COUNT,
	 offsetof(struct options, tail)},
	{"stderr", 0, NULL, "the job's stderr, where it is kept apart (--split-output)",
	 OPTIONS_FLAG, offsetof(struct options, err)},
};
static const struct options_spec spec = {
	"[OPTIONS] ID",
	"Print the output of a job as it is, byte for byte; stdout and stderr of a job are one "
	"stream,\n"
	"unless it was submitted with --split-output. -f ends with the job, and survives a restart "
	"of ctxd.\n"
	"What a size limit has removed is said on stderr. --json: a line a piece, the data in "
	"base64.",
	"  ctxctl logs 42 | less -R\n"
	"  ctxctl logs -f --tail 10 42",
	defs,
	ARRAY_SIZE(defs),
	false,
};

int
cmd_logs(struct cli *cli, int argc, char **argv)
{
	struct options o = {.follow = false};
	uint64_t id;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	r = options_one(cli, argc, argv, &id);
	if (r)
		return r;

	_cleanup_(follow_done) struct follow f = {
		.cli = cli,
		.ids = &id,
		.n = 1,
		.output = true,
		.output_follows = o.follow,
		.output_json = cli->json,
		.stream = o.err ? "stderr" : NULL,
		.tail = o.tail.given ? o.tail.v : -1,
	};
	if (follow(&f))
		return f.exit;
	follow_say_dropped(&f);
	return EXITCODE_OK;
}
