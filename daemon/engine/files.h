/* files.h - what is kept on the disk beside the database: standard input, output; and for how long.
 */
#ifndef CTXD_ENGINE_FILES_H
#define CTXD_ENGINE_FILES_H

#include <dirent.h>
#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

struct engine;
struct job;
struct spool;
struct store_old;

struct spools {           /* standard input of jobs */
	int dir_fd;       /* <state>/stdin; -1: not open */
	int dirty_fd;     /* directory in it whose new entries are not synced yet; -1: none */
	uint64_t dirty;   /* its number */
	uint64_t temp;    /* of the last named temporary file */
	struct map users; /* of struct spool_user: who holds spools, by uid */
};

struct sweep {                      /* of stdin/, then of output/ */
	bool want_outputs, outputs; /* shall it go there; is it there */
	DIR *top, *sub;             /* where it is; NULL: not there */
	uint64_t number;            /* of SUB */
	ev_timer timer;
};

/* ---- spool.c */
void spool_init(struct engine *g);
void spool_done(struct engine *g);
int spool_open_dir(struct engine *g, const char *state_dir);
uint64_t spool_hash(const struct spool *s);
/* All bytes of S to the disk, before anything is written to the database. -EBADF: S was emptied by
 * an earlier job. */
int spool_sync(struct spool *s);
/* Put the input of S under J's id, in the transaction that inserts J; taken away again if that is
 * not committed. Empties S. After a failure the transaction must not be committed. */
int spool_keep(struct engine *g, struct spool *s, const struct job *j);
int spool_before_commit(struct engine *g); /* the directory entries of this iteration to the disk */
int spool_open(struct engine *g, uint64_t id); /* fd for reading, -ENOENT, or another -errno */
bool spool_kept(struct engine *g, uint64_t id);
void spool_remove(struct engine *g, uint64_t id); /* its job needs it no more */

/* ---- sweep.c: removes input and output that a crash left behind, a few files at a time */
void sweep_init(struct engine *g);
void sweep_start(struct engine *g);
void sweep_done(struct engine *g);

/* ---- retain.c */
void retain_init(struct engine *g);
void retain_done(struct engine *g);
void retain_soon(struct engine *g); /* there is something to do before the next regular look */
/* J has ended: too much output may be kept for its user now. */
void retain_output(struct engine *g, const struct job *j);
enum { RETAIN_MAX = 64 };
/* Delete N (at most RETAIN_MAX) records in the open transaction; their files after its commit. */
int retain_delete(struct engine *g, const struct store_old *v, size_t n);

/* ---- storage.c */
void storage_init(struct engine *g);
void storage_done(struct engine *g);
void storage_changed(struct engine *g, bool ok);

#endif
