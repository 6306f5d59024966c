/* conn.c - connections from ctxd, see conn.h.
 *
 * A ctxd that was killed may have left frames in its socket. The next one must not look at anything
 * before they are processed: so a connection gets WELCOME only when every older one has been read
 * to its end, and CLAIM closes the older ones after reading them once more. Answers go to whoever
 * asked, and nobody is waited for: a connection that does not read is closed, ctxd comes back and
 * looks at the evidence. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "record/about.h"
#include "record/frame.h"
#include "record/rundir.h"
#include "record/spec.h"
#include "spawner/cgroup.h"
#include "spawner/children.h"
#include "spawner/conn.h"
#include "spawner/jobs.h"
#include "spawner/launch.h"
#include "spawner/spawner.h"

enum { FRAMES_PER_WAKE = 32, DRAIN_WAKES = 64, MALFORMED_BURST = 10 };

static struct log_rate junk_rate, newer_rate;

static void
conn_close(struct conn *c)
{
	if (c->fd < 0)
		return;
	(void)close(c->fd);
	c->fd = -1;
	if (c->dirs)
		(void)closedir(c->dirs);
	c->dirs = NULL;
}

void
conn_add(struct spawner *s, int fd)
{
	if (s->n_conns == CONNS_MAX) {
		(void)conn_read(s, &s->conns[0]);
		conn_close(&s->conns[0]);
		conn_settle(s);
	}
	s->conns[s->n_conns++] =
		(struct conn){.fd = fd, .state = CONN_NEW, .serial = ++s->last_serial};
}

void
conn_settle(struct spawner *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n_conns; i++) {
		if (s->conns[i].fd >= 0)
			s->conns[kept++] = s->conns[i];
	}
	s->n_conns = kept;
}

/* A peer that is gone is noticed by reading: what it sent before is still to be processed. */
static int
conn_send(struct conn *c, const void *frame, size_t size)
{
	int r = c->fd < 0 ? -ENOTCONN : sock_send(c->fd, frame, size, NULL, 0);

	return r == -EPIPE || r == -ECONNRESET ? 0 : r;
}

static void
answer(struct conn *c, const void *frame, size_t size)
{
	int r = conn_send(c, frame, size);

	if (r < 0 && c->fd >= 0) {
		log_warn("ctxd does not take its answers: %s; closing its connection",
			 strerror(-r));
		conn_close(c);
	}
}

static void
reject(struct conn *c, const char *why)
{
	if (log_rate_ok(&junk_rate, MALFORMED_BURST))
		log_warn("a peer sent %s: connection closed", why);
	conn_close(c);
}

/* ---- CLAIM ---- */

static void
refuse(struct conn *c, const uint8_t uuid[16])
{
	struct frame_refused f;

	frame_init(&f, FRAME_REFUSED, 0, 0, sizeof(f));
	memcpy(f.uuid, uuid, sizeof(f.uuid));
	answer(c, &f, sizeof(f));
	log_err("the run directory belongs to another database: refused");
	conn_close(c);
}

/* Nobody else may act from now on. A reader is not endless: its queue is bounded, and what a living
 * one adds is cut off. */
static void
close_older(struct spawner *s, const struct conn *c)
{
	for (size_t i = 0; i < s->n_conns && s->conns[i].serial < c->serial; i++) {
		for (int n = 0; n < DRAIN_WAKES && !conn_read(s, &s->conns[i]); n++)
			;
		conn_close(&s->conns[i]);
	}
}

static void
claimed(struct spawner *s, struct conn *c)
{
	struct frame_claimed f;

	frame_init(&f, FRAME_CLAIMED, 0, 0, sizeof(f));
	f.seen = s->seen;
	(void)closedir(c->dirs);
	c->dirs = NULL;
	c->state = CONN_READY;
	answer(c, &f, sizeof(f));
	CRASH_POINT("spawner.claimed.sent");
}

/* One DIRS frame at a time, as fast as ctxd takes them. */
static void
list_on(struct spawner *s, struct conn *c)
{
	static union {
		struct frame_dirs f;
		char space[FRAME_MAX];
	} u;
	struct frame_dirs *f = &u.f;

	while (c->state == CONN_LISTING && c->fd >= 0) {
		long at = telldir(c->dirs);
		size_t size;
		int r;

		f->n = 0;
		while (f->n < FRAME_DIRS_MAX &&
		       jobs_list_next(s, c->dirs, &f->dir[f->n].id, &f->dir[f->n].attempt) > 0)
			f->dir[f->n++].pad = 0;
		if (f->n == 0) {
			claimed(s, c);
			return;
		}
		size = sizeof(*f) + f->n * sizeof(f->dir[0]);
		f->head = (struct frame_head){.magic = FRAME_MAGIC,
					      .version = FRAME_VERSION,
					      .type = FRAME_DIRS,
					      .size = (uint32_t)size};
		f->pad = 0;
		r = conn_send(c, f, size);
		if (r == -EAGAIN) {
			seekdir(c->dirs, at);
			return;
		}
		if (r < 0)
			conn_close(c);
	}
}

