/* out.h - the two outputs of ctxctl: data on the standard output through one buffer, all else as
 * lines on stderr.
 *
 * The buffer is written when it is large, at out_flush, and by main at the end. A failed write is
 * remembered: what follows is dropped, and out_flush tells. Text of users goes through out_text and
 * out_escape, which leave nothing that acts on a terminal. */
#ifndef CTX_CLI_OUT_H
#define CTX_CLI_OUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct cli;

void out_put(const void *p, size_t n);
void out_puts(const char *s);
void out_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void out_text(const char *s);   /* escaped */
void out_json(const json_t *v); /* on one line, without the line's end */
void
out_document(const json_t *v); /* one JSON document: with its line end; indented on a terminal */
/* 0, or the negative errno of the first failed write. */
int out_flush(void);

/* Append to B what may be shown: controls, bidi marks and broken UTF-8 escaped, all else as it is
 * (quotes and backslashes, too). 0 or b->failed. */
int out_escape(struct buf *b, const char *s, size_t n);

/* A line on stderr: "ctxctl: …". FMT without newline; texts of users must be escaped before. */
void out_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A line on stderr without the name in front. */
void out_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

bool out_is_terminal(void);
bool out_err_is_terminal(void);
/* Columns of the terminal; 0: the standard output is none. */
size_t out_columns(void);

enum out_style {
	OUT_PLAIN,
	OUT_BOLD,
	OUT_DIM,
	OUT_RED,
	OUT_GREEN,
	OUT_YELLOW,
	OUT_BLUE,
	OUT_STYLES
};
/* Colour for the standard output: on a terminal, unless --no-color, NO_COLOR or TERM=dumb. */
bool out_color(const struct cli *cli);
const char *out_style(enum out_style s); /* escape sequence; "" for plain */
#define OUT_RESET "\033[0m"

/* A span in at most two units, for people: 250ms, 12s, 5m12s, 3h07m, 2d04h; not exact. BUF of
 * OUT_SPAN. */
enum { OUT_SPAN = 32 };
const char *out_span(int64_t usec, char buf[OUT_SPAN]);
/* 1.5 MiB and the like. BUF of OUT_SPAN. */
const char *out_bytes(int64_t bytes, char buf[OUT_SPAN]);

#endif
