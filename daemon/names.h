/* names.h - users and groups of the configuration, by name service. May take some seconds: for
 * start and reload only. */
#ifndef CTXD_NAMES_H
#define CTXD_NAMES_H

struct policy;

/* NAME as in the file, WHY completes "NAME …". Both are the name service's or the file's text:
 * escape before showing. */
typedef void (*names_bad_fn)(void *arg, const char *name, const char *why);

/* Look P->admins up (USER, @GROUP) and fill P->admin_uids and P->admin_gids anew. ON_BAD is called
 * for each that cannot be. 0: all are known. -EINVAL: some do not exist. Another negative errno:
 * memory, or the name service failed; P's numbers are then not to be used. */
int names_resolve(struct policy *p, names_bad_fn on_bad, void *arg);

#endif
