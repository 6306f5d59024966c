/* bar.h - how far a job is, as one line at the bottom of the terminal: "job 42  37%  [###....]
 * text".
 *
 * Only while stderr is a terminal and the job tells a percentage. It comes over a connection of its
 * own, pushed by ctxd, and nothing depends on it: what fails here is not said, and tried again only
 * when ctxd was there before. */
#ifndef CTX_CLI_BAR_H
#define CTX_CLI_BAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct buf;
struct cli;
struct ctxd_client;

struct bar {
	const struct cli *cli; /* borrowed */
	uint64_t id;
	struct ctxd_client *c; /* owned; NULL: not open */
	bool used;             /* false: there is none, nothing is done */
	bool connected;        /* it was open once */
	bool known, drawn, stale;
	double percent;
	char *text; /* owned; may be NULL */
	struct mono retry;
};

/* For job ID, if stderr is a terminal. */
void bar_init(struct bar *b, const struct cli *cli, uint64_t id);
/* Open, ask, take what came; waits for nothing. */
void bar_step(struct bar *b);
int bar_fd(const struct bar *b);                         /* to be read; -1: none */
bool bar_retries(const struct bar *b, struct mono *ret); /* bar_step is due at *RET */
void bar_wipe(struct bar *b); /* before anything else is written to the terminal */
void bar_draw(struct bar *b); /* if it is not there, or not as it should be */
void bar_done(struct bar *b); /* wipes */

/* The line, at most COLUMNS wide, without its end. 0 or -ENOMEM. */
int bar_line(struct buf *out, uint64_t id, double percent, const char *text, size_t columns);

#endif
