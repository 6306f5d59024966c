/* rows.c - one pass over the text of a reply that carries a long list of objects.
 *
 * A tree of ten thousand jobs costs most of the time that listing them takes. This is a reader of
 * strict JSON that allocates nothing: strings are unescaped and ended in place, over their own
 * closing quote, and other values over the delimiter behind them. The NUL behind the text ends
 * every loop, for no token may hold one. */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "client/rows.h"

enum {
	DEPTH_MAX = 32,
	ROW_DEPTH = 4, /* of the values of a row: reply, parameters, list, row */
};

struct scan {
	char *p;
	const char *end; /* the NUL */
	const char *why; /* the first thing that was wrong */
};

struct span {
	char *p;
	size_t n;
	bool escaped; /* a string with a backslash in it */
};

static bool
bad(struct scan *s, const char *why)
{
	if (!s->why)
		s->why = why;
	return false;
}

static void
blanks(struct scan *s)
{
	while (*s->p == ' ' || *s->p == '\t' || *s->p == '\n' || *s->p == '\r')
		s->p++;
}

static bool
next_is(struct scan *s, char c)
{
	blanks(s);
	if (*s->p != c)
		return false;
	s->p++;
	return true;
}

/* The string whose quote is next, as it stands. */
static bool
string_span(struct scan *s, struct span *ret)
{
	unsigned char *p;

	if (!next_is(s, '"'))
		return bad(s, "a string expected");
	*ret = (struct span){.p = s->p};
	p = (unsigned char *)s->p;
	while (*p != '"') {
		if (*p < ' ')
			return bad(s, "a control character in a string");
		if (*p == '\\') {
			ret->escaped = true;
			if (*++p < ' ')
				return bad(s, "a control character in a string");
		}
		p++;
	}
	ret->n = (size_t)((char *)p - s->p);
	s->p = (char *)p + 1;
	return true;
}

static int
hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		char c = p[i];
		int d = c >= '0' && c <= '9'   ? c - '0'
			: c >= 'a' && c <= 'f' ? c - 'a' + 10
			: c >= 'A' && c <= 'F' ? c - 'A' + 10
					       : -1;

		if (d < 0)
			return -1;
		v = v * 16 + d;
	}
	return v;
}

static char *
utf8_put(char *to, unsigned c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* The character of `\uXXXX` or of a pair of them, FROM behind the u. NULL: none, NUL, half a pair.
 */
static const char *
unicode(const char *from, unsigned *ret)
{
	int c = hex4(from), low;

	from += 4;
	if (c <= 0 || (c >= 0xdc00 && c <= 0xdfff))
		return NULL;
	*ret = (unsigned)c;
	if (c < 0xd800 || c > 0xdbff)
		return from;
	if (from[0] != '\\' || from[1] != 'u')
		return NULL;
	low = hex4(from + 2);
	if (low < 0xdc00 || low > 0xdfff)
		return NULL;
	*ret = 0x10000u + (((unsigned)c - 0xd800u) << 10) + ((unsigned)low - 0xdc00u);
	return from + 6;
}

/* In place; never longer than before. The closing quote stops whatever looks ahead. */
static bool
unescape(struct scan *s, struct span *v)
{
	static const char from_c[] = "\"\\/bfnrt", to_c[] = "\"\\/\b\f\n\r\t";
	const char *from = v->p, *end = v->p + v->n;
	char *to = v->p;

	while (from < end) {
		const char *which;
		unsigned c;

		if (*from != '\\') {
			*to++ = *from++;
			continue;
		}
		which = strchr(from_c, from[1]);
		if (which) {
			*to++ = to_c[which - from_c];
			from += 2;
		} else if (from[1] == 'u' && (from = unicode(from + 2, &c)) != NULL) {
			to = utf8_put(to, c);
		} else {
			return bad(s, "an invalid escape in a string");
		}
	}
	v->n = (size_t)(to - v->p);
	return true;
}

static bool
word(struct scan *s, const char *w)
{
	size_t n = strlen(w);

	if (strncmp(s->p, w, n) != 0)
		return bad(s, "not valid JSON");
	s->p += n;
	return true;
}

static bool
digits(struct scan *s)
{
	const char *start = s->p;

	while (*s->p >= '0' && *s->p <= '9')
		s->p++;
	return s->p > start || bad(s, "an invalid number");
}

/* *RET_WHOLE: it is written as an integer. */
static bool
number(struct scan *s, bool *ret_whole)
{
	const char *first;

	if (*s->p == '-')
		s->p++;
	first = s->p;
	if (!digits(s))
		return false;
	if (*first == '0' && s->p - first > 1)
		return bad(s, "an invalid number");
	*ret_whole = *s->p != '.' && *s->p != 'e' && *s->p != 'E';
	if (*s->p == '.') {
		s->p++;
		if (!digits(s))
			return false;
	}
	if (*s->p == 'e' || *s->p == 'E') {
		s->p++;
		if (*s->p == '+' || *s->p == '-')
			s->p++;
		return digits(s);
	}
	return true;
}

static bool
integer(const char *p, const char *end, int64_t *ret)
{
	bool minus = *p == '-';
	int64_t v = 0;

	for (p += minus; p < end; p++) {
		int d = *p - '0';

		/* downwards: INT64_MIN has no positive */
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_sub_overflow(v, d, &v))
			return false;
	}
	if (!minus && v == INT64_MIN)
		return false;
	*ret = minus ? v : -v;
	return true;
}

