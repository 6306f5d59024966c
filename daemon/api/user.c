/* user.c - per-uid accounting and the names of uids, see user.h.
 *
 * One child a uid at most, USER_LOOKUPS_MAX together; who comes later waits in line. An answer is
 * three strings, each ended by NUL; anything else, a signal or the time limit means "not known",
 * which is kept for a shorter time. */
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/user.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"

#define LOOKUP_MAGIC UINT32_C(0x6c6f6f6b)
#define LOOKUP_LIMIT 2.0

enum {
	KEEP_SEC = 600,
	KEEP_FAILED_SEC = 30,
	ANSWER_MAX = 4096,
	CHILD_ALARM_SEC = 10, /* should ctxd die meanwhile */
};

struct user_table {
	struct ev_loop *loop;
	char *program; /* owned */
	struct map map;
	struct list idle; /* unreferenced entries, least recently used first */
	size_t n_idle;
	struct list queued;  /* lookups without a child yet */
	struct list running; /* lookups with one */
	size_t n_running;
};

struct user_lookup {
	uint32_t magic;
	struct user_table *table;
	struct list link; /* in queued or running */
	struct user
		*user; /* a reference; NULL once answered: only the child is still to be reaped */
	pid_t pid;
	int fd; /* owned; -1: closed */
	struct buf answer;
	ev_io io;
	ev_timer limit;
	ev_child child;
};

static void lookup_start_some(struct user_table *t);

static void
user_free(struct user *u)
{
	free(u->name);
	free(u->home);
	free(u->shell);
	free(u);
}

/* ---- the answer */

/* Three strings exactly, of valid UTF-8. */
static int
answer_split(const struct buf *b, const char *ret[3])
{
	const char *p = buf_head(b), *end = p + buf_len(b);

	for (int i = 0; i < 3; i++) {
		const char *nul = memchr(p, '\0', (size_t)(end - p));

		if (!nul || !text_utf8_valid(p, (size_t)(nul - p), NULL))
			return -EPROTO;
		ret[i] = p;
		p = nul + 1;
	}
	return p == end ? 0 : -EPROTO;
}

static int
user_set(char **field, const char *s)
{
	char *copy = s && *s ? strdup(s) : NULL;

	if (s && *s && !copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* ANSWER NULL: not known. */
static void
user_answer(struct user *u, const struct buf *answer)
{
	const char *s[3] = {NULL, NULL, NULL};
	bool known = answer && answer_split(answer, s) == 0;

	if (!known)
		s[0] = s[1] = s[2] = NULL;
	if (user_set(&u->name, s[0]) < 0 || user_set(&u->home, s[1]) < 0 ||
	    user_set(&u->shell, s[2]) < 0)
		known = false;
	u->valid_until = mono_add(mono_now(), dur_sec(known ? KEEP_SEC : KEEP_FAILED_SEC));
}

static void
user_tell(struct user *u)
{
	struct list now = LIST_INIT(now), *l;

	list_splice(&now, &u->waiters);
	while ((l = list_pop(&now))) {
		struct user_wait *w = list_entry(l, struct user_wait, link);

		w->on_ready(w);
	}
}

/* ---- the lookup */

static void
lookup_free(struct user_lookup *l)
{
	struct user_table *t = l->table;

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

/* Tell what came of it. The child, if there is one, is reaped later; nobody waits for that. */
static void
lookup_finish(struct user_lookup *l, const struct buf *answer)
{
	struct user *u = take_ptr(l->user);

	if (!u)
		return;
	ev_io_stop(l->table->loop, &l->io);
	ev_timer_stop(l->table->loop, &l->limit);
	if (l->fd >= 0)
		(void)close(take_fd(l->fd));
	user_answer(u, answer);
	u->lookup = NULL;
	user_tell(u);
	(void)user_put(u);
}

static void
lookup_on_child(struct ev_loop *loop, ev_child *w, int revents)
{
	struct user_lookup *l = container_of(w, struct user_lookup, child);
	struct user_table *t = l->table;

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LOOKUP_MAGIC);
	ev_child_stop(t->loop, &l->child);
	l->pid = 0;
	t->n_running--;
	if (!l->user)
		lookup_free(l);
	lookup_start_some(t);
}

static void
lookup_on_limit(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct user_lookup *l = container_of(w, struct user_lookup, limit);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LOOKUP_MAGIC);
	log_warn("the name service did not answer for uid %u in time; continuing without the name",
		 l->user->uid);
	if (l->pid > 0)
		(void)kill(l->pid, SIGKILL);
	lookup_finish(l, NULL);
	if (l->pid == 0)
		lookup_free(l);
}

/* 0: more may come; 1: the end; -errno. */
static int
lookup_read(struct user_lookup *l)
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
lookup_on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
	struct user_lookup *l = container_of(w, struct user_lookup, io);
	int r;

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LOOKUP_MAGIC);
	r = lookup_read(l);
	if (r == 0)
		return;
	if (r < 0 && l->pid > 0)
		(void)kill(l->pid, SIGKILL);
	lookup_finish(l, r == 1 ? &l->answer : NULL);
	if (l->pid == 0)
		lookup_free(l);
}

