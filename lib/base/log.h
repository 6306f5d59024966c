/* log.h - the programs' log: one line an entry on stderr, "<N>" priorities when it is the journal.
 * For programs, not for libraries. errno is preserved. User text must be escaped by the caller
 * (text_escape). A line that begins with `job=ID` or `job ID`, ID or ID.ATTEMPT, is about that job:
 * in the journal it has the fields CTX_ID and CTX_ATTEMPT. err = operator must act; warn =
 * degraded, we go on; info = one line per job edge; debug = the rest. */
#ifndef CTX_BASE_LOG_H
#define CTX_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level {
	LOG_LVL_ERR = 3,
	LOG_LVL_WARN = 4,
	LOG_LVL_NOTICE = 5,
	LOG_LVL_INFO = 6,
	LOG_LVL_DEBUG = 7
};

/* NAME is printed in front of each line when stderr is not the journal ("ctxd: …"). Reads
 * JOURNAL_STREAM and CTXD_LOG (err, warn, info, debug; default info). Installs the err.h hook;
 * traces are debug lines, because callers decide what an operator must see. */
void log_init(const char *name);
void log_err(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_notice(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool log_enabled(enum log_level l);

/* A line with fields of its own, which only the journal keeps. */
struct log_field {
	const char *name; /* of A-Z, 0-9 and '_' */
	const char *value;
	size_t n;
};
void log_fields(enum log_level l, const struct log_field *f, size_t n, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Is it worth collecting fields? */
bool log_has_fields(void);
/* Where the journal takes entries, instead of JOURNAL_SOCKET; NULL: lines go to stderr alone,
 * without fields. Borrowed. */
void log_set_journal(const char *path);

/* For lines that a client can cause: at most BURST per window of 10 s for this object; what was
 * left out is said once. */
struct log_rate {
	int64_t window_ns;
	uint32_t used, dropped;
};
bool log_rate_ok(struct log_rate *r, uint32_t burst);

#endif
