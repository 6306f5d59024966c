/* methods.h - the handlers and their arguments; the table that binds them is in dispatch.c.
 *
 * A handler gets decoded arguments, calls the engine, and writes one reply (or starts an op). It
 * returns 0; CALL_E_* with what they say filled in; or negative errno: StorageUnavailable. What a
 * failing handler wrote is cut off by the caller. */
#ifndef CTXD_API_METHODS_H
#define CTXD_API_METHODS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/strv.h"
#include "engine/engine.h"
#include "varlink/varlink.h"

struct api;
struct conn;

enum {
	CALL_E_REFUSED = ENGINE_E_REFUSED, /* call->refusal */
	CALL_E_EXPECTED_MORE = 2,
	CALL_E_PARAMETER = 3, /* call->parameter: wrongly typed, missing */
	CALL_E_INTERFACE = 4, /* call->parameter: an interface we have not */
	CALL_E_METHOD = 5,    /* call->method: not known */
	CALL_E_UPGRADE = 6,
};

struct call {
	struct conn *conn;
	struct api *api;
	struct engine *engine;
	const struct requester *who;
	const char *method; /* full name */
	bool more, oneway;
	struct refusal refusal;
	const char *parameter;
};

struct args_interface {
	const char *interface;
};
struct args_id {
	int64_t id;
};
struct args_submit {
	struct strv argv, env, inherit;
	const char *name, *class_name, *cwd, *deadline_at, *stop_signal;
	int64_t umask, timeout_usec, grace_usec, priority;
	bool has_umask, has_timeout, has_grace, has_priority;
};
struct args_list {
	struct strv states;
	const char *class_name, *name, *key, *since;
	int64_t uid, after, limit;
	bool has_uid, has_after, has_limit, half_processed, last;
};
struct args_cancel {
	int64_t id;
	const char *cause;
	bool now;
};
struct args_wait {
	struct varlink_ints ids;
	bool any, has_timeout;
	int64_t timeout_usec;
};
struct args_logs {
	int64_t id, tail, offset;
	const char *stream;
	bool follow, has_tail, has_offset;
};
struct args_extend {
	int64_t id, by_usec;
	const char *to;
	bool has_by;
};

int m_service_get_info(struct call *c, void *args);
int m_service_get_description(struct call *c, void *args);
int m_submit_submit(struct call *c, void *args);
int m_query_get(struct call *c, void *args);
int m_query_stats(struct call *c, void *args);
int m_query_config(struct call *c, void *args);
int m_list_jobs(struct call *c, void *args);
int m_list_summaries(struct call *c, void *args);
int m_control_cancel(struct call *c, void *args);
int m_control_extend(struct call *c, void *args);
int m_control_reload(struct call *c, void *args);
int m_wait_wait(struct call *c, void *args);
int m_logs_logs(struct call *c, void *args);

/* InvalidArgument of C. Returns CALL_E_REFUSED. */
int call_invalid(struct call *c, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* An id is a positive number: NoSuchJob if not. 0 or CALL_E_REFUSED. */
int call_id(struct call *c, int64_t id);
/* Text for people: UTF-8 of at most MAX bytes without control characters. 0 or CALL_E_REFUSED. */
int call_text(struct call *c, const char *field, const char *s, size_t max);
/* RFC 3339 and the like, to wall microseconds. 0 or CALL_E_REFUSED. */
int call_time(struct call *c, const char *field, const char *s, int64_t *ret_us);
/* The whole answer of Get, Cancel, Extend: { job }. */
void call_reply_job(struct call *c, const struct job *job);

#endif
