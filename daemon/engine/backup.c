/* backup.c - a copy of the database for whoever may have it: the rules are here, the work is the
 * store's. */
#include "engine/backup.h"

#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"

int
backup_new(struct engine *g, struct store_backup **ret, struct refusal *r)
{
	int e = store_backup_new(g->store, ret);

	if (e == -EBUSY)
		return refusal_set(r, REFUSAL_NOT_READY, NULL, "another backup is being made");
	return e < 0 ? err_pass(e) : 0;
}
