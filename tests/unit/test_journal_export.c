/* test_journal_export.c - entries as journalctl writes them, whole and not, and what is none. */
#include <errno.h>
#include <string.h>

#include "exec/journal_export.h"
#include "tap.h"

#define ENTRY                                                                                      \
	"__CURSOR=s=1;i=2\n__REALTIME_TIMESTAMP=1\nCTX_OFFSET=17\nMESSAGE\n"                       \
	"\4\0\0\0\0\0\0\0a\nb\0\nCTX_ROUND=3\n\n"

static long
next(const char *p, size_t n, struct journal_line *l)
{
	return journal_export_next(p, n, l);
}

TEST(an_entry)
{
	static const char text[] = ENTRY "MESSAGE=plain\nCTX_OFFSET=0\nCTX_NO_NEWLINE=1\n\n";
	struct journal_line l;
	long n = next(text, sizeof(text) - 1, &l);

	is_int(n, sizeof(ENTRY) - 1);
	ok(l.n == 4 && memcmp(l.message, "a\nb\0", 4) == 0);
	ok(l.has_offset && l.offset == 17 && l.round == 3 && l.newline);
	ok(l.cursor_n == 7 && memcmp(l.cursor, "s=1;i=2", 7) == 0);
	is_int(next(text + n, sizeof(text) - 1 - (size_t)n, &l), (long)sizeof(text) - 1 - n);
	ok(l.n == 5 && l.has_offset && l.offset == 0 && !l.newline && l.round == 0);
}

TEST(one_that_is_not_whole)
{
	static const char text[] = ENTRY;
	struct journal_line l;
	int wrong = 0;

	for (size_t n = 0; n < sizeof(text) - 1; n++)
		wrong += next(text, n, &l) != 0;
	is_int(wrong, 0);
}

TEST(what_is_none)
{
	static const char huge[] = "MESSAGE\n\377\377\377\377\377\377\377\377";
	static const char long_[] = "MESSAGE\n\1\0\0\0\0\0\0\0ab\n\n";
	static const char later[] =
		"MESSAGE\n\0\0\0\0\1\0\0\0ab\n\n"; /* not whole, or so it says */
	struct journal_line l;

	is_int(next(huge, sizeof(huge) - 1, &l), -EPROTO);
	is_int(next(long_, sizeof(long_) - 1, &l), -EPROTO);
	is_int(next(later, sizeof(later) - 1, &l), 0);
}

TEST(numbers_that_are_none)
{
	static const char *const bad[] = {
		"CTX_OFFSET=\n\n", "CTX_OFFSET=-1\n\n", "CTX_OFFSET=1x\n\n",
		"CTX_OFFSET=99999999999999999999999\n\n", "MESSAGE=x\n\n"};
	struct journal_line l;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		is_int(next(bad[i], strlen(bad[i]), &l), (long)strlen(bad[i]));
		ok(!l.has_offset);
	}
	is_int(next("CTX_ROUND=99999999999\n\n", 23, &l), 23);
	is_int(l.round, UINT32_MAX);
	is_int(next("\n", 1, &l), 1); /* no field at all */
	ok(!l.message && !l.has_offset);
}
