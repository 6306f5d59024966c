/* cmd_progress.c - a job says how far it is.
 *
 * To its monitor, over the notify socket, as any program that knows sd_notify does; so it is known
 * also while ctxd is down. Where there is no such socket, to ctxd. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

enum { BARRIER_MS = 5000, TEXT_MAX = 255 };

struct options {
	bool ready;
	/* Of the words. */
	bool has_percent;
	double percent;
	const char *text;
};
static const struct options_def defs[] = {
	{"ready", 0, NULL, "say also that it is ready: whatever it had to set up is there",
	 OPTIONS_FLAG, offsetof(struct options, ready)},
};
static const struct options_spec spec = {
	"[--ready] [PERCENT] [TEXT]",
	"Inside a job: say how far it is (0 to 100) and what it is doing. `ctxctl status` shows "
	"it,\n"
	"whoever follows the job sees a bar, and when something dies the last word of the job is "
	"kept with\n"
	"its record. What is not given stays. A program can say the same itself through "
	"$NOTIFY_SOCKET, as\n"
	"with sd_notify.",
	"  ctxctl progress 40 'page 400 of 1000'\n"
	"  ctxctl progress --ready",
	defs,
	ARRAY_SIZE(defs),
	false,
};

/* ---- over the notify socket */

static int
unreachable(const char *path, int r)
{
	char text[200];

	out_error("cannot tell the monitor of this job (NOTIFY_SOCKET is %s): %s",
		  text_escape(path, text, sizeof(text)), strerror(-r));
	return EXITCODE_FAILED;
}

/* The monitor closes what comes with BARRIER=1 when it has taken in all before it. 0 or -errno. */
static int
barrier(int fd)
{
	static const char word[] = "BARRIER=1";
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	r = sock_send(fd, word, sizeof(word) - 1, &ends[1], 1);
	(void)close(ends[1]);
	if (r == 0) {
		struct pollfd p = {.fd = ends[0], .events = POLLHUP};
		int n = poll(&p, 1, BARRIER_MS);

		r = n < 0 ? -errno : n == 0 ? -ETIMEDOUT : 0;
	}
	(void)close(ends[0]);
	return r;
}

/* Waits a little when the monitor is behind. */
static int
send_all(int fd, const char *p, size_t n)
{
	for (int waited = 0;;) {
		struct pollfd w = {.fd = fd, .events = POLLOUT};
		int r = sock_send(fd, p, n, NULL, 0);

		if (r != -EAGAIN || waited++ > 0)
			return r;
		(void)poll(&w, 1, BARRIER_MS);
	}
}

static int
notify(const char *path, const struct options *o)
{
	_cleanup_(buf_done) struct buf b = {0};
	_close_ int fd = -1;
	int r;

	if (o->has_percent)
		(void)buf_printf(&b, "X_CTX_PERCENT=%.3f\n", o->percent);
	if (o->text)
		(void)buf_printf(&b, "STATUS=%s\n", o->text);
	if (o->ready)
		(void)buf_puts(&b, "READY=1\n");
	if (b.failed)
		return unreachable(path, b.failed);
	fd = sock_connect(path, SOCK_DGRAM);
	if (fd < 0)
		return unreachable(path, fd);
	r = send_all(fd, buf_head(&b), buf_len(&b));
	if (r == 0)
		r = barrier(fd);
	return r < 0 ? unreachable(path, r) : EXITCODE_OK;
}

/* ---- to ctxd */

static int
tell(const struct cli *cli, uint64_t id, const struct options *o)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	_cleanup_(conn_jsonp) json_t *reply = NULL;
	json_t *params;
	int r;

	if (o->ready)
		return options_wrong(cli, "--ready can be said over the notify socket only, but "
					  "NOTIFY_SOCKET is not set");
	r = conn_open(cli, &c);
	if (r)
		return r;
	params = json_pack("{s:I, s:s*}", "id", (json_int_t)id, "text", o->text);
	if (params && o->has_percent &&
	    json_object_set_new(params, "percent", json_real(o->percent)) < 0) {
		json_decref(params);
		return conn_no_memory(cli);
	}
	return conn_call(cli, c, "Progress", params, &reply);
}

/* ---- the words */

/* `40`, `12.5`, `40%`: no sign, no exponent. */
static bool
is_percent(const char *s, double *ret)
{
	size_t n = strspn(s, "0123456789"), frac = 0;

	if (n == 0 || n > 3)
		return false;
	if (s[n] == '.') {
		frac = strspn(s + n + 1, "0123456789");
		if (frac == 0)
			return false;
		frac++;
	}
	if (s[n + frac] != '\0' && strcmp(s + n + frac, "%") != 0)
		return false;
	*ret = strtod(s, NULL);
	return true;
}

static int
take_text(const struct cli *cli, struct options *o, const char *s)
{
	size_t n = strlen(s);

	if (n > TEXT_MAX)
		return options_wrong(cli, "the text has %zu bytes; at most %d are kept", n,
				     TEXT_MAX);
	if (!text_utf8_valid(s, n, NULL))
		return options_wrong(cli, "the text is not UTF-8");
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return options_wrong(cli, "the text is to be one line, without control "
						  "characters");
	o->text = s;
	return 0;
}

static int
take_words(const struct cli *cli, struct options *o, int argc, char **argv)
{
	char text[80];

	if (argc > 2)
		return options_wrong(cli, "too many words; quote the text");
	if (argc > 0)
		o->has_percent = is_percent(argv[0], &o->percent);
	if (o->has_percent && o->percent > 100)
		return options_wrong(cli, "'%s' is more than 100 percent",
				     text_escape(argv[0], text, sizeof(text)));
	if (argc == 2 && !o->has_percent)
		return options_wrong(cli, "'%s' is no percentage; quote the text",
				     text_escape(argv[0], text, sizeof(text)));
	if (argc == 0 && !o->ready)
		return options_wrong(cli, "what? A percentage, a text, or both");
	return argc > o->has_percent ? take_text(cli, o, argv[argc - 1]) : 0;
}

int
cmd_progress(struct cli *cli, int argc, char **argv)
{
	const char *word = getenv("CTX_ID"), *path = getenv("NOTIFY_SOCKET");
	struct options o = {.ready = false};
	uint64_t id;
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (cli->host)
		return options_wrong(cli,
				     "it tells of the job that it runs in, so -H is not for it");
	r = take_words(cli, &o, argc, argv);
	if (r)
		return r;
	if (!word || text_u64(word, &id) < 0 || id == 0 || id > INT64_MAX) {
		out_error("progress: this does not run inside a job (CTX_ID is %s)",
			  word ? "no id" : "not set");
		return EXITCODE_FAILED;
	}
	return path && *path ? notify(path, &o) : tell(cli, id, &o);
}
