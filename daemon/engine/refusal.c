/* refusal.c - why a request is refused, in a form that becomes an error of the interface. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/engine.h"

int
refusal_set(struct refusal *r, enum refusal_kind kind, const char *field, const char *fmt, ...)
{
	va_list ap;

	r->kind = kind;
	(void)snprintf(r->field, sizeof(r->field), "%s", field ? field : "");
	va_start(ap, fmt);
	(void)vsnprintf(r->reason, sizeof(r->reason), fmt, ap);
	va_end(ap);
	return ENGINE_E_REFUSED;
}

int
refusal_draining(struct refusal *r)
{
	return refusal_set(r, REFUSAL_DRAINING, NULL, "ctxd takes no new jobs any more");
}

void
refusal_from_errno(struct refusal *r, int error)
{
	const char *why = error == -ENOSPC  ? "the disk is full"
			  : error == -EBUSY ? "the database is locked by another program; try again"
			  : error == -EROFS ? "the file system is read-only"
			  : error == -EUCLEAN   ? "the database is damaged"
			  : error == -ENOMEM    ? "out of memory"
			  : error == -ECANCELED ? "a write of the same moment failed"
						: strerror(error < 0 ? -error : error);

	(void)refusal_set(r, REFUSAL_STORAGE_UNAVAILABLE, NULL, "%s; nothing was accepted", why);
}
