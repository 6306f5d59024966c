/* m_shutdown.c - the machine goes down: answered when nothing runs any more. */
#include <errno.h>

#include "api/conn.h"
#include "api/idle.h"
#include "api/methods.h"
#include "base/jw.h"
#include "core/policy.h"

static void
reply_stopped(struct engine *g, struct conn *conn, uint64_t stopped)
{
	struct jw j;

	(void)g;
	varlink_reply_open(&j, &conn->out);
	jw_int(&j, "stopped", (int64_t)stopped);
	varlink_reply_close(&j, false);
}

int
m_shutdown_shutdown(struct call *c, void *args)
{
	const struct args_shutdown *a = args;
	uint64_t stopped = 0;
	struct idle *w;
	int r;

	if (a->has_within && (a->within_usec < 1000 || a->within_usec > DUR_MAX_US))
		return call_invalid(c, "within_usec", "must be within 1 ms and ten years");
	w = idle_new(c, "io.ctxd.Shutdown", reply_stopped);
	if (!w)
		return -ENOMEM;
	r = engine_shutdown(c->engine, c->who, a->has_within ? a->within_usec : 0, &stopped);
	if (r < 0) {
		(void)idle_free(w);
		return r;
	}
	idle_wait(w, stopped);
	return 0;
}
