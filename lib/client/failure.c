/* failure.c - texts for people: what happened, and where it helps what to do now.
 *
 * Paths and whatever the service sent are escaped; a long path gives way to the advice behind it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "client/failure.h"
#include "client/path.h"

enum {
	PATH_TEXT = 200,
	VALUE_TEXT = 400,
};

static int failure_set(struct ctxd_failure *f, enum ctxd_error code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int
failure_set(struct ctxd_failure *f, enum ctxd_error code, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (!f)
		return -1;
	f->code = code;
	va_start(ap, fmt);
	n = vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
	if (n < 0)
		f->text[0] = '\0';
	if (n >= (int)sizeof(f->text)) {
		size_t keep = text_utf8_prefix(f->text, sizeof(f->text) - 1,
					       sizeof(f->text) - sizeof("…"));

		memcpy(f->text + keep, "…", sizeof("…"));
	}
	return -1;
}

void
failure_none(struct ctxd_failure *f)
{
	if (!f)
		return;
	f->code = CTXD_E_NONE;
	f->text[0] = '\0';
}

int
failure_errno(struct ctxd_failure *f, int r)
{
	if (r == -ENOMEM)
		return failure_set(f, CTXD_E_MEMORY, "out of memory");
	if (r == -EINVAL)
		return failure_set(f, CTXD_E_INVALID_ARGUMENT, "this call cannot be sent");
	return failure_set(f, CTXD_E_LOST, "talking to ctxd failed: %s", strerror(-r));
}

static const char *
connect_why(int r)
{
	switch (-r) {
	case ENOENT:
	case ENOTDIR:
		return "there is no such socket";
	case ECONNREFUSED:
		return "nothing listens there any more";
	case EPROTOTYPE:
		return "that is a socket of another kind";
	default:
		return strerror(-r);
	}
}

int
failure_connect(struct ctxd_failure *f, const char *path, int r)
{
	char p[PATH_TEXT];
	bool system = strcmp(path, CTXD_SYSTEM_SOCKET) == 0;

	if (r == -ENOMEM)
		return failure_errno(f, r);
	if (path[0] == '\0')
		return failure_set(f, CTXD_E_UNREACHABLE,
				   "cannot reach ctxd: the socket's path is empty");
	text_escape(path, p, sizeof(p));
	if (r == -EAGAIN)
		return failure_set(f, CTXD_E_UNREACHABLE, "ctxd at %s is too busy to accept", p);
	if (r == -EACCES || r == -EPERM)
		return failure_set(
			f, CTXD_E_UNREACHABLE, "cannot reach ctxd at %s: permission denied; %s", p,
			system ? "the system's ctxd serves members of group ctx (as root: "
				 "`usermod -aG ctx USER`, then log in again), or start "
				 "your own: `ctxd --user &`"
			       : "it belongs to someone else; start your own: "
				 "`ctxd --user &`");
	if (system)
		return failure_set(
			f, CTXD_E_UNREACHABLE,
			"cannot reach ctxd at %s: %s; start your own: `ctxd --user &`, or "
			"as root the system's: `systemctl start ctxd.socket`",
			p, connect_why(r));
	return failure_set(f, CTXD_E_UNREACHABLE,
			   "cannot reach ctxd at %s: %s; start it: `ctxd --user%s &`", p,
			   connect_why(r), path_is_own(path) ? "" : " --socket PATH");
}

int
failure_lost(struct ctxd_failure *f, const char *path)
{
	char p[PATH_TEXT];

	return failure_set(f, CTXD_E_LOST, "ctxd at %s closed the connection before it answered",
			   text_escape(path, p, sizeof(p)));
}

int
failure_timeout(struct ctxd_failure *f, const char *path, int ms)
{
	char p[PATH_TEXT], d[CLOCK_TEXT];
	struct dur limit = {ms * NSEC_PER_MSEC};

	return failure_set(f, CTXD_E_TIMEOUT, "ctxd at %s did not answer within %s",
			   text_escape(path, p, sizeof(p)), dur_format(limit, d, sizeof(d)));
}

int
failure_protocol(struct ctxd_failure *f, const char *path, const char *why)
{
	char p[PATH_TEXT];

	return failure_set(f, CTXD_E_PROTOCOL, "what answers at %s is not ctxd: %s",
			   text_escape(path, p, sizeof(p)), why);
}

/* A member of the error's parameters as text, escaped, at most `size`; "" if it is not there. */
static const char *
value(const json_t *params, const char *key, char *dst, size_t size)
{
	const json_t *v = json_object_get(params, key);

	dst[0] = '\0';
	if (json_is_string(v))
		text_escape_sentence(json_string_value(v), dst, size);
	else if (json_is_integer(v))
		(void)snprintf(dst, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
	return dst;
}

/* What to write between the words. Up to two members; [0] and [1] are "" when absent. */
struct members {
	char a[VALUE_TEXT], b[VALUE_TEXT];
};

static int
set_no_such_job(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_NO_SUCH_JOB, "no such job: %s", m->a);
}

static int
set_not_permitted(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_NOT_PERMITTED, "not permitted%s%s", m->a[0] ? ": " : "", m->a);
}

static int
set_invalid_argument(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_INVALID_ARGUMENT, "%s: %s", m->a[0] ? m->a : "argument",
			   m->b[0] ? m->b : "invalid");
}

