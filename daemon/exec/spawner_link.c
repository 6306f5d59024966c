/* spawner_link.c - the connection to ctx-spawner, see spawner_link.h.
 *
 * Nothing is sent before WELCOME: it says that every frame of an earlier ctxd has been processed,
 * so what we look at afterwards no longer changes behind our back. In user mode the socket is bound
 * here and handed to the program as systemd would do it (descriptor 3, LISTEN_FDS=1): a connection
 * made right after the start cannot be refused. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "base/sock.h"
#include "base/text.h"
#include "exec/spawner_link.h"
#include "record/frame.h"
#include "record/spec.h"

#define DELAY_FIRST 0.05
#define DELAY_MOST 2.0
#define IDLE_EXIT "10" /* seconds that a spawner of ours stays with nothing to do */

extern char **environ;

static void
retry_later(struct spawner_link *l)
{
	l->state = SPL_DOWN;
	ev_timer_stop(l->chan.loop, &l->retry);
	ev_timer_set(&l->retry, l->delay, 0.);
	ev_timer_start(l->chan.loop, &l->retry);
	l->delay = l->delay * 2 > DELAY_MOST ? DELAY_MOST : l->delay * 2;
}

static void
say_once(struct spawner_link *l, int r, const char *what)
{
	if (!l->said)
		log_warn("%s: %s; new jobs wait, continuing to try", what, strerror(-r));
	l->said = true;
}

/* Environment of the spawner: ours, with the descriptor announced. Its jobs do not inherit it. */
static char **
spawner_environ(void)
{
	size_t n = 0, k = 0;
	char **e;

	while (environ[n])
		n++;
	e = calloc(n + 2, sizeof(*e));
	if (!e)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		if (strncmp(environ[i], "LISTEN_", 7) != 0 &&
		    strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0)
			e[k++] = environ[i];
	}
	e[k] = (char *)(uintptr_t) "LISTEN_FDS=1";
	return e;
}

/* Ours was raised, and a job may still use select(). It gets nothing to start before we connect, so
 * this is in time. */
static void
restore_nofile(const struct spawner_link *l, pid_t pid)
{
	struct rlimit rl;

	if (l->nofile == 0 || getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return;
	rl.rlim_cur = l->nofile;
	if (prlimit(pid, RLIMIT_NOFILE, &rl, NULL) < 0)
		log_warn("limit the descriptors of '%s': %s; continuing", l->program,
			 strerror(errno));
}

static int
spawn_program(struct spawner_link *l, int listen_fd)
{
	_free_ char **env = spawner_environ();
	char *argv[] = {l->program,
			(char *)(uintptr_t) "--runtime-dir",
			l->runtime_dir,
			(char *)(uintptr_t) "--idle-exit",
			(char *)(uintptr_t)IDLE_EXIT,
			NULL};
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t none, all;
	pid_t pid;
	int r;

	if (!env)
		return -ENOMEM;
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawn_file_actions_init(&fa);
	if (r)
		return -r;
	r = posix_spawnattr_init(&at);
	if (r)
		goto out_fa;
	r = posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDWR, 0);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&fa, 0, 1);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&fa, listen_fd, 3);
	if (!r)
		r = posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
							  POSIX_SPAWN_SETSIGDEF);
	if (!r)
		r = posix_spawnattr_setsigmask(&at, &none);
	if (!r)
		r = posix_spawnattr_setsigdefault(&at, &all);
	if (!r)
		r = posix_spawn(&pid, l->program, &fa, &at, argv, env);
	(void)posix_spawnattr_destroy(&at);
out_fa:
	(void)posix_spawn_file_actions_destroy(&fa);
	if (r)
		return err_raise(-r, "start '%s'", l->program);
	restore_nofile(l, pid);
	l->started = true;
	log_debug("started %s as pid %d", l->program, (int)pid);
	return 0;
}

/* Bind spawner.sock and start the program on it. */
static int
start_program(struct spawner_link *l, const char *path)
{
	_close_ int raw = sock_listen(path, SOCK_SEQPACKET, 0600, 64);
	_close_ int fd = -1;

	if (raw < 0)
		return raw;
	/* dup2 of a descriptor onto itself would leave it close-on-exec: keep it off 3. */
	fd = fcntl(raw, F_DUPFD_CLOEXEC, 10);
	if (fd < 0)
		return err_raise(-errno, "duplicate the spawner's socket");
	return spawn_program(l, fd);
}

static void
try_connect(struct spawner_link *l)
{
	_free_ char *path = text_format("%s/spawner.sock", l->runtime_dir);
	int fd;

	if (!path) {
		retry_later(l);
		return;
	}
	fd = sock_connect(path, SOCK_SEQPACKET);
	if ((fd == -ECONNREFUSED || fd == -ENOENT) && l->program) {
		int r = start_program(l, path);

		if (r < 0 && r != -EADDRINUSE) {
			say_once(l, r, "the spawner could not be started");
			retry_later(l);
			return;
		}
		fd = sock_connect(path, SOCK_SEQPACKET);
	}
	if (fd < 0) {
		say_once(l, fd, "no spawner answers");
		retry_later(l);
		return;
	}
	chan_open(&l->chan, fd);
	l->state = SPL_CONNECTED;
}

