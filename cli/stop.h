/* stop.h - cancelling a job while staying with it, over a connection of its own: no step waits, and
 * a cancel that is lost with ctxd is made again when it is back. */
#ifndef CTX_CLI_STOP_H
#define CTX_CLI_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct cli;
struct ctxd_client;

struct stop {
	const struct cli *cli; /* borrowed */
	uint64_t id;
	struct ctxd_client *c; /* owned; NULL: not open */
	int wanted;            /* 0: nothing; 1: cancel; 2: kill */
	int sent;              /* of that */
	struct mono retry;     /* not before */
};

void stop_ask(struct stop *s, int level);
/* Take answers, and send what is to be sent. */
void stop_step(struct stop *s);
bool stop_due(const struct stop *s); /* there is something to be sent, at s->retry */
void stop_done(struct stop *s);

#endif
