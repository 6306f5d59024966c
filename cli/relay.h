/* relay.h - bytes both ways between the standard input and output of this process and a socket,
 * each way by itself: one that stands still never holds up the other. */
#ifndef CTX_CLI_RELAY_H
#define CTX_CLI_RELAY_H

#include <stdbool.h>
#include <stddef.h>

struct relay {
	int sock;
	const void *hello; /* goes to the standard output first; SIZE bytes */
	size_t size;
	bool one_ends_all; /* so does the input; else the socket's answers to it still come */
};

/* Until the socket has ended, or nobody reads the output any more. 0, or the negative errno of what
 * failed, *RET_WHAT being that in words. SIGPIPE must be ignored. */
int relay(const struct relay *r, const char **ret_what);

#endif
