/* config_line.c - what one line of a configuration file is.
 *
 * inih guesses where we must not: it takes an indented line for a second value of the key above,
 * cuts long lines and long names of sections, ends a value at " ;" (but not at " #"), takes ':' for
 * '=', ignores what follows a ']', and stops at a NUL. So every line is judged here first, and inih
 * only gets those on whose meaning nobody can disagree. */
#include "config_line.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static bool
blank(char c)
{
	return c == ' ' || c == '\t';
}

static enum config_line_kind __attribute__((format(printf, 2, 3)))
bad(struct config_line *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(l->why, sizeof(l->why), fmt, ap);
	va_end(ap);
	return CONFIG_LINE_BAD;
}

/* Bytes that are no text. False: L says why. */
static bool
text_only(const char *s, size_t n, struct config_line *l)
{
	size_t at;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (c == 0)
			bad(l, "a NUL byte, the %zuth of the line", i + 1);
		else if ((c < ' ' && c != '\t') || c == 127)
			bad(l, "a control character (0x%02x) at byte %zu", c, i + 1);
		else
			continue;
		return false;
	}
	if (!text_utf8_valid(s, n, &at)) {
		bad(l, "invalid UTF-8 (0x%02x) at byte %zu", (unsigned char)s[at], at + 1);
		return false;
	}
	return true;
}

/* The place of a blank followed by ';' or '#': a comment for inih, a part of the value for others.
 */
static const char *
ambiguous(const char *s, size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (blank(s[i - 1]) && (s[i] == ';' || s[i] == '#'))
			return s + i;
	return NULL;
}

/* S starts with '['; no blanks at its end. */
static enum config_line_kind
judge_section(const char *s, size_t n, struct config_line *l)
{
	const char *end = memchr(s, ']', n);
	size_t len;

	if (!end)
		return bad(l, "no ']' at the end of the name of the section");
	if (end != s + n - 1)
		return bad(l, "text after ']': nothing else may be on the line of a section, not "
			      "even a comment");
	len = (size_t)(end - s - 1);
	if (len > CONFIG_SECTION_BYTES_MAX)
		return bad(l,
			   "the name of the section is too long: %zu bytes, at most %d are allowed",
			   len, CONFIG_SECTION_BYTES_MAX);
	memcpy(l->section, s + 1, len);
	l->section[len] = '\0';
	return CONFIG_LINE_SECTION;
}

enum config_line_kind
config_line_judge(const char *s, size_t n, size_t max, struct config_line *l)
{
	const char *p;
	size_t skip = 0;

	if (n > max)
		return bad(l, "the line is too long: %zu bytes, at most %zu are allowed", n, max);
	if (!text_only(s, n, l))
		return CONFIG_LINE_BAD;
	while (n > 0 && blank(s[n - 1]))
		n--;
	while (skip < n && blank(s[skip]))
		skip++;
	if (n == 0 || s[skip] == ';' || s[skip] == '#')
		return CONFIG_LINE_NOTHING;
	if (skip > 0)
		return bad(l, "the line starts with a blank: a value cannot be continued on a "
			      "second line, and nothing "
			      "but a comment may be indented");
	p = ambiguous(s, n);
	if (p)
		return bad(l,
			   "\" %c\" at byte %td is ambiguous: comments go on lines of their own; a "
			   "'%c' that belongs to "
			   "the value may not follow a blank",
			   *p, p - s, *p);
	if (*s == '[')
		return judge_section(s, n, l);
	for (p = s; p < s + n && *p != '=' && *p != ':'; p++)
		;
	if (p == s + n)
		return bad(l, "no '=' in the line: write key=value");
	if (p == s)
		return bad(l, "no key before the '%c': write key=value", *p);
	if (*p == ':')
		return bad(l, "':' after the key: write key=value, with '='");
	return CONFIG_LINE_KEY;
}
