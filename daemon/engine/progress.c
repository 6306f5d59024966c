/* progress.c - see impl.h. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
void
progress_heard(struct live *l, const struct progress *p)
{
	(void)l, (void)p;
}
void
progress_extended(struct live *l, int64_t deadline_ns, int64_t at_us)
{
	(void)l, (void)deadline_ns, (void)at_us;
}
void
progress_take(struct job *j, const struct progress *p)
{
	(void)j, (void)p;
}
int
engine_signal(struct engine *g, const struct requester *who, uint64_t id, int signo, bool tree,
	      struct job **ret, struct refusal *r)
{
	(void)g, (void)who, (void)id, (void)signo, (void)tree, (void)ret, (void)r;
	return -ENOSYS;
}
int
engine_progress(struct engine *g, const struct requester *who, uint64_t id, bool has_percent,
		double percent, const char *text, struct job **ret, struct refusal *r)
{
	(void)g, (void)who, (void)id, (void)has_percent, (void)percent, (void)text, (void)ret,
		(void)r;
	return -ENOSYS;
}
