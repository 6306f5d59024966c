/* config_print.c - a policy as text again: as a file, key by key, and compared with another. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "config.h"
#include "config_key.h"
#include "core/policy.h"

enum { WIDTH = 80, SECTION_BYTES = sizeof("class ") + sizeof(((struct policy_class *)0)->name) };

/* The file. */

/* TEXT as comment lines of at most WIDTH bytes. */
static void
comment(FILE *out, const char *text)
{
	size_t column = 0;

	while (*text) {
		size_t n = strcspn(text, " ");

		if (column == 0 || column + 1 + n > WIDTH) {
			fputs(column ? "\n#" : "#", out);
			column = 1;
		}
		fprintf(out, " %.*s", (int)n, text);
		column += 1 + n;
		text += n;
		text += strspn(text, " ");
	}
	fputc('\n', out);
}

/* What the key is, what it may be, and CHANGED: what it is by default. 0 or -ENOMEM. */
static int
print_doc(FILE *out, const struct config_key *k, bool changed)
{
	_cleanup_(buf_done) struct buf b = {0};

	if (!k->section)
		buf_printf(&b, "%s: ", k->key);
	buf_puts(&b, k->doc);
	config_key_range(k, &b, " From ", ".");
	if (changed)
		buf_printf(&b, " Default: %s.", *k->def ? k->def : "empty");
	if (k->reach == CONFIG_REACH_RESTART)
		buf_puts(&b, " Needs a restart.");
	buf_putc(&b, '\0');
	if (b.failed)
		return b.failed;
	comment(out, buf_head(&b));
	return 0;
}

static int
print_value(FILE *out, const struct config_key *k, const void *obj)
{
	_free_ char *value = config_key_format(k, obj);

	if (!value)
		return -ENOMEM;
	/* No blanks around the '=': what fitted into a line when it was read fits again. */
	fprintf(out, "%s=%s\n", k->key, value);
	return 0;
}

/* DEF: the defaults. */
static int
print_global(FILE *out, const struct config_key *k, const struct policy *p,
	     const struct policy *def)
{
	_free_ char *value = config_key_format(k, p), *def_value = config_key_format(k, def);
	int r;

	if (!value || !def_value)
		return -ENOMEM;
	r = print_doc(out, k, strcmp(value, def_value) != 0);
	return r == 0 ? print_value(out, k, p) : r;
}

static int
print_globals(FILE *out, const struct policy *p)
{
	_cleanup_(policy_freep) struct policy *def = policy_new();
	const char *section = "";
	int r = def ? 0 : -ENOMEM;

	for (size_t i = 0; i < CONFIG_KEY_N && r == 0; i++) {
		const struct config_key *k = &config_key_table[i];

		if (strcmp(k->section, section) != 0)
			fprintf(out, "\n[%s]\n", k->section);
		section = k->section;
		r = print_global(out, k, p, def);
	}
	return r;
}

static int
print_classes(FILE *out, const struct policy *p)
{
	int r = 0;

	fputc('\n', out);
	comment(out,
		"[class NAME]: what differs for jobs of the class NAME, which is 1 to 32 of a-z, "
		"0-9, "
		"'_' and '-'. [class default] is for jobs that name no class. Any of these keys:");
	for (size_t i = 0; i < CONFIG_CLASS_KEY_N && r == 0; i++)
		r = print_doc(out, &config_key_class_table[i], false);
	for (const struct policy_class *c = p->classes; c && r == 0; c = c->next) {
		fprintf(out, "\n[class %s]\n", c->name);
		for (size_t i = 0; i < CONFIG_CLASS_KEY_N && r == 0; i++)
			if (config_key_class_given(&config_key_class_table[i], c))
				r = print_value(out, &config_key_class_table[i], c);
	}
	return r;
}

int
config_print(const struct policy *p, FILE *out)
{
	int r;

	comment(out, "Configuration of ctxd(8); ctxd.conf(5) explains it. Spans of time: 250ms, "
		     "90s, 10m, "
		     "1h30m, 2d; sizes: 512K, 64M, 1G. Comments stand on lines of their own.");
	r = print_globals(out, p);
	if (r == 0)
		r = print_classes(out, p);
	if (r == 0 && (fflush(out) != 0 || ferror(out)))
		r = -EIO;
	return r;
}

/* Key by key. */

int
config_each(const struct policy *p, config_each_fn fn, void *arg)
{
	char section[SECTION_BYTES];
	int r = 0;

	for (size_t i = 0; i < CONFIG_KEY_N && r == 0; i++) {
		const struct config_key *k = &config_key_table[i];
		_free_ char *value = config_key_format(k, p);

		r = value ? fn(arg, k->section, k->key, value) : -ENOMEM;
	}
	for (const struct policy_class *c = p->classes; c && r == 0; c = c->next) {
		snprintf(section, sizeof(section), "class %s", c->name);
		for (size_t i = 0; i < CONFIG_CLASS_KEY_N && r == 0; i++) {
			const struct config_key *k = &config_key_class_table[i];
			_free_ char *value = NULL;

			if (!config_key_class_given(k, c))
				continue;
			value = config_key_format(k, c);
			r = value ? fn(arg, section, k->key, value) : -ENOMEM;
		}
	}
	return r;
}

static const char *
acts(enum config_reach reach)
{
	switch (reach) {
	case CONFIG_REACH_RELOAD:
		return "now";
	case CONFIG_REACH_NEW:
		return "new_jobs";
	case CONFIG_REACH_RESTART:
		return "restart";
	}
	assert_not_reached("reach of a key");
}

/* Compared. A, B: struct policy or policy_class, NULL where the key is not given. */
static int
diff_key(const char *section, const struct config_key *k, const void *a, const void *b,
	 config_diff_fn fn, void *arg)
{
	_free_ char *old = a ? config_key_format(k, a) : NULL,
		    *new = b ? config_key_format(k, b) : NULL;

	if ((a && !old) || (b && !new))
		return -ENOMEM;
	if ((!old && !new) || (old && new &&strcmp(old, new) == 0))
		return 0;
	return fn(arg, section, k->key, old, new, acts(k->reach));
}

/* A or B may be NULL. */
static int
diff_class(const struct policy_class *a, const struct policy_class *b, config_diff_fn fn, void *arg)
{
	char section[SECTION_BYTES];
	bool any = a && b;
	int r = 0;

	snprintf(section, sizeof(section), "class %s", a ? a->name : b->name);
	for (size_t i = 0; i < CONFIG_CLASS_KEY_N && r == 0; i++) {
		const struct config_key *k = &config_key_class_table[i];
		const struct policy_class *old = a && config_key_class_given(k, a) ? a : NULL;
		const struct policy_class *new = b &&config_key_class_given(k, b) ? b : NULL;

		any = any || old || new;
		r = diff_key(section, k, old, new, fn, arg);
	}
	if (r == 0 && !any)
		r = fn(arg, section, "", a ? "" : NULL, b ? "" : NULL, "now");
	return r;
}

int
config_diff(const struct policy *a, const struct policy *b, config_diff_fn fn, void *arg)
{
	int r = 0;

	for (size_t i = 0; i < CONFIG_KEY_N && r == 0; i++)
		r = diff_key(config_key_table[i].section, &config_key_table[i], a, b, fn, arg);
	for (const struct policy_class *c = a->classes; c && r == 0; c = c->next)
		r = diff_class(c, policy_class_find(b, c->name), fn, arg);
	for (const struct policy_class *c = b->classes; c && r == 0; c = c->next)
		if (!policy_class_find(a, c->name))
			r = diff_class(NULL, c, fn, arg);
	return r;
}
