/* config_parse.c - the text of configuration files into a policy, through inih.
 *
 * inih gets the lines from line_read(), which counts them, judges each one first (config_line.h)
 * and hands an empty line on in place of a wrong one. So inih never has to guess, and every error
 * is found, with its line. Where a value was set is remembered: for keys given twice in a file, and
 * for the checks of values against each other at the end. */
#include "config_parse.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/policy.h"
#include "names.h"

enum {
	LINE_BYTES_MAX = 198, /* of Debian's inih: 200, less newline and NUL */
	SHOWN_MAX = 160,      /* of a value or name in a message, escaped */
};

#define wrong(c, ...) config_errors_add((c)->errs, (c)->path, (c)->here, __VA_ARGS__)

void
config_parse_init(struct config_parse *c, struct policy *p, struct config_errors *errs)
{
	*c = (struct config_parse){.policy = p, .errs = errs};
}

void
config_parse_done(struct config_parse *c)
{
	struct config_class *next;

	for (; c->classes; c->classes = next) {
		next = c->classes->next;
		free(c->classes);
	}
}

/* Sections. */

static struct config_class *
class_find(const struct config_parse *c, const char *name)
{
	for (struct config_class *k = c->classes; k; k = k->next)
		if (strcmp(k->class->name, name) == 0)
			return k;
	return NULL;
}

/* Append a class to the policy. NULL: said. */
static struct config_class *
class_new(struct config_parse *c, const char *name)
{
	struct policy_class **last = c->classes ? &c->classes->class->next : &c->policy->classes;
	struct config_class *k;

	if (c->n_classes == CONFIG_CLASSES_MAX) {
		wrong(c, "more than %d classes", CONFIG_CLASSES_MAX);
		return NULL;
	}
	k = calloc(1, sizeof(*k));
	if (k)
		k->class = calloc(1, sizeof(*k->class));
	if (!k || !k->class) {
		free(k);
		c->failed = -ENOMEM;
		return NULL;
	}
	assert(strlen(name) < sizeof(k->class->name));
	memcpy(k->class->name, name, strlen(name) + 1);
	*last = k->class;
	k->next = c->classes;
	c->n_classes++;
	c->classes = k;
	return k;
}

static void
section_unknown(struct config_parse *c, const char *shown)
{
	_cleanup_(buf_done) struct buf b = {0};
	const char *last = "";

	for (size_t i = 0; i < CONFIG_KEY_N; i++) {
		if (strcmp(config_key_table[i].section, last) == 0)
			continue;
		last = config_key_table[i].section;
		buf_printf(&b, "[%s], ", last);
	}
	buf_puts(&b, "[class NAME]");
	buf_putc(&b, '\0');
	wrong(c, "unknown section [%s]; known: %s", shown, b.failed ? "" : buf_head(&b));
}

/* Where the section NAME was last seen, with c->kind and c->class set; NULL: an error, said. */
static struct config_place *
section_find(struct config_parse *c, const char *name, const char *shown)
{
	const size_t word = sizeof("class") - 1;

	for (size_t i = 0; i < CONFIG_KEY_N; i++) {
		if (strcmp(config_key_table[i].section, name) == 0) {
			c->kind = CONFIG_SECTION_GLOBAL;
			return &c->section[i];
		}
	}
	if (strncmp(name, "class", word) != 0 ||
	    (name[word] && name[word] != ' ' && name[word] != '\t')) {
		section_unknown(c, shown);
		return NULL;
	}
	if (name[word] != ' ' || !text_class_name(name + word + 1)) {
		wrong(c,
		      "[%s]: the name of a class is 1 to 32 of a-z, 0-9, '_' and '-', after one "
		      "blank",
		      shown);
		return NULL;
	}
	c->class = class_find(c, name + word + 1);
	if (!c->class)
		c->class = class_new(c, name + word + 1);
	if (!c->class)
		return NULL;
	c->kind = CONFIG_SECTION_CLASS;
	return &c->class->section;
}

/* Keys of a wrong section are not looked at; those of one that is here a second time are. */
static void
section_enter(struct config_parse *c, const char *name)
{
	struct config_place *at;
	char shown[SHOWN_MAX];

	c->kind = CONFIG_SECTION_WRONG;
	snprintf(c->name, sizeof(c->name), "%s", name);
	text_escape(name, shown, sizeof(shown));
	at = section_find(c, name, shown);
	if (!at)
		return;
	if (at->line > 0 && at->file == c->here.file)
		wrong(c, "[%s] is here a second time; first on line %u", shown, at->line);
	else
		*at = c->here;
}

/* Lines: the ini_reader. One call, one line. */

static bool
section_like(const char *s, size_t n)
{
	while (n > 0 && (*s == ' ' || *s == '\t'))
		s++, n--;
	return n > 0 && *s == '[';
}

