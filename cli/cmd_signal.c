/* cmd_signal.c - a signal to running jobs. */
#include <stddef.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/each.h"
#include "cli/options.h"

struct options {
	const char *signal;
	bool tree;
};
static const struct options_def defs[] = {
	{"signal", 's', "SIG", "which: a name or a number (HUP, USR1, RTMIN+3, 10)", OPTIONS_SIGNAL,
	 offsetof(struct options, signal)},
	{"tree", 0, NULL, "to every process of the job, not the main one alone", OPTIONS_FLAG,
	 offsetof(struct options, tree)},
};
static const struct options_spec spec = {
	"-s SIG [--tree] ID...",
	"Send a signal to the main process of running jobs. To stop a job use `ctxctl cancel`: "
	"that "
	"ends all\n"
	"its processes and records why. --json prints an array of the jobs.",
	"  ctxctl signal -s HUP 42\n"
	"  ctxctl signal -s USR1 --tree 42 43",
	defs,
	ARRAY_SIZE(defs),
	false,
};

int
cmd_signal(struct cli *cli, int argc, char **argv)
{
	_free_ uint64_t *ids = NULL;
	struct options o = {.signal = NULL};
	size_t n = 0;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (!o.signal)
		return options_wrong(cli, "which signal? -s SIG is needed");
	r = options_ids(cli, argc, argv, &ids, &n);
	return r ? r
		 : each_job(cli, "Signal", ids, n,
			    json_pack("{s:s, s:b}", "signal", o.signal, "tree", o.tree), false);
}
