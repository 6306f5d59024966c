/* store_opening.h - what the files that open a database share. For store_open.c, store_judge.c and
 * store_create.c. */
#ifndef CTXD_STORE_STORE_OPENING_H
#define CTXD_STORE_STORE_OPENING_H

#include <stdint.h>

#include "store/store_db.h"

struct ctx_err;

#define OPEN_BUSY_MS 2000 /* while opening there is no loop to hold up */

struct store_opening {
	const char *dir;
	int dirfd;
	struct store *s;
	struct ctx_err *e;
};

/* ---- store_open.c: into O->e; they return -EUCLEAN, R, or what RC means */
int store_open_refused(struct store_opening *o, const char *why);
int store_open_failed(struct store_opening *o, int r, const char *what);
/* For a result of SQLite: what says that the content is bad is a refusal. */
int store_open_sql_failed(struct store_opening *o, int rc, const char *what);

/* ---- store_judge.c */
int store_judge_dir(struct store_opening *o);
/* 0 it is ours and whole, STORE_FILE_ABSENT, or negative errno. */
int store_judge(struct store_opening *o, struct store_file *ret);

/* ---- store_create.c */
/* The database, where there is none. */
int store_create(struct store_opening *o);
/* The same with the schema of VERSION, and it keeps the name it is made under. */
int store_create_aside(struct store_opening *o, uint32_t version);

#endif
