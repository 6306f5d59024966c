/* policy_value.h - values of configuration keys: text to field of struct policy and back, by type.
 * Shared by policy_new (defaults are text) and daemon/config (file). With `CONF(…, type, field,
 * …)`: POLICY_##type, offsetof(…, field). */
#ifndef CTXD_CORE_POLICY_VALUE_H
#define CTXD_CORE_POLICY_VALUE_H

#include <stdint.h>

/* The field is an int64_t (INT, SIZE in bytes, DUR in microseconds, SIGNAL,
 * ONINTERRUPT, OUTPUTTO, PERCENT, and those of which policy_limit tells the value: MODE, LIMIT,
 * LIMITSIZE in bytes, LIMITTIME in seconds), a char * (COMMAND), a struct policy_names (NAMES) or a
 * struct policy_env_mode (ENVMODE). */
enum policy_type {
	POLICY_INT, /* an empty text is 0, "no limit" */
	POLICY_SIZE,
	POLICY_DUR,
	POLICY_SIGNAL,
	POLICY_NAMES, /* an empty text is the empty list */
	POLICY_ENVMODE,
	POLICY_COMMAND,     /* an empty text is none */
	POLICY_ONINTERRUPT, /* enum on_interrupt */
	POLICY_OUTPUTTO,    /* enum output_to */
	POLICY_PERCENT,
	POLICY_MODE,      /* octal */
	POLICY_LIMIT,     /* a number, or `infinity` */
	POLICY_LIMITSIZE, /* a size, or `infinity` */
	POLICY_LIMITTIME, /* a span of whole seconds, or `infinity` */
};

/* Parse TEXT into FIELD, which holds zeroes or an older value (that is freed). MIN and MAX, in the
 * unit of the field, bound the four kinds of numbers. 0; -EINVAL: malformed; -ERANGE: outside of
 * MIN..MAX (the caller, who knows them, can say what is allowed); -ENOMEM. On failure FIELD is
 * untouched and *REASON is a static text that completes "'TEXT' …", for instance "is not a whole
 * number". An empty INT passes whatever MIN says: refuse it first where the key's default is not
 * empty. */
int policy_value_parse(enum policy_type t, const char *text, int64_t min, int64_t max, void *field,
		       const char **reason);

/* Text that parses back to the same value, owned by the caller; NULL on ENOMEM. 0 of INT, DUR and
 * SIGNAL is "unset" and gives an empty text (priority and nice of a class can be 0: there the
 * caller writes "0"). */
char *policy_value_format(enum policy_type t, const void *field);

/* Free what FIELD owns and zero it. */
void policy_value_done(enum policy_type t, void *field);

#endif
