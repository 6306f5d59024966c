/* text.c - text that came from people or strangers. Strict: what is not plainly the form asked for
 * is refused. ASCII only, never the locale. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/text.h"

enum { CLASS_NAME_MAX = 32, JOB_NAME_MAX = 128, ESCAPE_MAX = 16 };
static const char ellipsis[] = "…";
static const char hex[] = "0123456789abcdef";

/* Numbers. */

/* Digits at *S, at least one; *S moves behind them. */
static int
digits(const char **s, uint64_t *ret)
{
	const char *p = *s;
	uint64_t v = 0;
	int r = 0;

	if (*p < '0' || *p > '9')
		return -EINVAL;
	for (; *p >= '0' && *p <= '9'; p++)
		if (__builtin_mul_overflow(v, UINT64_C(10), &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v))
			r = -ERANGE;
	*s = p;
	*ret = v;
	return r;
}

int
text_u64(const char *s, uint64_t *ret)
{
	uint64_t v;
	int r = digits(&s, &v);

	if (r == -EINVAL || *s != '\0')
		return -EINVAL;
	if (r < 0)
		return r;
	*ret = v;
	return 0;
}

int
text_i64(const char *s, int64_t *ret)
{
	bool minus = *s == '-';
	uint64_t v, limit = (uint64_t)INT64_MAX + minus;
	int r = text_u64(s + minus, &v);

	if (r < 0)
		return r;
	if (v > limit)
		return -ERANGE;
	*ret = (int64_t)(minus ? -v : v);
	return 0;
}

static const char size_units[] = "KMGT";

int
text_size(const char *s, uint64_t *ret)
{
	uint64_t v;
	int r = digits(&s, &v);
	const char *unit;

	if (r == -EINVAL)
		return r;
	if (*s != '\0') {
		unit = strchr(size_units, *s);
		if (!unit || s[1] != '\0')
			return -EINVAL;
		if (__builtin_mul_overflow(v, UINT64_C(1) << (10 * (unit - size_units + 1)), &v))
			r = -ERANGE;
	}
	if (r == 0)
		*ret = v;
	return r;
}

const char *
text_size_format(uint64_t v, char *buf, size_t size)
{
	int u = 0;

	while (size_units[u] && v && v % 1024 == 0) {
		v /= 1024;
		u++;
	}
	(void)snprintf(buf, size, u ? "%llu%c" : "%llu", (unsigned long long)v,
		       u ? size_units[u - 1] : 0);
	return buf;
}

/* UTF-8. */

static bool
cont(const char *s)
{
	return ((unsigned char)*s & 0xc0) == 0x80;
}

