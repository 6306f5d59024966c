/* path.h - the socket search, for client.c: the connection that proved a place alive is kept. */
#ifndef CTX_CLIENT_PATH_H
#define CTX_CLIENT_PATH_H

#include <stdbool.h>

/* As ctxd_socket_path: 0 or -ENOMEM. *RET_FD: the caller's connection if the search made one
 * (non-blocking), -EAGAIN if that one is too busy to accept, -ENOTCONN if the path was not tried.
 */
int path_search(const char *explicit_path, char mode, char **ret, int *ret_fd);
/* Is it one of the places of a user's own ctxd? */
bool path_is_own(const char *path);

#endif
