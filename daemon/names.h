/* names.h - users and groups of the configuration, by name service. May take some seconds: for
 * start and reload only. */
#ifndef CTXD_NAMES_H
#define CTXD_NAMES_H

struct policy_ids;
struct policy_names;

/* NAME as in the file, WHY completes "NAME …". Both are the name service's or the file's text:
 * escape before showing. */
typedef void (*names_bad_fn)(void *arg, const char *name, const char *why);

/* Look NAMES up (USER, @GROUP) and fill RET anew. ON_BAD is called for each that cannot be. 0: all
 * are known. -EINVAL: some do not exist. Another negative errno: memory, or the name service
 * failed; RET is then not to be used, but to be freed as ever. */
int names_resolve(const struct policy_names *names, struct policy_ids *ret, names_bad_fn on_bad,
		  void *arg);

#endif
