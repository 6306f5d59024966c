/* lookup.c - the children that ask the name service, see lookup.h; and what such a child does.
 *
 * LOOKUPS_MAX children at once. What a child says is not judged here; a signal to it or the time
 * limit make no answer of it. */
#include <errno.h>
#include <ev.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/lookup.h"
#include "base/buf.h"
#include "base/child.h"
#include "base/file.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

#define LOOKUP_MAGIC UINT32_C(0x6c6f6f6b)
#define LOOKUP_LIMIT 2.0

enum {
	CHILD_ALARM_SEC = 10, /* should ctxd die meanwhile */
	CHILD_GROUPS_MAX = 65536,
};

struct lookup_table {
	struct ev_loop *loop;
	char *program;       /* owned */
	double limit;        /* seconds for an answer */
	struct list queued;  /* lookups without a child yet */
	struct list running; /* lookups with one */
	size_t n_running;
};

struct lookup {
	uint32_t magic;
	struct lookup_table *table;
	struct list link; /* in queued or running */
	const char *option;
	char text[LOOKUP_ARG_MAX + 1];
	lookup_fn fn; /* NULL once told: only the child is still to be reaped */
	void *arg;
	pid_t pid; /* 0: none */
	int fd;    /* owned; -1: closed */
	struct buf answer;
	ev_io io;
	ev_timer limit;
	ev_child child;
};

static void lookup_start_some(struct lookup_table *t);

static void
lookup_free(struct lookup *l)
{
	struct lookup_table *t = l->table;

	ev_io_stop(t->loop, &l->io);
	ev_timer_stop(t->loop, &l->limit);
	ev_child_stop(t->loop, &l->child);
	if (l->fd >= 0)
		(void)close(l->fd);
	list_unlink(&l->link);
	buf_done(&l->answer);
	l->magic = 0;
	free(l);
}

/* Tell what came of it. The child, if there is one, is reaped later; nobody waits for that. L may
 * be gone afterwards. */
static void
lookup_finish(struct lookup *l, bool answered)
{
	lookup_fn fn = l->fn;

	ev_io_stop(l->table->loop, &l->io);
	ev_timer_stop(l->table->loop, &l->limit);
	if (l->fd >= 0)
		(void)close(take_fd(l->fd));
	l->fn = NULL;
	if (fn)
		fn(l->arg, answered ? &l->answer : NULL);
	if (l->pid == 0)
		lookup_free(l);
}

static void
lookup_on_child(struct ev_loop *loop, ev_child *w, int revents)
{
	struct lookup *l = container_of(w, struct lookup, child);
	struct lookup_table *t = l->table;

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LOOKUP_MAGIC);
	ev_child_stop(t->loop, &l->child);
	l->pid = 0;
	t->n_running--;
	if (!l->fn)
		lookup_free(l);
	lookup_start_some(t);
}

static void
lookup_kill(struct lookup *l)
{
	if (l->pid > 0)
		(void)kill(l->pid, SIGKILL);
}

/* 0: more may come; 1: the end; -errno. */
static int
lookup_read(struct lookup *l)
{
	for (;;) {
		char p[1024];
		ssize_t n = read(l->fd, p, sizeof(p));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (n == 0)
			return 1;
		if (buf_put(&l->answer, p, (size_t)n) < 0)
			return -ENOBUFS;
	}
}

static void
lookup_on_limit(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct lookup *l = container_of(w, struct lookup, limit);
	char text[64];

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LOOKUP_MAGIC);
	/* After a time in which nothing ran, timers come first: the answer may be there. */
	if (lookup_read(l) == 1) {
		lookup_finish(l, true);
		return;
	}
	log_warn("the name service did not answer in time about user \"%s\", continuing",
		 text_escape(l->text, text, sizeof(text)));
	lookup_kill(l);
	lookup_finish(l, false);
}

static void
lookup_on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct lookup *l = container_of(w, struct lookup, io);
	int r;

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LOOKUP_MAGIC);
	r = lookup_read(l);
	if (r == 0)
		return;
	if (r < 0)
		lookup_kill(l);
	lookup_finish(l, r == 1);
}

/* ---- starting the child */

static int
lookup_spawn(struct lookup *l)
{
	struct lookup_table *t = l->table;
	char name[] = "ctxd", option[32], text[sizeof(l->text)];
	char *argv[] = {name, option, text, NULL};
	int r;

	(void)snprintf(option, sizeof(option), "%s", l->option);
	(void)snprintf(text, sizeof(text), "%s", l->text);
	r = child_start(t->program, argv, &l->fd, &l->pid);
	if (r < 0)
		return r;
	ev_io_init(&l->io, lookup_on_readable, l->fd, EV_READ);
	ev_io_start(t->loop, &l->io);
	ev_child_init(&l->child, lookup_on_child, l->pid, 0);
	ev_child_start(t->loop, &l->child);
	return 0;
}

static void
lookup_on_failed(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct lookup *l = container_of(w, struct lookup, limit);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LOOKUP_MAGIC);
	lookup_finish(l, false);
}

static void
lookup_start(struct lookup *l)
{
	struct lookup_table *t = l->table;
	char text[64];
	int r = lookup_spawn(l);

	list_unlink(&l->link);
	list_append(&t->running, &l->link);
	ev_timer_set(&l->limit, t->limit, 0.);
	if (r < 0) { /* told from the loop, never from inside of whoever asked */
		log_warn("cannot ask the name service about user \"%s\" (%s), continuing",
			 text_escape(l->text, text, sizeof(text)), strerror(-r));
		l->pid = 0;
		ev_set_cb(&l->limit, lookup_on_failed);
		ev_timer_set(&l->limit, 0., 0.);
	} else {
		t->n_running++;
	}
	ev_timer_start(t->loop, &l->limit);
}