static char *
line_read(char *str, int num, void *stream)
{
	struct config_parse *c = stream;
	size_t max = num < LINE_BYTES_MAX + 2 ? (size_t)num - 2 : LINE_BYTES_MAX, n;
	struct config_line line = {.section = ""};
	const char *s = c->next, *newline;

	if (num < 3 || s == c->end)
		return NULL;
	newline = memchr(s, '\n', (size_t)(c->end - s));
	c->next = newline ? newline + 1 : c->end;
	n = (size_t)((newline ? newline : c->end) - s);
	if (n > 0 && s[n - 1] == '\r')
		n--;
	if (c->here.line++ == 0 && n >= 3 &&
	    memcmp(s, "\xef\xbb\xbf", 3) == 0) { /* the byte order mark of some editors */
		s += 3;
		n -= 3;
	}
	switch (config_line_judge(s, n, max, &line)) {
	case CONFIG_LINE_SECTION:
		section_enter(c, line.section);
		break;
	case CONFIG_LINE_KEY:
		if (c->kind == CONFIG_SECTION_NONE)
			wrong(c, "a key before the first [section]");
		if (c->kind == CONFIG_SECTION_NONE || c->kind == CONFIG_SECTION_WRONG)
			n = 0;
		break;
	case CONFIG_LINE_BAD:
		wrong(c, "%s", line.why);
		if (section_like(s, n)) /* whose keys follow? */
			c->kind = CONFIG_SECTION_WRONG;
		n = 0;
		break;
	case CONFIG_LINE_NOTHING:
		n = 0;
		break;
	}
	memcpy(str, s, n);
	memcpy(str + n, "\n", 2);
	return str;
}

/* Values: the ini_handler. */

static void
key_unknown(struct config_parse *c, const char *name)
{
	bool class = c->kind == CONFIG_SECTION_CLASS;
	const struct config_key *t = class ? config_key_class_table : config_key_table;
	size_t n = class ? (size_t)CONFIG_CLASS_KEY_N : (size_t)CONFIG_KEY_N;
	_cleanup_(buf_done) struct buf b = {0};
	char shown[SHOWN_MAX];

	for (size_t i = 0; i < n; i++)
		if (class || strcmp(t[i].section, c->name) == 0)
			buf_printf(&b, "%s%s", buf_len(&b) ? ", " : "", t[i].key);
	buf_putc(&b, '\0');
	wrong(c, "unknown key '%s' in [%s]; known: %s", text_escape(name, shown, sizeof(shown)),
	      c->name, b.failed ? "" : buf_head(&b));
}

static bool
value_take(struct config_parse *c, const struct config_key *k, const char *value)
{
	void *obj = k->section ? (void *)c->policy : (void *)c->class->class;
	_cleanup_(buf_done) struct buf b = {0};
	char shown[SHOWN_MAX];
	const char *why = "";
	int r = -EINVAL;

	if (*value || config_key_empty_allowed(k))
		r = policy_value_parse(k->type, value, k->min, k->max, (char *)obj + k->offset,
				       &why);
	if (r == -ENOMEM)
		c->failed = r;
	if (r == 0 && !k->section)
		config_key_class_give(k, c->class->class);
	if (r == 0 || r == -ENOMEM)
		return r == 0;
	config_key_allowed(k, &b);
	buf_putc(&b, '\0');
	if (*value)
		wrong(c, "%s.%s: '%s' %s; allowed: %s", c->name, k->key,
		      text_escape(value, shown, sizeof(shown)), why, b.failed ? "" : buf_head(&b));
	else
		wrong(c, "%s.%s: no value; allowed: %s", c->name, k->key,
		      b.failed ? "" : buf_head(&b));
	return false;
}

static int
on_value(void *arg, const char *section, const char *name, const char *value)
{
	struct config_parse *c = arg;
	const struct config_key *k;
	struct config_origin *o;

	if (strcmp(section, c->name) != 0)
		return 0; /* inih reads the file differently: config_parse_file says so */
	if (c->kind == CONFIG_SECTION_CLASS) {
		k = config_key_class_find(name);
		o = k ? &c->class->key[k - config_key_class_table] : NULL;
	} else {
		k = config_key_find(section, name);
		o = k ? &c->key[k - config_key_table] : NULL;
	}
	if (!k) {
		key_unknown(c, name);
		return 1;
	}
	if (o->at.line > 0 && o->at.file == c->here.file) {
		wrong(c, "%s.%s is here a second time; first on line %u", c->name, k->key,
		      o->at.line);
		return 1;
	}
	o->at = c->here;
	o->good = value_take(c, k, value);
	return 1;
}

void
config_parse_file(struct config_parse *c, unsigned file, const char *path, const char *data,
		  size_t n)
{
	int r;

	c->path = path;
	c->here = (struct config_place){.file = file};
	c->next = data;
	c->end = data + n;
	c->kind = CONFIG_SECTION_NONE;
	c->name[0] = '\0';
	r = ini_parse_stream(line_read, c, on_value, c);
	if (r == -2)
		c->failed = -ENOMEM;
	else if (r != 0) {
		c->here.line = r > 0 ? (unsigned)r : 0;
		wrong(c, "the line is not understood");
	}
}

/* Checks of values against each other. */

