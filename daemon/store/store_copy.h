/* store_copy.h - the copy of a damaged database that SQLite works on. For store_recover.c only.
 *
 * It is padded to its full length where it was cut, and where the schema cannot be read, the pages
 * of the schema of a new, empty database are put in their place: tables are made in the same order
 * there, so their roots lie on the same pages. */
#ifndef CTXD_STORE_STORE_COPY_H
#define CTXD_STORE_STORE_COPY_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STORE_COPY_PAGE = 4096 };

bool store_copy_is_zero(const uint8_t *p, size_t n);

/* Copy database and WAL, as far as they are there and can be read; PAGES: so many are to be in it,
 * 0: not known. There is no copy yet. 0 or -errno. */
int store_copy_make(int dirfd, uint32_t pages);
/* 0, or -errno; either way what is in RET is to be closed. */
int store_copy_open(const char *dir, sqlite3 **ret);
/* Give the copy, which nobody has open, the schema of FRESH, the empty database that is
 * STORE_NEW_FILE. 0 or -errno. */
int store_copy_graft(int dirfd, sqlite3 *fresh);
/* Make the inner pages of its tables anew that lead nowhere, while nobody has it open; nothing is
 * done to one that has a WAL still. 0 or -errno. */
int store_copy_mend(int dirfd, uint32_t *ret_pages);
void store_copy_remove(int dirfd);

#endif
