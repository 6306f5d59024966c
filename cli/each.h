/* each.h - one call for each of several jobs. */
#ifndef CTX_CLI_EACH_H
#define CTX_CLI_EACH_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cli;

/* METHOD for each of the jobs, with the id and the members of MORE (stolen; NULL: memory ran out).
 * One that fails is said, and does not keep the others from it. With --json prints the jobs as an
 * array, else their ids if SHOW_IDS. The exit code: that of the first that failed. */
int each_job(struct cli *cli, const char *method, const uint64_t *ids, size_t n, json_t *more,
	     bool show_ids);

#endif
