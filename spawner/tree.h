/* tree.h - all processes below this one, however they forked, detached or renamed themselves:
 * finding, signalling, killing.
 *
 * The caller is a subreaper, so nothing below it can get out of sight: what loses its parent
 * becomes its child. Nothing here waits for or reaps a process; a tree is empty when waitpid says
 * so, never because a scan found nothing. */
#ifndef CTX_SPAWNER_TREE_H
#define CTX_SPAWNER_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Children of the caller that are left out, with all below them. FN NULL: none. */
struct tree_skip {
	bool (*fn)(void *arg, pid_t pid);
	void *arg;
};

/* Can trees be seen here at all? 0, or -errno: no /proc. */
int tree_available(void);
/* Keeps the list of the caller's children open, so that they are found, signalled and killed also
 * when there are no more descriptors; what is below them is, once it has lost its parent. Once in
 * each process (again after a fork), before the rest. 0, also where the kernel has no such list, or
 * -errno. */
int tree_open(void);
/* Living processes now (zombies do not count). */
size_t tree_count(const struct tree_skip *skip);
/* Send SIG once to each process found by one scan, then SIGCONT, so that a stopped one hears it.
 * Returns how many. */
size_t tree_signal(const struct tree_skip *skip, int sig);
/* The same without SIGCONT. */
size_t tree_send(const struct tree_skip *skip, int sig);
/* Is PID below the caller? What has ended and is not reaped yet counts: its pid is still its own.
 */
bool tree_has(pid_t pid);
/* Stop everything until a scan finds nothing that still runs, then SIGKILL all: what forks faster
 * than it is killed is frozen first. May leave something behind (out of memory, a process that
 * cannot be stopped now): call again while waitpid finds children. Returns how many got SIGKILL;
 * RET_FOUND (may be NULL): how many were seen, zombies included; 0 proves that the caller has no
 * children but the skipped ones. */
size_t tree_kill(const struct tree_skip *skip, size_t *ret_found);

#endif
