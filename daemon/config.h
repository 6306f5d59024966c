/* config.h - configuration files: finding, reading and checking them; printing and comparing what
 * came of it.
 *
 * A configuration is a list of files: PATH, then every *.conf in PATH.d in the order of their names
 * (C locale), a later file overriding an earlier one key by key. It is read as a whole into a fresh
 * struct policy, and only one without any error is handed out. All errors are collected, for a
 * person to read. Reads files and asks the name service (names.h); never logs. */
#ifndef CTXD_CONFIG_H
#define CTXD_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct policy;

enum {
	CONFIG_ERRORS_MAX = 100,         /* kept; more are counted */
	CONFIG_FILES_MAX = 256,          /* files of one configuration */
	CONFIG_FILE_BYTES_MAX = 1 << 20, /* of one file */
	CONFIG_CLASSES_MAX = 1024,
};

struct config_error {
	unsigned file, line; /* for the order: number of the file; line from 1, 0 for the file as a
				whole */
	char *text;          /* owned; "FILE:LINE: message", safe for a terminal, no newline */
};
/* Zero-initialised = none. In the order of files and lines. */
struct config_errors {
	struct config_error v[CONFIG_ERRORS_MAX];
	size_t n;    /* kept in v */
	size_t more; /* beyond those */
};
void config_errors_done(struct config_errors *e); /* frees; E is empty and usable again */
/* One a line, and "and N more errors" if need be. */
void config_errors_print(const struct config_errors *e, FILE *out);

/* Where the configuration is without --config: CTX_SYSCONFDIR/ctxd/ctxd.conf, or of this user:
 * $XDG_CONFIG_HOME or
 * ~/.config. The caller's. NULL: errno is ENOENT when this user has no home; anything else is
 * trouble. */
char *config_path(bool system_mode);

/* Read the configuration of EXPLICIT_PATH, which must exist, or (NULL) of config_path(), which need
 * not. ERRS: empty. 0: *RET is the caller's. -EINVAL: the configuration is wrong, ERRS says where.
 * Another negative errno: the machine failed (memory, the name service), so that trying again may
 * help; ERRS may say more. */
int config_load(const char *explicit_path, bool system_mode, struct policy **ret,
		struct config_errors *errs);

/* A complete file that config_load reads back to the same policy, each key with its documentation.
 * 0, -ENOMEM, -EIO. */
int config_print(const struct policy *p, FILE *out);

/* SECTION as in the file ("limits", "class web"). Stops at and returns the first nonzero result of
 * FN. -ENOMEM. */
typedef int (*config_each_fn)(void *arg, const char *section, const char *key, const char *value);
int config_each(const struct policy *p, config_each_fn fn, void *arg);

/* Every key whose value differs. OLD or NEW is NULL where a class or a key of it is not in A or B;
 * an added or removed class without any key is told with the empty key and value. ACTS: `now`,
 * `new_jobs` (those that start later) or `restart`, static text. Stops as config_each. */
typedef int (*config_diff_fn)(void *arg, const char *section, const char *key, const char *old,
			      const char *new, const char *acts);
int config_diff(const struct policy *a, const struct policy *b, config_diff_fn fn, void *arg);

#endif
