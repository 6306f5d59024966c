/* tap.h - unit tests: TEST(name) registers itself, ok() counts, TAP comes out, prove reads it. A
 * failed check does not stop its test; need() does (where going on makes no sense). */
#ifndef CTX_TESTS_TAP_H
#define CTX_TESTS_TAP_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tap_test {
	const char *name;
	void (*fn)(void);
	struct tap_test *next;
};
static struct tap_test *tap_first, **tap_last = &tap_first;
static int tap_failed;
static jmp_buf tap_out;

#define TEST(id)                                                                                   \
	static void test_##id(void);                                                               \
	static struct tap_test tap_##id = {#id, test_##id, NULL};                                  \
	__attribute__((constructor)) static void tap_register_##id(void)                           \
	{                                                                                          \
		*tap_last = &tap_##id;                                                             \
		tap_last = &tap_##id.next;                                                         \
	}                                                                                          \
	static void test_##id(void)

#define ok(cond)                                                                                   \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			tap_failed++;                                                              \
			printf("# %s:%d: failed: %s\n", __FILE__, __LINE__, #cond);                \
		}                                                                                  \
	} while (0)
#define need(cond)                                                                                 \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			tap_failed++;                                                              \
			printf("# %s:%d: failed, giving up: %s\n", __FILE__, __LINE__, #cond);     \
			longjmp(tap_out, 1);                                                       \
		}                                                                                  \
	} while (0)
#define is_int(got, want)                                                                          \
	do {                                                                                       \
		long long got_ = (long long)(got), want_ = (long long)(want);                      \
		if (got_ != want_) {                                                               \
			tap_failed++;                                                              \
			printf("# %s:%d: %s: got %lld, want %lld\n", __FILE__, __LINE__, #got,     \
			       got_, want_);                                                       \
		}                                                                                  \
	} while (0)
#define is_str(got, want)                                                                          \
	do {                                                                                       \
		const char *got_ = (got), *want_ = (want);                                         \
		if ((got_ == NULL) != (want_ == NULL) || (got_ && strcmp(got_, want_) != 0)) {     \
			tap_failed++;                                                              \
			printf("# %s:%d: %s: got \"%s\", want \"%s\"\n", __FILE__, __LINE__, #got, \
			       got_ ? got_ : "(null)", want_ ? want_ : "(null)");                  \
		}                                                                                  \
	} while (0)

int
main(void)
{
	static int n, bad; /* static: not clobbered by longjmp */

	setvbuf(stdout, NULL, _IOLBF, 0);
	for (struct tap_test *t = tap_first; t; t = t->next)
		n++;
	printf("1..%d\n", n);
	n = 0;
	for (struct tap_test *t = tap_first; t; t = t->next) {
		tap_failed = 0;
		if (setjmp(tap_out) == 0)
			t->fn();
		printf("%sok %d - %s\n", tap_failed ? "not " : "", ++n, t->name);
		bad += tap_failed != 0;
	}
	return bad != 0;
}

#endif
