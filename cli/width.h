/* width.h - columns that text takes on a terminal. Without the locale: text is UTF-8 throughout. */
#ifndef CTX_CLI_WIDTH_H
#define CTX_CLI_WIDTH_H

#include <stddef.h>

/* Columns of N bytes at S. Control characters and broken UTF-8 count one column a byte. */
size_t width_of(const char *s, size_t n);
/* Bytes of the longest prefix that fits into COLUMNS. */
size_t width_prefix(const char *s, size_t n, size_t columns);

#endif
