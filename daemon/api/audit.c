/* audit.c - refusals in the log, see audit.h.
 *
 * Each uid has its own allowance for ten seconds, so that nobody's noise hides what another tries.
 * Those who come when the table is full share one. What was left out is counted, and said at the
 * end of the ten seconds. */
#include <errno.h>
#include <ev.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/audit.h"
#include "api/errors.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/engine.h"

#define AUDIT_MAGIC UINT32_C(0x41756474)
#define WINDOW_SEC 10.0

enum { BURST = 20, UIDS_MAX = 64 };

struct account_of {
	uint32_t uid;
	uint32_t used;
	uint64_t left_out;
};

struct audit {
	uint32_t magic;
	struct ev_loop *loop;
	struct engine *engine;
	ev_timer timer;
	struct account_of uids[UIDS_MAX], others;
	size_t n;
};

static void
say_rest(struct audit *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->uids[i].left_out > 0)
			log_notice("audit action=refused uid=%u left_out=%" PRIu64, a->uids[i].uid,
				   a->uids[i].left_out);
	if (a->others.left_out > 0)
		log_notice("audit action=refused uid=others left_out=%" PRIu64, a->others.left_out);
	a->n = 0;
	a->others = (struct account_of){0};
}

static void
audit_on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
	struct audit *a = container_of(w, struct audit, timer);

	(void)loop, (void)revents;
	CHECK_MAGIC(a, AUDIT_MAGIC);
	say_rest(a);
}

static struct account_of *
account_of(struct audit *a, uint32_t uid)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->uids[i].uid == uid)
			return &a->uids[i];
	if (a->n == UIDS_MAX)
		return &a->others;
	a->uids[a->n] = (struct account_of){.uid = uid};
	return &a->uids[a->n++];
}

static bool
allowed(struct audit *a, uint32_t uid)
{
	struct account_of *of = account_of(a, uid);

	if (!ev_is_active(&a->timer)) {
		ev_timer_set(&a->timer, WINDOW_SEC, 0.);
		ev_timer_start(a->loop, &a->timer);
	}
	if (of->used == BURST) {
		of->left_out++;
		return false;
	}
	of->used++;
	return true;
}

bool
audit_concerns(const struct refusal *r)
{
	return r->kind == REFUSAL_NOT_PERMITTED || r->kind == REFUSAL_QUEUE_FULL ||
	       r->kind == REFUSAL_NOT_READY;
}

void
audit_refused(struct audit *a, uint32_t uid, int pid, const char *method, const struct refusal *r)
{
	char text[640], why[320], job[32] = "";

	if (!allowed(a, uid))
		return;
	if (r->id > 0)
		(void)snprintf(job, sizeof(job), " job=%" PRIu64, r->id);
	(void)snprintf(text, sizeof(text),
		       "audit action=refused uid=%u pid=%d method=%s error=%s%s reason=\"%s\"", uid,
		       pid, method, errors_name(r), job, errors_text(r, why, sizeof(why)));
	engine_log_about(a->engine, LOG_LVL_NOTICE, r->id, "%s", text);
}

int
audit_new(struct ev_loop *loop, struct engine *engine, struct audit **ret)
{
	struct audit *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->magic = AUDIT_MAGIC;
	a->loop = loop;
	a->engine = engine;
	ev_init(&a->timer, audit_on_timer);
	*ret = a;
	return 0;
}

struct audit *
audit_free(struct audit *a)
{
	if (!a)
		return NULL;
	CHECK_MAGIC(a, AUDIT_MAGIC);
	ev_timer_stop(a->loop, &a->timer);
	say_rest(a);
	a->magic = 0;
	free(a);
	return NULL;
}
