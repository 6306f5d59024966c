/* sink.h - bytes on their way to a descriptor that may not take them yet. */
#ifndef CTX_CLI_SINK_H
#define CTX_CLI_SINK_H

#include <stdbool.h>

#include "base/buf.h"

struct sink {
	int fd;       /* borrowed */
	bool regular; /* a file: it never blocks for long */
	bool midline; /* what was written last did not end a line */
	struct buf pending;
};

void sink_init(struct sink *s, int fd);
void sink_done(struct sink *s);
bool sink_full(const struct sink *s); /* no more may be put in for now */
/* Write some of it; call it when the descriptor can be written. 0 or -errno. */
int sink_write(struct sink *s);

#endif