static bool skip(struct scan *s, int depth);

/* The members of an object, or elements of a list, up to CLOSE: pass over. The opening one is
 * taken. */
static bool
skip_all(struct scan *s, char shut, int depth)
{
	struct span key;

	if (depth >= DEPTH_MAX)
		return bad(s, "nested too deeply");
	if (next_is(s, shut))
		return true;
	do {
		if (shut == '}' && (!string_span(s, &key) || !next_is(s, ':')))
			return bad(s, "not valid JSON");
		if (!skip(s, depth + 1))
			return false;
	} while (next_is(s, ','));
	return next_is(s, shut) || bad(s, "not valid JSON");
}

static bool
skip(struct scan *s, int depth)
{
	struct span str;
	bool whole;

	blanks(s);
	switch (*s->p) {
	case '"':
		return string_span(s, &str);
	case '{':
		s->p++;
		return skip_all(s, '}', depth);
	case '[':
		s->p++;
		return skip_all(s, ']', depth);
	case 't':
		return word(s, "true");
	case 'f':
		return word(s, "false");
	case 'n':
		return word(s, "null");
	default:
		return number(s, &whole);
	}
}

static void
cell_text(struct ctxd_cell *cell, enum ctxd_cell_type type, const char *p, const char *end)
{
	*cell = (struct ctxd_cell){.type = type, .text = p, .len = (size_t)(end - p)};
}

/* The next value; what follows it is left. *RET_END: where its NUL is to go. */
static bool
cell_read(struct scan *s, struct ctxd_cell *cell, char **ret_end)
{
	const char *start;
	struct span str;
	bool whole = false;

	blanks(s);
	start = s->p;
	if (*start == '"') {
		if (!string_span(s, &str) || (str.escaped && !unescape(s, &str)))
			return false;
		*ret_end = str.p + str.n;
		cell_text(cell, CTXD_CELL_STRING, str.p, *ret_end);
		return true;
	}
	if ((*start == '-' || (*start >= '0' && *start <= '9')) ? !number(s, &whole)
								: !skip(s, ROW_DEPTH))
		return false;
	*ret_end = s->p;
	cell_text(cell, CTXD_CELL_OTHER, start, s->p);
	if (*start == 'n')
		*cell = (struct ctxd_cell){.text = ""};
	else if (*start == 't' || *start == 'f')
		cell->type = CTXD_CELL_BOOL, cell->number = *start == 't';
	else if (whole && integer(start, s->p, &cell->number))
		cell->type = CTXD_CELL_INT;
	return true;
}

static bool
is_key(const struct span *key, const char *name)
{
	return strncmp(key->p, name, key->n) == 0 && name[key->n] == '\0';
}

/* The column of KEY, or N. Members mostly come in the order of the columns: look at *HINT first. */
static size_t
column_of(const struct rows_want *w, const struct span *key, size_t *hint)
{
	for (size_t i = 0; i < w->n; i++) {
		size_t at = *hint + i < w->n ? *hint + i : *hint + i - w->n;

		if (is_key(key, w->columns[at])) {
			*hint = at + 1 < w->n ? at + 1 : 0;
			return at;
		}
	}
	return w->n;
}

