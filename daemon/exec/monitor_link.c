/* monitor_link.c - the connection to one monitor, see monitor_link.h. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/log.h"
#include "base/sock.h"
#include "exec/impl.h"
#include "exec/monitor_link.h"
#include "record/frame.h"
#include "record/rundir.h"

#define LOOK_AGAIN 0.02
#define LOOK_MOST 1.0

static void
look_later(struct monitor_link *l, double after)
{
	l->state = ML_LOOKING;
	ev_timer_stop(l->exec->loop, &l->timer);
	ev_timer_set(&l->timer, after, 0.);
	ev_timer_start(l->exec->loop, &l->timer);
}

/* Connect to ctl. What it tells is true at this very moment, which is what the recovery table
 * builds upon: so a refusal is reported from here and nowhere else. */
static void
look_now(struct monitor_link *l)
{
	char name[RUNDIR_NAME], path[RUNDIR_NAME + 16];
	int fd;

	(void)snprintf(path, sizeof(path), RUNDIR_JOBS "/%s/" RUNDIR_CTL,
		       rundir_name(l->id, l->attempt, name));
	fd = sock_connect_at(l->exec->dir_fd, path, SOCK_SEQPACKET);
	if (fd >= 0) {
		chan_open(&l->chan, fd);
		l->state = ML_NEW;
		return;
	}
	if (fd == -ECONNREFUSED || fd == -ENOENT) {
		struct exec *x = l->exec;
		uint64_t id = l->id;
		uint32_t attempt = l->attempt;

		monitor_link_drop(l);
		x->ops.on_silent(x->arg, id, attempt);
		return;
	}
	exec_note(l->exec, LOG_LVL_DEBUG, l->id, l->attempt,
		  "connect to its monitor: %s; trying again", strerror(-fd));
	l->delay = l->delay * 2 > LOOK_MOST ? LOOK_MOST : l->delay * 2;
	look_later(l, l->delay);
}

static void
on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct monitor_link *l = container_of(w, struct monitor_link, timer);

	(void)loop, (void)revents;
	look_now(l); /* l may be gone */
}

static void
on_end_frame(struct monitor_link *l, const struct frame_end *f)
{
	struct result res;

	if (result_take(&res, &f->result, f->head.size - offsetof(struct frame_end, result), l->id,
			l->attempt) < 0) {
		exec_note(l->exec, LOG_LVL_ERR, l->id, l->attempt,
			  "its monitor sent a malformed result");
		return;
	}
	l->state = ML_DONE;
	l->exec->ops.on_end(l->exec->arg, &res);
}

static void
on_progress(struct monitor_link *l, const struct frame_progress *f)
{
	if (progress_check(&f->progress, sizeof(f->progress), l->id, l->attempt) < 0) {
		exec_note(l->exec, LOG_LVL_ERR, l->id, l->attempt,
			  "its monitor sent malformed progress");
		return;
	}
	l->exec->ops.on_progress(l->exec->arg, &f->progress);
}

/* Its end follows, and the evidence is looked at then. */
static void
on_unused(struct monitor_link *l, const struct frame_spawn_failed *f)
{
	l->exec->ops.on_spawn_failed(l->exec->arg, l->id, l->attempt, f->error,
				     (enum spawn_step)f->step);
}

static void
on_frame(struct chan *c, const struct frame_head *h)
{
	struct monitor_link *l = container_of(c, struct monitor_link, chan);
	struct exec *x = l->exec;
	const void *f = h;

	if (h->id != l->id || h->attempt != l->attempt) {
		exec_note(x, LOG_LVL_ERR, l->id, l->attempt,
			  "its monitor speaks of %ju.%u: ignored", (uintmax_t)h->id, h->attempt);
		return;
	}
	if (h->type == FRAME_HELLO) {
		l->state = ML_LIVE;
		x->ops.on_hello(x->arg, f);
	} else if (h->type == FRAME_SPAWN_FAILED && l->state != ML_LIVE) {
		on_unused(l, f);
	} else if (h->type == FRAME_STOPPING && l->state == ML_LIVE) {
		x->ops.on_stopping(x->arg, f);
	} else if (h->type == FRAME_PROGRESS && l->state == ML_LIVE) {
		on_progress(l, f);
	} else if (h->type == FRAME_EXTENDED && l->state == ML_LIVE) {
		x->ops.on_extended(x->arg, f);
	} else if (h->type == FRAME_END) {
		on_end_frame(l, f);
	} else {
		exec_note(x, LOG_LVL_WARN, l->id, l->attempt, "its monitor sent %s out of turn",
			  frame_type_name(h->type));
	}
}

static void
on_end(struct chan *c)
{
	struct monitor_link *l = container_of(c, struct monitor_link, chan);

	if (l->state == ML_DONE)
		monitor_link_drop(l);
	else if (l->state == ML_LIVE)
		look_later(l, 0.);
	else
		look_later(l, LOOK_AGAIN / 10);
}

static void
settled(struct chan *c)
{
	struct monitor_link *l = container_of(c, struct monitor_link, chan);

	if (l->state == ML_DROPPED)
		free(l);
}

static const struct chan_ops chan_ops = {on_frame, on_end, settled};

struct monitor_link *
monitor_link_new(struct exec *x, uint64_t id, uint32_t attempt, int fd)
{
	struct monitor_link *l = calloc(1, sizeof(*l));

	if (!l || map_insert(&x->links, id, &l->node) < 0) {
		free(l);
		if (fd >= 0)
			(void)close(fd);
		return NULL;
	}
	l->id = id;
	l->attempt = attempt;
	l->exec = x;
	l->delay = LOOK_AGAIN;
	chan_init(&l->chan, x->loop, &chan_ops);
	ev_init(&l->timer, on_timer);
	l->state = ML_LOOKING;
	if (fd >= 0) {
		l->state = ML_NEW;
		chan_open(&l->chan, fd);
	}
	return l;
}

void
monitor_link_drop(struct monitor_link *l)
{
	map_remove(&l->exec->links, &l->node);
	ev_timer_stop(l->exec->loop, &l->timer);
	chan_close(&l->chan);
	l->state = ML_DROPPED;
	if (!l->chan.busy)
		free(l);
}

void
monitor_link_look(struct monitor_link *l)
{
	look_later(l, 0.);
}
