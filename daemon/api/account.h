/* account.h - accounts by name or number, as the name service knows them: for whom an administrator
 * may submit. Asked for through lookup.h, kept for a short time. */
#ifndef CTXD_API_ACCOUNT_H
#define CTXD_API_ACCOUNT_H

#include <stddef.h>
#include <stdint.h>

struct account_table;
struct lookup_table;
struct user_wait;

enum { ACCOUNT_NAME_MAX = 256, ACCOUNT_CACHE_MAX = 64 };

struct account {
	uint32_t uid, gid;
	uint32_t *groups; /* as a login would set them, the primary one first */
	size_t n_groups;
	char *name, *home, *shell; /* NULL: empty */
};

/* LOOKUPS is borrowed for life. 0 or -ENOMEM. */
int account_table_new(struct lookup_table *lookups, struct account_table **ret);
struct account_table *account_table_free(struct account_table *t); /* nobody is told; NULL */

enum {
	ACCOUNT_E_LATER = 1,   /* W is told, from the loop: then ask again */
	ACCOUNT_E_UNKNOWN = 2, /* there is no such user */
	ACCOUNT_E_SILENT = 3,  /* the name service did not say */
};
/* The account TEXT names, which is a name or else a uid, of at most ACCOUNT_NAME_MAX bytes. *RET is
 * valid until the loop goes on. 0, ACCOUNT_E_*, or -ENOMEM. */
int account_find(struct account_table *t, const char *text, struct user_wait *w,
		 const struct account **ret);

#endif