static void
lookup_start_some(struct lookup_table *t)
{
	while (t->n_running < LOOKUPS_MAX && !list_empty(&t->queued))
		lookup_start(list_entry(t->queued.next, struct lookup, link));
}

struct lookup *
lookup_new(struct lookup_table *t, const char *option, const char *text, size_t answer_max,
	   lookup_fn fn, void *arg)
{
	struct lookup *l = calloc(1, sizeof(*l));

	assert(strlen(text) <= LOOKUP_ARG_MAX);
	if (!l)
		return NULL;
	l->magic = LOOKUP_MAGIC;
	l->table = t;
	l->option = option;
	(void)snprintf(l->text, sizeof(l->text), "%s", text);
	l->fn = fn;
	l->arg = arg;
	l->fd = -1;
	buf_init(&l->answer, answer_max);
	ev_init(&l->io, lookup_on_readable);
	ev_init(&l->limit, lookup_on_limit);
	ev_init(&l->child, lookup_on_child);
	list_append(&t->queued, &l->link);
	lookup_start_some(t);
	return l;
}

void
lookup_forget(struct lookup *l)
{
	l->fn = NULL;
	lookup_kill(l);
	lookup_finish(l, false);
}

int
lookup_table_new(struct ev_loop *loop, const char *program, struct lookup_table **ret)
{
	struct lookup_table *t = calloc(1, sizeof(*t));
	char *copy = strdup(program);

	if (!t || !copy) {
		free(t);
		free(copy);
		return -ENOMEM;
	}
	t->loop = loop;
	t->program = copy;
	t->limit = LOOKUP_LIMIT;
	list_init(&t->queued);
	list_init(&t->running);
	*ret = t;
	return 0;
}

void
lookup_set_limit(struct lookup_table *t, double seconds)
{
	t->limit = seconds;
}

static void
drop_all(struct list *lookups)
{
	list_for_each_safe (n, lookups) {
		struct lookup *l = list_entry(n, struct lookup, link);

		lookup_kill(l);
		lookup_free(l);
	}
}

struct lookup_table *
lookup_table_free(struct lookup_table *t)
{
	if (!t)
		return NULL;
	drop_all(&t->queued);
	drop_all(&t->running);
	free(t->program);
	free(t);
	return NULL;
}

/* ---- the child: it may be slow and block, it is alone */

static void
put_string(struct buf *b, const char *s)
{
	(void)buf_put(b, s ? s : "", (s ? strlen(s) : 0) + 1);
}

static int
answer_uid(const char *text, struct buf *b)
{
	struct passwd *pw;
	uint64_t uid;

	if (text_u64(text, &uid) < 0 || uid >= UINT32_MAX)
		return 2;
	pw = getpwuid((uid_t)uid);
	if (!pw)
		return 1;
	put_string(b, pw->pw_name);
	put_string(b, pw->pw_dir);
	put_string(b, pw->pw_shell);
	return 0;
}

/* As setgroups of a login would have them. NULL: there are too many, or no memory. */
static gid_t *
groups_of(const struct passwd *pw, int *ret_n)
{
	int n = 64;
	_free_ gid_t *v = NULL;

	for (;;) {
		gid_t *p = reallocarray(v, (size_t)n, sizeof(*v));
		int room = n;

		if (!p)
			return NULL;
		v = p;
		if (getgrouplist(pw->pw_name, pw->pw_gid, v, &n) >= 0)
			break;
		n = n > room ? n : room * 2;
		if (n > CHILD_GROUPS_MAX)
			return NULL;
	}
	*ret_n = n;
	return take_ptr(v);
}

/* A name, or else a number. Of somebody who is not there an empty string is told. */
static int
answer_account(const char *text, struct buf *b)
{
	_free_ gid_t *groups = NULL;
	struct passwd *pw;
	uint64_t uid;
	int n = 0;

	errno = 0;
	pw = getpwnam(text);
	if (!pw && text_u64(text, &uid) == 0 && uid < UINT32_MAX) {
		errno = 0;
		pw = getpwuid((uid_t)uid);
	}
	if (!pw && (errno == 0 || errno == ENOENT || errno == ESRCH)) {
		put_string(b, "");
		return 0;
	}
	groups = pw ? groups_of(pw, &n) : NULL;
	if (!groups)
		return 1;
	(void)buf_printf(b, "%u%c%u%c", pw->pw_uid, 0, pw->pw_gid, 0);
	for (int i = 0; i < n; i++)
		(void)buf_printf(b, i > 0 ? " %u" : "%u", groups[i]);
	put_string(b, "");
	put_string(b, pw->pw_name);
	put_string(b, pw->pw_dir);
	put_string(b, pw->pw_shell);
	return 0;
}

int
lookup_is_child(int argc, char **argv)
{
	return argc == 3 &&
	       (strcmp(argv[1], LOOKUP_UID) == 0 || strcmp(argv[1], LOOKUP_ACCOUNT) == 0);
}

int
lookup_main(int argc, char **argv)
{
	struct buf b = {0};
	int r;

	if (!lookup_is_child(argc, argv))
		return 2;
	(void)alarm(CHILD_ALARM_SEC);
	if (strcmp(argv[1], LOOKUP_UID) == 0)
		r = answer_uid(argv[2], &b);
	else
		r = answer_account(argv[2], &b);
	if (r == 0 && (b.failed || file_write_full(1, buf_head(&b), buf_len(&b)) < 0))
		r = 1;
	buf_done(&b);
	return r;
}
