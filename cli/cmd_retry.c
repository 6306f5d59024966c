/* cmd_retry.c - one more attempt of jobs that ended without success. */
#include <stdlib.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/each.h"
#include "cli/options.h"

static const struct options_spec spec = {
	"ID...",
	"Start jobs that ended without success anew: each is the same job, at its next attempt "
	"(CTX_ATTEMPT),\n"
	"and is told what its last attempt said of itself (CTX_LAST_STATUS, CTX_LAST_PERCENT). "
	"Refused while\n"
	"processes of the last attempt may be alive: look for them, then `ctxctl resolve`. One "
	"that waits for\n"
	"an attempt of its own is started now. Prints the ids; --json an array of the jobs.",
	"  ctxctl retry 42\n"
	"  ctxctl doctor; ctxctl retry 17 18 && ctxctl wait 17 18",
	NULL,
	0,
	false,
};

int
cmd_retry(struct cli *cli, int argc, char **argv)
{
	_free_ uint64_t *ids = NULL;
	size_t n = 0;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	r = options_ids(cli, argc, argv, &ids, &n);
	return r ? r : each_job(cli, "Retry", ids, n, json_object(), true);
}
