/* listener.h - the listening socket: accepting, admission, running out of descriptors. */
#ifndef CTXD_API_LISTENER_H
#define CTXD_API_LISTENER_H

struct api;
struct listener;

/* Accept on FD (taken, also on failure). PATH: removed at the end; NULL: not ours. 0 or -errno. */
int listener_new(struct api *a, int fd, const char *path, struct listener **ret);
struct listener *listener_free(struct listener *l);
/* Descriptors are free again. */
void listener_resume(struct listener *l);

#endif
