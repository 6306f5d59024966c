/* varlink.c - framing, calls and replies, both halves.
 *
 * What comes in is a stranger's: before jansson sees a message, one pass over its bytes bounds the
 * nesting (jansson recurses) and, for calls, the number of arrays and objects: an empty object is
 * two bytes on the wire and some 250 in memory, so that a full-sized message of nothing else would
 * cost a hundred times its size. Honest calls have a few. What goes out is written member by
 * member; errors stay in the buffer, as with jw. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "varlink/varlink.h"
#include "varlink/varlink_memory.h"

enum {
	DEPTH_MAX = 32,
	CALL_CONTAINERS_MAX = 1024,
	NAME_MAX_LEN = 255, /* of a method or error name */
	VALUES_LOOSE = JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL,
};

int
varlink_next(const struct buf *in, size_t max, size_t *scanned, const char **ret_msg,
	     size_t *ret_len)
{
	size_t len = buf_len(in), from = *scanned < len ? *scanned : len;
	const char *nul;

	nul = len > from ? memchr(buf_head(in) + from, '\0', len - from) : NULL;
	if (!nul) {
		*scanned = len;
		return len > max ? VARLINK_E_TOO_BIG : VARLINK_E_NONE;
	}
	len = (size_t)(nul - buf_head(in));
	*scanned = len; /* asking again without consuming finds it again */
	if (len > max)
		return VARLINK_E_TOO_BIG;
	*ret_msg = buf_head(in);
	*ret_len = len;
	return 0;
}

/* The byte after a string that starts (behind its quote) at P. */
static const char *
string_end(const char *p, const char *end)
{
	while (p < end && *p != '"')
		p += *p == '\\' && end - p > 1 ? 2 : 1;
	return p < end ? p + 1 : end;
}

/* Agrees with a JSON parser about where strings end, up to the first syntax error: there the parser
 * stops anyway. */
static bool
shape_ok(const char *msg, size_t len, size_t containers_max)
{
	const char *p = msg, *end = msg + len;
	size_t depth = 0, containers = 0;

	while (p < end) {
		char c = *p++;

		if (c == '"') {
			p = string_end(p, end);
		} else if (c == '{' || c == '[') {
			if (++depth > DEPTH_MAX || ++containers > containers_max)
				return false;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return true;
}

static const char *
json_why(const json_error_t *e)
{
	int code = json_error_code(e);

	if (code == json_error_duplicate_key)
		return "a member is given twice";
	if (code == json_error_invalid_utf8)
		return "invalid UTF-8";
	if (code == json_error_null_character || code == json_error_null_byte_in_key)
		return "a NUL character in a string";
	if (code == json_error_numeric_overflow)
		return "a number is too large";
	if (code == json_error_premature_end_of_input)
		return "the message ends too early";
	return "not valid JSON";
}

/* VARLINK_E_VALUE: what is wrong may be a single value, see value_bad(). */
static int
message_load(json_t **ret, const char *msg, size_t len, size_t containers_max, size_t flags,
	     const char **why)
{
	json_error_t e;
	bool no_memory;
	json_t *root;

	if (!shape_ok(msg, len, containers_max)) {
		*why = "nested too deeply, or too many arrays and objects";
		return VARLINK_E_BAD;
	}
	root = varlink_memory_load(msg, len, flags, &e, &no_memory);
	if (!root) {
		if (no_memory)
			return err_raise(-ENOMEM, "parse a message of %zu bytes", len);
		*why = json_why(&e);
		return json_error_code(&e) == json_error_numeric_overflow ||
				       json_error_code(&e) == json_error_null_character
			       ? VARLINK_E_VALUE
			       : VARLINK_E_BAD;
	}
	if (!json_is_object(root)) {
		json_decref(root);
		*why = "not an object";
		return VARLINK_E_BAD;
	}
	*ret = root;
	return 0;
}

/* 0 and *RET (null and absent are false), or VARLINK_E_BAD. */
static int
flag_get(const json_t *root, const char *key, bool *ret)
{
	const json_t *v = json_object_get(root, key);

	if (v && !json_is_null(v) && !json_is_boolean(v))
		return VARLINK_E_BAD;
	*ret = json_is_true(v);
	return 0;
}

/* `parameters` of ROOT; an empty object is put there if there is none. */
static int
params_get(json_t *root, json_t **ret)
{
	json_t *v = json_object_get(root, "parameters");

	if (!v || json_is_null(v)) {
		v = json_object();
		if (!v || json_object_set_new(root, "parameters", v) < 0)
			return err_raise(-ENOMEM, "empty parameters");
	} else if (!json_is_object(v)) {
		return VARLINK_E_BAD;
	}
	*ret = v;
	return 0;
}

static bool
is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Reverse-domain: labels of letters, digits and inner hyphens, at least two. Upper case is not in
 * the specification's grammar, but in names that are in wide use. */
static bool
interface_ok(const char *s, size_t n)
{
	size_t dots = 0;
	char prev = '.';

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '.') {
			if (!is_alnum(prev))
				return false;
			dots++;
		} else if (s[i] == '-') {
			if (prev == '.')
				return false;
		} else if (!is_alnum(s[i])) {
			return false;
		}
		prev = s[i];
	}
	return dots > 0 && is_alnum(prev) && !(s[0] >= '0' && s[0] <= '9');
}

