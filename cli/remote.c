/* remote.c - the ctxd of another machine, over ssh.
 *
 * ssh gets one end of a socketpair as its standard input and output. It ignores SIGINT and SIGHUP:
 * they are for ctxctl, which may have to tell ctxd of them over this very connection; when ctxctl
 * is gone, so is ssh. What ssh and the other ctxctl say goes to the standard error as it is; how
 * ssh ended is what a failure is made of. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/out.h"
#include "cli/remote.h"

enum {
	LATER_MS = 30 * 1000, /* limit for a connection that is not the first */
	LOOK_MS = 100,        /* how often pending signals are looked for */
	PAUSE_MS = 1000,      /* between the starts of two that fail */
	END_MS = 10 * 1000,   /* for ssh to end once its connection has */
	SSH_FAILED = 255,
	NOT_FOUND = 127,
};

struct remote {
	char *command;              /* run there; owned */
	char *self;                 /* "ctxctl -H HOST"; owned */
	const char *user;           /* whose uid is asked for; NULL: nobody's */
	struct ctxd_client *parked; /* of remote_meet; owned */
	json_t *hello;              /* owned; NULL: not known yet */
	pid_t *pids;                /* of ssh, not waited for yet; owned */
	size_t n;
	bool met; /* there was a connection */
	bool failed;
	struct mono started; /* the last one */
};

/* ---- the host */

/* A host that began with a dash would be an option of ssh. */
static int
check_host(const char *host)
{
	const char *at = strrchr(host, '@'), *name = host;
	char text[160];

	if (strncmp(name, "ssh://", strlen("ssh://")) == 0)
		name += strlen("ssh://");
	if (*name && name[0] != '-' && (!at || (at[1] && at[1] != '-' && at != name)) &&
	    strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
			 "._-@:/[]%+") == strlen(host))
		return 0;
	out_error("-H: '%s' is no [USER@]HOST", text_escape(host, text, sizeof(text)));
	out_say("Try `ctxctl --help`.");
	return EXITCODE_USAGE;
}

/* For a shell there: its daemon is chosen as it would be here. */
static int
write_command(const struct cli *cli, const char *user, struct buf *b)
{
	(void)buf_puts(b, "ctxctl ");
	if (cli->user || cli->system)
		(void)buf_puts(b, cli->user ? "--user " : "--system ");
	if (cli->socket) {
		(void)buf_puts(b, "--socket ");
		(void)text_shell_quote(b, cli->socket);
		(void)buf_putc(b, ' ');
	}
	(void)buf_puts(b, "bridge --hello");
	if (user) {
		(void)buf_puts(b, " --uid-of ");
		(void)text_shell_quote(b, user);
	}
	return buf_putc(b, '\0');
}

int
remote_init(struct cli *cli)
{
	struct remote *x;
	int r = check_host(cli->host);

	if (r)
		return r;
	x = calloc(1, sizeof(*x));
	if (!x)
		return conn_no_memory(cli);
	cli->remote = x;
	x->self = text_format("ctxctl -H %s", cli->host);
	if (!x->self)
		return conn_no_memory(cli);
	cli->self = x->self;
	return 0;
}

