/* follow_impl.h - what the files of follow.c share, and nobody else sees: follow_channel.c has the
 * connections, follow.c the loop, the signals and the outputs. */
#ifndef CTX_CLI_FOLLOW_IMPL_H
#define CTX_CLI_FOLLOW_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "cli/bar.h"
#include "cli/follow.h"
#include "cli/sink.h"
#include "cli/stop.h"

struct channel { /* one connection, with one call on it that brings replies until it is done */
	struct ctxd_client *c; /* owned; NULL: not open */
	bool used, done;
	bool down; /* lost, and not yet heard of again */
	struct mono opened, retry, give_up;
};

struct output {
	struct channel ch;
	struct sink own, *sink; /* lines of JSON of both go one way, so that they do not mix */
	const char *stream;     /* NULL: stdout */
	int64_t offset;         /* -1: nothing came yet */
	bool shows;             /* on a terminal */
};
enum { OUT, ERR, OUTPUTS };

struct loop {
	struct follow *f;
	struct channel end;
	struct output output[OUTPUTS];
	struct stop stop;
	struct bar bar;
	bool connected; /* was reached once: from then on a loss is an outage */
	int signals;    /* signalfd, or -1 */
	int n_signals;
	bool has_until;
	struct mono until;
	bool told; /* of this outage */
	bool timed_out;
};

/* Open CH and make its call when that is due, and take what it has to say. 0; or FOLLOW_E_GIVEN_UP.
 * l->timed_out may be set. */
int follow_channel_step(struct loop *l, struct channel *ch);
/* No more can be taken of CH before some of it is written. */
bool follow_channel_full(const struct loop *l, struct channel *ch);
bool follow_end_known(const struct loop *l);
bool follow_passed(struct mono at);
/* Returns FOLLOW_E_GIVEN_UP, with the exit code CODE. */
int follow_give_up(struct loop *l, int code);

#endif
