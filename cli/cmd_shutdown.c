/* cmd_shutdown.c - stop all that runs, because the machine goes down. */
#include <inttypes.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

struct options {
	int64_t within;
};
static const struct options_def defs[] = {
	{"within", 0, "DUR", "kill what has not ended by then, whatever its grace", OPTIONS_SPAN,
	 offsetof(struct options, within)},
};
static const struct options_spec spec = {
	"[--within DUR]",
	"What ctx-shutdown.service does when the machine goes down; hardly ever of use by hand. "
	"All that runs\n"
	"is asked to stop and gets its grace, and is recorded as interrupted, cause shutdown; what "
	"is queued\n"
	"stays queued. Waits until nothing runs any more. From then on nothing is accepted or "
	"started, until\n"
	"ctxd is started anew. For root, the owner of a private ctxd, and [access] admins.",
	"  ctxctl shutdown --within 1m && poweroff",
	defs,
	ARRAY_SIZE(defs),
	false,
};

int
cmd_shutdown(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	struct options o = {.within = 0};
	json_t *params;
	int64_t n;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	params = o.within ? json_pack("{s:I}", "within_usec", (json_int_t)o.within) : json_object();
	r = conn_open(cli, &c);
	if (r) {
		json_decref(params);
		return r;
	}
	ctxd_set_timeout(c, -1); /* as long as the graces are */
	r = conn_call(cli, c, "Shutdown", params, &reply);
	if (r)
		return r;
	n = json_integer_value(json_object_get(reply, "stopped"));
	if (cli->json)
		out_document(reply);
	else
		out_printf("%" PRId64 " job%s stopped\n", n, n == 1 ? " was" : "s were");
	return 0;
}
