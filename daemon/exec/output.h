/* output.h - output files: output/<id/1000>/<id>.<attempt>.log in the state directory, and .err
 * beside it for a stderr that is kept apart. Creating, opening, measuring, removing. Holes, punched
 * by the monitor or made by the job, are skipped and counted as dropped. */
#ifndef CTXD_EXEC_OUTPUT_H
#define CTXD_EXEC_OUTPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct output;
enum output_stream { OUTPUT_OUT = 0, OUTPUT_ERR = 1 };

int output_new(const char *state_dir, struct output **ret);
int output_dirfd(const struct output *o); /* of the directory; O's */
struct output *output_free(struct output *o);
/* New empty file, append-only for the writer, 0640. An existing one of the same name is truncated
 * only if no job can have written it (requeue of an attempt that never ran). fd or -errno. */
int output_create(struct output *o, uint64_t id, uint32_t attempt, enum output_stream stream);
/* The job is over and wrote nothing: its file may serve the next one of the same user. Only where
 * all jobs are of the daemon's own user (elsewhere somebody may keep the file open), and only when
 * nobody will read it under its old name. */
void output_spare(struct output *o, uint64_t id, uint32_t attempt);
/* For reading: fd, -ENOENT (none, or expired), or -errno. */
int output_open(struct output *o, uint64_t id, uint32_t attempt, enum output_stream stream);
/* Whose file NAME is that lies in a directory of output/: 0, or -EINVAL when it is no such name. */
int output_parse(const char *name, uint64_t *ret_id, uint32_t *ret_attempt);
/* Both streams; 0 also when there is none. */
int output_remove(struct output *o, uint64_t id, uint32_t attempt);
/* Size and hole. */
int output_measure(int fd, uint64_t *ret_bytes, uint64_t *ret_dropped);
/* Read at *OFFSET up to N bytes of data, first moving *OFFSET over a hole; *RET_DROPPED is set to
 * the bytes skipped. Bytes read, 0 at the end, or -errno. */
ssize_t output_read(int fd, uint64_t *offset, void *p, size_t n, uint64_t *ret_dropped);
/* Does the file end before OFFSET? A job can do that to its own output: `>/dev/stderr` opens it
 * with O_TRUNC. */
bool output_truncated(int fd, uint64_t offset);

/* The offset of the first of the last N lines (a last line without newline counts), looked for
 * backwards to the first hole, a bounded part a call: a line may be as long as the file. */
struct output_tail {
	uint64_t lines; /* still to be found */
	off_t size;     /* of the file when this began */
	off_t end;      /* from here on nothing more is looked for */
};
enum { OUTPUT_E_AGAIN = 1 };
int output_tail_begin(int fd, uint64_t n, struct output_tail *ret);
/* 0, OUTPUT_E_AGAIN: call it again, or -errno. */
int output_tail(int fd, struct output_tail *t, uint64_t *ret_offset);

#endif
