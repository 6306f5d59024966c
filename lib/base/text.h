/* text.h - text that came from people or strangers: strict numbers, sizes, escaping, quoting,
 * UTF-8, names. */
#ifndef CTX_BASE_TEXT_H
#define CTX_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* Whole string, decimal, no sign unless signed, no blanks. 0, -EINVAL, -ERANGE. */
int text_u64(const char *s, uint64_t *ret);
int text_i64(const char *s, int64_t *ret);
/* `64M`, `1G`, `512K`, `100`: binary multiples (K M G T). 0, -EINVAL, -ERANGE. */
int text_size(const char *s, uint64_t *ret);
const char *
text_size_format(uint64_t v, char *buf, size_t size); /* shortest exact form, e.g. 64M */

bool text_utf8_valid(const char *s, size_t n, size_t *ret_bad_at); /* RET_BAD_AT may be NULL */
/* Bytes of the valid UTF-8 character at S (1-4), 0 when what is there is none. N > 0. */
size_t text_utf8_step(const char *s, size_t n);
/* Length of the longest prefix of at most MAX bytes that does not cut a UTF-8 character. */
size_t text_utf8_prefix(const char *s, size_t n, size_t max);

/* C-like escapes for control bytes, DEL, backslash, quote and invalid UTF-8: safe for a terminal
 * and a log line. Result always NUL-ended, cut with "…" at SIZE. Returns DST. */
const char *text_escape(const char *s, char *dst, size_t size);
/* The same for a text that stands by itself, not between quotes: quotes and backslashes stay. */
const char *text_escape_sentence(const char *s, char *dst, size_t size);
/* As text_escape, appended to B, no cut. C1 controls (U+0080-U+009F) and bidi controls are escaped
 * as well. */
int text_escape_buf(struct buf *b, const char *s, size_t n);
/* Append S quoted for a POSIX shell, only where needed. */
int text_shell_quote(struct buf *b, const char *s);

/* Class names: 1-32 of [a-z0-9_-]. Job names: 1-128 bytes UTF-8 without control characters.
 * Environment names: [A-Za-z_][A-Za-z0-9_]* (shell style) – see text_env_name. */
bool text_class_name(const char *s);
bool text_job_name(const char *s);
bool text_env_name(const char *s, size_t n);

/* Signals by number, name with or without SIG ("TERM", "SIGUSR1", "15", "RTMIN+3"). 0 or -EINVAL.
 */
int text_signal(const char *s, int *ret);
/* "TERM"; "RTMIN+3"; decimal if unknown. BUF of 16. */
const char *text_signal_name(int sig, char *buf, size_t size);

int text_base64_decode(const char *s, size_t n, struct buf *out); /* strict RFC 4648; -EINVAL */

/* printf to a new string owned by the caller, NULL on ENOMEM. */
char *text_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