static int
spawn_prepare(posix_spawn_file_actions_t *fa, posix_spawnattr_t *at, int out)
{
	sigset_t none, all;

	sigemptyset(&none);
	sigfillset(&all);
	if (posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0) ||
	    posix_spawn_file_actions_adddup2(fa, out, 1) ||
	    posix_spawn_file_actions_addopen(fa, 2, "/dev/null", O_WRONLY, 0) ||
	    posix_spawnattr_setsigmask(at, &none) || posix_spawnattr_setsigdefault(at, &all) ||
	    posix_spawnattr_setflags(at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
		return -ENOMEM;
	return 0;
}

static int
spawn_child(const char *program, uint32_t uid, int out, pid_t *ret)
{
	char name[] = "ctxd", option[] = "--lookup-uid", number[16], path[] = "PATH=/usr/bin:/bin";
	char *argv[] = {name, option, number, NULL}, *envp[] = {path, NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	int r;

	(void)snprintf(number, sizeof(number), "%u", uid);
	if (posix_spawn_file_actions_init(&fa))
		return -ENOMEM;
	if (posix_spawnattr_init(&at)) {
		(void)posix_spawn_file_actions_destroy(&fa);
		return -ENOMEM;
	}
	r = spawn_prepare(&fa, &at, out);
	if (r == 0)
		r = -posix_spawn(ret, program, &fa, &at, argv, envp);
	(void)posix_spawnattr_destroy(&at);
	(void)posix_spawn_file_actions_destroy(&fa);
	return r;
}

static int
lookup_spawn(struct user_lookup *l)
{
	struct user_table *t = l->table;
	int p[2], r;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	l->fd = p[0];
	if (fcntl(p[0], F_SETFL, O_NONBLOCK) < 0)
		r = -errno;
	else
		r = spawn_child(t->program, l->user->uid, p[1], &l->pid);
	(void)close(p[1]);
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
	struct user_lookup *l = container_of(w, struct user_lookup, limit);

	(void)loop, (void)revents;
	CHECK_MAGIC(l, LOOKUP_MAGIC);
	lookup_finish(l, NULL);
	lookup_free(l);
}

static void
lookup_start(struct user_lookup *l)
{
	struct user_table *t = l->table;
	int r = lookup_spawn(l);

	list_unlink(&l->link);
	list_append(&t->running, &l->link);
	ev_timer_set(&l->limit, LOOKUP_LIMIT, 0.);
	if (r < 0) { /* told from the loop, never from inside user_names */
		log_warn("cannot look up uid %u (%s); continuing without the name", l->user->uid,
			 strerror(-r));
		l->pid = 0;
		ev_set_cb(&l->limit, lookup_on_failed);
		ev_timer_set(&l->limit, 0., 0.);
	} else {
		t->n_running++;
	}
	ev_timer_start(t->loop, &l->limit);
}

static void
lookup_start_some(struct user_table *t)
{
	while (t->n_running < USER_LOOKUPS_MAX && !list_empty(&t->queued))
		lookup_start(list_entry(t->queued.next, struct user_lookup, link));
}

static struct user_lookup *
lookup_new(struct user *u)
{
	struct user_lookup *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->magic = LOOKUP_MAGIC;
	l->table = u->table;
	l->fd = -1;
	buf_init(&l->answer, ANSWER_MAX);
	ev_init(&l->io, lookup_on_readable);
	ev_init(&l->limit, lookup_on_limit);
	ev_init(&l->child, lookup_on_child);
	l->user = u;
	u->refs++;
	list_append(&u->table->queued, &l->link);
	return l;
}

/* ---- the table */

int
user_table_new(struct ev_loop *loop, const char *program, struct user_table **ret)
{
	struct user_table *t = calloc(1, sizeof(*t));
	char *copy = strdup(program);

	if (!t || !copy) {
		free(t);
		free(copy);
		return -ENOMEM;
	}
	t->loop = loop;
	t->program = copy;
	list_init(&t->idle);
	list_init(&t->queued);
	list_init(&t->running);
	*ret = t;
	return 0;
}

static void
table_drop(struct user_table *t, struct user *u)
{
	list_unlink(&u->idle);
	t->n_idle--;
	map_remove(&t->map, &u->node);
	user_free(u);
}

static void
lookups_drop(struct list *lookups)
{
	list_for_each_safe (n, lookups) {
		struct user_lookup *l = list_entry(n, struct user_lookup, link);

		if (l->pid > 0)
			(void)kill(l->pid, SIGKILL);
		if (l->user) {
			l->user->lookup = NULL;
			(void)user_put(take_ptr(l->user));
		}
		lookup_free(l);
	}
}

struct user_table *
user_table_free(struct user_table *t)
{
	if (!t)
		return NULL;
	lookups_drop(&t->queued);
	lookups_drop(&t->running);
	while (!list_empty(&t->idle))
		table_drop(t, list_entry(t->idle.next, struct user, idle));
	assert(t->map.n == 0);
	map_done(&t->map);
	free(t->program);
	free(t);
	return NULL;
}

size_t
user_table_size(const struct user_table *t)
{
	return t->map.n;
}

static struct user *
user_new(struct user_table *t, uint32_t uid)
{
	struct user *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->table = t;
	u->uid = uid;
	list_init(&u->idle);
	list_init(&u->waiters);
	if (map_insert(&t->map, uid, &u->node) < 0) {
		free(u);
		return NULL;
	}
	return u;
}

struct user *
user_get(struct user_table *t, uint32_t uid)
{
	struct map_node *n = map_find(&t->map, uid);
	struct user *u = n ? container_of(n, struct user, node) : user_new(t, uid);

	if (!u)
		return NULL;
	if (!list_empty(&u->idle)) {
		list_unlink(&u->idle);
		t->n_idle--;
	}
	u->refs++;
	return u;
}

struct user *
user_put(struct user *u)
{
	struct user_table *t;

	if (!u)
		return NULL;
	t = u->table;
	assert(u->refs > 0);
	if (--u->refs > 0)
		return NULL;
	assert(u->n_conns == 0 && u->bytes == 0);
	list_append(&t->idle, &u->idle);
	t->n_idle++;
	if (t->n_idle > USER_CACHE_MAX)
		table_drop(t, list_entry(t->idle.next, struct user, idle));
	return NULL;
}

bool
user_names(struct user *u, struct user_wait *w)
{
	struct user_table *t = u->table;

	if (u->valid_until.ns > mono_now().ns)
		return true;
	if (!u->lookup) {
		u->lookup = lookup_new(u);
		if (!u->lookup)
			return true; /* no memory: go on without names, ask next time */
	}
	list_append(&u->waiters, &w->link);
	lookup_start_some(t);
	return false;
}

/* ---- the child */

int
user_lookup_main(int argc, char **argv)
{
	static char space[1 << 16];
	struct passwd pw, *found = NULL;
	struct buf b = {0};
	uint64_t uid;

	if (argc != 3 || text_u64(argv[2], &uid) < 0 || uid >= UINT32_MAX)
		return 2;
	(void)alarm(CHILD_ALARM_SEC);
	if (getpwuid_r((uid_t)uid, &pw, space, sizeof(space), &found) != 0 || !found)
		return 1;
	(void)buf_put(&b, pw.pw_name, strlen(pw.pw_name) + 1);
	(void)buf_put(&b, pw.pw_dir, strlen(pw.pw_dir) + 1);
	(void)buf_put(&b, pw.pw_shell, strlen(pw.pw_shell) + 1);
	if (b.failed || file_write_full(1, buf_head(&b), buf_len(&b)) < 0)
		return 1;
	buf_done(&b);
	return 0;
}
