/* exec.c - running things: the face of daemon/exec, see exec.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "exec/impl.h"
#include "exec/monitor_link.h"
#include "record/frame.h"
#include "record/spec.h"

static struct monitor_link *
find_link(const struct exec *x, uint64_t id, uint32_t attempt)
{
	struct map_node *n = map_find(&x->links, id);
	struct monitor_link *l = n ? container_of(n, struct monitor_link, node) : NULL;

	return l && l->attempt == attempt ? l : NULL;
}

static void
report_dirs(struct exec *x, const struct frame_dirs *d)
{
	for (uint32_t i = 0; i < d->n; i++)
		x->ops.on_dir(x->arg, d->dir[i].id, d->dir[i].attempt);
}

void
exec_note(struct exec *x, enum log_level l, uint64_t id, uint32_t attempt, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (!log_enabled(l))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	x->ops.on_note(x->arg, l, id, attempt, text);
}

static void
on_spawned(struct exec *x, const struct frame_spawned *f)
{
	if (spawner_link_spawned(&x->spawner, f))
		exec_note(
			x, LOG_LVL_WARN, f->head.id, f->head.attempt,
			"it got no cgroup (see the log of ctx-spawner), continuing: a process that "
			"hides well enough may outlive it");
}

static void
on_frame(void *arg, const struct frame_head *h)
{
	struct exec *x = arg;

	if (h->type == FRAME_DIRS) {
		report_dirs(x, (const struct frame_dirs *)(const void *)h);
	} else if (h->type == FRAME_SPAWN_FAILED) {
		const struct frame_spawn_failed *f =
			(const struct frame_spawn_failed *)(const void *)h;

		x->ops.on_spawn_failed(x->arg, h->id, h->attempt, f->error,
				       (enum spawn_step)f->step);
	} else if (h->type == FRAME_SWEPT) {
		const struct frame_swept *s = (const struct frame_swept *)(const void *)h;

		x->ops.on_swept(x->arg, h->id, h->attempt, s->flags & SWEPT_CERTAIN, s->killed);
	} else if (h->type == FRAME_SPAWNED) {
		on_spawned(x, (const struct frame_spawned *)(const void *)h);
	} else {
		log_warn("the spawner sent %s: ignored", frame_type_name(h->type));
	}
}

static void
on_up(void *arg, uint64_t seen)
{
	struct exec *x = arg;

	x->ops.on_up(x->arg, x->spawner.flags, seen);
}

static void
on_down(void *arg)
{
	struct exec *x = arg;

	x->ops.on_down(x->arg);
}

static uint64_t
last_seq(void *arg)
{
	struct exec *x = arg;

	return x->last_seq(x->arg);
}

int
exec_new(struct ev_loop *loop, const struct exec_options *o, struct exec **ret, struct ctx_err *e)
{
	static const struct spawner_link_ops ops = {on_frame, on_up, on_down, last_seq};
	struct exec *x = calloc(1, sizeof(*x));
	int r;

	if (!x)
		return ctx_err_set(e, 0, -ENOMEM, "out of memory");
	*x = (struct exec){.loop = loop, .ops = o->ops, .arg = o->arg, .null_fd = -1};
	x->dir_fd = open(o->runtime_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (x->dir_fd < 0) {
		r = ctx_err_set(e, 0, -errno, "run directory %s: %s", o->runtime_dir,
				strerror(errno));
		free(x);
		return r;
	}
	x->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	r = x->null_fd < 0 ? -errno
			   : spawner_link_init(&x->spawner, loop, o->runtime_dir, o->spawner_path,
					       o->uuid, &ops, x);
	if (r < 0) {
		exec_free(x);
		return ctx_err_set(e, 0, r, "prepare the link to the spawner: %s", strerror(-r));
	}
	x->spawner.nofile = o->nofile;
	*ret = x;
	return 0;
}

struct exec *
exec_free(struct exec *x)
{
	struct map_node *n;

	if (!x)
		return NULL;
	while ((n = map_next(&x->links, NULL)))
		monitor_link_drop(container_of(n, struct monitor_link, node));
	map_done(&x->links);
	spawner_link_done(&x->spawner);
	if (x->dir_fd >= 0)
		(void)close(x->dir_fd);
	if (x->null_fd >= 0)
		(void)close(x->null_fd);
	free(x);
	return NULL;
}

void
exec_start(struct exec *x, uint64_t (*last)(void *arg))
{
	x->last_seq = last;
	spawner_link_start(&x->spawner);
}

bool
exec_is_up(const struct exec *x)
{
	return x->spawner.state == SPL_UP;
}

bool
exec_is_old(const struct exec *x)
{
	return exec_is_up(x) && spawner_link_is_old(&x->spawner);
}

uint32_t
exec_flags(const struct exec *x)
{
	return x->spawner.flags;
}

int
exec_spawn(struct exec *x, const struct exec_job *j)
{
	_close_ int spec = -1, theirs = -1, ours = -1;
	uint64_t id = j->spec->id;
	uint32_t attempt = j->spec->attempt;
	struct frame_spawn f;
	int pair[2], r;

	if (!exec_is_up(x))
		return -ENOTCONN;
	spec = spec_seal(j->spec);
	if (spec < 0)
		return err_pass(spec);
	r = sock_pair(SOCK_SEQPACKET, pair);
	if (r < 0)
		return err_pass(r);
	ours = pair[0];
	theirs = pair[1];
	frame_init(&f, FRAME_SPAWN, id, attempt, sizeof(f));
	f.seq = j->seq;
	exec_unlink(x, id, attempt);
	int fds[FRAME_SPAWN_FDS] = {spec, theirs, j->in_fd < 0 ? x->null_fd : j->in_fd, j->out_fd,
				    j->err_fd < 0 ? j->out_fd : j->err_fd};
	struct monitor_link *l = monitor_link_new(x, id, attempt, take_fd(ours));
	if (!l)
		return -ENOMEM;
	r = spawner_link_send(&x->spawner, &f, sizeof(f), fds, FRAME_SPAWN_FDS);
	if (r < 0) {
		monitor_link_drop(l);
		return err_pass(r);
	}
	return 0;
}

int
exec_look(struct exec *x, uint64_t id, uint32_t attempt)
{
	struct monitor_link *l = find_link(x, id, attempt);

	if (l) {
		if (l->state == ML_LOOKING)
			monitor_link_look(l);
		return 0;
	}
	l = monitor_link_new(x, id, attempt, -1);
	if (!l)
		return -ENOMEM;
	monitor_link_look(l);
	return 0;
}

bool
exec_linked(const struct exec *x, uint64_t id, uint32_t attempt)
{
	const struct monitor_link *l = find_link(x, id, attempt);

	return l && (l->state == ML_LIVE || l->state == ML_DONE);
}

int
exec_stop(struct exec *x, uint64_t id, uint32_t attempt, bool now, enum stop_cause cause)
{
	struct monitor_link *l = find_link(x, id, attempt);
	struct frame_stop f;

	if (!l || l->state != ML_LIVE)
		return -ENOTCONN;
	frame_init(&f, FRAME_STOP, id, attempt, sizeof(f));
	f.flags = now ? STOP_NOW : 0;
	f.stop_cause = cause;
	return chan_send(&l->chan, &f, sizeof(f), NULL, 0);
}

int
exec_extend(struct exec *x, uint64_t id, uint32_t attempt, int64_t deadline_ns)
{
	struct monitor_link *l = find_link(x, id, attempt);
	struct frame_extend f;

	if (!l || l->state != ML_LIVE)
		return -ENOTCONN;
	frame_init(&f, FRAME_EXTEND, id, attempt, sizeof(f));
	f.deadline_ns = deadline_ns;
	return chan_send(&l->chan, &f, sizeof(f), NULL, 0);
}

int
exec_signal(struct exec *x, uint64_t id, uint32_t attempt, int signo, bool tree)
{
	struct monitor_link *l = find_link(x, id, attempt);
	struct frame_signal f;

	if (!l || l->state != ML_LIVE)
		return -ENOTCONN;
	frame_init(&f, FRAME_SIGNAL, id, attempt, sizeof(f));
	f.signo = signo;
	f.flags = tree ? SIGNAL_TREE : 0;
	return chan_send(&l->chan, &f, sizeof(f), NULL, 0);
}

int
exec_notify_path(const struct exec *x, uint64_t id, uint32_t attempt, char *buf, size_t size)
{
	char name[RUNDIR_NAME];
	int n = snprintf(buf, size, "%s/" RUNDIR_JOBS "/%s/" RUNDIR_NOTIFY, x->spawner.runtime_dir,
			 rundir_name(id, attempt, name));

	if (n < 0 || (size_t)n >= size || (size_t)n >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

static int
send_plain(struct exec *x, enum frame_type type, uint64_t id, uint32_t attempt)
{
	struct frame_plain f;

	frame_init(&f, type, id, attempt, sizeof(f));
	return spawner_link_send(&x->spawner, &f, sizeof(f), NULL, 0);
}

int
exec_sweep(struct exec *x, uint64_t id, uint32_t attempt)
{
	/* Not while claiming: what the monitors of older connections were asked may not be done
	 * yet, and the answer could be taken for that of a later question. */
	if (!exec_is_up(x))
		return -ENOTCONN;
	return send_plain(x, FRAME_SWEEP, id, attempt);
}

