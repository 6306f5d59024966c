/* queue.h - what the commands that steer the queue share. */
#ifndef CTX_CLI_QUEUE_H
#define CTX_CLI_QUEUE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct cli;

/* METHOD for each of the jobs, with PRIORITY if that is not NULL; with --json prints the jobs as an
 * array. The exit code. */
int queue_jobs(struct cli *cli, const char *method, const uint64_t *ids, size_t n,
	       const int64_t *priority);
/* METHOD with PARAMS (stolen; NULL: memory ran out), waiting as long as it takes; prints how the
 * queue stands. The exit code. */
int queue_all(struct cli *cli, const char *method, json_t *params);

#endif
