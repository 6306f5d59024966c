/* log.c - the programs' log. Each entry is one write(2) of one line built on the stack: lines of
 * several processes that share stderr do not mix, and logging needs no memory. What cannot be
 * written is lost; a program does not fail for its log. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/journal.h"
#include "base/log.h"
#include "base/text.h"

enum { LOG_LINE = 4096, RATE_WINDOW_S = 10 };
static const char ellipsis[] = "…";

static const char *log_name = "";
static enum log_level log_max = LOG_LVL_INFO;
static bool to_journal;

/* JOURNAL_STREAM is "device:inode" of what systemd made our stderr; a child with its own stderr
 * inherits the variable. */
static bool
stderr_is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	char mine[64];
	struct stat st;

	if (!s || fstat(STDERR_FILENO, &st) < 0)
		return false;
	(void)snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	return strcmp(s, mine) == 0;
}

static enum log_level
level_of(const char *s)
{
	static const struct {
		char name[8];
		enum log_level level;
	} names[] = {{"err", LOG_LVL_ERR},
		     {"warn", LOG_LVL_WARN},
		     {"notice", LOG_LVL_NOTICE},
		     {"info", LOG_LVL_INFO},
		     {"debug", LOG_LVL_DEBUG}};

	for (size_t i = 0; s && i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(s, names[i].name) == 0)
			return names[i].level;
	return LOG_LVL_INFO;
}

bool
log_enabled(enum log_level l)
{
	return l <= log_max;
}

/* ---- the journal */

static const char *journal_path = JOURNAL_SOCKET;

void
log_set_journal(const char *path)
{
	journal_path = path;
}

bool
log_has_fields(void)
{
	return to_journal && journal_path;
}

/* Which job a line is about: what it begins with. */
static void
add_job(struct journal_entry *e, const char *line, size_t n)
{
	static const char digits[] = "0123456789";
	size_t id, attempt;

	if (n < 5 || memcmp(line, "job", 3) != 0 || (line[3] != '=' && line[3] != ' '))
		return;
	line += 4;
	id = strspn(line, digits);
	if (id == 0)
		return;
	journal_add(e, "CTX_ID", line, id);
	attempt = line[id] == '.' ? strspn(line + id + 1, digits) : 0;
	if (attempt > 0)
		journal_add(e, "CTX_ATTEMPT", line + id + 1, attempt);
}

static bool
has(const struct log_field *f, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(f[i].name, name) == 0)
			return true;
	return false;
}

/* LINE ends with a NUL. 0 or -errno. */
static int
send_entry(enum log_level l, const char *line, size_t len, const struct log_field *f, size_t n)
{
	const char priority = (char)('0' + (int)l);
	static _Thread_local struct journal_entry e; /* not of the stack: see journal.h */

	journal_begin(&e);
	journal_add(&e, "MESSAGE", line, len);
	journal_add(&e, "PRIORITY", &priority, 1);
	journal_add(&e, "SYSLOG_IDENTIFIER", log_name, strlen(log_name));
	if (!has(f, n, "CTX_ID"))
		add_job(&e, line, len);
	for (size_t i = 0; i < n; i++)
		journal_add(&e, f[i].name, f[i].value, f[i].n);
	return journal_send(journal_path, &e);
}

/* ---- a line */

/* What of the line in front of its text; the journal needs to know how grave it is. */
static size_t
put_prefix(char *line, enum log_level l)
{
	int n = to_journal ? snprintf(line, LOG_LINE / 4, "<%d>", (int)l)
			   : snprintf(line, LOG_LINE / 4, log_name[0] ? "%s: " : "%s", log_name);

	return n < 0 ? 0 : n < LOG_LINE / 4 ? (size_t)n : LOG_LINE / 4 - 1;
}

__attribute__((format(printf, 5, 0))) static void
log_line(enum log_level l, const struct log_field *f, size_t n_fields, int saved, const char *fmt,
	 va_list ap)
{
	char line[LOG_LINE + 1];
	size_t start, len, room;
	ssize_t r;
	int n;

	start = len = put_prefix(line, l);
	room = LOG_LINE - len; /* the newline takes the place of the NUL */
	errno = saved;         /* for %m */
	n = vsnprintf(line + len, room, fmt, ap);
	if (n >= 0 && (size_t)n < room) {
		len += (size_t)n;
	} else if (n >= 0) {
		len += text_utf8_prefix(line + len, room - 1, room - sizeof(ellipsis));
		memcpy(line + len, ellipsis, sizeof(ellipsis));
		len += sizeof(ellipsis) - 1;
	}
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20 && line[i] != '\t')
			line[i] = ' ';
	line[len] = '\0';
	if (to_journal && journal_path &&
	    send_entry(l, line + start, len - start, f, n_fields) == 0)
		return;
	line[len++] = '\n';
	do
		r = write(STDERR_FILENO, line, len);
	while (r < 0 && errno == EINTR);
}

__attribute__((format(printf, 2, 0))) static void
log_plain(enum log_level l, const char *fmt, va_list ap)
{
	int saved = errno;

	if (log_enabled(l))
		log_line(l, NULL, 0, saved, fmt, ap);
	errno = saved;
}

void
log_fields(enum log_level l, const struct log_field *f, size_t n, const char *fmt, ...)
{
	int saved = errno;
	va_list ap;

	if (!log_enabled(l))
		return;
	va_start(ap, fmt);
	log_line(l, f, n, saved, fmt, ap);
	va_end(ap);
	errno = saved;
}

void
log_err(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_plain(LOG_LVL_ERR, fmt, ap);
	va_end(ap);
}

void
log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_plain(LOG_LVL_WARN, fmt, ap);
	va_end(ap);
}

void
log_notice(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_plain(LOG_LVL_NOTICE, fmt, ap);
	va_end(ap);
}

void
log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_plain(LOG_LVL_INFO, fmt, ap);
	va_end(ap);
}

void
log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_plain(LOG_LVL_DEBUG, fmt, ap);
	va_end(ap);
}

/* What an operator must see is the caller's to say, in his words; the trace tells where it came
 * from. */
static void
on_error(int r, const char *file, int line, const char *text)
{
	if (text)
		log_debug("%s (%s) at %s:%d", text, strerror(-r), file, line);
	else
		log_debug("  passed on (%s) at %s:%d", strerror(-r), file, line);
}

void
log_init(const char *name)
{
	log_name = name;
	log_max = level_of(getenv("CTXD_LOG"));
	to_journal = stderr_is_journal();
	err_hook_set(on_error);
}

bool
log_rate_ok(struct log_rate *r, uint32_t burst)
{
	int64_t now = mono_now().ns;
	uint32_t dropped = r->dropped;

	if (r->window_ns == 0 || now - r->window_ns >= RATE_WINDOW_S * NSEC_PER_SEC) {
		*r = (struct log_rate){.window_ns = now};
		if (dropped)
			log_notice("%" PRIu32 " lines like the next one were left out", dropped);
	}
	if (r->used < burst) {
		r->used++;
		return true;
	}
	if (r->dropped < UINT32_MAX)
		r->dropped++;
	return false;
}
