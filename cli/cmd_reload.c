/* cmd_reload.c - have the configuration read again, and say what changed. */
#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

struct reload_opts {
	bool dry_run;
};

static const struct options_def defs[] = {
	{"dry-run", 0, NULL, "only say what would change", OPTIONS_FLAG,
	 offsetof(struct reload_opts, dry_run)},
};

static const struct options_spec spec = {
	"[--dry-run]",
	"Have ctxd read its configuration again, and print what changed, a line each: "
	"`section.key: old ->\n"
	"new`, and what that acts on: all from now on, jobs that start later, or nothing before a "
	"restart. No\n"
	"job is touched. If anything in it is wrong, what is wrong is said and nothing changes. "
	"For "
	"root, the\n"
	"owner of a private ctxd, and [access] admins.",
	"  ctxctl reload --dry-run && ctxctl reload",
	defs,
	ARRAY_SIZE(defs),
	false,
};

static const char *
reach(const json_t *change)
{
	const char *acts = json_string_value(json_object_get(change, "acts"));

	if (!acts)
		return "";
	if (strcmp(acts, "now") == 0)
		return " (acts now)";
	if (strcmp(acts, "new_jobs") == 0)
		return " (for jobs that start later)";
	return strcmp(acts, "restart") == 0 ? " (at the next start of ctxd)" : "";
}

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
	out_puts(reach(change));
	out_puts("\n");
}

int
cmd_reload(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	struct reload_opts o = {0};
	const json_t *changes;
	json_t *params;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	r = conn_open(cli, &c);
	if (r == 0) {
		params = o.dry_run ? json_pack("{s:b}", "dry_run", 1) : json_object();
		r = conn_call(cli, c, "Reload", params, &reply);
	}
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
		out_puts(o.dry_run ? "nothing would change\n" : "nothing changed\n");
	return 0;
}
