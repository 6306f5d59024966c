/* dispatch.c - from a message to its handler.
 *
 * The table says of each method everything that is checked before its handler runs: arguments, and
 * who may call it. What depends on the job (its owner) is the engine's to check. `more` on a method
 * that has one answer is no error (Varlink leaves the number of replies to the service); handlers
 * that cannot do without it say so. */
#include <errno.h>
#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#include "api/conn.h"
#include "api/dispatch.h"
#include "api/errors.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/mem.h"
#include "base/text.h"
#include "varlink/varlink.h"

#define OPT(struc, name_, kind, field)                                                             \
	{                                                                                          \
		name_, VARLINK_##kind, false, offsetof(struct struc, field), SIZE_MAX              \
	}
#define HAS(struc, name_, kind, field, has)                                                        \
	{                                                                                          \
		name_, VARLINK_##kind, false, offsetof(struct struc, field),                       \
			offsetof(struct struc, has)                                                \
	}
#define REQ(struc, name_, kind, field)                                                             \
	{                                                                                          \
		name_, VARLINK_##kind, true, offsetof(struct struc, field), SIZE_MAX               \
	}

/* What a new context takes and brings, in the arguments of Submit and of Scope. */
#define CONTEXT(struc)                                                                             \
	HAS(struc, "parent", INT, context.parent, context.has_parent),                             \
		HAS(struc, "inherit", STRINGS, context.inherit, context.has_inherit),              \
		OPT(struc, "values", STRMAP, context.values),                                      \
		OPT(struc, "traceparent", STRING, context.traceparent),                            \
		OPT(struc, "tracestate", STRING, context.tracestate),                              \
		OPT(struc, "baggage", STRING, context.baggage)

