/* cmd_retry.c - one more attempt of jobs that ended without success. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

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

/* The exit code. One that cannot be retried does not keep the others from it. */
static int
retry_all(struct cli *cli, struct ctxd_client *c, const uint64_t *ids, size_t n)
{
	bool any = false;
	int exit = EXITCODE_OK;

	for (size_t i = 0; i < n; i++) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;
		int r = conn_call(cli, c, "Retry", conn_id(ids[i]), &reply);

		if (r) {
			exit = exit ? exit : r;
			if (r == EXITCODE_UNREACHABLE)
				break;
			continue;
		}
		if (cli->json) {
			out_puts(any ? ",\n" : "\n");
			out_json(json_object_get(reply, "job"));
		} else {
			out_printf("%" PRIu64 "\n", ids[i]);
		}
		any = true;
	}
	return exit;
}

int
cmd_retry(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_free_ uint64_t *ids = NULL;
	size_t n = 0;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	r = options_ids(cli, argc, argv, &ids, &n);
	r = r ? r : conn_open(cli, &c);
	if (r)
		return r;
	if (cli->json)
		out_puts("[");
	r = retry_all(cli, c, ids, n);
	if (cli->json)
		out_puts("\n]\n");
	return r;
}
