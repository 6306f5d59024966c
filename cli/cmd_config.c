/* cmd_config.c - the configuration in force, in the form of its file. */
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/options.h"
#include "cli/out.h"

static const struct options_spec spec = {
	"",
	"Print the configuration that the daemon works with, in the form of ctxd.conf(5). `ctxd\n"
	"--print-config` prints that of the files, with comments, without a daemon.",
	"  ctxctl config | grep timeout",
	NULL,
	0,
	false,
};

static void
print_setting(const json_t *setting, const char **section)
{
	const char *s = json_string_value(json_object_get(setting, "section"));
	const char *key = json_string_value(json_object_get(setting, "key"));
	const char *value = json_string_value(json_object_get(setting, "value"));

	if (!s || !key)
		return;
	if (!*section || strcmp(*section, s) != 0) {
		out_puts(*section ? "\n[" : "[");
		out_text(s);
		out_puts("]\n");
	}
	*section = s;
	out_text(key);
	out_puts("=");
	out_text(value ? value : "");
	out_puts("\n");
}

int
cmd_config(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	const char *section = NULL;
	const json_t *settings;
	int r = options_parse(cli, &spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	r = conn_open(cli, &c);
	if (r == 0)
		r = conn_call(cli, c, "Config", json_object(), &reply);
	if (r)
		return r;
	settings = json_object_get(reply, "settings");
	if (!json_is_array(settings))
		return conn_strange(cli, "settings");
	if (cli->json)
		out_document(settings);
	for (size_t i = 0; i < json_array_size(settings) && !cli->json; i++)
		print_setting(json_array_get(settings, i), &section);
	return 0;
}
