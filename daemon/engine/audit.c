/* audit.c - who did what to whose job: a line of the log for each deed to a job of another user,
 * once it is committed. Never left out, however many there are: each stands for a change that an
 * administrator asked for. What was refused is logged by the interface (daemon/api/audit.c). */
#include <inttypes.h>

#include "base/text.h"
#include "engine/impl.h"
#include "engine/tell.h"

void
audit_job(struct engine *g, const struct requester *who, const struct job *j, const char *action)
{
	char name[128] = "";

	if (who->uid == j->uid)
		return;
	if (j->name)
		(void)text_escape(j->name, name, sizeof(name));
	log_job_later(g, LOG_LVL_NOTICE, j->id,
		      "audit action=%s job=%" PRIu64 " attempt=%" PRIu32
		      " uid=%u%s%s%s by_uid=%u by_pid=%d",
		      action, j->id, j->attempt, j->uid, j->name ? " name=\"" : "", name,
		      j->name ? "\"" : "", who->uid, (int)who->pid);
}

void
audit_pruned(struct engine *g, const struct requester *who, uint64_t n)
{
	log_job_later(g, LOG_LVL_NOTICE, 0,
		      "audit action=prune jobs=%" PRIu64 " of=everybody by_uid=%u by_pid=%d", n,
		      who->uid, (int)who->pid);
}