/* `interface.name.member`, as a method that is asked for: without its capital it is no method,
 * which is an answer. */
static bool
asked_ok(const char *s)
{
	const char *dot = strrchr(s, '.');

	if (!dot || strlen(s) > NAME_MAX_LEN || !interface_ok(s, (size_t)(dot - s)))
		return false;
	if (dot[1] == '\0' || (dot[1] >= '0' && dot[1] <= '9'))
		return false;
	for (const char *p = dot + 1; *p; p++)
		if (!is_alnum(*p))
			return false;
	return true;
}

/* `interface.name.Member`: an error. */
static bool
error_ok(const char *s)
{
	const char *dot = strrchr(s, '.');

	return asked_ok(s) && dot[1] >= 'A' && dot[1] <= 'Z';
}

static int
call_fill(struct varlink_call *c, const char **why)
{
	const json_t *method = json_object_get(c->root, "method");
	int r;

	c->method = json_string_value(method);
	if (!c->method || strlen(c->method) != json_string_length(method) || !asked_ok(c->method)) {
		*why = "`method` is not an interface and a method name";
		return VARLINK_E_BAD;
	}
	if (flag_get(c->root, "more", &c->more) || flag_get(c->root, "oneway", &c->oneway) ||
	    flag_get(c->root, "upgrade", &c->upgrade)) {
		*why = "`more`, `oneway` and `upgrade` are booleans";
		return VARLINK_E_BAD;
	}
	if (c->oneway && (c->more || c->upgrade)) {
		*why = "`oneway` wants no reply, `more` and `upgrade` want one";
		return VARLINK_E_BAD;
	}
	r = params_get(c->root, &c->params);
	if (r > 0)
		*why = "`parameters` is not an object";
	return r;
}

/* Why V, read with VALUES_LOOSE, is no value for us; NULL: it is one. */
static const char *
value_bad(json_t *v)
{
	const char *key, *bad = NULL;
	json_t *e;

	if (json_is_string(v) && strlen(json_string_value(v)) != json_string_length(v))
		return "holds a NUL character";
	if (json_is_real(v) && !(json_real_value(v) < 0x1p63 && json_real_value(v) > -0x1p63))
		return "a number is out of range";
	for (size_t i = 0; !bad && i < json_array_size(v); i++)
		bad = value_bad(json_array_get(v, i));
	json_object_foreach (v, key, e)
		bad = bad ? bad : value_bad(e);
	return bad;
}

/* A call that is JSON, with a value that no parameter of ours can have: it is told which, as of any
 * bad value. Only for that is it read with numbers that have lost their precision. */
static int
call_load_loose(struct varlink_call *c, const char *msg, size_t len)
{
	const char *key, *ignored;
	json_t *v;
	int r = message_load(&c->root, msg, len, CALL_CONTAINERS_MAX, VALUES_LOOSE, &ignored);

	if (r == 0)
		r = call_fill(c, &ignored);
	if (r != 0)
		return r < 0 ? r : VARLINK_E_BAD;
	json_object_foreach (c->params, key, v) {
		c->bad_why = value_bad(v);
		c->bad_value = key;
		if (c->bad_why)
			return 0;
	}
	return VARLINK_E_BAD; /* it is elsewhere */
}

int
varlink_call_parse(struct varlink_call *c, const char *msg, size_t len, const char **why)
{
	struct varlink_call call = {0};
	int r;

	r = message_load(&call.root, msg, len, CALL_CONTAINERS_MAX, 0, why);
	if (r == 0)
		r = call_fill(&call, why);
	else if (r == VARLINK_E_VALUE)
		r = call_load_loose(&call, msg, len);
	if (r != 0)
		varlink_call_done(&call);
	*c = call;
	return r;
}