static void
on_claim(struct spawner *s, struct conn *c, const struct frame_claim *f)
{
	uint8_t uuid[16] = {0};
	int r;

	CRASH_POINT("spawner.claim.read");
	close_older(s, c);
	r = jobs_claim(s, f->uuid, f->last_seq, uuid);
	if (r == JOBS_E_FOREIGN) {
		refuse(c, uuid);
		return;
	}
	if (r == 0)
		r = jobs_list_open(s, &c->dirs);
	if (r < 0) {
		log_err("the run directory cannot be used: %s", strerror(-r));
		conn_close(c);
		return;
	}
	c->state = CONN_LISTING;
	list_on(s, c);
}

/* ---- the other frames ---- */

static void
on_spawn(struct spawner *s, struct conn *c, const struct frame_spawn *f, const int *fds,
	 size_t n_fds)
{
	enum spawn_step step = SPAWN_STEP_FRAME;
	uint64_t id = f->head.id;
	uint32_t attempt = f->head.attempt;
	pid_t pid = launch_spawn(s, f, fds, n_fds, &step);

	if (pid > 0) {
		struct frame_spawned ok;

		frame_init(&ok, FRAME_SPAWNED, id, attempt, sizeof(ok));
		ok.pid = (uint32_t)pid;
		if (s->cgroup_path)
			ok.flags = s->cgroup_missing ? SPAWNED_NO_CGROUP : SPAWNED_CGROUP;
		answer(c, &ok, sizeof(ok));
		CRASH_POINT("spawner.spawned.sent");
	} else {
		struct frame_spawn_failed failed;

		frame_init(&failed, FRAME_SPAWN_FAILED, id, attempt, sizeof(failed));
		failed.error = -pid;
		failed.step = step;
		answer(c, &failed, sizeof(failed));
		/* The run directory was wiped under us: to be claimed anew, which makes it again.
		 */
		if (step == SPAWN_STEP_DIR && pid == -ENOENT)
			conn_close(c);
	}
}

static void
remove_cgroup(const struct spawner *s, uint64_t id, uint32_t attempt, const struct strv *about)
{
	char name[RUNDIR_NAME];
	int r;

	if (s->cgroup_fd < 0)
		return;
	r = cgroup_remove(s->cgroup_fd, rundir_name(id, attempt, name));
	if (r == -EBUSY) {
		_close_ int fd = cgroup_open(s->cgroup_fd, name);

		if (fd >= 0)
			(void)cgroup_kill(fd);
		r = cgroup_remove(s->cgroup_fd, name);
	}
	if (r < 0)
		about_log(LOG_LVL_WARN, about, NULL,
			  "job %s: its cgroup cannot be removed: %s; continuing", name,
			  strerror(-r));
}

static void
on_forget(struct spawner *s, uint64_t id, uint32_t attempt)
{
	const struct strv *about = children_about(s, id, attempt);
	int r;

	CRASH_POINT("spawner.forget.read");
	r = jobs_remove(s, id, attempt, children_is_over(s, id, attempt));
	if (r < 0)
		about_log(LOG_LVL_WARN, about, NULL,
			  "job %ju.%u: its directory cannot be removed: %s; continuing",
			  (uintmax_t)id, attempt, strerror(-r));
	remove_cgroup(s, id, attempt, about);
	children_forget(s, id, attempt);
	CRASH_POINT("spawner.forget.done");
}

static void
on_job_frame(struct spawner *s, struct conn *c, const struct frame_head *h, const int *fds,
	     size_t n_fds)
{
	if (c->state != CONN_READY || h->id == 0 || h->attempt == 0 ||
	    (n_fds && h->type != FRAME_SPAWN)) {
		reject(c, frame_type_name(h->type));
		return;
	}
	if (h->type == FRAME_SPAWN)
		on_spawn(s, c, (const struct frame_spawn *)(const void *)h, fds, n_fds);
	else if (h->type == FRAME_FORGET)
		on_forget(s, h->id, h->attempt);
	else if (children_sweep(s, c->serial, h->id, h->attempt) < 0)
		conn_close(c);
}

static void
on_frame(struct spawner *s, struct conn *c, const struct frame_head *h, const int *fds,
	 size_t n_fds)
{
	switch (h->type) {
	case FRAME_CLAIM:
		if (c->state == CONN_WELCOMED && n_fds == 0)
			on_claim(s, c, (const struct frame_claim *)(const void *)h);
		else
			reject(c, "CLAIM out of turn");
		break;
	case FRAME_SPAWN:
	case FRAME_SWEEP:
	case FRAME_FORGET:
		on_job_frame(s, c, h, fds, n_fds);
		break;
	default:
		reject(c, frame_type_name(h->type));
		break;
	}
}