static const struct varlink_arg interface_spec[] = {
	REQ(args_interface, "interface", STRING, interface),
};
static const struct varlink_arg id_spec[] = {
	REQ(args_id, "id", INT, id),
};
static const struct varlink_arg spans_spec[] = {
	HAS(args_spans, "after", INT, after, has_after),
	HAS(args_spans, "limit", INT, limit, has_limit),
	OPT(args_spans, "wait", BOOL, wait),
};
static const struct varlink_arg class_spec[] = {
	OPT(args_class, "class", STRING, class_name),
};
static const struct varlink_arg drain_spec[] = {
	OPT(args_drain, "wait", BOOL, wait),
};
static const struct varlink_arg priority_spec[] = {
	REQ(args_priority, "id", INT, id),
	REQ(args_priority, "priority", INT, priority),
};
static const struct varlink_arg reload_spec[] = {
	OPT(args_reload, "dry_run", BOOL, dry_run),
};
static const struct varlink_arg forget_spec[] = {
	REQ(args_forget, "seq", INT, seq),
};
static const struct varlink_arg submit_spec[] = {
	REQ(args_submit, "argv", STRINGS, argv),
	OPT(args_submit, "name", STRING, name),
	OPT(args_submit, "class", STRING, class_name),
	OPT(args_submit, "cwd", STRING, cwd),
	OPT(args_submit, "env", STRMAP, env),
	HAS(args_submit, "umask", INT, umask, has_umask),
	HAS(args_submit, "timeout_usec", INT, timeout_usec, has_timeout),
	OPT(args_submit, "deadline_at", STRING, deadline_at),
	HAS(args_submit, "grace_usec", INT, grace_usec, has_grace),
	OPT(args_submit, "stop_signal", STRING, stop_signal),
	HAS(args_submit, "priority", INT, priority, has_priority),
	OPT(args_submit, "after", STRINGS, after),
	OPT(args_submit, "not_before", STRING, not_before),
	OPT(args_submit, "key", STRING, key),
	OPT(args_submit, "if_exists", STRING, if_exists),
	CONTEXT(args_submit),
	OPT(args_submit, "bound", BOOL, bound),
	HAS(args_submit, "stdin", INT, stdin_spool, has_stdin),
	OPT(args_submit, "split_output", BOOL, split_output),
	HAS(args_submit, "warn_usec", INT, warn_usec, has_warn),
	OPT(args_submit, "warn_signal", STRING, warn_signal),
	HAS(args_submit, "watchdog_usec", INT, watchdog_usec, has_watchdog),
	HAS(args_submit, "retries", INT, retries, has_retries),
	HAS(args_submit, "backoff_usec", INT, backoff_usec, has_backoff),
	OPT(args_submit, "user", STRING, user),
};
static const struct varlink_arg scope_spec[] = {
	OPT(args_scope, "name", STRING, name),
	OPT(args_scope, "class", STRING, class_name),
	HAS(args_scope, "timeout_usec", INT, timeout_usec, has_timeout),
	OPT(args_scope, "deadline_at", STRING, deadline_at),
	CONTEXT(args_scope),
};
static const struct varlink_arg spool_spec[] = {
	REQ(args_spool, "data", STRING, data),
	HAS(args_spool, "spool", INT, spool, has_spool),
};
static const struct varlink_arg progress_spec[] = {
	REQ(args_progress, "id", INT, id),
	HAS(args_progress, "percent", FLOAT, percent, has_percent),
	OPT(args_progress, "text", STRING, text),
};
static const struct varlink_arg signal_spec[] = {
	REQ(args_signal, "id", INT, id),
	REQ(args_signal, "signal", STRING, signal),
	OPT(args_signal, "tree", BOOL, tree),
};
static const struct varlink_arg events_spec[] = {
	HAS(args_events, "after", INT, after, has_after),
	OPT(args_events, "since", STRING, since),
	HAS(args_events, "id", INT, id, has_id),
	HAS(args_events, "limit", INT, limit, has_limit),
	OPT(args_events, "follow", BOOL, follow),
	OPT(args_events, "progress", BOOL, progress),
};
static const struct varlink_arg list_spec[] = {
	OPT(args_list, "states", STRINGS, states),
	OPT(args_list, "class", STRING, class_name),
	OPT(args_list, "name", STRING, name),
	OPT(args_list, "key", STRING, key),
	OPT(args_list, "values", STRMAP, values),
	OPT(args_list, "trace", STRING, trace),
	HAS(args_list, "parent", INT, parent, has_parent),
	HAS(args_list, "uid", INT, uid, has_uid),
	OPT(args_list, "half_processed", BOOL, half_processed),
	HAS(args_list, "after", INT, after, has_after),
	OPT(args_list, "since", STRING, since),
	HAS(args_list, "limit", INT, limit, has_limit),
	OPT(args_list, "last", BOOL, last),
};
static const struct varlink_arg cancel_spec[] = {
	REQ(args_cancel, "id", INT, id),
	OPT(args_cancel, "cause", STRING, cause),
	OPT(args_cancel, "now", BOOL, now),
};
static const struct varlink_arg resolve_spec[] = {
	REQ(args_resolve, "id", INT, id),
	REQ(args_resolve, "as", STRING, as),
	OPT(args_resolve, "note", STRING, note),
};
static const struct varlink_arg prune_spec[] = {
	HAS(args_prune, "ids", INTS, ids, has_ids),
	HAS(args_prune, "older_usec", INT, older_usec, has_older),
};
static const struct varlink_arg shutdown_spec[] = {
	HAS(args_shutdown, "within_usec", INT, within_usec, has_within),
};
static const struct varlink_arg wait_spec[] = {
	REQ(args_wait, "ids", INTS, ids),
	OPT(args_wait, "any", BOOL, any),
	HAS(args_wait, "timeout_usec", INT, timeout_usec, has_timeout),
};
static const struct varlink_arg logs_spec[] = {
	REQ(args_logs, "id", INT, id),
	OPT(args_logs, "stream", STRING, stream),
	HAS(args_logs, "tail", INT, tail, has_tail),
	OPT(args_logs, "follow", BOOL, follow),
	HAS(args_logs, "offset", INT, offset, has_offset),
};
static const struct varlink_arg extend_spec[] = {
	REQ(args_extend, "id", INT, id),
	HAS(args_extend, "by_usec", INT, by_usec, has_by),
	OPT(args_extend, "to", STRING, to),
};

enum right { RIGHT_ANYONE, RIGHT_EXPORTER, RIGHT_ADMIN };

struct method {
	const char *name;
	int (*fn)(struct call *c, void *args);
	const struct varlink_arg *spec;
	size_t n_spec;
	size_t args_size;
	enum right right;
};

#define NONE NULL, 0, 0
#define SPEC(name_, struc) name_, ARRAY_SIZE(name_), sizeof(struct struc)

