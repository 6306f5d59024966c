/* ready.c - waiting for descriptors, see ready.h. */
#include <errno.h>

#include "base/ready.h"

enum { BLIND_MS = 50 };

int
ready_poll(struct pollfd *p, size_t n, int timeout_ms)
{
	int r = poll(p, n, timeout_ms);

	if (r >= 0 || errno != EINVAL)
		return r;
	r = poll(NULL, 0, timeout_ms < 0 || timeout_ms > BLIND_MS ? BLIND_MS : timeout_ms);
	for (size_t i = 0; i < n; i++) {
		p[i].revents = p[i].fd < 0 ? 0 : p[i].events;
		r += r >= 0 && p[i].revents != 0;
	}
	return r;
}
