/* each.c - one call for each of several jobs, see each.h. */
#include "cli/each.h"

#include <inttypes.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/out.h"

/* ANY: one was printed before. */
static int
one_job(struct cli *cli, struct ctxd_client *c, const char *method, uint64_t id, const json_t *more,
	bool show_id, bool *any)
{
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	json_t *params = conn_id(id);
	int r;

	if (params && json_object_update(params, (json_t *)(uintptr_t)more) < 0) {
		json_decref(params);
		params = NULL;
	}
	r = conn_call(cli, c, method, params, &reply);
	if (r)
		return r;
	if (cli->json) {
		out_puts(*any ? ",\n" : "\n");
		out_json(json_object_get(reply, "job"));
	} else if (show_id) {
		out_printf("%" PRIu64 "\n", id);
	}
	*any = true;
	return 0;
}

int
each_job(struct cli *cli, const char *method, const uint64_t *ids, size_t n, json_t *more,
	 bool show_ids)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *mine = more;
	bool any = false;
	int r = mine ? conn_open(cli, &c) : conn_no_memory(cli);

	if (r)
		return r;
	if (cli->json)
		out_puts("[");
	for (size_t i = 0; i < n; i++) {
		int e = one_job(cli, c, method, ids[i], mine, show_ids, &any);

		r = r ? r : e;
		if (e == EXITCODE_UNREACHABLE)
			break;
	}
	if (cli->json)
		out_puts(any ? "\n]\n" : "]\n");
	return r;
}
