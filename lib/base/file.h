/* file.h - files and directories: whole reads and writes, atomic replacement, confined opening,
 * locks, boot id. */
#ifndef CTX_BASE_FILE_H
#define CTX_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Read up to SIZE bytes until EOF; returns bytes or -errno. EINTR is retried. */
ssize_t file_read_full(int fd, void *p, size_t size);
/* Write all of it or fail. 0 or -errno. EINTR is retried, EAGAIN is returned. */
int file_write_full(int fd, const void *p, size_t size);
/* Whole small file relative to DIRFD, never through a symlink in the last component. Returns bytes
 * (<= size), -EFBIG when larger, or -errno. */
ssize_t file_read_at(int dirfd, const char *path, void *p, size_t size);
/* Write NAME.tmp in DIRFD, then rename over NAME. No fsync (the runtime directory is for one boot).
 * 0 or -errno. */
int file_replace_at(int dirfd, const char *name, const void *p, size_t size, mode_t mode);
/* Open PATH below DIRFD; no component may leave it, be a symlink or a magic link (openat2
 * RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS). fd or -errno. */
int file_open_beneath(int dirfd, const char *path, int flags, mode_t mode);
/* mkdir -p of an absolute path. Existing directories are left as they are. 0 or -errno. */
int file_mkdirs(const char *path, mode_t mode);
/* Exclusive flock of an open fd, not waiting. 0; -EWOULDBLOCK with the holder's pid in RET_PID (0:
 * not known). */
int file_lock(int fd, pid_t *ret_pid);
/* Kernel's random boot id, 16 bytes. 0 or -errno. Read once per process and kept. */
int file_boot_id(uint8_t ret[16]);
/* Remove the files directly in directory NAME below DIRFD, then NAME itself; does not follow links,
 * does not recurse. -ENOTEMPTY if a directory is in it. */
int file_rmdir_flat(int dirfd, const char *name);

#endif
