/* cmd_bridge.c - the standard input and output to ctxd's socket: the far end of `ctxctl -H HOST`,
 * and of any Varlink client that can start a command.
 *
 * With --hello a first message, in the form of a reply, says what the near end cannot know: who
 * this is, and the directory, the umask and the environment that a submission made here would
 * have. The near end is then one that is gone when its input ends, which ctxd has to see whatever
 * ssh makes of it: jobs may be bound to this connection. */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/relay.h"
#include "cli/user.h"
#include "varlink/varlink.h"

extern char **environ;

struct options {
	bool hello;
	const char *uid_of;
};
static const struct options_def defs[] = {
	{"hello", 0, NULL, "say first who and where this is, for `ctxctl -H`", OPTIONS_FLAG,
	 offsetof(struct options, hello)},
	{"uid-of", 0, "USER", "with --hello: say also which uid this user has here", OPTIONS_STRING,
	 offsetof(struct options, uid_of)},
};
static const struct options_spec spec = {
	"[OPTIONS]",
	"Connect the standard input and output with ctxd's socket, until one side ends. "
	"`ctxctl -H HOST`\n"
	"starts it over ssh; so can any program that speaks Varlink (ctxd-protocol(7)).",
	"  ctxctl bridge",
	defs,
	ARRAY_SIZE(defs),
	false,
};

/* ---- the first message */

static void
write_env(struct jw *j)
{
	jw_obj_open(j, "env");
	for (char **e = environ; e && *e; e++) {
		size_t len = strlen(*e), n = strcspn(*e, "=");
		_free_ char *name = NULL;

		if (n == 0 || n == len || !text_utf8_valid(*e, len, NULL))
			continue;
		name = strndup(*e, n);
		if (name)
			jw_str(j, name, *e + n + 1);
	}
	jw_obj_close(j);
}

static int
hello(const struct options *o, struct buf *out)
{
	_free_ char *cwd = getcwd(NULL, 0);
	char host[256] = "";
	mode_t mask = umask(0);
	uint32_t uid;
	struct jw j;

	(void)umask(mask);
	(void)gethostname(host, sizeof(host) - 1);
	varlink_reply_open(&j, out);
	jw_str(&j, "version", CTX_VERSION);
	jw_str(&j, "host", host);
	jw_int(&j, "uid", getuid());
	jw_str(&j, "cwd",
	       cwd && cwd[0] == '/' && text_utf8_valid(cwd, strlen(cwd), NULL) ? cwd : "/");
	jw_int(&j, "umask", mask);
	if (o->uid_of && user_find(o->uid_of, &uid) == 0)
		jw_int(&j, "uid_of", uid);
	write_env(&j);
	varlink_reply_close(&j, false);
	return out->failed;
}

int
cmd_bridge(struct cli *cli, int argc, char **argv)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(buf_done) struct buf first = {0};
	struct options o = {.hello = false};
	const char *what = NULL;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc > 0)
		return options_wrong(cli, "no words are expected");
	if (cli->host)
		return options_wrong(cli, "it is started there by -H; by itself it is for this "
					  "machine");
	r = conn_open(cli, &c);
	if (r)
		return r;
	if (o.hello && hello(&o, &first) < 0)
		return conn_no_memory(cli);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return conn_no_memory(cli);
	r = relay(&(struct relay){ctxd_fd(c), buf_head(&first), buf_len(&first), o.hello}, &what);
	if (r == 0)
		return EXITCODE_OK;
	out_error("bridge: %s failed: %s", what, strerror(-r));
	return EXITCODE_FAILED;
}
