/* queue.c - steering the queue, see queue.h. */
#include "cli/queue.h"

#include <inttypes.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/each.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

static void
print_state(const json_t *reply)
{
	const json_t *classes = json_object_get(reply, "paused_classes");
	int64_t running = (int64_t)json_integer_value(json_object_get(reply, "running"));
	bool paused = json_is_true(json_object_get(reply, "paused")),
	     drain = json_is_true(json_object_get(reply, "draining"));

	if (drain)
		out_puts("draining: nothing is accepted or started");
	else if (paused)
		out_puts("paused: nothing is started");
	else if (json_array_size(classes) > 0)
		out_puts("paused:");
	else
		out_puts("nothing is paused");
	for (size_t i = 0; !drain && !paused && i < json_array_size(classes); i++) {
		out_puts(i ? ", " : " ");
		out_text(json_string_value(json_array_get(classes, i)));
	}
	out_printf("; %" PRId64 " running\n", running);
}

int
queue_all(struct cli *cli, const char *method, json_t *params)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	int r = conn_open(cli, &c);

	if (r) {
		json_decref(params);
		return r;
	}
	ctxd_set_timeout(c, -1); /* as long as jobs run */
	r = conn_call(cli, c, method, params, &reply);
	if (r)
		return r;
	if (cli->json)
		out_document(reply);
	else
		print_state(reply);
	return 0;
}

int
queue_jobs_command(struct cli *cli, const struct options_spec *spec, const char *method, int argc,
		   char **argv)
{
	_free_ uint64_t *ids = NULL;
	size_t n = 0;
	int r = options_parse(cli, spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	r = options_ids(cli, argc, argv, &ids, &n);
	return r ? r : each_job(cli, method, ids, n, json_object(), false);
}

int
queue_class_command(struct cli *cli, const struct options_spec *spec, const char *method, int argc,
		    char **argv)
{
	int r = options_parse(cli, spec, NULL, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 1)
		return options_wrong(cli, "one class, or none");
	return queue_all(cli, method, argc ? json_pack("{s:s}", "class", argv[0]) : json_object());
}
