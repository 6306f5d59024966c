/* queue.h - what the commands that steer the queue share. */
#ifndef CTX_CLI_QUEUE_H
#define CTX_CLI_QUEUE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct cli;
struct options_spec;

/* METHOD with PARAMS (stolen; NULL: memory ran out), waiting as long as it takes; prints how the
 * queue stands. The exit code. */
int queue_all(struct cli *cli, const char *method, json_t *params);

/* Whole commands without options of their own: METHOD for each ID; METHOD for one CLASS, or all. */
int queue_jobs_command(struct cli *cli, const struct options_spec *spec, const char *method,
		       int argc, char **argv);
int queue_class_command(struct cli *cli, const struct options_spec *spec, const char *method,
			int argc, char **argv);

#endif
