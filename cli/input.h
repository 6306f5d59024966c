/* input.h - the standard input that a job is to get: read once from a file or a pipe, kept in a
 * nameless file, and sent to ctxd in pieces (Spool) as often as a connection breaks. */
#ifndef CTX_CLI_INPUT_H
#define CTX_CLI_INPUT_H

#include <stdbool.h>
#include <stdint.h>

struct cli;
struct ctxd_client;
struct ctxd_failure;

struct input {
	bool given;
	bool ended;    /* FROM was read to its end */
	int from, own; /* owned, but for the standard input; -1: closed */
	int64_t size;  /* of OWN */
};

/* PATH `-` is the standard input of this process. 0, or the exit code (said). */
int input_open(const struct cli *cli, const char *path, struct input *ret);
void input_done(struct input *in);
/* Send all of it on C: 0 with its name in *RET_SPOOL; -1 with F; or the exit code (said). */
int input_send(const struct cli *cli, struct input *in, struct ctxd_client *c, int64_t *ret_spool,
	       struct ctxd_failure *f);

#endif
