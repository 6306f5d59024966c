/* queue.c - steering the queue, see queue.h. */
#include "cli/queue.h"

#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
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
		out_puts(json_array_size(classes) == 1 ? "paused: class" : "paused: classes");
	else
		out_puts("nothing is paused");
	for (size_t i = 0; !drain && !paused && i < json_array_size(classes); i++) {
		out_puts(i ? ", " : " ");
		out_text(json_string_value(json_array_get(classes, i)));
	}
	if (running == 0)
		out_puts("; no job is running\n");
	else
		out_printf("; %" PRId64 " job%s running\n", running,
			   running == 1 ? " is" : "s are");
}

/* CLASS_NAME: the one that was asked for, or NULL. */
static int
fail(const struct cli *cli, const struct ctxd_failure *f, const char *class_name)
{
	char shown[80];

	if (f->code != CTXD_E_INVALID_ARGUMENT || !class_name)
		return conn_fail(cli, f);
	out_error("no such class: %s (`ctxctl config` prints those that there are)",
		  text_escape(class_name, shown, sizeof(shown)));
	return exitcode_of_failure(f->code, cli->as_job);
}

int
queue_all(struct cli *cli, const char *method, json_t *params)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *asked = json_incref(params), *reply = NULL;
	const char *class_name = json_string_value(json_object_get(asked, "class"));
	struct ctxd_failure f;
	int r = conn_open(cli, &c);

	if (r) {
		json_decref(params);
		return r;
	}
	ctxd_set_timeout(c, -1); /* as long as jobs run */
	if (!params)
		return conn_no_memory(cli);
	if (ctxd_call(c, method, params, &reply, &f) < 0)
		return fail(cli, &f, class_name);
	if (cli->json)
		out_document(reply);
	else
		print_state(reply);
	if (strcmp(method, "Drain") == 0 && !json_is_true(json_object_get(reply, "draining"))) {
		out_error("the queue was resumed meanwhile");
		return EXITCODE_FAILED;
	}
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
