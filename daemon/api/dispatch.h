/* dispatch.h - from a message to its handler: the one table of methods. */
#ifndef CTXD_API_DISPATCH_H
#define CTXD_API_DISPATCH_H

#include <stddef.h>

struct conn;

/* Execute one call of C and write its reply, or start its op. 0; VARLINK_E_BAD with WHY: not a
 * call, nothing was done; or -ENOMEM. */
int dispatch_call(struct conn *c, const char *msg, size_t len, const char **why);

#endif