static const struct method methods[] = {
	{"io.ctxd.Submit", m_submit_submit, SPEC(submit_spec, args_submit), RIGHT_ANYONE},
	{"io.ctxd.Scope", m_scope_scope, SPEC(scope_spec, args_scope), RIGHT_ANYONE},
	{"io.ctxd.Close", m_scope_close, SPEC(cancel_spec, args_cancel), RIGHT_ANYONE},
	{"io.ctxd.Spool", m_spool_spool, SPEC(spool_spec, args_spool), RIGHT_ANYONE},
	{"io.ctxd.Progress", m_control_progress, SPEC(progress_spec, args_progress), RIGHT_ANYONE},
	{"io.ctxd.Signal", m_control_signal, SPEC(signal_spec, args_signal), RIGHT_ANYONE},
	{"io.ctxd.Events", m_events_events, SPEC(events_spec, args_events), RIGHT_ANYONE},
	{"io.ctxd.Get", m_query_get, SPEC(id_spec, args_id), RIGHT_ANYONE},
	{"io.ctxd.Wait", m_wait_wait, SPEC(wait_spec, args_wait), RIGHT_ANYONE},
	{"io.ctxd.List", m_list_jobs, SPEC(list_spec, args_list), RIGHT_ANYONE},
	{"io.ctxd.ListSummaries", m_list_summaries, SPEC(list_spec, args_list), RIGHT_ANYONE},
	{"io.ctxd.Cancel", m_control_cancel, SPEC(cancel_spec, args_cancel), RIGHT_ANYONE},
	{"io.ctxd.Retry", m_operator_retry, SPEC(id_spec, args_id), RIGHT_ANYONE},
	{"io.ctxd.Resolve", m_operator_resolve, SPEC(resolve_spec, args_resolve), RIGHT_ANYONE},
	{"io.ctxd.Prune", m_prune_prune, SPEC(prune_spec, args_prune), RIGHT_ANYONE},
	{"io.ctxd.Logs", m_logs_logs, SPEC(logs_spec, args_logs), RIGHT_ANYONE},
	{"io.ctxd.Extend", m_control_extend, SPEC(extend_spec, args_extend), RIGHT_ANYONE},
	{"io.ctxd.Stats", m_query_stats, NONE, RIGHT_ANYONE},
	{"io.ctxd.Metrics", m_metrics_metrics, NONE, RIGHT_ANYONE},
	{"io.ctxd.Pause", m_queue_pause, SPEC(class_spec, args_class), RIGHT_ADMIN},
	{"io.ctxd.Resume", m_queue_resume, SPEC(class_spec, args_class), RIGHT_ADMIN},
	{"io.ctxd.Drain", m_queue_drain, SPEC(drain_spec, args_drain), RIGHT_ADMIN},
	{"io.ctxd.Hold", m_queue_hold, SPEC(id_spec, args_id), RIGHT_ADMIN},
	{"io.ctxd.Release", m_queue_release, SPEC(id_spec, args_id), RIGHT_ADMIN},
	{"io.ctxd.Reprioritize", m_queue_reprioritize, SPEC(priority_spec, args_priority),
	 RIGHT_ADMIN},
	{"io.ctxd.Spans", m_spans_spans, SPEC(spans_spec, args_spans), RIGHT_EXPORTER},
	{"io.ctxd.ForgetSpans", m_spans_forget, SPEC(forget_spec, args_forget), RIGHT_EXPORTER},
	{"io.ctxd.Config", m_query_config, NONE, RIGHT_ANYONE},
	{"io.ctxd.Reload", m_control_reload, SPEC(reload_spec, args_reload), RIGHT_ADMIN},
	{"io.ctxd.Backup", m_backup_backup, NONE, RIGHT_ADMIN},
	{"io.ctxd.Shutdown", m_shutdown_shutdown, SPEC(shutdown_spec, args_shutdown), RIGHT_ADMIN},
	{"org.varlink.service.GetInfo", m_service_get_info, NONE, RIGHT_ANYONE},
	{"org.varlink.service.GetInterfaceDescription", m_service_get_description,
	 SPEC(interface_spec, args_interface), RIGHT_ANYONE},
};

union any_args {
	struct args_interface interface;
	struct args_id id;
	struct args_spans spans;
	struct args_forget forget;
	struct args_reload reload;
	struct args_class class_name;
	struct args_drain drain;
	struct args_priority priority;
	struct args_submit submit;
	struct args_scope scope;
	struct args_spool spool;
	struct args_progress progress;
	struct args_signal signal;
	struct args_events events;
	struct args_list list;
	struct args_cancel cancel;
	struct args_resolve resolve;
	struct args_prune prune;
	struct args_shutdown shutdown;
	struct args_wait wait;
	struct args_logs logs;
	struct args_extend extend;
};

static const struct method *
method_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(methods); i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

