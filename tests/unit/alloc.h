/* alloc.h - memory runs out at each allocation of an operation in turn. For programs named
 * test_alloc_*, which are linked so that allocations of ours come here (tools/alloc.mk); jansson's
 * do, too.
 *
 *     static int
 *     adding(void)                // 0: it went well, 1: it failed as documented
 *     {
 *             struct strv v = {0};
 *             int r = strv_add(&v, "one");
 *
 *             alloc_off();        // what follows is the test's
 *             ok(r == 0 ? v.n == 1 : r == -ENOMEM && v.n == 0);
 *             strv_done(&v);
 *             return r != 0;
 *     }
 *     TEST(add) { alloc_each(adding); }
 *
 * The operation runs with its first allocation failing, then the second, and so on until none is
 * left to fail; then the same once more with all that follow failing, too. Each time all memory
 * must have been given back. An operation that went well although one failed says with it that it
 * has checked the whole outcome. */
#ifndef CTX_TESTS_ALLOC_H
#define CTX_TESTS_ALLOC_H

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>

#include "tap.h"

enum { ALLOC_MOST = 20000 };

static struct {
	bool on, fired;
	bool all;  /* from the first one that fails */
	long left; /* until that one */
	long live; /* blocks */
} alloc;

typedef int (*alloc_filter_fn)(const struct dirent *d);
typedef int (*alloc_order_fn)(const struct dirent **a, const struct dirent **b);

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_reallocarray(void *p, size_t n, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
int __real_vasprintf(char **ret, const char *fmt, va_list ap);
int __real___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap);
int
__real_scandir(const char *dir, struct dirent ***ret, alloc_filter_fn filter, alloc_order_fn order);
void __real_free(void *p);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_reallocarray(void *p, size_t n, size_t size);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
int __wrap_vasprintf(char **ret, const char *fmt, va_list ap);
int __wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap);
int
__wrap_scandir(const char *dir, struct dirent ***ret, alloc_filter_fn filter, alloc_order_fn order);
void __wrap_free(void *p);

/* Is this the one that fails? */
static bool
alloc_fails(void)
{
	if (!alloc.on)
		return false;
	alloc.left--;
	if (alloc.left > 0 || (alloc.left < 0 && !alloc.all))
		return false;
	alloc.fired = true;
	errno = ENOMEM;
	return true;
}

static void *
alloc_counted(void *p)
{
	alloc.live += p != NULL;
	return p;
}

void *
__wrap_malloc(size_t n)
{
	return alloc_fails() ? NULL : alloc_counted(__real_malloc(n));
}

void *
__wrap_calloc(size_t n, size_t size)
{
	return alloc_fails() ? NULL : alloc_counted(__real_calloc(n, size));
}

void *
__wrap_realloc(void *p, size_t n)
{
	if (!p)
		return __wrap_malloc(n);
	return alloc_fails() ? NULL : __real_realloc(p, n);
}

void *
__wrap_reallocarray(void *p, size_t n, size_t size)
{
	if (alloc_fails())
		return NULL;
	return p ? __real_reallocarray(p, n, size) : alloc_counted(__real_reallocarray(p, n, size));
}

char *
__wrap_strdup(const char *s)
{
	return alloc_fails() ? NULL : alloc_counted(__real_strdup(s));
}

char *
__wrap_strndup(const char *s, size_t n)
{
	return alloc_fails() ? NULL : alloc_counted(__real_strndup(s, n));
}

int
__wrap_vasprintf(char **ret, const char *fmt, va_list ap)
{
	int n = alloc_fails() ? -1 : __real_vasprintf(ret, fmt, ap);

	alloc.live += n >= 0;
	return n;
}

int
__wrap___vasprintf_chk(char **ret, int flag, const char *fmt, va_list ap)
{
	int n = alloc_fails() ? -1 : __real___vasprintf_chk(ret, flag, fmt, ap);

	alloc.live += n >= 0;
	return n;
}

int
__wrap_scandir(const char *dir, struct dirent ***ret, alloc_filter_fn filter, alloc_order_fn order)
{
	int n = alloc_fails() ? -1 : __real_scandir(dir, ret, filter, order);

	alloc.live += n < 0 ? 0 : n + 1;
	return n;
}

void
__wrap_free(void *p)
{
	alloc.live -= p != NULL;
	__real_free(p);
}

/* No more failures in this run of the operation. */
static void
alloc_off(void)
{
	alloc.on = false;
}

__attribute__((constructor)) static void
alloc_init(void)
{
	json_set_alloc_funcs(__wrap_malloc, __wrap_free);
	(void)pthread_atfork(NULL, NULL, alloc_off); /* a child's failures are not counted here */
}

static bool
alloc_once(int (*op)(void), long n, bool all)
{
	long live = alloc.live;
	int bad = tap_failed, r;

	alloc.left = n;
	alloc.all = all;
	alloc.fired = false;
	alloc.on = true;
	r = op();
	alloc.on = false;
	is_int(alloc.live, live); /* blocks that were not given back */
	if (!alloc.fired)
		is_int(r, 0); /* no allocation failed: it goes well */
	if (tap_failed > bad)
		printf("# with allocation %ld failing%s\n", n, all ? ", and all behind it" : "");
	return alloc.fired;
}

static void
alloc_each(int (*op)(void))
{
	for (int all = 0; all <= 1; all++) {
		long n = 1;

		while (alloc_once(op, n, all) && n < ALLOC_MOST)
			n++;
		need(n < ALLOC_MOST);
		ok(n > 1); /* else there is nothing to try */
	}
}

#endif
