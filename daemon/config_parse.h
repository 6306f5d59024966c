/* config_parse.h - the text of configuration files into a policy, through inih. For
 * daemon/config*.c and its fuzzer. */
#ifndef CTXD_CONFIG_PARSE_H
#define CTXD_CONFIG_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "config.h"
#include "config_key.h"
#include "config_line.h"

struct config_place { /* of a file in a configuration; line 0: none */
	unsigned file, line;
};
struct config_origin { /* where a key was last set */
	struct config_place at;
	bool good; /* and the value was taken */
};
struct config_class {
	struct config_class *next;  /* owned; newest first */
	struct policy_class *class; /* owned by the policy */
	struct config_place section;
	struct config_origin key[CONFIG_CLASS_KEY_N];
};
enum config_section_kind {
	CONFIG_SECTION_NONE,
	CONFIG_SECTION_WRONG,
	CONFIG_SECTION_GLOBAL,
	CONFIG_SECTION_CLASS
};

struct config_parse {
	struct policy *policy;      /* borrowed: filled */
	struct config_errors *errs; /* borrowed: filled */
	int failed; /* 0, or the negative errno of what is no error of the configuration */
	struct config_place section[CONFIG_KEY_N]; /* at the first key of the section */
	struct config_origin key[CONFIG_KEY_N];
	struct config_class *classes; /* owned */
	size_t n_classes;

	/* The file being read. */
	const char *path; /* borrowed */
	struct config_place here;
	const char *next, *end; /* borrowed; what is not read yet */
	enum config_section_kind kind;
	char name[CONFIG_SECTION_BYTES_MAX + 1]; /* of the section */
	struct config_class *class;              /* of a CLASS */
};

/* P: fresh defaults. */
void config_parse_init(struct config_parse *c, struct policy *p, struct config_errors *errs);
void config_parse_done(struct config_parse *c);
/* Read the N bytes of the file number FILE; call in the order of the files. What is wrong goes to
 * the errors. */
void config_parse_file(struct config_parse *c, unsigned file, const char *path, const char *data,
		       size_t n);
/* After the last file: values against each other. PATHS: by number of the file. Some defaults may
 * follow what was set. */
void config_parse_check(struct config_parse *c, char *const *paths);

/* Add an error at AT, of the file PATH. */
void config_errors_add(struct config_errors *e, const char *path, struct config_place at,
		       const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
