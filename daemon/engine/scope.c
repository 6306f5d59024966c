/* scope.c - see impl.h. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
void
scope_init(struct engine *g)
{
	(void)g;
}
void
scope_done(struct engine *g)
{
	(void)g;
}
int
scope_load(struct engine *g)
{
	(void)g;
	return 0;
}
void
scope_arm(struct engine *g)
{
	(void)g;
}
int
scope_end(struct engine *g, struct job *j, enum job_state to, const struct why *why, bool now,
	  struct engine_ids *reached, struct job **ret)
{
	(void)g, (void)to, (void)why, (void)now, (void)reached, (void)ret;
	(void)job_free(j);
	return -ENOSYS;
}
int
engine_scope(struct engine *g, const struct requester *who, const struct scope_args *a,
	     struct job **ret, struct notices *n, struct refusal *r)
{
	(void)g, (void)who, (void)a, (void)ret, (void)n, (void)r;
	return -ENOSYS;
}
int
engine_close(struct engine *g, const struct requester *who, uint64_t id, const char *cause,
	     bool now, struct job **ret, struct engine_ids *reached, struct refusal *r)
{
	(void)g, (void)who, (void)id, (void)cause, (void)now, (void)ret, (void)reached, (void)r;
	return -ENOSYS;
}