static void
on_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct spawner_link *l = container_of(w, struct spawner_link, retry);

	(void)loop, (void)revents;
	try_connect(l);
}

static void
welcome(struct spawner_link *l, const struct frame_welcome *w)
{
	struct frame_claim c;
	int r;

	frame_init(&c, FRAME_CLAIM, 0, 0, sizeof(c));
	memcpy(c.uuid, l->uuid, sizeof(c.uuid));
	c.last_seq = l->ops.last_seq(l->arg);
	l->flags = w->flags;
	l->pid = (pid_t)w->pid;
	r = chan_send(&l->chan, &c, sizeof(c), NULL, 0);
	if (r < 0)
		(void)err_pass(r);
	l->state = SPL_CLAIMING;
	CRASH_POINT("ctxd.claim.sent");
}

bool
spawner_link_is_old(const struct spawner_link *l)
{
	return frame_welcome_spec(l->flags) < SPEC_VERSION;
}

/* Where it is for us to start it, one that an older ctxd has left is asked to leave: its jobs go on
 * without it. One that we have started is what is installed. */
static void
replace_old(struct spawner_link *l)
{
	bool ours = l->program && !l->started && l->pid > 1 && l->pid != getpid();

	log_warn("the spawner is of an older version (it reads specs of version %u, and not %d): "
		 "running jobs go on, new ones wait until it is replaced%s, continuing",
		 frame_welcome_spec(l->flags), SPEC_VERSION, ours ? ", which is done now" : "");
	if (ours)
		(void)kill(l->pid, SIGTERM);
}

static void
claimed(struct spawner_link *l, const struct frame_claimed *c)
{
	l->state = SPL_UP;
	CRASH_POINT("ctxd.claimed.read");
	l->delay = DELAY_FIRST;
	l->said = false;
	if (spawner_link_is_old(l))
		replace_old(l);
	l->ops.on_up(l->arg, c->seen);
}

static void
refused(struct spawner_link *l)
{
	if (!l->said)
		log_err("the run directory %s belongs to another database: no job can be started. "
			"Use another --runtime-dir, or remove that directory once none of its jobs "
			"runs",
			l->runtime_dir);
	l->said = true;
}

static void
on_frame(struct chan *c, const struct frame_head *h)
{
	struct spawner_link *l = container_of(c, struct spawner_link, chan);

	if (h->type == FRAME_WELCOME && l->state == SPL_CONNECTED)
		welcome(l, (const struct frame_welcome *)(const void *)h);
	else if (h->type == FRAME_CLAIMED && l->state == SPL_CLAIMING)
		claimed(l, (const struct frame_claimed *)(const void *)h);
	else if (h->type == FRAME_REFUSED && l->state == SPL_CLAIMING)
		refused(l);
	else if (l->state == SPL_CLAIMING || l->state == SPL_UP)
		l->ops.on_frame(l->arg, h);
	else
		log_warn("the spawner sent %s out of turn", frame_type_name(h->type));
}

static void
on_end(struct chan *c)
{
	struct spawner_link *l = container_of(c, struct spawner_link, chan);
	bool was_up = l->state == SPL_UP || l->state == SPL_CLAIMING;

	retry_later(l);
	if (was_up)
		l->ops.on_down(l->arg);
}

static void
settled(struct chan *c)
{
	(void)c;
}

static const struct chan_ops chan_ops = {on_frame, on_end, settled};

int
spawner_link_init(struct spawner_link *l, struct ev_loop *loop, const char *runtime_dir,
		  const char *program, const uint8_t uuid[16], const struct spawner_link_ops *ops,
		  void *arg)
{
	*l = (struct spawner_link){
		.state = SPL_DOWN, .delay = DELAY_FIRST, .ops = *ops, .arg = arg};
	memcpy(l->uuid, uuid, sizeof(l->uuid));
	chan_init(&l->chan, loop, &chan_ops);
	ev_init(&l->retry, on_retry);
	l->runtime_dir = strdup(runtime_dir);
	l->program = program ? strdup(program) : NULL;
	if (!l->runtime_dir || (program && !l->program)) {
		spawner_link_done(l);
		return -ENOMEM;
	}
	return 0;
}

void
spawner_link_done(struct spawner_link *l)
{
	if (!l->chan.loop)
		return;
	ev_timer_stop(l->chan.loop, &l->retry);
	chan_close(&l->chan);
	free(l->runtime_dir);
	free(l->program);
	l->runtime_dir = l->program = NULL;
}

void
spawner_link_start(struct spawner_link *l)
{
	try_connect(l);
}

bool
spawner_link_spawned(struct spawner_link *l, const struct frame_spawned *f)
{
	bool lost = f->flags & SPAWNED_NO_CGROUP && l->flags & WELCOME_CGROUP;

	if (f->flags & SPAWNED_CGROUP)
		l->flags |= WELCOME_CGROUP;
	else if (f->flags & SPAWNED_NO_CGROUP)
		l->flags &= ~(uint32_t)WELCOME_CGROUP;
	return lost;
}

int
spawner_link_send(struct spawner_link *l, const void *frame, size_t size, const int *fds, size_t n)
{
	if (l->state != SPL_UP && l->state != SPL_CLAIMING)
		return -ENOTCONN;
	return chan_send(&l->chan, frame, size, fds, n);
}