size_t
text_utf8_step(const char *s, size_t n)
{
	unsigned char c = (unsigned char)s[0], low = 0x80, high = 0xbf;
	size_t len;

	if (c < 0x80)
		return 1;
	if (c < 0xc2 || c > 0xf4)
		return 0;
	len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
	if (n < len)
		return 0;
	/* Overlong forms, surrogates and what is beyond U+10FFFF all show in the second byte. */
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;
	if ((unsigned char)s[1] < low || (unsigned char)s[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if (!cont(s + i))
			return 0;
	return len;
}

bool
text_utf8_valid(const char *s, size_t n, size_t *ret_bad_at)
{
	size_t i = 0, step;

	while (i < n) {
		uint64_t x;

		if (n - i >= 8) {
			memcpy(&x, s + i, 8);
			if ((x & UINT64_C(0x8080808080808080)) == 0) {
				i += 8;
				continue;
			}
		}
		step = text_utf8_step(s + i, n - i);
		if (step == 0) {
			if (ret_bad_at)
				*ret_bad_at = i;
			return false;
		}
		i += step;
	}
	return true;
}

size_t
text_utf8_prefix(const char *s, size_t n, size_t max)
{
	size_t cut = max;

	if (n <= max)
		return n;
	while (cut > 0 && max - cut < 3 && cont(s + cut))
		cut--;
	return cont(s + cut) ? max : cut;
}

/* Code point of the valid character at S of LEN bytes. */
static uint32_t
code_point(const char *s, size_t len)
{
	static const unsigned char first_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = (unsigned char)s[0] & first_mask[len];

	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	return c;
}

/* Characters beyond ASCII that act on a terminal or on the reading order instead of being shown. */
static bool
unprintable(uint32_t c)
{
	return (c >= 0x80 && c <= 0x9f) || c == 0x61c || c == 0x200e || c == 0x200f ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* Write one character of S, escaped where it must be, to OUT; *USED bytes of S are done. Returns
 * bytes written. */
static size_t
escape_one(const char *s, size_t n, char out[ESCAPE_MAX], size_t *used)
{
	static const char letters[] = "abtnvfr"; /* 7 to 13 */
	unsigned char c = (unsigned char)s[0];
	size_t step = text_utf8_step(s, n);
	uint32_t cp;

	*used = 1;
	out[0] = '\\';
	if (c == '\\' || c == '"' || (c >= 7 && c <= 13)) {
		out[1] = c <= 13 ? letters[c - 7] : (char)c;
		return 2;
	}
	if (step == 0 || c < 0x20 || c == 0x7f) {
		out[1] = 'x';
		out[2] = hex[c >> 4];
		out[3] = hex[c & 15];
		return 4;
	}
	*used = step;
	cp = step > 1 ? code_point(s, step) : 0;
	if (step == 1 || !unprintable(cp)) {
		memcpy(out, s, step);
		return step;
	}
	out[1] = 'u';
	for (int i = 0; i < 4; i++)
		out[2 + i] = hex[cp >> (12 - 4 * i) & 15];
	return 6;
}

/* PLAIN: characters that stay as they are. */
static const char *
escape(const char *s, char *dst, size_t size, const char *plain)
{
	size_t n = strlen(s), len = 0, keep = 0, used, add;
	char one[ESCAPE_MAX];

	if (size == 0)
		return dst;
	for (; n > 0; s += used, n -= used) {
		add = escape_one(s, n, one, &used);
		if (strchr(plain, *s)) {
			one[0] = *s;
			add = 1;
		}
		if (len + add >= size)
			break;
		memcpy(dst + len, one, add);
		len += add;
		if (len + sizeof(ellipsis) <= size)
			keep = len;
	}
	if (n > 0 && size >= sizeof(ellipsis)) {
		memcpy(dst + keep, ellipsis, sizeof(ellipsis));
		return dst;
	}
	dst[len] = '\0';
	return dst;
}

const char *
text_escape(const char *s, char *dst, size_t size)
{
	return escape(s, dst, size, "");
}

const char *
text_escape_sentence(const char *s, char *dst, size_t size)
{
	return escape(s, dst, size, "\"\\");
}

static bool
shown_plain(char c)
{
	return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
}

int
text_escape_buf(struct buf *b, const char *s, size_t n)
{
	char one[ESCAPE_MAX];
	size_t run, used, add;

	while (n > 0 && !b->failed) {
		for (run = 0; run < n && shown_plain(s[run]);)
			run++;
		(void)buf_put(b, s, run);
		s += run;
		n -= run;
		if (n == 0)
			break;
		add = escape_one(s, n, one, &used);
		(void)buf_put(b, one, add);
		s += used;
		n -= used;
	}
	return b->failed;
}

static bool
letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* A word with "=" is an assignment when it comes first, so "=" is plain in options only. */
static bool
shell_plain(const char *s)
{
	const char *safe = *s == '-' ? "_@%+=:,./-" : "_@%+:,./-";

	if (*s == '\0')
		return false;
	for (; *s; s++)
		if (!letter_or_digit(*s) && !strchr(safe, *s))
			return false;
	return true;
}

int
text_shell_quote(struct buf *b, const char *s)
{
	const char *end;

	if (shell_plain(s))
		return buf_puts(b, s);
	(void)buf_putc(b, '\'');
	for (; (end = strchr(s, '\'')); s = end + 1) {
		(void)buf_put(b, s, (size_t)(end - s));
		(void)buf_puts(b, "'\\''");
	}
	(void)buf_puts(b, s);
	return buf_putc(b, '\'');
}

/* Names. */

bool
text_class_name(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return n > 0 && n <= CLASS_NAME_MAX && s[n] == '\0';
}

bool
text_job_name(const char *s)
{
	size_t n = strnlen(s, JOB_NAME_MAX + 1), step;

	if (n == 0 || n > JOB_NAME_MAX)
		return false;
	for (; n > 0; s += step, n -= step) {
		uint32_t cp;

		step = text_utf8_step(s, n);
		if (step == 0)
			return false;
		cp = code_point(s, step);
		if (cp < 0x20 || (cp >= 0x7f && cp <= 0x9f))
			return false;
	}
	return true;
}

bool
text_env_name(const char *s, size_t n)
{
	if (n == 0 || (s[0] >= '0' && s[0] <= '9'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!letter_or_digit(s[i]) && s[i] != '_')
			return false;
	return true;
}

/* Signals. */

static const struct {
	char name[8];
	int sig;
} signals[] = {
	{"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT}, {"ILL", SIGILL},
	{"TRAP", SIGTRAP}, {"ABRT", SIGABRT},     {"BUS", SIGBUS},   {"FPE", SIGFPE},
	{"KILL", SIGKILL}, {"USR1", SIGUSR1},     {"SEGV", SIGSEGV}, {"USR2", SIGUSR2},
	{"PIPE", SIGPIPE}, {"ALRM", SIGALRM},     {"TERM", SIGTERM}, {"STKFLT", SIGSTKFLT},
	{"CHLD", SIGCHLD}, {"CONT", SIGCONT},     {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},
	{"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},   {"XCPU", SIGXCPU},
	{"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM}, {"PROF", SIGPROF}, {"WINCH", SIGWINCH},
	{"IO", SIGIO},     {"PWR", SIGPWR},       {"SYS", SIGSYS},   {"IOT", SIGABRT},
	{"CLD", SIGCHLD},  {"POLL", SIGIO},
};
enum { N_SIGNALS = sizeof(signals) / sizeof(signals[0]), SIG_LAST_PLAIN = 31 };

/* "", "+N" or "-N" behind RTMIN or RTMAX. */
static int
realtime_signal(const char *s, int base, char sign, int *ret)
{
	uint64_t n = 0;
	int range = SIGRTMAX - SIGRTMIN;

	if (*s != '\0' && (*s != sign || text_u64(s + 1, &n) < 0 || n > (uint64_t)range))
		return -EINVAL;
	*ret = sign == '+' ? base + (int)n : base - (int)n;
	return 0;
}

int
text_signal(const char *s, int *ret)
{
	uint64_t n;

	if (*s >= '0' && *s <= '9') {
		if (text_u64(s, &n) < 0 || n < 1 || n > (uint64_t)SIGRTMAX ||
		    (n > SIG_LAST_PLAIN && n < (uint64_t)SIGRTMIN))
			return -EINVAL;
		*ret = (int)n;
		return 0;
	}
	if (strncasecmp(s, "SIG", 3) == 0)
		s += 3;
	if (strncasecmp(s, "RTMIN", 5) == 0)
		return realtime_signal(s + 5, SIGRTMIN, '+', ret);
	if (strncasecmp(s, "RTMAX", 5) == 0)
		return realtime_signal(s + 5, SIGRTMAX, '-', ret);
	for (int i = 0; i < N_SIGNALS; i++)
		if (strcasecmp(s, signals[i].name) == 0) {
			*ret = signals[i].sig;
			return 0;
		}
	return -EINVAL;
}

const char *
text_signal_name(int sig, char *buf, size_t size)
{
	for (int i = 0; i < N_SIGNALS; i++)
		if (signals[i].sig == sig) {
			(void)snprintf(buf, size, "%s", signals[i].name);
			return buf;
		}
	if (sig == SIGRTMIN)
		(void)snprintf(buf, size, "RTMIN");
	else if (sig > SIGRTMIN && sig <= SIGRTMAX)
		(void)snprintf(buf, size, "RTMIN+%d", sig - SIGRTMIN);
	else
		(void)snprintf(buf, size, "%d", sig);
	return buf;
}

/* Base64. */

static int
base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int
text_base64_decode(const char *s, size_t n, struct buf *out)
{
	size_t pad = 0, size;
	char *to;

	if (n % 4 != 0)
		return -EINVAL;
	while (pad < 2 && pad < n && s[n - 1 - pad] == '=')
		pad++;
	size = n / 4 * 3 - pad;
	to = buf_reserve(out, size);
	if (!to)
		return out->failed;
	for (size_t i = 0, left = size; i < n; i += 4) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = i + k >= n - pad ? 0 : base64_value(s[i + k]);

			if (d < 0)
				return -EINVAL;
			v = v << 6 | (uint32_t)d;
		}
		for (int shift = 16; shift >= 0 && left > 0; shift -= 8, left--)
			*to++ = (char)(v >> shift & 0xff);
		/* Bits that the padding leaves unused must be zero: one text for one value. */
		if (i + 4 == n && pad && (v & ((UINT32_C(1) << (8 * pad)) - 1)) != 0)
			return -EINVAL;
	}
	buf_wrote(out, size);
	return 0;
}

char *
text_format(const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	return n < 0 ? NULL : s;
}