/* Wait for PID, which has no connection any more, and do not wait long: its status. */
static int
end_ssh(pid_t pid)
{
	_close_ int fd = pidfd_open(pid, 0);
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int status = 0;

	if (fd >= 0 && poll(&p, 1, END_MS) <= 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	return status;
}

void
remote_done(struct cli *cli)
{
	struct remote *x = cli->remote;

	if (!x)
		return;
	x->parked = ctxd_close(x->parked);
	for (size_t i = 0; i < x->n; i++)
		(void)kill(x->pids[i], SIGTERM);
	for (size_t i = 0; i < x->n; i++)
		(void)end_ssh(x->pids[i]);
	json_decref(x->hello);
	free(x->pids);
	free(x->command);
	free(x->self);
	free(x);
	cli->remote = NULL;
	cli->self = "ctxctl";
}

void
remote_ask_uid(const struct cli *cli, const char *user)
{
	cli->remote->user = user;
}

/* ---- ssh */

/* In the child; does not return. */
static void
exec_ssh(const char *host, const char *command, int fd, pid_t parent)
{
	const char *own = getenv("CTXD_SSH");
	const char *const plain[] = {"ssh", "-T", "--", host, command, NULL};
	const char *const shell[] = {"sh", "-c", NULL, own, "--", host, command, NULL};
	const char *argv[ARRAY_SIZE(shell)];
	_free_ char *line = NULL;
	sigset_t none;

	sigemptyset(&none);
	(void)signal(SIGINT, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
		_exit(SSH_FAILED);
	if (dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
		_exit(SSH_FAILED);
	memcpy(argv, shell, sizeof(argv));
	if (own && *own) {
		line = text_format("%s \"$@\"", own);
		argv[2] = line;
		if (line)
			(void)execv("/bin/sh", (char *const *)(uintptr_t)argv);
	} else {
		(void)execvp("ssh", (char *const *)(uintptr_t)plain);
	}
	out_error("cannot run ssh: %s", strerror(errno));
	_exit(SSH_FAILED);
}

/* Forget those that have ended. */
static void
reap(struct remote *x)
{
	size_t n = 0;

	for (size_t i = 0; i < x->n; i++)
		if (waitpid(x->pids[i], NULL, WNOHANG) == 0)
			x->pids[n++] = x->pids[i];
	x->n = n;
}

/* The connection to a new ssh, or -errno. */
static int
start_ssh(const struct cli *cli)
{
	struct remote *x = cli->remote;
	pid_t *pids, self = getpid(), pid;
	int ends[2], r;

	reap(x);
	pids = reallocarray(x->pids, x->n + 1, sizeof(*pids));
	if (!pids)
		return -ENOMEM;
	x->pids = pids;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	x->started = mono_now();
	pid = fork();
	if (pid == 0)
		exec_ssh(cli->host, x->command, ends[1], self);
	r = pid < 0 ? -errno : ends[0];
	(void)close(ends[1]);
	if (pid < 0)
		(void)close(ends[0]);
	else
		x->pids[x->n++] = pid;
	return r;
}

/* ---- what went wrong */

static int
set_failure(struct ctxd_failure *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int
set_failure(struct ctxd_failure *f, const char *fmt, ...)
{
	va_list ap;

	f->code = CTXD_E_UNREACHABLE;
	va_start(ap, fmt);
	(void)vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	return -1;
}

/* There was no hello; F is what the connection says of it. The ssh is ended. */
static int
explain(const struct cli *cli, struct ctxd_failure *f)
{
	struct remote *x = cli->remote;
	pid_t pid = x->pids[--x->n];
	int status;

	if (f->code != CTXD_E_LOST)
		(void)kill(pid, SIGTERM);
	status = end_ssh(pid);
	if (f->code == CTXD_E_PROTOCOL)
		return set_failure(f,
				   "cannot reach ctxd at %s: what came first was no answer of "
				   "`ctxctl bridge`; does a start-up file of the shell there print "
				   "something?",
				   cli->host);
	if (f->code != CTXD_E_LOST)
		return -1;
	if (!WIFEXITED(status))
		return set_failure(f, "cannot reach %s: ssh was ended by a signal", cli->host);
	switch (WEXITSTATUS(status)) {
	case SSH_FAILED:
		return set_failure(f, "cannot reach %s: ssh failed", cli->host);
	case NOT_FOUND:
		return set_failure(f,
				   "cannot reach ctxd at %s: there is no ctxctl in the PATH of "
				   "commands that ssh runs there",
				   cli->host);
	case EXITCODE_USAGE:
		return set_failure(f,
				   "cannot reach ctxd at %s: the ctxctl there is of another "
				   "version and has no `bridge --hello`",
				   cli->host);
	case EXITCODE_UNREACHABLE:
		return set_failure(f, "cannot reach ctxd at %s: the ctxctl there cannot, either",
				   cli->host);
	default:
		return set_failure(f,
				   "cannot reach ctxd at %s: `ctxctl bridge` ended there before it "
				   "had connected",
				   cli->host);
	}
}

/* ---- connections */

/* Those that this process has blocked, and will act upon once it may. */
static bool
signal_waits(void)
{
	sigset_t set;

	return sigpending(&set) == 0 &&
	       (sigismember(&set, SIGINT) == 1 || sigismember(&set, SIGTERM) == 1 ||
		sigismember(&set, SIGHUP) == 1);
}

/* Milliseconds until the next look, at most LOOK_MS; 0: the time is over, or a signal waits. */
static int
patience(const struct remote *x, struct mono until)
{
	int64_t left = mono_diff(until, mono_now()).ns / NSEC_PER_MSEC;

	if (signal_waits() || (x->met && left <= 0))
		return 0;
	return x->met && left < LOOK_MS ? (int)left : LOOK_MS;
}

static int
listen_to(const struct cli *cli, struct ctxd_client *c, json_t **ret, struct ctxd_failure *f)
{
	const struct remote *x = cli->remote;
	struct mono until = mono_add(mono_now(), (struct dur){LATER_MS * (int64_t)NSEC_PER_MSEC});

	for (;;) {
		struct pollfd p = {.fd = ctxd_fd(c), .events = POLLIN};
		int r = ctxd_poll(c, ret, NULL, f), ms;

		if (r <= 0)
			return r;
		ms = patience(x, until);
		if (ms == 0)
			return set_failure(f, "cannot reach %s: no answer over ssh in time",
					   cli->host);
		(void)poll(&p, 1, ms);
	}
}

/* Not one after the other as fast as they fail. */
static void
pause_between(const struct remote *x)
{
	struct mono until = mono_add(x->started, (struct dur){PAUSE_MS * (int64_t)NSEC_PER_MSEC});

	while (x->failed && !signal_waits()) {
		int64_t left = mono_diff(until, mono_now()).ns / NSEC_PER_MSEC;

		if (left <= 0)
			return;
		(void)poll(NULL, 0, left < LOOK_MS ? (int)left : LOOK_MS);
	}
}

static int
greet(const struct cli *cli, struct ctxd_client *c, struct ctxd_failure *f)
{
	struct remote *x = cli->remote;
	json_t *hello = NULL;
	int r = listen_to(cli, c, &hello, f);

	if (r < 0)
		return explain(cli, f);
	if (!json_is_object(json_object_get(hello, "env")) ||
	    !json_is_string(json_object_get(hello, "cwd"))) {
		json_decref(hello);
		f->code = CTXD_E_PROTOCOL;
		return explain(cli, f);
	}
	json_decref(x->hello);
	x->hello = hello;
	x->met = true;
	return 0;
}

static int
prepare(const struct cli *cli)
{
	struct remote *x = cli->remote;
	_cleanup_(buf_done) struct buf b = {0};

	if (!x->command && write_command(cli, x->user, &b) == 0)
		x->command = strdup(buf_head(&b));
	return x->command ? 0 : -ENOMEM;
}

int
remote_open(const struct cli *cli, struct ctxd_client **ret, struct ctxd_failure *f)
{
	struct remote *x = cli->remote;
	struct ctxd_client *c = NULL;
	int fd;

	if (x->parked) {
		*ret = take_ptr(x->parked);
		return 0;
	}
	pause_between(x);
	fd = prepare(cli);
	if (fd == 0)
		fd = start_ssh(cli);
	if (fd < 0)
		return set_failure(f, "cannot start ssh to %s", cli->host);
	if (ctxd_open_fd(fd, cli->host, &c, f) < 0)
		return -1;
	x->failed = greet(cli, c, f) < 0;
	if (x->failed)
		(void)ctxd_close(c);
	else
		*ret = c;
	return x->failed ? -1 : 0;
}

int
remote_meet(const struct cli *cli)
{
	struct ctxd_failure f;

	if (cli->remote->hello)
		return 0;
	return remote_open(cli, &cli->remote->parked, &f) < 0 ? conn_fail(cli, &f) : 0;
}

/* ---- the first message */

static const json_t *
said(const struct cli *cli, const char *key)
{
	return json_object_get(cli->remote->hello, key);
}

const json_t *
remote_env(const struct cli *cli)
{
	return said(cli, "env");
}

const char *
remote_cwd(const struct cli *cli)
{
	return json_string_value(said(cli, "cwd"));
}

int64_t
remote_umask(const struct cli *cli)
{
	return json_integer_value(said(cli, "umask"));
}

int64_t
remote_uid(const struct cli *cli)
{
	return json_integer_value(said(cli, "uid"));
}

bool
remote_uid_of(const struct cli *cli, uint32_t *ret)
{
	const json_t *uid = said(cli, "uid_of");
	json_int_t v = json_integer_value(uid);

	if (!json_is_integer(uid) || v < 0 || v >= UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}
