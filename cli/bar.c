/* bar.c - how far a job is, as one line at the bottom of the terminal. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/bar.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/out.h"
#include "cli/width.h"

enum { RETRY_MS = 250, WIDTH_MAX = 40, WIDTH_MIN = 10, TEXT_ROOM = 20 };

/* ---- the line */

static void
put_gauge(struct buf *out, double percent, size_t width)
{
	size_t full = (size_t)(percent * (double)width / 100);

	(void)buf_putc(out, '[');
	for (size_t i = 0; i < width; i++)
		(void)buf_putc(out, i < full ? '#' : '.');
	(void)buf_putc(out, ']');
}

int
bar_line(struct buf *out, uint64_t id, double percent, const char *text, size_t columns)
{
	_cleanup_(buf_done) struct buf line = {0};
	size_t used;

	percent = percent < 0 ? 0 : percent > 100 ? 100 : percent;
	(void)buf_printf(&line, "job %" PRIu64 " %3d%%", id, (int)percent);
	used = buf_len(&line) + 3; /* a blank and the brackets */
	if (columns >= used + WIDTH_MIN) {
		size_t room = columns - used, width = room;

		if (text && *text && room > WIDTH_MIN + TEXT_ROOM)
			width = room - TEXT_ROOM;
		(void)buf_putc(&line, ' ');
		put_gauge(&line, percent, width < WIDTH_MAX ? width : WIDTH_MAX);
	}
	if (text && *text) {
		(void)buf_putc(&line, ' ');
		(void)out_escape(&line, text, strlen(text));
	}
	if (line.failed)
		return line.failed;
	return buf_put(out, buf_head(&line),
		       width_prefix(buf_head(&line), buf_len(&line), columns));
}

static size_t
columns(void)
{
	struct winsize w;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
		return 80;
	return w.ws_col;
}

void
bar_draw(struct bar *b)
{
	_cleanup_(buf_done) struct buf line = {0};

	if (!b->used || !b->known || (b->drawn && !b->stale))
		return;
	/* The last column stays free: a terminal may go on to the next line by itself. */
	(void)buf_puts(&line, "\r\033[K");
	if (bar_line(&line, b->id, b->percent, b->text, columns() - 1) == 0)
		(void)file_write_full(STDERR_FILENO, buf_head(&line), buf_len(&line));
	b->drawn = true;
	b->stale = false;
}

void
bar_wipe(struct bar *b)
{
	static const char wipe[] = "\r\033[K";

	if (b->drawn)
		(void)file_write_full(STDERR_FILENO, wipe, sizeof(wipe) - 1);
	b->drawn = false;
}

/* ---- what the job tells */

/* PROGRESS of a Job or of an Event. */
static void
told(struct bar *b, const json_t *progress)
{
	const json_t *percent = json_object_get(progress, "percent");
	const char *text = json_string_value(json_object_get(progress, "text"));

	if (!json_is_number(percent))
		return;
	free(b->text);
	b->text = text ? strdup(text) : NULL;
	b->percent = json_number_value(percent);
	b->known = b->stale = true;
}

static void
took(struct bar *b, const json_t *reply)
{
	const json_t *events = json_object_get(reply, "events");

	told(b, json_object_get(json_object_get(reply, "job"), "progress"));
	for (size_t i = 0; i < json_array_size(events); i++)
		told(b, json_object_get(json_array_get(events, i), "progress"));
}

/* ---- the connection */

static void
drop(struct bar *b, const struct ctxd_failure *f)
{
	b->c = ctxd_close(b->c);
	b->retry = mono_add(mono_now(), (struct dur){RETRY_MS * NSEC_PER_MSEC});
	if (!b->connected || (f->code != CTXD_E_LOST && f->code != CTXD_E_UNREACHABLE &&
			      f->code != CTXD_E_NOT_READY))
		b->used = false;
}

/* How far it is, and then what changes. */
static void
open_it(struct bar *b)
{
	struct ctxd_failure f = {CTXD_E_MEMORY, ""};
	json_t *params = json_pack("{s:I, s:b, s:b}", "id", (json_int_t)b->id, "follow", true,
				   "progress", true);

	if (!params || conn_try(b->cli, &b->c, &f) < 0) {
		json_decref(params);
		drop(b, &f);
		return;
	}
	b->connected = true;
	if (ctxd_send(b->c, "Get", conn_id(b->id), 0, &f) < 0) {
		json_decref(params);
		drop(b, &f);
	} else if (ctxd_send(b->c, "Events", params, CTXD_CALL_MORE, &f) < 0) {
		drop(b, &f);
	}
}

void
bar_init(struct bar *b, const struct cli *cli, uint64_t id)
{
	*b = (struct bar){.cli = cli, .id = id, .used = out_err_is_terminal(), .retry = mono_now()};
}

void
bar_step(struct bar *b)
{
	struct mono due;

	if (bar_retries(b, &due) && mono_diff(due, mono_now()).ns <= 0)
		open_it(b);
	while (b->c) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;
		struct ctxd_failure f;
		int r = ctxd_poll(b->c, &reply, NULL, &f);

		if (r > 0)
			return;
		if (r < 0)
			drop(b, &f);
		else
			took(b, reply);
	}
}

int
bar_fd(const struct bar *b)
{
	return b->c ? ctxd_fd(b->c) : -1;
}

bool
bar_retries(const struct bar *b, struct mono *ret)
{
	*ret = b->retry;
	return b->used && !b->c;
}

void
bar_done(struct bar *b)
{
	bar_wipe(b);
	b->c = ctxd_close(b->c);
	free(b->text);
	b->text = NULL;
}
