/* output.h - the cap on a job's output file: its head and its newest bytes are kept, the middle is
 * punched out; what the job reserves behind its end is given back.
 *
 * The job writes straight into the file, so the monitor can only look at its size from time to
 * time: often while it grows, seldom while it is quiet. */
#ifndef CTX_SPAWNER_OUTPUT_H
#define CTX_SPAWNER_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>

enum { OUTPUT_HEAD = 64 * 1024 };

struct output {
	int fd;            /* not owned; -1: nothing to watch */
	uint64_t max;      /* newest bytes to keep; 0: no cap */
	uint64_t size;     /* when last looked at */
	uint64_t hole_end; /* [OUTPUT_HEAD, hole_end) is punched; 0: nothing is */
	uint32_t flags;    /* RESULT_CAP_UNENFORCED, RESULT_OUTPUT_FAILED */
	int64_t every_ns;  /* until the next look */
};

/* FD that is no regular file is left alone. */
void output_init(struct output *o, int fd, uint64_t max);
/* Measure, punch if over the cap, and choose every_ns. */
void output_look(struct output *o);
/* The last look: nothing is written any more, so nothing has to be reserved. */
void output_end(struct output *o);
uint64_t output_dropped(const struct output *o);

#endif
