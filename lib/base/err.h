/* err.h - error convention of the whole tree.
 *
 * Fallible functions return int: 0 ok; negative errno = broken, pass up unchanged; positive FOO_E_*
 * = a documented outcome that the direct caller handles. A negative code is born in err_raise (one
 * trace with place and text), hops through err_pass, and an unexpected positive outcome becomes
 * negative in err_fold. Libraries are silent: the trace goes to a hook that a program may install.
 */
#ifndef CTX_BASE_ERR_H
#define CTX_BASE_ERR_H

/* TEXT describes the failure in full; NULL on a hop. */
typedef void (*err_hook_fn)(int r, const char *file, int line, const char *text);

/* Install the trace hook of this program; NULL silences it (the default). */
void err_hook_set(err_hook_fn fn);

/* Trace R (a negative errno) with the formatted text and return it. errno is preserved. An R that
 * is not negative, such as -errno when errno was 0, comes back as -ENOTRECOVERABLE: no failure
 * turns into success. */
int err_trace(int r, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
int err_hop(int r, const char *file, int line);
/* R < 0: hop. R > 0: an outcome nobody expected here: trace it, return -ENOTRECOVERABLE. 0 stays 0.
 */
int err_fold_(int r, const char *file, int line);

#define err_raise(r, ...) err_trace((r), __FILE__, __LINE__, __VA_ARGS__)
#define err_pass(r) err_hop((r), __FILE__, __LINE__)
#define err_fold(r) err_fold_((r), __FILE__, __LINE__)

/* For errors that a person reads: a stable code (module's own enum, 0 = none) and a text without
 * newline. */
struct ctx_err {
	int code;
	char text[256];
};

/* Fill E (may be NULL) and return R, so that `return ctx_err_set(e, CODE, -EINVAL, "…")` reads
 * well. Too long a text is cut, ending in "…"; line ends in it become blanks. errno is preserved.
 */
int ctx_err_set(struct ctx_err *e, int code, int r, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

#endif
