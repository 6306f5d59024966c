/* input.c - the standard input that a job is to get. It is sent while it is read, so that ctxd ends
 * what has no end; the copy is for a second time. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/input.h"
#include "cli/out.h"

enum { PIECE = 96 << 10 }; /* 128 KiB in base64: below any limit of messages that is of use */

static int
failed(const struct cli *cli, const char *what, int r)
{
	out_error("--stdin: cannot %s: %s", what, strerror(-r));
	return cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED;
}

/* In a directory for temporary files, or where there is none, in memory. */
static int
nameless(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir && *dir ? dir : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("stdin", MFD_CLOEXEC);
}

int
input_open(const struct cli *cli, const char *path, struct input *ret)
{
	struct input in = {.given = true, .from = STDIN_FILENO, .own = -1};
	int r;

	if (strcmp(path, "-") != 0)
		in.from = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (in.from < 0) {
		char text[200];

		r = errno;
		out_error("--stdin: %s: %s", text_escape(path, text, sizeof(text)), strerror(r));
		return cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED;
	}
	in.own = nameless();
	if (in.own < 0) {
		r = failed(cli, "keep a copy", -errno);
		input_done(&in);
		return r;
	}
	*ret = in;
	return 0;
}

void
input_done(struct input *in)
{
	if (!in->given)
		return;
	if (in->from > STDIN_FILENO)
		(void)close(in->from);
	if (in->own >= 0)
		(void)close(in->own);
	*in = (struct input){.from = -1, .own = -1};
}

/* The next piece from AT on, from the copy or else from where it comes. Bytes, 0 at the end; or an
 * exit code in *RET_EXIT. */
static size_t
next_piece(const struct cli *cli, struct input *in, int64_t at, char *p, int *ret_exit)
{
	ssize_t n;
	int r;

	if (at < in->size) {
		n = pread(in->own, p, PIECE, at);
		if (n > 0)
			return (size_t)n;
		*ret_exit = failed(cli, "read the copy", n < 0 ? -errno : -EIO);
		return 0;
	}
	if (in->ended)
		return 0;
	n = file_read_full(in->from, p, PIECE);
	if (n < 0) {
		*ret_exit = failed(cli, "read", (int)n);
		return 0;
	}
	in->ended = n < PIECE;
	r = lseek(in->own, in->size, SEEK_SET) < 0 ? -errno
						   : file_write_full(in->own, p, (size_t)n);
	if (r < 0) {
		*ret_exit = failed(cli, "keep a copy", r);
		return 0;
	}
	in->size += n;
	return (size_t)n;
}

/* SPOOL 0: the first piece. */
static json_t *
params(const char *p, size_t n, int64_t spool)
{
	_cleanup_(buf_done) struct buf b = {0};
	struct jw j;
	json_t *v;

	jw_init(&j, &b);
	jw_base64(&j, NULL, p, n);
	if (b.failed || buf_len(&b) < 2)
		return NULL;
	v = json_pack("{s:o}", "data", json_stringn_nocheck(buf_head(&b) + 1, buf_len(&b) - 2));
	if (v && spool && json_object_set_new(v, "spool", json_integer(spool)) < 0) {
		json_decref(v);
		return NULL;
	}
	return v;
}

int
input_send(const struct cli *cli, struct input *in, struct ctxd_client *c, int64_t *ret_spool,
	   struct ctxd_failure *f)
{
	_free_ char *piece = malloc(PIECE);
	int64_t spool = 0;

	if (!piece)
		return conn_no_memory(cli);
	for (int64_t at = 0;;) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;
		int exit_code = 0;
		size_t n = next_piece(cli, in, at, piece, &exit_code);
		json_t *p;

		if (exit_code)
			return exit_code;
		if (n == 0 && spool)
			break;
		p = params(piece, n, spool);
		if (!p)
			return conn_no_memory(cli);
		if (ctxd_call(c, "Spool", p, &reply, f) < 0)
			return -1;
		spool = json_integer_value(json_object_get(reply, "spool"));
		if (spool <= 0)
			return conn_strange(cli, "spool");
		at += (int64_t)n;
		if (n == 0)
			break; /* an empty one */
	}
	*ret_spool = spool;
	return 0;
}
