/* table.c - a table for people. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/table.h"
#include "cli/width.h"

static const char gap[] = "  ";
static const char ellipsis[] = "\xe2\x80\xa6";

void
table_init(struct table *t, const struct table_column *column, size_t n, const struct cli *cli)
{
	assert(n > 0 && n <= TABLE_COLUMNS);
	*t = (struct table){
		.column = column, .n = n, .columns = out_columns(), .color = out_color(cli)};
}

void
table_done(struct table *t)
{
	buf_done(&t->cells);
}

void
table_cell(struct table *t, enum out_style style, const char *s)
{
	(void)buf_putc(&t->cells, (char)('0' + style));
	if (s)
		(void)out_escape(&t->cells, s, strlen(s));
	(void)buf_putc(&t->cells, '\0');
	t->rows++;
}

void
table_cellf(struct table *t, enum out_style style, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	table_cell(t, style, text);
}

/* Cell after CELL. */
static const char *
next(const char *cell)
{
	return cell + strlen(cell) + 1;
}

/* First kept cell; NULL when there is none. */
static const char *
first(const struct table *t)
{
	return t->cells.data ? t->cells.data + t->cells.start : NULL;
}

/* True: titles must be written, because there were none yet or a column came to light. */
static bool
measure(struct table *t)
{
	const char *cell = first(t);
	bool used[TABLE_COLUMNS] = {false}, changed = !t->begun;

	for (size_t i = 0; cell && i < t->rows; i++, cell = next(cell)) {
		size_t c = i % t->n, len = strlen(cell + 1), w = width_of(cell + 1, len);

		used[c] = used[c] || len > 0;
		if (w > t->width[c])
			t->width[c] = w;
	}
	for (size_t c = 0; c < t->n; c++) {
		size_t w = strlen(t->column[c].title);
		bool hidden = t->column[c].optional && !used[c] && (!t->begun || t->hidden[c]);

		changed = changed || hidden != t->hidden[c];
		t->hidden[c] = hidden;
		if (w > t->width[c])
			t->width[c] = w;
	}
	return changed;
}

static void
blanks(size_t n)
{
	static const char some[] = "                                ";

	for (; n >= sizeof(some) - 1; n -= sizeof(some) - 1)
		out_put(some, sizeof(some) - 1);
	out_put(some, n);
}

/* COLUMN is where the cell starts on the line. */
static void
put_last(const struct table *t, const char *text, size_t column)
{
	size_t len = strlen(text), room;

	if (t->columns == 0 || column + width_of(text, len) <= t->columns) {
		out_put(text, len);
		return;
	}
	room = column + 1 < t->columns ? t->columns - column - 1 : 0;
	out_put(text, width_prefix(text, len, room));
	out_puts(ellipsis);
}

static void
put_cell(const struct table *t, size_t c, enum out_style style, const char *text, size_t column)
{
	size_t w = width_of(text, strlen(text)), pad = w < t->width[c] ? t->width[c] - w : 0;
	bool colored = t->color && style != OUT_PLAIN && text[0];

	if (t->column[c].right)
		blanks(pad);
	if (colored)
		out_puts(out_style(style));
	if (c + 1 == t->n)
		put_last(t, text, column);
	else
		out_puts(text);
	if (colored)
		out_puts(OUT_RESET);
	if (c + 1 < t->n && !t->column[c].right)
		blanks(pad);
}

/* CELL: the first of the row; NULL: the titles. */
static const char *
put_row(const struct table *t, const char *cell)
{
	size_t column = 0;

	for (size_t c = 0; c < t->n; c++) {
		const char *text = cell ? cell + 1 : t->column[c].title;
		enum out_style style = cell ? (enum out_style)(*cell - '0') : OUT_BOLD;

		if (!t->hidden[c]) {
			if (column > 0)
				out_put(gap, sizeof(gap) - 1);
			column += column > 0 ? sizeof(gap) - 1 : 0;
			put_cell(t, c, style, text, column);
			column += t->width[c];
		}
		cell = cell ? next(cell) : NULL;
	}
	out_puts("\n");
	return cell;
}

int
table_flush(struct table *t)
{
	const char *cell = first(t);

	if (t->cells.failed)
		return t->cells.failed;
	if (measure(t))
		(void)put_row(t, NULL);
	t->begun = true;
	for (size_t i = 0; cell && i + t->n <= t->rows; i += t->n)
		cell = put_row(t, cell);
	buf_clear(&t->cells);
	t->rows = 0;
	return 0;
}
