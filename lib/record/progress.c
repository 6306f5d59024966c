/* progress.c - see progress.h. */
#include "record/progress.h"

#include <errno.h>
#include <string.h>

static uint64_t
sum(const struct progress *p)
{
	const unsigned char *b = (const unsigned char *)p;
	uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */

	for (size_t i = 0; i < offsetof(struct progress, check); i++)
		h = (h ^ b[i]) * UINT64_C(0x100000001b3);
	return h;
}

void
progress_init(struct progress *p, uint64_t id, uint32_t attempt)
{
	memset(p, 0, sizeof(*p));
	p->magic = PROGRESS_MAGIC;
	p->version = PROGRESS_VERSION;
	p->size = sizeof(*p);
	p->id = id;
	p->attempt = attempt;
}

void
progress_seal(struct progress *p)
{
	p->check = sum(p);
}

int
progress_check(const struct progress *p, size_t size, uint64_t id, uint32_t attempt)
{
	if (size != sizeof(*p) || p->magic != PROGRESS_MAGIC || p->version != PROGRESS_VERSION ||
	    p->size != sizeof(*p) || p->id != id || p->attempt != attempt)
		return -EPROTO;
	if (p->percent_milli < 0 || p->percent_milli > 100000 || p->text_size >= PROGRESS_TEXT ||
	    memchr(p->text, '\0', PROGRESS_TEXT) != p->text + p->text_size)
		return -EPROTO;
	return p->check == sum(p) ? 0 : -EPROTO;
}
