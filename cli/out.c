/* out.c - the two outputs of ctxctl. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/out.h"

enum { OUT_LARGE = 64 << 10 };

static struct buf data;
static int failed; /* negative errno of the first failed write */

static void
written(void)
{
	int r = data.failed;

	if (r == 0 && failed == 0 && buf_len(&data) > 0)
		r = file_write_full(STDOUT_FILENO, buf_head(&data), buf_len(&data));
	if (r < 0 && failed == 0)
		failed = r;
	buf_clear(&data);
}

static void
appended(void)
{
	if (data.failed || buf_len(&data) >= OUT_LARGE)
		written();
}

void
out_put(const void *p, size_t n)
{
	(void)buf_put(&data, p, n);
	appended();
}

void
out_puts(const char *s)
{
	(void)buf_puts(&data, s);
	appended();
}

void
out_printf(const char *fmt, ...)
{
	char line[512];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	if (n < 0)
		return;
	out_put(line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

void
out_text(const char *s)
{
	(void)out_escape(&data, s, strlen(s));
	appended();
}

static int
dump(const char *p, size_t n, void *arg)
{
	return buf_put(arg, p, n);
}

static void
put_json(const json_t *v, size_t flags)
{
	if (json_dump_callback(v, dump, &data, flags | JSON_ENCODE_ANY) < 0 && failed == 0)
		failed = data.failed ? data.failed : -ENOMEM;
	appended();
}

void
out_json(const json_t *v)
{
	put_json(v, JSON_COMPACT);
}

void
out_document(const json_t *v)
{
	put_json(v, out_is_terminal() ? JSON_INDENT(2) : JSON_COMPACT);
	out_puts("\n");
}

int
out_flush(void)
{
	written();
	return failed;
}

int
out_escape(struct buf *b, const char *s, size_t n)
{
	while (n > 0 && !b->failed) {
		size_t run = 0, step = 1;

		while (run < n && s[run] >= 0x20 && s[run] < 0x7f)
			run++;
		(void)buf_put(b, s, run);
		s += run;
		n -= run;
		if (n == 0)
			break;
		if ((unsigned char)*s >= 0x80)
			step = text_utf8_step(s, n);
		step = step ? step : 1;
		(void)text_escape_buf(b, s, step);
		s += step;
		n -= step;
	}
	return b->failed;
}

/* One write a line, so that lines of several programs do not mix. */
__attribute__((format(printf, 2, 0))) static void
line(const char *prefix, const char *fmt, va_list ap)
{
	char text[2048];
	int n = snprintf(text, sizeof(text), "%s", prefix), m;
	size_t len;

	m = vsnprintf(text + n, sizeof(text) - (size_t)n - 1, fmt, ap);
	if (m < 0)
		return;
	len = strlen(text);
	text[len] = '\n';
	(void)file_write_full(STDERR_FILENO, text, len + 1);
}

void
out_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line("ctxctl: ", fmt, ap);
	va_end(ap);
}

void
out_say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	line("", fmt, ap);
	va_end(ap);
}

bool
out_is_terminal(void)
{
	return isatty(STDOUT_FILENO) == 1;
}

bool
out_err_is_terminal(void)
{
	return isatty(STDERR_FILENO) == 1;
}

size_t
out_columns(void)
{
	struct winsize w;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) < 0)
		return 0;
	return w.ws_col ? w.ws_col : 80;
}

bool
out_color(const struct cli *cli)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

	if (cli->no_color || (no_color && *no_color) || !term || strcmp(term, "dumb") == 0)
		return false;
	return out_is_terminal();
}

const char *
out_style(enum out_style s)
{
	static const char *const codes[OUT_STYLES] = {
		[OUT_PLAIN] = "",        [OUT_BOLD] = "\033[1m",   [OUT_DIM] = "\033[2m",
		[OUT_RED] = "\033[31m",  [OUT_GREEN] = "\033[32m", [OUT_YELLOW] = "\033[33m",
		[OUT_BLUE] = "\033[34m",
	};

	return codes[s];
}

const char *
out_span(int64_t usec, char buf[OUT_SPAN])
{
	const char *sign = usec < 0 ? "-" : "";
	uint64_t u = usec < 0 ? -(uint64_t)usec : (uint64_t)usec, s = u / 1000000;

	if (u == 0)
		(void)snprintf(buf, OUT_SPAN, "0s");
	else if (u < 1000)
		(void)snprintf(buf, OUT_SPAN, "%s%" PRIu64 "us", sign, u);
	else if (s == 0)
		(void)snprintf(buf, OUT_SPAN, "%s%" PRIu64 "ms", sign, u / 1000);
	else if (s < 10)
		(void)snprintf(buf, OUT_SPAN, "%s%" PRIu64 ".%" PRIu64 "s", sign, s,
			       u / 100000 % 10);
	else if (s < 60)
		(void)snprintf(buf, OUT_SPAN, "%s%" PRIu64 "s", sign, s);
	else if (s < 3600)
		(void)snprintf(buf, OUT_SPAN, "%s%" PRIu64 "m%02" PRIu64 "s", sign, s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(buf, OUT_SPAN, "%s%" PRIu64 "h%02" PRIu64 "m", sign, s / 3600,
			       s / 60 % 60);
	else
		(void)snprintf(buf, OUT_SPAN, "%s%" PRIu64 "d%02" PRIu64 "h", sign, s / 86400,
			       s / 3600 % 24);
	return buf;
}

const char *
out_bytes(int64_t bytes, char buf[OUT_SPAN])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double v = (double)bytes;
	size_t u = 0;

	if (bytes < 1024) {
		(void)snprintf(buf, OUT_SPAN, "%" PRId64 " bytes", bytes);
		return buf;
	}
	for (v /= 1024; v >= 1024 && u + 1 < ARRAY_SIZE(units); u++)
		v /= 1024;
	(void)snprintf(buf, OUT_SPAN, "%.1f %s", v, units[u]);
	return buf;
}
