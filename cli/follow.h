/* follow.h - staying with jobs: their end, their output as it comes, Ctrl-C, and a ctxd that dies
 * meanwhile and comes back.
 *
 * One poll loop over the connection that waits for the end, those that bring the output, one for a
 * cancel, one for the bar, the signals and the two outputs. The death of ctxd is an everyday event:
 * the jobs go on, so do we once it is back. */
#ifndef CTX_CLI_FOLLOW_H
#define CTX_CLI_FOLLOW_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;
struct ctxd_client;
struct ctxd_failure;
struct view;

enum follow_signals {
	FOLLOW_DIES,     /* as a program does */
	FOLLOW_DETACHES, /* says how to find the job again, and goes */
	FOLLOW_CANCELS,  /* the first: cancel; the second: kill; the third: go */
};
enum { FOLLOW_E_TIMEOUT = 1, FOLLOW_E_GIVEN_UP = 2, FOLLOW_ANY_MAX = 1000 };

struct follow {
	struct cli *cli;
	const uint64_t *ids; /* borrowed, no id twice */
	size_t n;
	bool end;        /* wait for the end of ids */
	bool any;        /* of one of them (then at most FOLLOW_ANY_MAX) */
	int64_t timeout; /* microseconds; 0: none */
	enum follow_signals signals;
	struct ctxd_client *bound; /* taken: the connection of a Submit whose second reply tells the
				      end; NULL: Wait */
	/* When BOUND is lost: send that Submit again on C, so that the job stays bound to us. 0, or
	 * -1 with WHY. NULL: the job is not bound, Wait tells its end from then on. */
	int (*reattach)(const struct cli *cli, void *arg, struct ctxd_client *c,
			struct ctxd_failure *why);
	void *arg;
	/* A job has ended; in the order of their ends. May be NULL. */
	void (*on_end)(struct follow *f, const struct view *v);

	bool output;         /* bring the output of ids[0] to the standard output */
	bool output_follows; /* until the job has ended, else what is there */
	bool output_json;    /* a line of JSON a piece */
	bool output_split;   /* its stderr, too, and that to the standard error */
	const char *stream;  /* NULL: stdout */
	int64_t tail;        /* lines; -1: all */
	bool bar;            /* on a terminal, show how far ids[0] is */

	/* Results; follow_done frees them. */
	json_t **jobs; /* n; the ended job, NULL: not ended */
	size_t n_ended;
	uint64_t dropped; /* bytes of output that the limit had removed */
	bool incomplete;  /* the output could not be had to its end; why was said */
	int exit;         /* of FOLLOW_E_GIVEN_UP */
};

/* 0: all that was wanted came; FOLLOW_E_TIMEOUT; FOLLOW_E_GIVEN_UP: f->exit, and why was said. */
int follow(struct follow *f);
void follow_done(struct follow *f);
/* Say what of the output was beyond the limit. */
void follow_say_dropped(const struct follow *f);
/* The exit code of commands that exit as jobs do: the first that is not zero, in the order of ids.
 */
int follow_exit(const struct follow *f);

#endif
