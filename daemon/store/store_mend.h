/* store_mend.h - inner pages of tables, made anew in the copy of a damaged database. For
 * store_recover.c only. */
#ifndef CTXD_STORE_STORE_MEND_H
#define CTXD_STORE_STORE_MEND_H

#include <stdint.h>

/* The copy is FD, all of it: it has no WAL, and nobody has it open. *RET_PAGES were made anew.
 * 0 or -errno; what was made anew until then is good. */
int store_mend(int fd, uint32_t *ret_pages);

#endif
