/* config_errors.c - the bounded list of what is wrong with a configuration. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "config.h"
#include "config_parse.h"

void
config_errors_done(struct config_errors *e)
{
	for (size_t i = 0; i < e->n; i++)
		free(e->v[i].text);
	*e = (struct config_errors){0};
}

void
config_errors_print(const struct config_errors *e, FILE *out)
{
	for (size_t i = 0; i < e->n; i++)
		fprintf(out, "%s\n", e->v[i].text);
	if (e->more > 0)
		fprintf(out, "and %zu more\n", e->more);
}

/* Takes TEXT; NULL (no memory) is only counted. Keeps the order of files and lines: some errors are
 * found late. */
static void
insert(struct config_errors *e, struct config_place at, char *text)
{
	size_t i = e->n;

	if (!text || e->n == CONFIG_ERRORS_MAX) {
		free(text);
		e->more++;
		return;
	}
	while (i > 0 && (e->v[i - 1].file > at.file ||
			 (e->v[i - 1].file == at.file && e->v[i - 1].line > at.line)))
		i--;
	memmove(&e->v[i + 1], &e->v[i], (e->n - i) * sizeof(e->v[0]));
	e->v[i] = (struct config_error){at.file, at.line, text};
	e->n++;
}

void
config_errors_add(struct config_errors *e, const char *path, struct config_place at,
		  const char *fmt, ...)
{
	_cleanup_(buf_done) struct buf b = {0};
	_free_ char *message = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&message, fmt, ap) < 0)
		message = NULL;
	va_end(ap);
	text_escape_buf(&b, path, strlen(path));
	buf_printf(&b, ":%u: %s", at.line, message ? message : "");
	buf_putc(&b, '\0');
	insert(e, at, message && !b.failed ? strdup(buf_head(&b)) : NULL);
}
