/* follow.h - being told that a file grew: one inotify descriptor for all files, a timer
 * where that is exhausted. */
#ifndef CTXD_EXEC_FOLLOW_H
#define CTXD_EXEC_FOLLOW_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

struct ev_loop;
struct follow;
struct follow_file;

struct follow_watch {
	struct list link;         /* list_init first */
	struct follow_file *file; /* NULL: by timer */
	/* May come without a change. Neither adds nor removes watches. */
	void (*on_change)(struct follow_watch *w);
};

struct follow *follow_new(struct ev_loop *loop); /* NULL on ENOMEM */
struct follow *follow_free(struct follow *f);    /* no watch may be left */
/* FD: an open file; it need not stay open. FD -1: by timer. Never fails: what cannot be watched is
 * looked at four times a second. */
void follow_add(struct follow *f, int fd, struct follow_watch *w);
void follow_remove(struct follow *f, struct follow_watch *w); /* legal when not added */
size_t follow_files(const struct follow *f);                  /* watched through inotify */

#endif
