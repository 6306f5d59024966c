/* stop.c - cancelling a job while staying with it. */
#include <jansson.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/out.h"
#include "cli/stop.h"

enum { RETRY_MS = 250 };

void
stop_ask(struct stop *s, int level)
{
	s->wanted = level;
	s->retry = mono_now();
}

bool
stop_due(const struct stop *s)
{
	return s->wanted > s->sent;
}

/* An outage is waited for; who waits for the end of the job knows how long. Anything else is final,
 * until asked again. */
static void
failed(struct stop *s, const struct ctxd_failure *why)
{
	s->c = ctxd_close(s->c);
	s->sent = 0;
	s->retry = mono_add(mono_now(), (struct dur){RETRY_MS * NSEC_PER_MSEC});
	if (why->code == CTXD_E_LOST || why->code == CTXD_E_UNREACHABLE ||
	    why->code == CTXD_E_NOT_READY)
		return;
	out_error("cannot cancel: %s", why->text);
	s->wanted = 0;
}

static void
send_cancel(struct stop *s)
{
	json_t *params = json_pack("{s:I, s:s, s:b}", "id", (json_int_t)s->id, "cause",
				   "interrupted by user", "now", s->wanted > 1);
	struct ctxd_failure why = {CTXD_E_MEMORY, "out of memory"};

	if (!params || (!s->c && conn_try(s->cli, &s->c, &why) < 0)) {
		json_decref(params);
		failed(s, &why);
		return;
	}
	if (ctxd_send(s->c, "Cancel", params, 0, &why) < 0)
		failed(s, &why);
	else
		s->sent = s->wanted;
}

void
stop_step(struct stop *s)
{
	while (s->c) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;
		struct ctxd_failure why;
		int r = ctxd_poll(s->c, &reply, NULL, &why);

		if (r > 0)
			break;
		if (r < 0)
			failed(s, &why);
	}
	if (stop_due(s) && (s->c || mono_diff(s->retry, mono_now()).ns <= 0))
		send_cancel(s);
}

void
stop_done(struct stop *s)
{
	s->c = ctxd_close(s->c);
}
