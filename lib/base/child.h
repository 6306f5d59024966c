/* child.h - a short-lived program whose output we read: nothing of us but the one pipe. */
#ifndef CTX_BASE_CHILD_H
#define CTX_BASE_CHILD_H

#include <sys/types.h>

/* Start PROGRAM (looked for in PATH if there is no slash in it) with ARGV and nothing but PATH in
 * its environment, signals as at first, nothing to read and nowhere to complain. *RET_FD, the
 * caller's, is the non-blocking end of its standard output. 0 or -errno. */
int child_start(const char *program, char *const argv[], int *ret_fd, pid_t *ret_pid);

#endif
