/* journal_export.h - entries as `journalctl -o export` writes them
 * (https://systemd.io/JOURNAL_EXPORT_FORMATS/), as far as output of jobs is told by them. */
#ifndef CTXD_EXEC_JOURNAL_EXPORT_H
#define CTXD_EXEC_JOURNAL_EXPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What an entry says; MESSAGE and CURSOR borrow from the text. */
struct journal_line {
	const char *message;
	size_t n;
	const char *cursor;
	size_t cursor_n;
	bool has_offset;
	uint64_t offset;
	uint32_t round;
	bool newline; /* one followed in the file */
};
/* The first entry in the N bytes at P: how many bytes it has; 0: it is not whole; -EPROTO: it is
 * none. */
long journal_export_next(const char *p, size_t n, struct journal_line *ret);

#endif