static int
set_key_conflict(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_KEY_CONFLICT, "the key \"%s\" is that of job %s", m->a, m->b);
}

static int
set_queue_full(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_QUEUE_FULL, "the queue is full (limit %s)",
			   m->a[0] ? m->a : "unknown");
}

static int
set_storage_unavailable(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_STORAGE_UNAVAILABLE, "ctxd cannot store anything now%s%s",
			   m->a[0] ? ": " : "", m->a);
}

static int
set_already_ended(struct ctxd_failure *f, const struct members *m)
{
	if (strcmp(m->b, "stopping") == 0) /* over for those who would derive from it */
		return failure_set(f, CTXD_E_ALREADY_ENDED, "job %s is being stopped already",
				   m->a);
	return failure_set(f, CTXD_E_ALREADY_ENDED, "job %s has already ended%s%s", m->a,
			   m->b[0] ? ": " : "", m->b);
}

static int
set_draining(struct ctxd_failure *f, const struct members *m)
{
	(void)m;
	return failure_set(f, CTXD_E_DRAINING, "ctxd takes no new jobs now: it is being drained");
}

static int
set_not_ready(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_NOT_READY, "ctxd is not ready%s%s", m->a[0] ? ": " : "", m->a);
}

static int
set_unknown_parameter(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_INVALID_ARGUMENT, "this ctxd does not know the parameter %s",
			   m->a);
}

static int
set_unknown_method(struct ctxd_failure *f, const struct members *m)
{
	return failure_set(f, CTXD_E_UNKNOWN_METHOD,
			   "this ctxd does not know %s (it is of another version)",
			   m->a[0] ? m->a : "the method");
}

static int
set_denied(struct ctxd_failure *f, const struct members *m)
{
	(void)m;
	return failure_set(f, CTXD_E_NOT_PERMITTED, "not permitted");
}

#define SERVICE "org.varlink.service."
#define OURS CTXD_INTERFACE "."

static const struct {
	const char *name, *a, *b;
	int (*set)(struct ctxd_failure *f, const struct members *m);
} remote[] = {
	{OURS "NoSuchJob", "id", NULL, set_no_such_job},
	{OURS "NotPermitted", "reason", NULL, set_not_permitted},
	{OURS "InvalidArgument", "field", "reason", set_invalid_argument},
	{OURS "KeyConflict", "key", "id", set_key_conflict},
	{OURS "QueueFull", "limit", NULL, set_queue_full},
	{OURS "StorageUnavailable", "reason", NULL, set_storage_unavailable},
	{OURS "AlreadyEnded", "id", "state", set_already_ended},
	{OURS "Draining", NULL, NULL, set_draining},
	{OURS "NotReady", "reason", NULL, set_not_ready},
	{SERVICE "InvalidParameter", "parameter", NULL, set_unknown_parameter},
	{SERVICE "MethodNotFound", "method", NULL, set_unknown_method},
	{SERVICE "MethodNotImplemented", "method", NULL, set_unknown_method},
	{SERVICE "PermissionDenied", NULL, NULL, set_denied},
};

int
failure_remote(struct ctxd_failure *f, const char *path, const char *name, const json_t *params)
{
	struct members m = {"", ""};

	if (strcmp(name, SERVICE "InterfaceNotFound") == 0)
		return failure_protocol(f, path, "it does not have the interface " CTXD_INTERFACE);
	for (size_t i = 0; i < ARRAY_SIZE(remote); i++) {
		if (strcmp(remote[i].name, name) != 0)
			continue;
		if (remote[i].a)
			value(params, remote[i].a, m.a, sizeof(m.a));
		if (remote[i].b)
			value(params, remote[i].b, m.b, sizeof(m.b));
		return remote[i].set(f, &m);
	}
	if (strncmp(name, OURS, strlen(OURS)) == 0)
		name += strlen(OURS);
	value(params, "reason", m.a, sizeof(m.a));
	return failure_set(f, CTXD_E_REMOTE, "ctxd answered %s%s%s", name, m.a[0] ? ": " : "", m.a);
}

const char *
ctxd_strerror(enum ctxd_error code)
{
	switch (code) {
	case CTXD_E_NONE:
		return "no error";
	case CTXD_E_UNREACHABLE:
		return "ctxd cannot be reached";
	case CTXD_E_LOST:
		return "the connection was lost";
	case CTXD_E_TIMEOUT:
		return "no answer in time";
	case CTXD_E_PROTOCOL:
		return "what answers is not ctxd";
	case CTXD_E_MEMORY:
		return "out of memory";
	case CTXD_E_NO_SUCH_JOB:
		return "no such job";
	case CTXD_E_NOT_PERMITTED:
		return "not permitted";
	case CTXD_E_INVALID_ARGUMENT:
		return "invalid argument";
	case CTXD_E_KEY_CONFLICT:
		return "the key belongs to another job";
	case CTXD_E_QUEUE_FULL:
		return "the queue is full";
	case CTXD_E_STORAGE_UNAVAILABLE:
		return "nothing can be stored";
	case CTXD_E_ALREADY_ENDED:
		return "the job has already ended";
	case CTXD_E_DRAINING:
		return "ctxd is being drained";
	case CTXD_E_NOT_READY:
		return "ctxd is not ready";
	case CTXD_E_UNKNOWN_METHOD:
		return "ctxd does not know the method";
	case CTXD_E_REMOTE:
		return "ctxd reported an error";
	}
	return "unknown error";
}
