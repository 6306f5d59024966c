/* sock.h - Unix sockets: paths longer than sun_path, stale files, credentials, descriptors in
 * messages. */
#ifndef CTX_BASE_SOCK_H
#define CTX_BASE_SOCK_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SOCK_MAX_FDS = 8 };

/* Bind and listen at PATH (any length; through /proc/self/fd of its directory when too long for
 * sun_path). TYPE is SOCK_STREAM or SOCK_SEQPACKET; non-blocking, close-on-exec. A stale socket
 * file (connect is refused) is replaced; a living one gives -EADDRINUSE; anything that is no socket
 * gives -EEXIST. The last component is bound as it is and must be shorter than about 85 bytes. fd
 * or -errno. */
int sock_listen(const char *path, int type, mode_t mode, int backlog);
/* The same relative to a directory, in no way replacing anything. */
int sock_listen_at(int dirfd, const char *name, int type, mode_t mode, int backlog);
/* Bind without listening: SOCK_DGRAM. */
int sock_bind_at(int dirfd, const char *name, int type, mode_t mode);
/* Connect without blocking: fd, -EAGAIN (backlog full: try again), or -errno. */
int sock_connect(const char *path, int type);
int sock_connect_at(int dirfd, const char *name, int type);
int sock_pair(int type, int ret[2]); /* close-on-exec, non-blocking */

struct sock_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* owned; from SO_PEERGROUPS */
	size_t n_groups;
};
int sock_peer(int fd, struct sock_peer *ret); /* 0 or -errno */
void sock_peer_done(struct sock_peer *p);

/* One message with descriptors (N <= SOCK_MAX_FDS). 0, -EAGAIN, or -errno. Never raises SIGPIPE.
 * Descriptors stay the caller's. */
int sock_send(int fd, const void *p, size_t size, const int *fds, size_t n);
/* One message; bytes (0 = end), -EAGAIN, -EMSGSIZE (truncated), or -errno. Received descriptors are
 * close-on-exec and the caller's; all are closed on error. *N is in: room, out: number. FDS NULL:
 * none is accepted. More descriptors than accepted: -EPROTO, the message is lost. No descriptor
 * left for one that came: -EMFILE; P holds the message, whose length is not told. */
ssize_t sock_recv(int fd, void *p, size_t size, int *fds, size_t *n);

/* Sockets handed over by a service manager, as sd_listen_fds(3) describes: non-blocking,
 * close-on-exec; the variables are taken out of the environment. Their number in RET, -E2BIG when
 * there are more than MAX, or another -errno. */
int sock_inherited(int *ret, size_t max);

#endif
