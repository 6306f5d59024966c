/* store_backup.h - a consistent copy of the database while it is in use.
 *
 * The copy is made in small steps into a file without a name in the state directory, and read from
 * there. It is of the moment of store_backup_new: until it is complete a snapshot is held, so the
 * WAL cannot start over for so long. One at a time. */
#ifndef CTXD_STORE_STORE_BACKUP_H
#define CTXD_STORE_STORE_BACKUP_H

#include <stdbool.h>
#include <stdint.h>

struct store;
struct store_backup;

/* 0; -EBUSY: another one is being made; or negative errno. Free it before S is closed. */
int store_backup_new(struct store *s, struct store_backup **ret);
/* Copy a little more. 0 and *RET_DONE, or negative errno: it comes to nothing. */
int store_backup_step(struct store_backup *b, bool *ret_done);
/* Of a complete one: the file (B's) and its size. */
int store_backup_fd(const struct store_backup *b, uint64_t *ret_size);
struct store_backup *store_backup_free(struct store_backup *b); /* returns NULL */

#endif
