/* ready.h - poll(2), also for a process that may have no descriptors. */
#ifndef CTX_BASE_READY_H
#define CTX_BASE_READY_H

#include <poll.h>
#include <stddef.h>

/* As poll(2), for descriptors none of which blocks. The kernel refuses to wait for more entries
 * than RLIMIT_NOFILE allows descriptors, open or not (EINVAL): where somebody has lowered that
 * below N, all of P is said to be ready after a moment, and whoever tries finds out. */
int ready_poll(struct pollfd *p, size_t n, int timeout_ms);

#endif
