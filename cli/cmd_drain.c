/* cmd_drain.c - take and start nothing more, until it is resumed. */
#include <stddef.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "cli/queue.h"

struct options {
	bool wait;
};
static const struct options_def defs[] = {
	{"wait", 'w', NULL, "until nothing runs any more", OPTIONS_FLAG,
	 offsetof(struct options, wait)},
};
static const struct options_spec spec = {
	"[--wait]",
	"Accept and start nothing more; what runs goes on, what is queued stays queued. It holds "
	"until\n"
	"`ctxctl resume`, across restarts. For root, the owner of a private ctxd, and [access] "
	"admins.",
	"  ctxctl drain --wait && apt upgrade; ctxctl resume",
	defs,
	ARRAY_SIZE(defs),
	false,
};

int
cmd_drain(struct cli *cli, int argc, char **argv)
{
	struct options o = {false};
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	return queue_all(cli, "Drain", json_pack("{s:b}", "wait", (int)o.wait));
}
