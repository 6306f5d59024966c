/* listen.h - the sockets on which the exporter is asked: given by the service manager, or by
 * --listen. */
#ifndef CTX_EXPORTER_LISTEN_H
#define CTX_EXPORTER_LISTEN_H

#include <stddef.h>

enum { LISTEN_MAX = 8 };

/* Listen at TEXT: ADDRESS:PORT with a numeric address (an IPv6 one in brackets), or
 * unix:/absolute/path (mode 0660; a file that nobody listens at is replaced). A descriptor, or
 * negative errno with *REASON, a static text or one that the next call changes. */
int listen_at(const char *text, const char **reason);
/* Sockets handed over as sd_listen_fds(3) describes; their number in RET, or negative errno: -E2BIG
 * when there are more than MAX, -ENOTSOCK when one is none that listens. */
int listen_inherited(int *ret, size_t max);

#endif