/* A row, behind its '{'. */
static bool
row_read(struct scan *s, const struct rows_want *w, struct ctxd_cell *cells)
{
	size_t hint = 0;

	for (size_t i = 0; i < w->n; i++)
		cells[i] = (struct ctxd_cell){.text = ""};
	if (next_is(s, '}'))
		return true;
	for (;;) {
		struct span key;
		size_t at;
		char *end = NULL, delimiter;

		if (!string_span(s, &key) || !next_is(s, ':'))
			return bad(s, "not valid JSON");
		at = column_of(w, &key, &hint);
		if (at < w->n ? !cell_read(s, &cells[at], &end) : !skip(s, ROW_DEPTH))
			return false;
		blanks(s);
		delimiter = *s->p;
		if (delimiter != ',' && delimiter != '}')
			return bad(s, "not valid JSON");
		s->p++;
		if (end)
			*end = '\0';
		if (delimiter == '}')
			return true;
	}
}

/* 0, ROWS_E_BAD, or what the function returned. */
static int
list_read(struct scan *s, const struct rows_want *w)
{
	struct ctxd_cell cells[CTXD_COLUMNS_MAX];

	if (!next_is(s, '[')) {
		bad(s, "the list is none");
		return ROWS_E_BAD;
	}
	if (next_is(s, ']'))
		return 0;
	do {
		int r;

		if (!next_is(s, '{') || !row_read(s, w, cells)) {
			bad(s, "a row is no object");
			return ROWS_E_BAD;
		}
		r = w->fn(cells, w->arg);
		if (r < 0)
			return r;
	} while (next_is(s, ','));
	return next_is(s, ']') ? 0 : ROWS_E_BAD;
}

static int
params_read(struct scan *s, const struct rows_want *w, bool *found)
{
	if (!next_is(s, '{'))
		return ROWS_E_BAD;
	if (next_is(s, '}'))
		return 0;
	do {
		struct span key;
		int r = 0;

		if (!string_span(s, &key) || !next_is(s, ':'))
			return ROWS_E_BAD;
		if (is_key(&key, w->list)) {
			if (*found)
				return ROWS_E_BAD;
			*found = true;
			r = list_read(s, w);
		} else if (!skip(s, 2)) {
			r = ROWS_E_BAD;
		}
		if (r != 0)
			return r;
	} while (next_is(s, ','));
	return next_is(s, '}') ? 0 : ROWS_E_BAD;
}

/* One member of the reply. */
static int
member_read(struct scan *s, const struct rows_want *w, bool *found, bool *continues)
{
	struct span key;

	if (!string_span(s, &key) || !next_is(s, ':'))
		return ROWS_E_BAD;
	if (is_key(&key, "parameters"))
		return params_read(s, w, found);
	blanks(s);
	if (is_key(&key, "error") && *s->p != 'n')
		return *found ? ROWS_E_BAD : ROWS_E_ERROR;
	if (is_key(&key, "continues"))
		*continues = *s->p == 't';
	return skip(s, 1) ? 0 : ROWS_E_BAD;
}

static int
reply_read(struct scan *s, const struct rows_want *w, bool *found, bool *continues)
{
	if (!next_is(s, '{'))
		return ROWS_E_BAD;
	do {
		int r = member_read(s, w, found, continues);

		if (r != 0)
			return r;
	} while (next_is(s, ','));
	if (!next_is(s, '}'))
		return ROWS_E_BAD;
	blanks(s);
	return s->p == s->end ? 0 : ROWS_E_BAD;
}

int
rows_read(char *text, size_t len, const struct rows_want *want, bool *ret_continues,
	  const char **why)
{
	struct scan s = {.p = text, .end = text + len};
	bool found = false, continues = false;
	int r = want->n > CTXD_COLUMNS_MAX ? -EINVAL : reply_read(&s, want, &found, &continues);

	if (r == 0 && !found) {
		bad(&s, "the list is missing");
		r = ROWS_E_BAD;
	}
	if (r == ROWS_E_BAD) {
		bad(&s, "not valid JSON");
		*why = s.why;
	}
	if (r == 0)
		*ret_continues = continues;
	return r;
}
