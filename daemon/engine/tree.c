/* tree.c - see impl.h. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
int
tree_done(struct engine *g, const struct job *j, int64_t by_uid, bool now,
	  struct engine_ids *reached)
{
	(void)g, (void)j, (void)by_uid, (void)now, (void)reached;
	return 0;
}
