/* bound.c - see impl.h. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
void
bound_init(struct engine *g)
{
	(void)g;
}
void
bound_done(struct engine *g)
{
	(void)g;
}
int
bound_load(struct engine *g)
{
	(void)g;
	return 0;
}
void
engine_client_back(struct engine *g, uint64_t id)
{
	(void)g, (void)id;
}
