/* context.h - the values of a context: what is one, how inherited and own ones come together, and
 * the names of the variables that a job finds them in. Pure. */
#ifndef CTXD_CORE_CONTEXT_H
#define CTXD_CORE_CONTEXT_H

#include <stdbool.h>
#include <stddef.h>

struct ctx_err;
struct strv;

#define CONTEXT_ENV_PREFIX "CTX_VALUE_"
enum {
	CONTEXT_NAME_MAX = 64,        /* bytes of a name */
	CONTEXT_VALUES_MAX = 64,      /* values of a context, inherited ones included */
	CONTEXT_VALUES_BYTES = 16384, /* their names and texts together */
	CONTEXT_ENV_NAME = sizeof(CONTEXT_ENV_PREFIX) + CONTEXT_NAME_MAX,
};

/* 1 to CONTEXT_NAME_MAX of [A-Za-z0-9_.-], not starting with a digit, "-" or ".". */
bool context_name_valid(const char *name, size_t n);
/* PAIR is NAME=VALUE with a valid name and a text that is UTF-8. 0, or -EINVAL with E filled: names
 * the value. */
int context_value_check(const char *pair, struct ctx_err *e);
/* CTX_VALUE_ and the N bytes of the valid NAME in upper case, what is no letter or digit as "_".
 * Returns BUF. */
const char *context_env_name(const char *name, size_t n, char buf[static CONTEXT_ENV_NAME]);

/* *RET, the caller's: OWN over INHERITED, NAME=VALUE sorted by name. Both may be NULL; what is
 * inherited was checked when it was accepted. 0; -EINVAL with E filled (a bad value, a name given
 * twice, two names of one variable, too many, too much); -ENOMEM. */
int context_values_merge(const struct strv *inherited, const struct strv *own, struct strv *ret,
			 struct ctx_err *e);

#endif
