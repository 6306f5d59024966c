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
struct spool;

enum {
	CALL_E_REFUSED = ENGINE_E_REFUSED, /* call->refusal */
	CALL_E_EXPECTED_MORE = 2,
	CALL_E_PARAMETER = 3, /* call->parameter: wrongly typed, missing */
	CALL_E_INTERFACE = 4, /* call->parameter: an interface we have not */
	CALL_E_METHOD = 5,    /* call->method: not known */
	CALL_E_UPGRADE = 6,
	CALL_E_LATER = 7, /* the connection waits for names: then the call is executed anew */
};
enum { CALL_CAUSE_MAX = 1024 }; /* bytes of a cause given by a client */

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
struct args_spans {
	int64_t after, limit;
	bool has_after, has_limit, wait;
};
struct args_class {
	const char *class_name;
};
struct args_drain {
	bool wait;
};
struct args_priority {
	int64_t id, priority;
};
struct args_reload {
	bool dry_run;
};
struct args_forget {
	int64_t seq;
};
struct args_context {
	struct strv inherit, values;
	const char *traceparent, *tracestate, *baggage;
	int64_t parent;
	bool has_parent, has_inherit;
};
struct args_submit {
	struct args_context context;
	struct strv argv, env;
	struct strv after;
	const char *not_before;
	const char *name, *class_name, *cwd, *deadline_at, *stop_signal, *key, *if_exists,
		*warn_signal, *user;
	int64_t retries, backoff_usec;
	bool has_retries, has_backoff;
	int64_t umask, timeout_usec, grace_usec, priority, stdin_spool, warn_usec, watchdog_usec;
	bool has_umask, has_timeout, has_grace, has_priority, has_stdin, has_warn, has_watchdog;
	bool bound, split_output;
};
struct args_scope {
	struct args_context context;
	const char *name, *class_name, *deadline_at;
	int64_t timeout_usec;
	bool has_timeout;
};
struct args_spool {
	const char *data;
	int64_t spool;
	bool has_spool;
};
struct args_list {
	struct strv states, values;
	const char *class_name, *name, *key, *trace, *since;
	int64_t parent, uid, after, limit;
	bool has_parent, has_uid, has_after, has_limit, half_processed, last;
};
struct args_cancel { /* of Close, too */
	int64_t id;
	const char *cause;
	bool now;
};
struct args_resolve {
	int64_t id;
	const char *as, *note;
};
struct args_prune {
	struct varlink_ints ids;
	int64_t older_usec;
	bool has_ids, has_older;
};
struct args_shutdown {
	int64_t within_usec;
	bool has_within;
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
struct args_progress {
	int64_t id;
	double percent;
	const char *text;
	bool has_percent;
};
struct args_signal {
	int64_t id;
	const char *signal;
	bool tree;
};
struct args_events {
	int64_t after, id, limit;
	const char *since;
	bool has_after, has_id, has_limit, follow, progress;
};

int m_service_get_info(struct call *c, void *args);
int m_service_get_description(struct call *c, void *args);
int m_submit_submit(struct call *c, void *args);
int m_scope_scope(struct call *c, void *args);
int m_scope_close(struct call *c, void *args);
int m_spool_spool(struct call *c, void *args);
int m_query_get(struct call *c, void *args);
int m_query_stats(struct call *c, void *args);
int m_metrics_metrics(struct call *c, void *args);
int m_queue_hold(struct call *c, void *args);
int m_queue_release(struct call *c, void *args);
int m_queue_reprioritize(struct call *c, void *args);
int m_queue_pause(struct call *c, void *args);
int m_queue_resume(struct call *c, void *args);
int m_queue_drain(struct call *c, void *args);
int m_spans_spans(struct call *c, void *args);
int m_spans_forget(struct call *c, void *args);
int m_query_config(struct call *c, void *args);
int m_list_jobs(struct call *c, void *args);
int m_list_summaries(struct call *c, void *args);
int m_control_cancel(struct call *c, void *args);
int m_control_extend(struct call *c, void *args);
int m_control_progress(struct call *c, void *args);
int m_control_signal(struct call *c, void *args);
int m_operator_retry(struct call *c, void *args);
int m_operator_resolve(struct call *c, void *args);
int m_prune_prune(struct call *c, void *args);
int m_shutdown_shutdown(struct call *c, void *args);
int m_control_reload(struct call *c, void *args);
int m_wait_wait(struct call *c, void *args);
int m_backup_backup(struct call *c, void *args);
int m_logs_logs(struct call *c, void *args);
int m_events_events(struct call *c, void *args);

/* The spool ID of C's connection; NULL: it has none of this id. */
struct spool *m_spool_find(struct call *c, int64_t id);
/* It went with a job, or with its connection. */
void m_spool_forget(struct conn *conn, int64_t id);
void m_spool_forget_all(struct conn *conn);

/* InvalidArgument of C. Returns CALL_E_REFUSED. */
int call_invalid(struct call *c, const char *field, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* An id is a positive number: NoSuchJob if not. 0 or CALL_E_REFUSED. */
int call_id(struct call *c, int64_t id);
/* Text for people: UTF-8 of at most MAX bytes without control characters. 0 or CALL_E_REFUSED. */
int call_text(struct call *c, const char *field, const char *s, size_t max);
/* RFC 3339 and the like, to wall microseconds. 0 or CALL_E_REFUSED. */
int call_time(struct call *c, const char *field, const char *s, int64_t *ret_us);
/* deadline_at (NULL: none). 0 or CALL_E_REFUSED. */
int call_latest(struct call *c, const char *deadline_at, int64_t *ret_us);
/* timeout_usec; INT64_MAX is `max`. 0 or CALL_E_REFUSED. */
int call_timeout(struct call *c, bool has, int64_t us);
/* name and class, if given. 0 or CALL_E_REFUSED. */
int call_labels(struct call *c, const char *name, const char *class_name);
/* RET borrows from A. Values and trace are for the engine to judge. 0 or CALL_E_REFUSED. */
int call_context(struct call *c, const struct args_context *a, struct context_args *ret);
void call_put_notices(struct jw *j, const struct notices *n);
/* paused_classes, paused, draining: as was said, or DRAINING for another reason. */
void call_put_queue(struct jw *j, const struct engine *g, bool draining);
/* The whole answer of Get: { job }; and of Cancel, Extend, ..., with what is in no row filled in.
 */
void call_put_job(struct call *c, const struct job *job);
void call_reply_job(struct call *c, struct job *job);

#endif
