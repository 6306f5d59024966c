/* journal_read.h - reading the output of an attempt back from the journal, byte by byte as its file
 * was: a child, journalctl, does the searching. What was sent twice is given once. Never waits; a
 * few children at a time, the others wait in line. */
#ifndef CTXD_EXEC_JOURNAL_READ_H
#define CTXD_EXEC_JOURNAL_READ_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct ev_loop;
struct journal_read;
struct journal_read_table;

enum { JOURNAL_READS_MAX = 8, JOURNAL_READS_PER_USER = 4 };

struct journal_query {
	uint64_t job;
	uint32_t attempt, round;
	const char *stream; /* as in CTX_STREAM: a literal */
	char store_id[33];
	uint64_t bytes; /* that the file had */
};

/* The loop is the default one: children are watched. NULL on ENOMEM. */
struct journal_read_table *journal_read_table_new(struct ev_loop *loop);
/* Kills the children; nobody is told. Returns NULL. */
struct journal_read_table *journal_read_table_free(struct journal_read_table *t);

/* From OFFSET on, or with TAIL >= 0 the last so many lines. UID is who asks. ON_READY is called
 * from the loop when journal_read_get is worth another try. NULL on ENOMEM. */
struct journal_read *
journal_read_new(struct journal_read_table *t, const struct journal_query *q, uint64_t offset,
		 int64_t tail, uint32_t uid, void (*on_ready)(void *arg), void *arg);
void journal_read_free(struct journal_read *r); /* at any time; the child is killed */
/* Up to N bytes (no less than 1 KiB) at *OFFSET, which is where they begin when the call returns,
 * plus their number: as output_read. *RET_DROPPED are missing before them. 0 with nothing dropped:
 * the end. -EAGAIN: ON_READY comes; -ENOENT: there is no journalctl; -ENODATA: the journal has
 * nothing of it; or another -errno. */
ssize_t journal_read_get(struct journal_read *r, uint64_t *offset, void *p, size_t n,
			 uint64_t *ret_dropped);

#endif
