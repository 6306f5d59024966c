/* jw.c - JSON writer. The hot case, plain ASCII that needs no escape, is one scan, one reservation
 * and one copy; nothing is reserved that is not written, because the buffer's bound counts. */
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/text.h"

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS (ONES * 0x80)

void
jw_init(struct jw *j, struct buf *out)
{
	*j = (struct jw){.out = out};
}

static bool
plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Bytes at the start of S that stand for themselves. Eight at a time: per byte, the high bit of
 * each term is set when the byte is below 0x20, is a quote, is a backslash (or, by borrow, follows
 * such a byte), or is not ASCII. */
static size_t
plain_run(const char *s, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8) {
		uint64_t x, q, b;

		memcpy(&x, s + i, 8);
		q = x ^ (ONES * '"');
		b = x ^ (ONES * '\\');
		if ((x | (x - ONES * 0x20) | (q - ONES) | (b - ONES)) & HIGHS)
			break;
	}
	while (i < n && plain((unsigned char)s[i]))
		i++;
	return i;
}

static size_t
escape(unsigned char c, char *to)
{
	static const char hex[] = "0123456789abcdef";
	static const char short_of[0x20] = {
		['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'};

	to[0] = '\\';
	if (c == '"' || c == '\\') {
		to[1] = (char)c;
		return 2;
	}
	if (short_of[c]) {
		to[1] = short_of[c];
		return 2;
	}
	to[1] = 'u';
	to[2] = to[3] = '0';
	to[4] = hex[c >> 4];
	to[5] = hex[c & 15];
	return 6;
}

static void
put_escaped(struct buf *out, const char *s, size_t n)
{
	char esc[6];

	(void)buf_putc(out, '"');
	while (n > 0 && !out->failed) {
		size_t run = plain_run(s, n), step;

		/* Valid UTF-8 goes along with the run it stands in. */
		while (run < n && (unsigned char)s[run] >= 0x80 &&
		       (step = text_utf8_step(s + run, n - run)) > 0) {
			run += step;
			run += plain_run(s + run, n - run);
		}
		(void)buf_put(out, s, run);
		s += run;
		n -= run;
		if (n == 0)
			break;
		if ((unsigned char)*s >= 0x80)
			(void)buf_put(out, "\xef\xbf\xbd", 3);
		else
			(void)buf_put(out, esc, escape((unsigned char)*s, esc));
		s++;
		n--;
	}
	(void)buf_putc(out, '"');
}

/* Comma, key and colon as due, then room for N bytes of value; NULL when the buffer failed. The
 * caller fills all N, already counted as written. */
static char *
begin(struct jw *j, const char *key, size_t n)
{
	struct buf *out = j->out;
	size_t klen = key ? strlen(key) : 0, head = (size_t)j->comma + (key ? klen + 3 : 0);
	char *to;

	if (key && plain_run(key, klen) != klen) {
		if (j->comma)
			(void)buf_putc(out, ',');
		put_escaped(out, key, klen);
		(void)buf_putc(out, ':');
		key = NULL;
		head = 0;
		j->comma = false;
	}
	to = buf_reserve(out, head + n);
	if (!to)
		return NULL;
	if (j->comma)
		*to++ = ',';
	if (key) {
		*to++ = '"';
		to = mempcpy(to, key, klen);
		*to++ = '"';
		*to++ = ':';
	}
	j->comma = true;
	buf_wrote(out, head + n);
	return to;
}

static void
literal(struct jw *j, const char *key, const char *text, size_t n)
{
	char *to = begin(j, key, n);

	if (to && n)
		memcpy(to, text, n);
}

void
jw_obj_open(struct jw *j, const char *key)
{
	literal(j, key, "{", 1);
	j->comma = false;
}

void
jw_obj_close(struct jw *j)
{
	(void)buf_putc(j->out, '}');
	j->comma = true;
}

void
jw_arr_open(struct jw *j, const char *key)
{
	literal(j, key, "[", 1);
	j->comma = false;
}

void
jw_arr_close(struct jw *j)
{
	(void)buf_putc(j->out, ']');
	j->comma = true;
}

void
jw_strn(struct jw *j, const char *key, const char *s, size_t n)
{
	char *to;

	if (!s) {
		jw_null(j, key);
		return;
	}
	if (plain_run(s, n) != n) {
		(void)begin(j, key, 0);
		put_escaped(j->out, s, n);
		return;
	}
	to = begin(j, key, n + 2);
	if (!to)
		return;
	*to++ = '"';
	memcpy(to, s, n);
	to[n] = '"';
}

void
jw_str(struct jw *j, const char *key, const char *s)
{
	jw_strn(j, key, s, s ? strlen(s) : 0);
}

void
jw_int(struct jw *j, const char *key, int64_t v)
{
	char tmp[20], *p = tmp + sizeof(tmp);
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

	do
		*--p = (char)('0' + u % 10);
	while ((u /= 10) != 0);
	if (v < 0)
		*--p = '-';
	literal(j, key, p, (size_t)(tmp + sizeof(tmp) - p));
}

void
jw_bool(struct jw *j, const char *key, bool v)
{
	literal(j, key, v ? "true" : "false", v ? 4 : 5);
}

void
jw_null(struct jw *j, const char *key)
{
	literal(j, key, "null", 4);
}

void
jw_int_if(struct jw *j, const char *key, bool has, int64_t v)
{
	if (has)
		jw_int(j, key, v);
	else
		jw_null(j, key);
}

void
jw_time(struct jw *j, const char *key, int64_t us)
{
	char text[CLOCK_TEXT];

	jw_str(j, key, us ? wall_format(wall_usec(us), text, sizeof(text)) : NULL);
}

void
jw_raw(struct jw *j, const char *key, const char *text, size_t n)
{
	literal(j, key, text, n);
}

void
jw_base64(struct jw *j, const char *key, const void *p, size_t n)
{
	static const char abc[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const unsigned char *in = p;
	char *to = begin(j, key, (n + 2) / 3 * 4 + 2);

	if (!to)
		return;
	*to++ = '"';
	for (; n >= 3; n -= 3, in += 3) {
		*to++ = abc[in[0] >> 2];
		*to++ = abc[(in[0] & 3) << 4 | in[1] >> 4];
		*to++ = abc[(in[1] & 15) << 2 | in[2] >> 6];
		*to++ = abc[in[2] & 63];
	}
	if (n > 0) {
		unsigned second = n == 2 ? in[1] : 0;

		*to++ = abc[in[0] >> 2];
		*to++ = abc[(in[0] & 3) << 4 | second >> 4];
		*to++ = n == 2 ? abc[(second & 15) << 2] : '=';
		*to++ = '=';
	}
	*to = '"';
}
