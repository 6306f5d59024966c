/* backup.h - a copy of the database. Who asks has been found to be an administrator: it holds the
 * environments of all jobs. */
#ifndef CTXD_ENGINE_BACKUP_H
#define CTXD_ENGINE_BACKUP_H

#include "store/store_backup.h"

struct engine;
struct refusal;

/* 0, ENGINE_E_REFUSED with R, or negative errno. RET goes before the engine does. */
int backup_new(struct engine *g, struct store_backup **ret, struct refusal *r);

#endif
