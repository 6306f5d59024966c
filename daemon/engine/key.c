/* key.c - see impl.h. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
int
key_find(struct engine *g, const struct requester *who, const struct submit_args *a,
	 struct job **ret, struct refusal *r)
{
	(void)g, (void)who, (void)a, (void)ret, (void)r;
	return STORE_E_NOT_FOUND;
}
int
key_retry(struct engine *g, const struct requester *who, struct job *j, struct refusal *r)
{
	(void)g, (void)who, (void)j, (void)r;
	return -ENOSYS;
}
