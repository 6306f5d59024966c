/* Configuration files. Nothing crashes them; whatever they hold is safe to show; and what is taken
 * prints as a file that is taken as the same. A byte 0x1e in the input starts the next file. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "config.h"
#include "config_parse.h"
#include "core/policy.h"

enum { FILES = 3 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check(bool good)
{
	if (!good)
		abort();
}

static void
check_errors(const struct config_errors *e)
{
	for (size_t i = 0; i < e->n; i++) {
		for (const char *s = e->v[i].text; *s; s++)
			check((unsigned char)*s >= ' ' && *s != 127);
		check(i == 0 || e->v[i - 1].file < e->v[i].file ||
		      e->v[i - 1].line <= e->v[i].line);
	}
	check(e->more == 0 || e->n == CONFIG_ERRORS_MAX);
}

/* The policy of the files in DATA; NULL when they are wrong. */
static struct policy *
parse(const char *data, size_t size, bool files)
{
	static char *const paths[FILES] = {"a", "b", "c"};
	_cleanup_(config_errors_done) struct config_errors errs = {0};
	_cleanup_(policy_freep) struct policy *p = policy_new();
	_cleanup_(config_parse_done) struct config_parse c;

	check(p != NULL);
	config_parse_init(&c, p, &errs);
	for (unsigned i = 0; i < FILES; i++) {
		const char *end = files && i < FILES - 1 ? memchr(data, 0x1e, size) : NULL;
		size_t n = end ? (size_t)(end - data) : size;

		config_parse_file(&c, i, paths[i], data, n);
		if (!end)
			break;
		data = end + 1;
		size -= n + 1;
	}
	/* The name service has no part in this. */
	c.key[CONFIG_KEY_access_admins].good = false;
	config_parse_check(&c, paths);
	check_errors(&errs);
	check(c.failed == 0);
	return errs.n > 0 ? NULL : take_ptr(p);
}

static char *
print(const struct policy *p, size_t *size)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, size);

	check(f != NULL);
	check(config_print(p, f) == 0);
	check(fclose(f) == 0);
	return text;
}

static int
differs(void *arg, const char *section, const char *key, const char *old, const char *new,
	const char *acts)
{
	(void)arg, (void)acts, (void)section, (void)key, (void)old, (void)new;
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_(policy_freep) struct policy *first = parse((const char *)data, size, true),
					      *second = NULL;
	_free_ char *text = NULL, *again = NULL;
	size_t n, m;

	if (!first)
		return 0;
	text = print(first, &n);
	second = parse(text, n, false);
	check(second != NULL);
	check(config_diff(first, second, differs, NULL) == 0);
	again = print(second, &m);
	check(n == m && memcmp(text, again, n) == 0);
	return 0;
}
