/* err.c - error convention: trace hook and texts for persons. Silent unless a program installs the
 * hook. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

enum { TRACE_TEXT = 1024 };
static const char ellipsis[] = "…";

static err_hook_fn trace_hook;

void
err_hook_set(err_hook_fn fn)
{
	trace_hook = fn;
}

/* A failure must not turn into success because errno was 0 or an outcome was taken for a code. */
static int
negative(int r)
{
	return r < 0 ? r : -ENOTRECOVERABLE;
}

int
err_trace(int r, const char *file, int line, const char *fmt, ...)
{
	int saved = errno;
	char text[TRACE_TEXT];
	va_list ap;

	r = negative(r);
	if (trace_hook) {
		va_start(ap, fmt);
		if (vsnprintf(text, sizeof(text), fmt, ap) < 0)
			text[0] = '\0';
		va_end(ap);
		trace_hook(r, file, line, text);
	}
	errno = saved;
	return r;
}

int
err_hop(int r, const char *file, int line)
{
	int saved = errno;

	if (r < 0 && trace_hook)
		trace_hook(r, file, line, NULL);
	errno = saved;
	return r;
}

int
err_fold_(int r, const char *file, int line)
{
	if (r <= 0)
		return err_hop(r, file, line);
	return err_trace(-ENOTRECOVERABLE, file, line, "unexpected outcome %d", r);
}

int
ctx_err_set(struct ctx_err *e, int code, int r, const char *fmt, ...)
{
	int saved = errno;
	char text[sizeof(e->text) + 8];
	va_list ap;
	size_t len;
	int n;

	if (!e)
		return r;
	va_start(ap, fmt);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (n < 0)
		text[0] = '\0', n = 0;
	len = strnlen(text, sizeof(text) - 1);
	if ((size_t)n >= sizeof(e->text)) {
		len = text_utf8_prefix(text, len, sizeof(e->text) - sizeof(ellipsis));
		memcpy(text + len, ellipsis, sizeof(ellipsis));
		len += sizeof(ellipsis) - 1;
	}
	for (size_t i = 0; i < len; i++)
		if (text[i] == '\n' || text[i] == '\r')
			text[i] = ' ';
	memcpy(e->text, text, len);
	e->text[len] = '\0';
	e->code = code;
	errno = saved;
	return r;
}