void
varlink_call_done(struct varlink_call *c)
{
	json_decref(c->root);
	*c = (struct varlink_call){0};
}

void
varlink_reply_open(struct jw *j, struct buf *out)
{
	jw_init(j, out);
	jw_obj_open(j, NULL);
	jw_obj_open(j, "parameters");
}

void
varlink_reply_close(struct jw *j, bool continues)
{
	jw_obj_close(j);
	if (continues)
		jw_bool(j, "continues", true);
	jw_obj_close(j);
	(void)buf_putc(j->out, '\0');
}

void
varlink_error_open(struct jw *j, struct buf *out, const char *name)
{
	jw_init(j, out);
	jw_obj_open(j, NULL);
	jw_str(j, "error", name);
	jw_obj_open(j, "parameters");
}

void
varlink_error_close(struct jw *j)
{
	varlink_reply_close(j, false);
}

static void
service_error(struct buf *out, const char *name, const char *key, const char *value)
{
	struct jw j;

	varlink_error_open(&j, out, name);
	if (key)
		jw_str(&j, key, value);
	varlink_error_close(&j);
}

void
varlink_error_method_not_found(struct buf *out, const char *method)
{
	service_error(out, "org.varlink.service.MethodNotFound", "method", method);
}

void
varlink_error_interface_not_found(struct buf *out, const char *interface)
{
	service_error(out, "org.varlink.service.InterfaceNotFound", "interface", interface);
}

void
varlink_error_method_not_implemented(struct buf *out, const char *method)
{
	service_error(out, "org.varlink.service.MethodNotImplemented", "method", method);
}

void
varlink_error_invalid_parameter(struct buf *out, const char *parameter)
{
	service_error(out, "org.varlink.service.InvalidParameter", "parameter", parameter);
}

void
varlink_error_expected_more(struct buf *out)
{
	service_error(out, "org.varlink.service.ExpectedMore", NULL, NULL);
}

static int
dump_to_buf(const char *p, size_t n, void *out)
{
	return buf_put(out, p, n);
}

int
varlink_call_write(struct buf *out, const char *method, json_t *params, unsigned flags)
{
	size_t before = buf_len(out);
	struct jw j;
	int r = 0;

	if (!asked_ok(method))
		return err_raise(-EINVAL, "method name '%s'", method);
	if (params && !json_is_object(params))
		return err_raise(-EINVAL, "parameters of %s are no object", method);
	jw_init(&j, out);
	jw_obj_open(&j, NULL);
	jw_str(&j, "method", method);
	if (flags & VARLINK_MORE)
		jw_bool(&j, "more", true);
	if (flags & VARLINK_ONEWAY)
		jw_bool(&j, "oneway", true);
	errno = 0;
	if (params) {
		jw_raw(&j, "parameters", "", 0);
		if (json_dump_callback(params, dump_to_buf, out, JSON_COMPACT) < 0)
			r = errno == ENOMEM ? -ENOMEM : -EINVAL;
	}
	jw_obj_close(&j);
	(void)buf_putc(out, '\0');
	if (r == 0 && out->failed == 0)
		return 0;
	if (buf_len(out) > before)
		out->end = out->start + before;
	return err_raise(out->failed ? out->failed : r, "write a call of %s", method);
}

static int
reply_fill(struct varlink_reply *r, const char **why)
{
	const json_t *error = json_object_get(r->root, "error");
	int rc;

	if (error && !json_is_null(error)) {
		r->error = json_string_value(error);
		if (!r->error || !error_ok(r->error)) {
			*why = "`error` is not an error name";
			return VARLINK_E_BAD;
		}
	}
	if (flag_get(r->root, "continues", &r->continues)) {
		*why = "`continues` is not a boolean";
		return VARLINK_E_BAD;
	}
	if (r->error)
		r->continues = false; /* an error is the last reply of its call */
	rc = params_get(r->root, &r->params);
	if (rc > 0)
		*why = "`parameters` is not an object";
	return rc;
}

int
varlink_reply_parse(struct varlink_reply *r, const char *msg, size_t len, const char **why)
{
	struct varlink_reply reply = {0};
	int rc;

	rc = message_load(&reply.root, msg, len, SIZE_MAX, 0, why);
	if (rc == VARLINK_E_VALUE)
		rc = VARLINK_E_BAD;
	if (rc == 0)
		rc = reply_fill(&reply, why);
	if (rc != 0)
		varlink_reply_done(&reply);
	*r = reply;
	return rc;
}

void
varlink_reply_done(struct varlink_reply *r)
{
	json_decref(r->root);
	*r = (struct varlink_reply){0};
}
