/* notice.c - what a submitter is told beside the answer: see engine.h. */
#include <stdarg.h>
#include <stdio.h>

#include "engine/impl.h"
#include "engine/submit.h"

void
notice_add(struct notices *n, const char *fmt, ...)
{
	va_list ap;

	if (n->n >= NOTICES_MAX)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(n->text[n->n++], sizeof(n->text[0]), fmt, ap);
	va_end(ap);
}
