/* cmd_reload.c - have the configuration read again, and say what changed. */
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

static const struct options_spec spec = {
	"",
	"Have ctxd read its configuration again, and print what changed, a line each: "
	"`section.key: old ->\n"
	"new`. If anything in it is wrong, all that is wrong is said and nothing changes. "
	"Deadlines act on\n"
	"jobs that start later. For root, the owner of a private ctxd, and [access] admins.",
	"  ctxctl reload",
	NULL,
	0,
	false,
};

static void
print_change(const json_t *change)
{
	const char *section = json_string_value(json_object_get(change, "section"));
	const char *key = json_string_value(json_object_get(change, "key"));
	const char *old = json_string_value(json_object_get(change, "old"));
	const char *new = json_string_value(json_object_get(change, "new"));

	out_text(section ? section : "?");
	if (!key || !*key) {
		out_puts(new ? ": added\n" : ": removed\n");
		return;
	}
	out_puts(".");
	out_text(key);
	out_puts(": ");
	out_text(!old ? "(unset)" : *old ? old : "(empty)");
	out_puts(" -> ");
	out_text(!new ? "(unset)" : *new ? new : "(empty)");
	out_puts("\n");
}

int
cmd_reload(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	const json_t *changes;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	r = conn_open(cli, &c);
	if (r == 0)
		r = conn_call(cli, c, "Reload", json_object(), &reply);
	if (r == EXITCODE_USAGE) /* it is the file that is wrong, not the call */
		return EXITCODE_FAILED;
	if (r)
		return r;
	changes = json_object_get(reply, "changes");
	if (!json_is_array(changes))
		return conn_strange(cli, "changes");
	if (cli->json) {
		out_document(changes);
		return 0;
	}
	for (size_t i = 0; i < json_array_size(changes); i++)
		print_change(json_array_get(changes, i));
	if (json_array_size(changes) == 0)
		out_puts("nothing changed\n");
	return 0;
}