/* NAME is of no method of ours: is at least the interface one? */
static int
not_found(struct call *c, char *interface, size_t size)
{
	const char *dot = strrchr(c->method, '.');

	(void)snprintf(interface, size, "%.*s", (int)(dot - c->method), c->method);
	c->parameter = interface;
	if (strcmp(interface, "io.ctxd") == 0 || strcmp(interface, "org.varlink.service") == 0)
		return CALL_E_METHOD;
	return CALL_E_INTERFACE;
}

static int
may_call(struct call *c, const struct method *m)
{
	if (m->right == RIGHT_ANYONE || engine_is_admin(c->engine, c->who))
		return 0;
	if (m->right == RIGHT_EXPORTER && engine_is_exporter(c->engine, c->who))
		return 0;
	return refusal_set(&c->refusal, REFUSAL_NOT_PERMITTED, NULL,
			   "this is for root and administrators");
}

/* A parameter with a value that cannot be, see varlink.h: is there one of this name at all? */
static int
bad_value(struct call *c, const struct varlink_call *vc, const struct method *m)
{
	for (size_t i = 0; i < m->n_spec; i++)
		if (strcmp(m->spec[i].name, vc->bad_value) == 0)
			return call_invalid(c, vc->bad_value, "%s", vc->bad_why);
	c->parameter = vc->bad_value;
	return CALL_E_PARAMETER;
}

static int
call_execute(struct call *c, const struct varlink_call *vc, const struct method *m)
{
	union any_args args = {0};
	int r;

	assert(m->args_size <= sizeof(args));
	if (vc->upgrade)
		return CALL_E_UPGRADE;
	if (vc->bad_value)
		return bad_value(c, vc, m);
	r = varlink_args_decode(vc->params, m->spec, m->n_spec, &args, &c->parameter);
	if (r == VARLINK_E_VALUE)
		r = call_invalid(c, c->parameter, "a name is empty or has a '='");
	else if (r > 0)
		r = CALL_E_PARAMETER;
	if (r == 0)
		r = may_call(c, m);
	if (r == 0)
		r = m->fn(c, &args);
	varlink_args_done(m->spec, m->n_spec, &args);
	return r;
}

/* Write the error R and say it in the log. */
static void
call_fail(struct call *c, int r)
{
	struct buf *out = &c->conn->out;
	const char *error = "", *detail = c->parameter;
	char param[128];

	switch (r) {
	case CALL_E_EXPECTED_MORE:
		varlink_error_expected_more(out);
		error = "ExpectedMore";
		break;
	case CALL_E_PARAMETER:
		varlink_error_invalid_parameter(out, c->parameter);
		error = "InvalidParameter";
		break;
	case CALL_E_INTERFACE:
		varlink_error_interface_not_found(out, c->parameter);
		error = "InterfaceNotFound";
		break;
	case CALL_E_METHOD:
		varlink_error_method_not_found(out, c->method);
		error = "MethodNotFound";
		break;
	case CALL_E_UPGRADE:
		varlink_error_method_not_implemented(out, c->method);
		error = "MethodNotImplemented";
		break;
	default:
		if (r != CALL_E_REFUSED)
			refusal_from_errno(&c->refusal, r);
		errors_write(out, &c->refusal);
		conn_refused(c->conn, c->method, &c->refusal);
		return;
	}
	conn_log_refused(c->conn, c->method, error,
			 detail ? text_escape(detail, param, sizeof(param)) : NULL);
}

/* The call was executed: what has its reply to become of? */
static void
call_settle(struct call *c, size_t mark)
{
	if (c->oneway) {
		conn_rewind(c->conn, mark);
		conn_op_drop(c->conn, false);
	} else if (!c->conn->op) {
		conn_final(c->conn);
	}
}

int
dispatch_call(struct conn *conn, const char *msg, size_t len, const char **why)
{
	struct call c = {.conn = conn, .api = conn->api, .engine = conn->api->engine};
	_cleanup_(varlink_call_done) struct varlink_call vc = {0};
	size_t mark = buf_len(&conn->out);
	const struct method *m;
	char interface[256];
	int r = varlink_call_parse(&vc, msg, len, why);

	if (r != 0)
		return r;
	c.who = conn_who(conn);
	c.method = vc.method;
	c.more = vc.more && !vc.oneway;
	c.oneway = vc.oneway;
	m = method_find(vc.method);
	r = m ? call_execute(&c, &vc, m) : not_found(&c, interface, sizeof(interface));
	if (r == CALL_E_LATER)
		return DISPATCH_E_LATER;
	if (r != 0) {
		conn_rewind(conn, mark);
		call_fail(&c, r);
	}
	call_settle(&c, mark);
	return 0;
}
