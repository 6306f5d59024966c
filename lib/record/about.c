/* about.c - fields of lines about a job, see about.h. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "record/about.h"
#include "record/spec.h"

#define PARENT "TRACEPARENT=00-"
enum { TRACE_ID = 32, NAME_ROOM = 80, LINE = 512 };

static int
add(struct strv *ret, const char *name, const char *value)
{
	int r = strv_add(ret, name);

	return r ? r : strv_add(ret, value);
}

/* Of what ENTRY of the environment says, as far as it is to be a field. */
static int
take(struct strv *ret, const char *entry)
{
	static const char of_names[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_",
			  value[] = "CTX_VALUE_";
	char name[NAME_ROOM];
	size_t n = strspn(entry, of_names);

	if (entry[n] != '=' || n >= sizeof(name))
		return 0;
	memcpy(name, entry, n);
	name[n] = '\0';
	if (strcmp(name, "CTX_CLASS") != 0 && strcmp(name, "CTX_NAME") != 0 &&
	    strncmp(name, value, sizeof(value) - 1) != 0)
		return 0;
	return add(ret, name, entry + n + 1);
}

static int
take_trace(struct strv *ret, const char *entry)
{
	const char *at = entry + sizeof(PARENT) - 1;
	char id[TRACE_ID + 1];

	if (strncmp(entry, PARENT, sizeof(PARENT) - 1) != 0 ||
	    strspn(at, "0123456789abcdef") != TRACE_ID)
		return 0;
	memcpy(id, at, TRACE_ID);
	id[TRACE_ID] = '\0';
	return add(ret, "CTX_TRACE_ID", id);
}

int
about_take(struct strv *ret, const struct spec *s)
{
	char uid[16];
	int r;

	if (!log_has_fields())
		return 0;
	(void)snprintf(uid, sizeof(uid), "%" PRIu32, s->uid);
	r = add(ret, "CTX_UID", uid);
	for (const char *e = strv_first(&s->env); e && !r && ret->n / 2 < ABOUT_FIELDS;
	     e = strv_next(&s->env, e)) {
		r = take_trace(ret, e);
		r = r ? r : take(ret, e);
	}
	if (r)
		strv_done(ret);
	return r;
}

void
about_log(enum log_level l, const struct strv *about, const char *state, const char *fmt, ...)
{
	struct log_field f[ABOUT_FIELDS + 2];
	char text[LINE];
	size_t n = 0;
	va_list ap;

	if (!log_enabled(l))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (state)
		f[n++] = (struct log_field){"CTX_STATE", state, strlen(state)};
	for (const char *s = about ? strv_first(about) : NULL; s && n < ARRAY_SIZE(f);) {
		const char *value = strv_next(about, s);

		if (!value)
			break;
		f[n++] = (struct log_field){s, value, strlen(value)};
		s = strv_next(about, value);
	}
	log_fields(l, f, n, "%s", text);
}
