/* strv.h - a packed string vector: N strings, each ended by NUL, in one block. What argv and
 * environments travel as, in frames, specs and database columns. */
#ifndef CTX_BASE_STRV_H
#define CTX_BASE_STRV_H

#include <stddef.h>

struct strv {
	char *data; /* owned by whoever owns the strv; NULL when empty */
	size_t size;
	size_t n;
};

void strv_done(struct strv *v);
int strv_add(struct strv *v, const char *s); /* 0 or -ENOMEM */
/* "NAME" + "=" + VALUE as one string. */
int strv_add_pair(struct strv *v, const char *name, const char *value);
int strv_copy(struct strv *ret, const struct strv *v);
/* Check that [data,size) is zero or more NUL-ended strings and make V refer to a copy. -EINVAL if
 * not. */
int strv_from_bytes(struct strv *ret, const void *data, size_t size);
/* First string, or NULL; next after S, or NULL at the end. */
const char *strv_first(const struct strv *v);
const char *strv_next(const struct strv *v, const char *s);
/* Value of NAME in a vector of NAME=VALUE (the last one wins), or NULL. */
const char *strv_env_get(const struct strv *v, const char *name);
/* Set NAME to VALUE: replaces all earlier. VALUE NULL removes. NAME is not in V; VALUE may be. 0,
 * -ENOMEM, or -EINVAL when NAME is empty or has a "=". */
int strv_env_set(struct strv *v, const char *name, const char *value);
/* Pointer array of n+1 for execve: heap block owned by the caller, strings point into V. NULL on
 * ENOMEM. */
char **strv_pointers(const struct strv *v);

#endif
