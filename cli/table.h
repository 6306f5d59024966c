/* table.h - a table for people: columns as wide as what is in them, written in portions.
 *
 * Rows are kept until table_flush; widths come from what is kept then and only grow later, so a
 * long list starts at once. A column that is optional and empty is left out; when it comes to light
 * in a later portion, the titles are written again. */
#ifndef CTX_CLI_TABLE_H
#define CTX_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "cli/out.h"

enum { TABLE_COLUMNS = 12 };

struct table_column {
	const char *title;
	bool right, optional;
};
struct table {
	const struct table_column *column;
	size_t n;
	size_t width[TABLE_COLUMNS];
	bool hidden[TABLE_COLUMNS];
	struct buf
		cells;  /* per cell: a byte of style ('0' + style), the text, NUL; row after row */
	size_t rows;    /* in CELLS */
	size_t columns; /* of the terminal: the last column is cut to it; 0: never */
	bool color, begun;
};

/* The last column is neither padded nor, away from a terminal, cut. */
void
table_init(struct table *t, const struct table_column *column, size_t n, const struct cli *cli);
void table_done(struct table *t);
/* Next cell; rows are full by themselves. S is escaped; NULL is empty. */
void table_cell(struct table *t, enum out_style style, const char *s);
void table_cellf(struct table *t, enum out_style style, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Write the rows that are complete. 0 or -ENOMEM. */
int table_flush(struct table *t);

#endif
