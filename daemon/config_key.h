/* config_key.h - the tables core/policy.def and core/class.def as data. For daemon/config*.c alone.
 */
#ifndef CTXD_CONFIG_KEY_H
#define CTXD_CONFIG_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/policy_value.h"

struct buf;
struct policy_class;

enum config_reach { CONFIG_REACH_RELOAD, CONFIG_REACH_NEW, CONFIG_REACH_RESTART };

struct config_key {
	const char *section; /* NULL: of a class */
	const char *key;
	enum policy_type type;
	enum config_reach reach;
	size_t offset;   /* in struct policy, or struct policy_class */
	const char *def; /* NULL: of a class, unset unless given */
	int64_t min, max;
	const char *doc;
};

enum config_key_id {
#define CONF(section, key, type, field, def, min, max, reach, doc) CONFIG_KEY_##section##_##key,
#include "core/policy.def"
#undef CONF
	CONFIG_KEY_N
};
enum config_class_key_id {
#define CLASS_CONF(key, type, field, min, max, reach, doc) CONFIG_CLASS_KEY_##key,
#include "core/class.def"
#undef CLASS_CONF
	CONFIG_CLASS_KEY_N
};
extern const struct config_key config_key_table[CONFIG_KEY_N];
extern const struct config_key config_key_class_table[CONFIG_CLASS_KEY_N];

bool config_key_section_known(const char *section);
const struct config_key *
config_key_find(const char *section, const char *key);           /* NULL if unknown */
const struct config_key *config_key_class_find(const char *key); /* NULL if unknown */

/* Is the key K given in C? And say that it is. */
bool config_key_class_given(const struct config_key *k, const struct policy_class *c);
void config_key_class_give(const struct config_key *k, struct policy_class *c);

/* Value as text that is read back to the same; the caller's, NULL on ENOMEM. OBJ: struct policy, or
 * policy_class. */
char *config_key_format(const struct config_key *k, const void *obj);
bool config_key_empty_allowed(const struct config_key *k);
/* Append BEFORE, least, " to ", most, AFTER: of numbers; nothing for other types. */
void
config_key_range(const struct config_key *k, struct buf *b, const char *before, const char *after);
/* Append what a value may be, to be read after "allowed: ". */
void config_key_allowed(const struct config_key *k, struct buf *b);

#endif
