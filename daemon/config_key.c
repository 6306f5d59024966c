/* config_key.c - the tables of configuration keys, and what can be said of one key. */
#include "config_key.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/policy.h"

#define REACH_RELOAD CONFIG_REACH_RELOAD
#define REACH_NEW CONFIG_REACH_NEW
#define REACH_RESTART CONFIG_REACH_RESTART

const struct config_key config_key_table[CONFIG_KEY_N] = {
#define CONF(section, key, type, field, def, min, max, reach, doc)                                 \
	{#section, #key, POLICY_##type, REACH_##reach, offsetof(struct policy, field), def, min,   \
	 max,      doc},
#include "core/policy.def"
#undef CONF
};
const struct config_key config_key_class_table[CONFIG_CLASS_KEY_N] = {
#define CLASS_CONF(key, type, field, min, max, reach, doc)                                         \
	{                                                                                          \
		NULL,                                                                              \
		#key,                                                                              \
		POLICY_##type,                                                                     \
		REACH_##reach,                                                                     \
		offsetof(struct policy_class, field),                                              \
		NULL,                                                                              \
		min,                                                                               \
		max,                                                                               \
		doc},
#include "core/class.def"
#undef CLASS_CONF
};

bool
config_key_section_known(const char *section)
{
	for (size_t i = 0; i < CONFIG_KEY_N; i++)
		if (strcmp(config_key_table[i].section, section) == 0)
			return true;
	return false;
}

const struct config_key *
config_key_find(const char *section, const char *key)
{
	for (size_t i = 0; i < CONFIG_KEY_N; i++)
		if (strcmp(config_key_table[i].section, section) == 0 &&
		    strcmp(config_key_table[i].key, key) == 0)
			return &config_key_table[i];
	return NULL;
}

const struct config_key *
config_key_class_find(const char *key)
{
	for (size_t i = 0; i < CONFIG_CLASS_KEY_N; i++)
		if (strcmp(config_key_class_table[i].key, key) == 0)
			return &config_key_class_table[i];
	return NULL;
}

/* Where 0 is a value like any other, a flag of its own says whether the key was given. */
static bool *
class_flag(const struct config_key *k, struct policy_class *c)
{
	switch ((enum config_class_key_id)(k - config_key_class_table)) {
	case CONFIG_CLASS_KEY_priority:
		return &c->has_priority;
	case CONFIG_CLASS_KEY_nice:
		return &c->has_nice;
	case CONFIG_CLASS_KEY_timeout:
	case CONFIG_CLASS_KEY_max_timeout:
	case CONFIG_CLASS_KEY_grace:
	case CONFIG_CLASS_KEY_signal:
	case CONFIG_CLASS_KEY_running:
	case CONFIG_CLASS_KEY_on_interrupt:
	case CONFIG_CLASS_KEY_max_attempts:
	case CONFIG_CLASS_KEY_umask:
	case CONFIG_CLASS_KEY_memory_max:
	case CONFIG_CLASS_KEY_cpu_max:
	case CONFIG_CLASS_KEY_pids_max:
	case CONFIG_CLASS_KEY_io_weight:
	case CONFIG_CLASS_KEY_limit_nofile:
	case CONFIG_CLASS_KEY_limit_nproc:
	case CONFIG_CLASS_KEY_limit_core:
	case CONFIG_CLASS_KEY_limit_fsize:
	case CONFIG_CLASS_KEY_limit_as:
	case CONFIG_CLASS_KEY_limit_stack:
	case CONFIG_CLASS_KEY_limit_memlock:
	case CONFIG_CLASS_KEY_limit_cpu:
	case CONFIG_CLASS_KEY_limit_data:
		return NULL;
	case CONFIG_CLASS_KEY_N:
		break;
	}
	assert_not_reached("not a key of a class");
}

bool
config_key_class_given(const struct config_key *k, const struct policy_class *c)
{
	struct policy_class copy = *c;
	bool *flag = class_flag(k, &copy);
	int64_t v;

	memcpy(&v, (const char *)c + k->offset, sizeof(v));
	return flag ? *flag : v != 0;
}

void
config_key_class_give(const struct config_key *k, struct policy_class *c)
{
	bool *flag = class_flag(k, c);

	if (flag)
		*flag = true;
}

