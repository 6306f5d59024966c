/* dispatch.h - from a message to its handler: the one table of methods. */
#ifndef CTXD_API_DISPATCH_H
#define CTXD_API_DISPATCH_H

#include <stddef.h>

struct conn;

enum { DISPATCH_E_LATER = 100 };
/* Execute one call of C and write its reply, or start its op. 0; DISPATCH_E_LATER: nothing was
 * done, C waits for names, and the same call is to be given again then; VARLINK_E_BAD with WHY: not
 * a call, nothing was done; or -ENOMEM. */
int dispatch_call(struct conn *c, const char *msg, size_t len, const char **why);

#endif
