/* fuzz_varlink.c - what a stranger may send to ctxd: framing, a call, its parameters by a table.
 * And what a client may be sent. */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/strv.h"
#include "varlink/varlink.h"

enum { MESSAGE_MAX = 1 << 16 };

struct args {
	int64_t n;
	bool flag, has_flag;
	const char *text;
	struct strv list, map;
	struct varlink_ints ints;
	double share;
};

static const struct varlink_arg spec[] = {
	{"id", VARLINK_INT, true, offsetof(struct args, n), SIZE_MAX},
	{"now", VARLINK_BOOL, false, offsetof(struct args, flag), offsetof(struct args, has_flag)},
	{"name", VARLINK_STRING, false, offsetof(struct args, text), SIZE_MAX},
	{"argv", VARLINK_STRINGS, false, offsetof(struct args, list), SIZE_MAX},
	{"env", VARLINK_STRMAP, false, offsetof(struct args, map), SIZE_MAX},
	{"ids", VARLINK_INTS, false, offsetof(struct args, ints), SIZE_MAX},
	{"percent", VARLINK_FLOAT, false, offsetof(struct args, share), SIZE_MAX},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A packed vector is whole: each string ends inside it. */
static void
check_strv(const struct strv *v)
{
	size_t n = 0;

	assert(v->size == 0 || v->data[v->size - 1] == '\0');
	for (const char *s = strv_first(v); s; s = strv_next(v, s))
		n++;
	assert(n == v->n);
}

static void
decode(json_t *params)
{
	struct args a = {0};
	const char *bad = NULL;
	int r = varlink_args_decode(params, spec, ARRAY_SIZE(spec), &a, &bad);

	assert(r <= 0 || bad);
	assert(isfinite(a.share));
	check_strv(&a.list);
	check_strv(&a.map);
	varlink_args_done(spec, ARRAY_SIZE(spec), &a);
}

/* What was accepted can be written, and is the same when read back. */
static void
again(const struct varlink_call *c)
{
	unsigned flags = (c->more ? VARLINK_MORE : 0u) | (c->oneway ? VARLINK_ONEWAY : 0u);
	struct buf b = {0};
	struct varlink_call d;
	const char *why;

	assert(varlink_call_write(&b, c->method, c->params, flags) == 0);
	assert(varlink_call_parse(&d, buf_head(&b), buf_len(&b) - 1, &why) == 0);
	assert(strcmp(c->method, d.method) == 0 && json_equal(c->params, d.params));
	assert(c->more == d.more && c->oneway == d.oneway);
	varlink_call_done(&d);
	buf_done(&b);
}

static void
message(const char *msg, size_t len)
{
	struct varlink_call c;
	struct varlink_reply r;
	const char *why = NULL;

	if (varlink_call_parse(&c, msg, len, &why) == 0 && c.bad_value) {
		assert(c.bad_why && json_object_get(c.params, c.bad_value));
	} else if (c.root) {
		decode(c.params);
		again(&c);
	} else {
		assert(why && !c.root);
	}
	varlink_call_done(&c);
	why = NULL;
	if (varlink_reply_parse(&r, msg, len, &why) != 0)
		assert(why && !r.root);
	varlink_reply_done(&r);
}

/* The bytes come in pieces; the first byte says how large. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece = size ? data[0] + 1u : 1, scanned = 0;
	struct buf in = {0};
	int r = VARLINK_E_NONE;

	for (size_t at = 1; at < size && r != VARLINK_E_TOO_BIG; at += piece) {
		const char *msg;
		size_t len, n = size - at < piece ? size - at : piece;

		if (buf_put(&in, data + at, n) < 0)
			break;
		while ((r = varlink_next(&in, MESSAGE_MAX, &scanned, &msg, &len)) == 0) {
			assert(memchr(msg, '\0', len + 1) == msg + len);
			message(msg, len);
			buf_consume(&in, len + 1);
			scanned = 0;
		}
	}
	buf_done(&in);
	return 0;
}