int
exec_forget(struct exec *x, uint64_t id, uint32_t attempt)
{
	return send_plain(x, FRAME_FORGET, id, attempt);
}

void
exec_unlink(struct exec *x, uint64_t id, uint32_t attempt)
{
	struct map_node *n = map_find(&x->links, id);

	(void)attempt; /* an id has one link: an older attempt's is stale by definition */
	if (n)
		monitor_link_drop(container_of(n, struct monitor_link, node));
}

/* The directory may be wiped and made anew under a running daemon: so it is opened each time. */
static int
open_jobs(struct exec *x)
{
	int fd = openat(x->dir_fd, RUNDIR_JOBS, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int
exec_evidence(struct exec *x, uint64_t id, uint32_t attempt, struct rundir_evidence *ret)
{
	_close_ int jobs = open_jobs(x);

	*ret = (struct rundir_evidence){0};
	if (jobs == -ENOENT)
		return 0;
	return jobs < 0 ? jobs : rundir_look(jobs, id, attempt, ret);
}

int
exec_seen(struct exec *x, uint64_t *ret)
{
	_close_ int jobs = open_jobs(x);

	return jobs < 0 ? jobs : rundir_seen_read(jobs, ret);
}

size_t
exec_n_links(const struct exec *x)
{
	return x->links.n;
}
