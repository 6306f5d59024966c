/* audit.c - who did what to whose job: a line of the log for each deed to a job of another user,
 * once it is committed. Never left out, however many there are: each stands for a change that an
 * administrator asked for. What was refused is logged by the interface (daemon/api/audit.c). */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/impl.h"
#include "engine/tell.h"

struct audit_fx {
	struct effect fx;
	struct engine *g;
	uint64_t id; /* 0: about no job */
	char text[320];
};

static void
audit_run(struct effect *fx, int result)
{
	struct audit_fx *f = container_of(fx, struct audit_fx, fx);

	if (result == 0)
		engine_log_about(f->g, LOG_LVL_NOTICE, f->id, "audit %s", f->text);
	free(f);
}

__attribute__((format(printf, 3, 4))) static void
say(struct engine *g, uint64_t id, const char *fmt, ...)
{
	struct audit_fx *f = calloc(1, sizeof(*f));
	va_list ap;

	if (!f) {
		log_err("no memory for a line of the audit log, continuing");
		return;
	}
	f->fx.run = audit_run;
	f->g = g;
	f->id = id;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	txn_defer(g->txn, &f->fx);
}

void
audit_job(struct engine *g, const struct requester *who, const struct job *j, const char *action)
{
	char name[128] = "";

	if (who->uid == j->uid)
		return;
	if (j->name)
		(void)text_escape(j->name, name, sizeof(name));
	say(g, j->id,
	    "action=%s job=%" PRIu64 " attempt=%" PRIu32 " uid=%u%s%s%s by_uid=%u by_pid=%d",
	    action, j->id, j->attempt, j->uid, j->name ? " name=\"" : "", name, j->name ? "\"" : "",
	    who->uid, (int)who->pid);
}

void
audit_pruned(struct engine *g, const struct requester *who, uint64_t n)
{
	say(g, 0, "action=prune jobs=%" PRIu64 " of=everybody by_uid=%u by_pid=%d", n, who->uid,
	    (int)who->pid);
}
