/* width.c - columns that text takes on a terminal.
 *
 * The ranges are the wide and the combining characters of Unicode, joined where what lies between
 * is unassigned or rare: a table that is a little off costs a crooked column, nothing else. */
#include <stdint.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/width.h"

struct range {
	uint32_t first, last;
};

static const struct range combining[] = {
	{0x0300, 0x036f},   {0x0483, 0x0489}, {0x0591, 0x05bd}, {0x0610, 0x061a},
	{0x064b, 0x065f},   {0x06d6, 0x06dc}, {0x093a, 0x093a}, {0x093c, 0x093c},
	{0x0941, 0x0948},   {0x0e31, 0x0e31}, {0x0e34, 0x0e3a}, {0x0e47, 0x0e4e},
	{0x1ab0, 0x1aff},   {0x1dc0, 0x1dff}, {0x200b, 0x200d}, {0x20d0, 0x20ff},
	{0xfe00, 0xfe0f},   {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0x1f3fb, 0x1f3ff},
	{0xe0100, 0xe01ef},
};
static const struct range wide[] = {
	{0x1100, 0x115f},   {0x231a, 0x231b},   {0x2329, 0x232a},   {0x23e9, 0x23ec},
	{0x25fd, 0x25fe},   {0x2614, 0x2615},   {0x2648, 0x2653},   {0x26a1, 0x26a1},
	{0x26bd, 0x26be},   {0x2705, 0x2705},   {0x270a, 0x270b},   {0x2728, 0x2728},
	{0x274c, 0x274c},   {0x2753, 0x2755},   {0x2757, 0x2757},   {0x2795, 0x2797},
	{0x2b1b, 0x2b1c},   {0x2b50, 0x2b50},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
	{0xa960, 0xa97f},   {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
	{0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f004, 0x1f004}, {0x1f0cf, 0x1f0cf},
	{0x1f18e, 0x1f18e}, {0x1f191, 0x1f19a}, {0x1f200, 0x1f320}, {0x1f32d, 0x1f64f},
	{0x1f680, 0x1f6fc}, {0x1f7e0, 0x1f7eb}, {0x1f90c, 0x1faff}, {0x20000, 0x3fffd},
};

static int
in_table(const struct range *t, size_t n, uint32_t c)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (c > t[mid].last)
			low = mid + 1;
		else if (c < t[mid].first)
			high = mid;
		else
			return 1;
	}
	return 0;
}

static uint32_t
decode(const char *s, size_t len)
{
	static const unsigned char mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t c = (unsigned char)s[0] & mask[len];

	for (size_t i = 1; i < len; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3f);
	return c;
}

/* Columns of the character at S; *STEP are its bytes. */
static size_t
one(const char *s, size_t n, size_t *step)
{
	uint32_t c;

	*step = 1;
	if ((unsigned char)*s < 0x80)
		return 1;
	*step = text_utf8_step(s, n);
	if (*step == 0) {
		*step = 1;
		return 1;
	}
	c = decode(s, *step);
	if (in_table(combining, ARRAY_SIZE(combining), c))
		return 0;
	return in_table(wide, ARRAY_SIZE(wide), c) ? 2 : 1;
}

size_t
width_of(const char *s, size_t n)
{
	size_t columns = 0, step;

	for (; n > 0; s += step, n -= step)
		columns += one(s, n, &step);
	return columns;
}

size_t
width_prefix(const char *s, size_t n, size_t columns)
{
	size_t at = 0, used = 0, step;

	while (at < n) {
		used += one(s + at, n - at, &step);
		if (used > columns)
			break;
		at += step;
	}
	return at;
}