/* Pairs of keys of which the first may not be larger. Where only the second is given, and it is
 * smaller than the default of the first, the first follows it. */
static const struct {
	enum config_key_id less, more;
} pairs[] = {
	{CONFIG_KEY_deadline_timeout, CONFIG_KEY_deadline_max_timeout},
	{CONFIG_KEY_retention_output, CONFIG_KEY_retention_jobs},
};

static void
too_large(struct config_parse *c, char *const *paths, const char *section,
	  const struct config_key *less, const void *less_obj, struct config_place at,
	  const char *more_section, const struct config_key *more, const void *more_obj)
{
	_free_ char *small = config_key_format(less, less_obj),
		    *big = config_key_format(more, more_obj);

	if (!small || !big)
		c->failed = -ENOMEM;
	else
		config_errors_add(c->errs, paths[at.file], at,
				  "%s.%s: '%s' is more than %s.%s, which is %s", section, less->key,
				  small, more_section, more->key, big);
}

static void
check_pairs(struct config_parse *c, char *const *paths)
{
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		const struct config_key *less = &config_key_table[pairs[i].less],
					*more = &config_key_table[pairs[i].more];
		const struct config_origin *o = &c->key[pairs[i].less];
		int64_t *l = (void *)((char *)c->policy + less->offset),
			*m = (void *)((char *)c->policy + more->offset);

		if (*l <= *m)
			continue;
		if (o->at.line == 0)
			*l = *m;
		else if (o->good &&
			 (c->key[pairs[i].more].good || c->key[pairs[i].more].at.line == 0))
			too_large(c, paths, less->section, less, c->policy, o->at, more->section,
				  more, c->policy);
	}
}

static void
check_class(struct config_parse *c, char *const *paths, const struct config_class *k)
{
	const struct config_key *less = &config_key_class_table[CONFIG_CLASS_KEY_timeout];
	const struct config_key *more = &config_key_class_table[CONFIG_CLASS_KEY_max_timeout];
	const struct config_origin *global = &c->key[CONFIG_KEY_deadline_max_timeout];
	const struct policy_class *class = k->class;
	char section[sizeof("class ") + sizeof(class->name)];

	snprintf(section, sizeof(section), "class %s", class->name);
	if (!k->key[CONFIG_CLASS_KEY_timeout].good)
		return;
	if (k->key[CONFIG_CLASS_KEY_max_timeout].good && class->timeout_us > class->max_timeout_us)
		too_large(c, paths, section, less, class, k->key[CONFIG_CLASS_KEY_timeout].at,
			  section, more, class);
	else if ((global->good || global->at.line == 0) &&
		 class->timeout_us > c->policy->max_timeout_us)
		too_large(c, paths, section, less, class, k->key[CONFIG_CLASS_KEY_timeout].at,
			  "deadline", &config_key_table[CONFIG_KEY_deadline_max_timeout],
			  c->policy);
}

static void
check_deny(struct config_parse *c, char *const *paths)
{
	const struct policy_names *deny = &c->policy->env_deny;
	const struct config_place at = c->key[CONFIG_KEY_environment_deny].at;
	char shown[SHOWN_MAX];

	if (!c->key[CONFIG_KEY_environment_deny].good)
		return;
	for (size_t i = 0; i < deny->n; i++)
		if (!text_env_name(deny->v[i], strlen(deny->v[i])))
			config_errors_add(c->errs, paths[at.file], at,
					  "environment.deny: '%s' is no name of a variable; "
					  "allowed: letters, digits and '_'",
					  text_escape(deny->v[i], shown, sizeof(shown)));
}

struct bad_name {
	struct config_parse *c;
	const char *path, *key;
	struct config_place at;
};

static void
on_bad_name(void *arg, const char *name, const char *why)
{
	const struct bad_name *b = arg;
	char shown[SHOWN_MAX];

	config_errors_add(b->c->errs, b->path, b->at, "access.%s: '%s' %s", b->key,
			  text_escape(name, shown, sizeof(shown)), why);
}

/* The list of people NAMES, which is that of KEY. */
static void
check_people(struct config_parse *c, char *const *paths, enum config_key_id id, const char *key,
	     const struct policy_names *names, struct policy_ids *ids)
{
	struct bad_name b = {.c = c, .key = key, .at = c->key[id].at};
	int r;

	if (!c->key[id].good)
		return;
	b.path = paths[b.at.file];
	r = names_resolve(names, ids, on_bad_name, &b);
	if (r < 0 && r != -EINVAL && c->failed == 0)
		c->failed = r;
}

void
config_parse_check(struct config_parse *c, char *const *paths)
{
	check_pairs(c, paths);
	for (const struct config_class *k = c->classes; k; k = k->next)
		check_class(c, paths, k);
	check_deny(c, paths);
	check_people(c, paths, CONFIG_KEY_access_admins, "admins", &c->policy->admins,
		     &c->policy->admin_ids);
	check_people(c, paths, CONFIG_KEY_access_exporters, "exporters", &c->policy->exporters,
		     &c->policy->exporter_ids);
}