/* 0 is unset, unless it is a value that can be given. */
static char *
size_or_value(const struct config_key *k, const void *field)
{
	int64_t v = 1;

	if (k->type == POLICY_SIZE && k->min == 0)
		memcpy(&v, field, sizeof(v));
	return v == 0 ? strdup("0") : policy_value_format(k->type, field);
}

char *
config_key_format(const struct config_key *k, const void *obj)
{
	const void *field = (const char *)obj + k->offset;
	int64_t v;

	if (!k->section &&
	    k->type == POLICY_INT) { /* 0 is no "unset" here: that is what the flags are for */
		memcpy(&v, field, sizeof(v));
		return text_format("%lld", (long long)v);
	}
	return size_or_value(k, field);
}

bool
config_key_empty_allowed(const struct config_key *k)
{
	return k->def && !*k->def;
}

/* V as the value of a field in which 0 is "not given". */
static char *
limit_text(const struct config_key *k, int64_t v)
{
	v++;
	return policy_value_format(k->type, &v);
}

void
config_key_range(const struct config_key *k, struct buf *b, const char *before, const char *after)
{
	_free_ char *min = NULL, *max = NULL;

	switch (k->type) {
	case POLICY_INT: /* 0 would be printed as "unset" */
		min = text_format("%lld", (long long)k->min);
		max = text_format("%lld", (long long)k->max);
		break;
	case POLICY_SIZE:
	case POLICY_DUR:
	case POLICY_PERCENT:
		min = size_or_value(k, &k->min);
		max = policy_value_format(k->type, &k->max);
		break;
	case POLICY_MODE:
	case POLICY_LIMIT:
	case POLICY_LIMITSIZE:
	case POLICY_LIMITTIME:
		min = limit_text(k, k->min);
		max = limit_text(k, k->max);
		break;
	case POLICY_SIGNAL:
	case POLICY_NAMES:
	case POLICY_ENVMODE:
	case POLICY_ONINTERRUPT:
	case POLICY_OUTPUTTO:
	case POLICY_COMMAND:
		return;
	}
	if (min && max)
		buf_printf(b, "%s%s to %s%s", before, min, max, after);
	else if (!b->failed)
		b->failed = -ENOMEM;
}

void
config_key_allowed(const struct config_key *k, struct buf *b)
{
	switch (k->type) {
	case POLICY_INT:
		config_key_range(k, b, "a whole number from ",
				 config_key_empty_allowed(k) ? ", or empty for no limit" : "");
		return;
	case POLICY_SIZE:
		config_key_range(k, b, "a size from ",
				 config_key_empty_allowed(k)
					 ? ", such as 512K, 64M or 1G, or empty for no limit"
					 : ", such as 512K, 64M or 1G");
		return;
	case POLICY_DUR:
		config_key_range(k, b, "a span of time from ", ", such as 90s, 10m or 1h30m");
		return;
	case POLICY_SIGNAL:
		buf_puts(b, "a signal such as TERM, INT or USR1");
		return;
	case POLICY_PERCENT:
		config_key_range(k, b, "a percentage of one CPU from ", ", such as 150%");
		return;
	case POLICY_MODE:
		config_key_range(k, b, "an octal number from ", "");
		return;
	case POLICY_LIMIT:
		config_key_range(k, b, "a whole number from ", ", or infinity");
		return;
	case POLICY_LIMITSIZE:
		config_key_range(k, b, "a size from ", ", or infinity");
		return;
	case POLICY_LIMITTIME:
		config_key_range(k, b, "a span of whole seconds from ", ", or infinity");
		return;
	case POLICY_COMMAND:
		buf_puts(b, "a command for /bin/sh, or empty for none");
		return;
	case POLICY_ONINTERRUPT:
		buf_puts(b, "hold or retry");
		return;
	case POLICY_OUTPUTTO:
		buf_puts(b, "file, journal or both");
		return;
	case POLICY_NAMES:
		buf_puts(b, "names separated by commas, or empty for none");
		return;
	case POLICY_ENVMODE:
		buf_puts(b, "all, none, or names of variables separated by commas");
		return;
	}
	assert_not_reached("policy type");
}
