/* call.c - what the handlers of methods share: refusing, checking arguments, the answer that is a
 * job. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/conn.h"
#include "api/jobjson.h"
#include "api/methods.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/policy.h"
#include "varlink/varlink.h"

int
call_invalid(struct call *c, const char *field, const char *fmt, ...)
{
	char reason[sizeof(c->refusal.reason)];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	return refusal_set(&c->refusal, REFUSAL_INVALID_ARGUMENT, field, "%s", reason);
}

int
call_id(struct call *c, int64_t id)
{
	if (id > 0)
		return 0;
	(void)refusal_set(&c->refusal, REFUSAL_NO_SUCH_JOB, NULL, "no such job");
	c->refusal.id = (uint64_t)id;
	return CALL_E_REFUSED;
}

int
call_text(struct call *c, const char *field, const char *s, size_t max)
{
	if (strlen(s) > max)
		return call_invalid(c, field, "longer than %zu bytes", max);
	for (const char *p = s; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			return call_invalid(c, field, "has control characters");
	return 0;
}

int
call_time(struct call *c, const char *field, const char *s, int64_t *ret_us)
{
	const char *reason = "not a point in time";
	struct wall w;

	if (wall_parse(s, wall_now(), &w, &reason) < 0)
		return call_invalid(c, field, "%s", reason);
	*ret_us = wall_to_usec(w);
	return 0;
}

int
call_latest(struct call *c, const char *deadline_at, int64_t *ret_us)
{
	int r;

	if (!deadline_at)
		return 0;
	r = call_time(c, "deadline_at", deadline_at, ret_us);
	if (r == 0 && *ret_us == 0)
		return call_invalid(c, "deadline_at", "is not in the future");
	return r;
}

int
call_timeout(struct call *c, bool has, int64_t us)
{
	if (has && us <= 0)
		return call_invalid(c, "timeout_usec", "must be greater than 0");
	if (has && us > DUR_MAX_US && us != INT64_MAX)
		return call_invalid(c, "timeout_usec", "longer than ten years");
	return 0;
}

int
call_labels(struct call *c, const char *name, const char *class_name)
{
	if (name && !text_job_name(name))
		return call_invalid(c, "name", "must be 1 to 128 bytes without control characters");
	if (class_name && !text_class_name(class_name))
		return call_invalid(c, "class", "must be 1 to 32 of a-z, 0-9, _ and -");
	return 0;
}

/* A name that comes twice counts once. */
static int
take_inherit(struct call *c, const struct strv *names, uint32_t *ret)
{
	static const struct {
		const char *name;
		uint32_t bit;
	} table[] = {
		{"values", INHERIT_VALUES},
		{"trace", INHERIT_TRACE},
		{"deadline", INHERIT_DEADLINE},
		{"cancel", INHERIT_CANCEL},
	};

	for (const char *s = strv_first(names); s; s = strv_next(names, s)) {
		uint32_t bit = 0;

		for (size_t i = 0; i < ARRAY_SIZE(table); i++)
			if (strcmp(s, table[i].name) == 0)
				bit = table[i].bit;
		if (!bit)
			return call_invalid(c, "inherit",
					    "must be of values, trace, deadline and cancel");
		*ret |= bit;
	}
	return 0;
}

int
call_context(struct call *c, const struct args_context *a, struct context_args *ret)
{
	int r = a->has_parent ? call_id(c, a->parent) : 0;

	if (r == 0)
		r = take_inherit(c, &a->inherit, &ret->inherit);
	ret->has_inherit = a->has_inherit;
	ret->parent = (uint64_t)a->parent;
	ret->values = a->values;
	ret->traceparent = a->traceparent;
	ret->tracestate = a->tracestate;
	ret->baggage = a->baggage;
	return r;
}

void
call_put_notices(struct jw *j, const struct notices *n)
{
	jw_arr_open(j, "notices");
	for (size_t i = 0; i < n->n; i++)
		jw_str(j, NULL, n->text[i]);
	jw_arr_close(j);
}

void
call_put_job(struct call *c, const struct job *job)
{
	struct jw j;

	varlink_reply_open(&j, &c->conn->out);
	jobjson_job(&j, "job", job);
	varlink_reply_close(&j, false);
}

void
call_reply_job(struct call *c, struct job *job)
{
	engine_live_facts(c->engine, job);
	call_put_job(c, job);
}

static void
put_class(void *arg, const char *class_name)
{
	jw_str(arg, NULL, class_name);
}

void
call_put_queue(struct jw *j, const struct engine *g, bool draining)
{
	bool paused, drain;

	jw_arr_open(j, "paused_classes");
	engine_queue_each(g, put_class, j, &paused, &drain);
	jw_arr_close(j);
	jw_bool(j, "paused", paused);
	jw_bool(j, "draining", drain || draining);
}
