/* follow.c - being told that a file grew, see follow.h.
 *
 * Files are watched through /proc/self/fd, so no path is needed; descriptors of one file share a
 * watch, which the kernel finds by inode. Where it cannot be had (no /proc, max_user_watches,
 * max_user_instances) a shared timer asks the reader to look. The descriptor is opened with the
 * first watch and kept. */
#include <errno.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/map.h"
#include "base/mem.h"
#include "exec/follow.h"

#define FOLLOW_MAGIC UINT32_C(0x666f6c6c)
#define FOLLOW_PERIOD 0.25

struct follow {
	uint32_t magic;
	struct ev_loop *loop;
	int fd; /* inotify; -1: not yet, or not to be had */
	ev_io io;
	ev_timer timer;
	struct map files;     /* of struct follow_file, by watch descriptor */
	struct list by_timer; /* of struct follow_watch */
};

struct follow_file {
	struct map_node node;
	struct list watches;
};

static void
tell_all(struct list *watches)
{
	list_for_each (l, watches) {
		struct follow_watch *w = list_entry(l, struct follow_watch, link);

		w->on_change(w);
	}
}

static void
file_free(struct follow *f, struct follow_file *file)
{
	map_remove(&f->files, &file->node);
	free(file);
}

/* The kernel dropped the watch (file system gone): go on by timer. */
static void
file_lost(struct follow *f, struct follow_file *file)
{
	list_for_each (l, &file->watches)
		list_entry(l, struct follow_watch, link)->file = NULL;
	list_splice(&f->by_timer, &file->watches);
	file_free(f, file);
	if (!list_empty(&f->by_timer))
		ev_timer_again(f->loop, &f->timer);
}

static void
follow_event(struct follow *f, const struct inotify_event *e)
{
	struct map_node *n = map_find(&f->files, (uint64_t)(unsigned)e->wd);

	if (e->mask & IN_Q_OVERFLOW) { /* which files is not known */
		for (n = map_next(&f->files, NULL); n; n = map_next(&f->files, n))
			tell_all(&container_of(n, struct follow_file, node)->watches);
		return;
	}
	if (!n)
		return; /* removed meanwhile */
	if (e->mask & IN_IGNORED)
		file_lost(f, container_of(n, struct follow_file, node));
	else
		tell_all(&container_of(n, struct follow_file, node)->watches);
}

static void
follow_read(struct follow *f)
{
	union {
		struct inotify_event first;
		char bytes[4096];
	} u;
	ssize_t n = read(f->fd, &u, sizeof(u));

	for (ssize_t at = 0; n - at >= (ssize_t)sizeof(u.first);) {
		const struct inotify_event *e = (const void *)(u.bytes + at);

		follow_event(f, e);
		at += (ssize_t)sizeof(*e) + (ssize_t)e->len;
	}
}

static void
follow_on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct follow *f = container_of(w, struct follow, io);

	(void)loop, (void)revents;
	CHECK_MAGIC(f, FOLLOW_MAGIC);
	follow_read(f);
}

static void
follow_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct follow *f = container_of(w, struct follow, timer);

	(void)loop, (void)revents;
	CHECK_MAGIC(f, FOLLOW_MAGIC);
	tell_all(&f->by_timer);
	if (list_empty(&f->by_timer))
		ev_timer_stop(f->loop, &f->timer);
}

struct follow *
follow_new(struct ev_loop *loop)
{
	struct follow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->magic = FOLLOW_MAGIC;
	f->loop = loop;
	f->fd = -1;
	list_init(&f->by_timer);
	ev_init(&f->io, follow_on_readable);
	ev_init(&f->timer, follow_on_timer);
	f->timer.repeat = FOLLOW_PERIOD;
	return f;
}

struct follow *
follow_free(struct follow *f)
{
	if (!f)
		return NULL;
	assert(f->files.n == 0 && list_empty(&f->by_timer));
	ev_io_stop(f->loop, &f->io);
	ev_timer_stop(f->loop, &f->timer);
	if (f->fd >= 0)
		(void)close(f->fd);
	map_done(&f->files);
	f->magic = 0;
	free(f);
	return NULL;
}

static int
follow_open(struct follow *f)
{
	if (f->fd >= 0)
		return 0;
	f->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (f->fd < 0)
		return -errno;
	ev_io_set(&f->io, f->fd, EV_READ);
	ev_io_start(f->loop, &f->io);
	return 0;
}

/* The file's entry, made if need be; NULL: cannot be watched. */
static struct follow_file *
file_get(struct follow *f, int fd)
{
	struct follow_file *file;
	struct map_node *n;
	char path[40];
	int wd;

	if (fd < 0 || follow_open(f) < 0)
		return NULL;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	wd = inotify_add_watch(f->fd, path, IN_MODIFY);
	if (wd < 0)
		return NULL;
	n = map_find(&f->files, (uint64_t)(unsigned)wd);
	if (n)
		return container_of(n, struct follow_file, node);
	file = calloc(1, sizeof(*file));
	if (file)
		list_init(&file->watches);
	if (!file || map_insert(&f->files, (uint64_t)(unsigned)wd, &file->node) < 0) {
		(void)inotify_rm_watch(f->fd, wd);
		free(file);
		return NULL;
	}
	return file;
}

void
follow_add(struct follow *f, int fd, struct follow_watch *w)
{
	assert(list_empty(&w->link));
	w->file = file_get(f, fd);
	list_append(w->file ? &w->file->watches : &f->by_timer, &w->link);
	if (!w->file && !ev_is_active(&f->timer))
		ev_timer_again(f->loop, &f->timer);
}

void
follow_remove(struct follow *f, struct follow_watch *w)
{
	struct follow_file *file = take_ptr(w->file);

	list_unlink(&w->link);
	if (!file || !list_empty(&file->watches))
		return;
	(void)inotify_rm_watch(f->fd, (int)file->node.key);
	file_free(f, file);
}

size_t
follow_files(const struct follow *f)
{
	return f->files.n;
}
