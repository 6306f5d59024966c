/* config_line.h - what one line of a configuration file is, judged before inih sees it. For
 * daemon/config*.c alone. */
#ifndef CTXD_CONFIG_LINE_H
#define CTXD_CONFIG_LINE_H

#include <stddef.h>

enum { CONFIG_SECTION_BYTES_MAX = 49 }; /* inih cuts longer names in silence */

enum config_line_kind {
	CONFIG_LINE_NOTHING, /* blank or a comment */
	CONFIG_LINE_SECTION,
	CONFIG_LINE_KEY,
	CONFIG_LINE_BAD,
};
struct config_line {
	char section[CONFIG_SECTION_BYTES_MAX + 1]; /* of SECTION */
	char why[256];                              /* of BAD: safe for a terminal */
};

/* Judge S, N bytes without the newline, of which at most MAX may be used. */
enum config_line_kind
config_line_judge(const char *s, size_t n, size_t max, struct config_line *ret);

#endif