/* What came was to bring descriptors, and there was room for none: so a job is not lost over it. */
static void
on_cut_off(struct conn *c, const struct frame_head *h, size_t room)
{
	struct frame_spawn_failed f;

	if (h->size > room || frame_check(h, h->size) < 0 || h->type != FRAME_SPAWN ||
	    c->state != CONN_READY) {
		reject(c, "descriptors for which there is no room");
		return;
	}
	if (log_rate_ok(&junk_rate, MALFORMED_BURST))
		log_warn("job=%ju.%u cannot be started: %s", (uintmax_t)h->id, h->attempt,
			 strerror(EMFILE));
	frame_init(&f, FRAME_SPAWN_FAILED, h->id, h->attempt, sizeof(f));
	f.error = EMFILE;
	f.step = SPAWN_STEP_FRAME;
	answer(c, &f, sizeof(f));
}

bool
conn_read(struct spawner *s, struct conn *c)
{
	/* CLAIM reads older connections while its own frame is in hand: so what we act on is a
	 * copy, the size of the largest frame that is for us. */
	static _Alignas(uint64_t) char frame[FRAME_MAX];
	union {
		struct frame_head head;
		struct frame_claim claim;
		struct frame_spawn spawn;
	} f;

	for (int i = 0; i < FRAMES_PER_WAKE && c->fd >= 0; i++) {
		int fds[SOCK_MAX_FDS];
		size_t n_fds = ARRAY_SIZE(fds);
		ssize_t n;
		int r;

		memset(frame, 0, sizeof(f.head));
		n = sock_recv(c->fd, frame, sizeof(frame), fds, &n_fds);
		if (n == -EAGAIN)
			return true;
		if (n == -ECONNRESET) /* said once; what was sent before is still to come */
			continue;
		if (n == -EMFILE) {
			memcpy(&f, frame, sizeof(f));
			on_cut_off(c, &f.head, sizeof(f));
			continue;
		}
		if (n == 0) {
			conn_close(c);
			break;
		}
		if (n < 0) {
			reject(c, strerror((int)-n));
			break;
		}
		r = frame_check(frame, (size_t)n);
		memcpy(&f, frame, (size_t)n < sizeof(f) ? (size_t)n : sizeof(f));
		if (r == 0)
			on_frame(s, c, &f.head, fds, n_fds);
		else if (r != -EPROTONOSUPPORT)
			reject(c, "a malformed frame");
		else if (log_rate_ok(&newer_rate, MALFORMED_BURST))
			log_warn("a frame of version %u, type %u is not known here: skipped",
				 f.head.version, f.head.type);
		for (size_t k = 0; k < n_fds; k++)
			(void)close(fds[k]);
	}
	return c->fd < 0;
}

void
conn_write(struct spawner *s, struct conn *c)
{
	list_on(s, c);
}

static uint32_t
controller_flags(uint32_t enforced)
{
	return (enforced & SPEC_LIMIT_MEMORY_MAX ? WELCOME_MEMORY : 0u) |
	       (enforced & SPEC_LIMIT_CPU_MAX ? WELCOME_CPU : 0u) |
	       (enforced & SPEC_LIMIT_PIDS_MAX ? WELCOME_PIDS : 0u) |
	       (enforced & SPEC_LIMIT_IO_WEIGHT ? WELCOME_IO : 0u);
}

static void
welcome(struct spawner *s, struct conn *c)
{
	struct frame_welcome f;

	frame_init(&f, FRAME_WELCOME, 0, 0, sizeof(f));
	f.pid = (uint32_t)getpid();
	f.flags = (s->system ? WELCOME_SYSTEM : 0) | (s->allow_root ? WELCOME_ALLOW_ROOT : 0) |
		  (s->cgroup_fd >= 0 && !s->cgroup_missing ? WELCOME_CGROUP : 0) |
		  controller_flags(s->controllers) | WELCOME_SPEC(SPEC_VERSION);
	c->state = CONN_WELCOMED;
	answer(c, &f, sizeof(f));
}

void
conn_welcome(struct spawner *s)
{
	bool drained = true;

	for (size_t i = 0; i < s->n_conns && drained; i++) {
		struct conn *c = &s->conns[i];

		if (c->fd >= 0 && c->state == CONN_NEW)
			welcome(s, c);
		/* Only asked for the sake of a newer one that waits. */
		if (i + 1 < s->n_conns && s->conns[s->n_conns - 1].state == CONN_NEW)
			drained = conn_read(s, c);
	}
}

void
conn_swept(struct spawner *s, uint64_t serial, uint64_t id, uint32_t attempt, uint32_t flags,
	   uint32_t killed)
{
	struct frame_swept f;

	for (size_t i = 0; i < s->n_conns; i++) {
		struct conn *c = &s->conns[i];

		if (c->serial != serial || c->fd < 0)
			continue;
		frame_init(&f, FRAME_SWEPT, id, attempt, sizeof(f));
		f.flags = flags;
		f.killed = killed;
		answer(c, &f, sizeof(f));
		CRASH_POINT("spawner.swept.sent");
	}
}
