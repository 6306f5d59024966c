/* rows.h - one pass over the text of a reply that carries a long list of objects. */
#ifndef CTX_CLIENT_ROWS_H
#define CTX_CLIENT_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "client/client.h"

enum {
	ROWS_E_BAD = 1,   /* not such a reply: WHY (static text) */
	ROWS_E_ERROR = 2, /* an error reply, and nothing of the text was changed */
};

struct rows_want {
	const char *list; /* the parameter that is the list */
	const char *const *columns;
	size_t n;
	ctxd_row_fn fn;
	void *arg; /* for FN */
};

/* TEXT of LEN bytes with a NUL behind them; it is used up. 0, ROWS_E_*, or what FN returned
 * (negative). Some rows may have been given before anything but 0. */
int rows_read(char *text, size_t len, const struct rows_want *want, bool *ret_continues,
	      const char **why);

#endif
