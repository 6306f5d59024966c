/* filter.c - seccomp for monitors, see filter.h.
 *
 * EPERM and not a signal: the list is right for the libc that it was tried with, and a monitor that
 * another libc kills takes a job along that did nothing wrong. For whoever got hold of a monitor it
 * comes to the same, there is no exec, no socket and no new identity.
 *
 * Nothing of this can be in the spawner: a filter is inherited, and what a job (or sudo in it) may
 * call is not ours to say. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/mem.h"
#include "spawner/filter.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FILTER_ARCH 0
#elif defined(__x86_64__) && defined(__LP64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__) && defined(__AARCH64EL__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#else
#define FILTER_ARCH 0
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#undef FILTER_ARCH
#define FILTER_ARCH 0
#endif
#endif

#if FILTER_ARCH

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define ALLOW(call) UNLESS(SYS_##call, 1), RETURN(SECCOMP_RET_ALLOW)
/* Both are little-endian: the first four bytes of an argument are its low ones. */
#define ALLOW_WITHOUT(call, arg, flag)                                                             \
	UNLESS(SYS_##call, 4), LOAD(args[arg]),                                                    \
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (flag), 1, 0), RETURN(SECCOMP_RET_ALLOW),     \
		RETURN(SECCOMP_RET_ERRNO | EPERM)

static struct sock_filter program[] = {
	LOAD(arch),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0),
	RETURN(SECCOMP_RET_KILL_PROCESS),
	LOAD(nr),
	/* The loop: time, the job's last words, ctxd. */
	ALLOW(ppoll),
	ALLOW(read),
	ALLOW(recvmsg),
	ALLOW(sendmsg),
	ALLOW(accept4),
	ALLOW(getsockopt),
	ALLOW(clock_gettime),
	ALLOW(timerfd_settime),
	ALLOW(restart_syscall),
	/* The tree: who is in it, signals, who ended. */
	ALLOW(wait4),
	ALLOW(waitid),
	ALLOW(kill),
	ALLOW(pidfd_open),
	ALLOW(pidfd_send_signal),
	ALLOW(getrusage),
	ALLOW(getpid),
	ALLOW(getuid),
	ALLOW(geteuid),
	/* Files: /proc, the cgroup, the run directory, the output's cap. */
	ALLOW(openat),
	ALLOW(close),
	ALLOW(fstat),
	ALLOW(newfstatat),
	ALLOW(statfs),
	ALLOW(readlinkat),
	ALLOW(getdents64),
	ALLOW(lseek),
	ALLOW(fcntl),
	ALLOW(write),
	ALLOW(pread64),
	ALLOW(pwrite64),
	ALLOW(fallocate),
	ALLOW(ftruncate),
	ALLOW(renameat),
	ALLOW(renameat2),
	/* libc: the heap, and abort(). */
	ALLOW(brk),
	ALLOW_WITHOUT(mmap, 2, PROT_EXEC),
	ALLOW_WITHOUT(mprotect, 2, PROT_EXEC),
	ALLOW(mremap),
	ALLOW(munmap),
	ALLOW(madvise),
	ALLOW(futex),
	ALLOW(getrandom),
	ALLOW(writev),
	ALLOW(gettid),
	ALLOW(tgkill),
	ALLOW(rt_sigaction),
	ALLOW(rt_sigprocmask),
	ALLOW(rt_sigreturn),
	ALLOW(exit),
	ALLOW(exit_group),
#ifdef SYS_poll /* the older numbers, which newer machines do not have */
	ALLOW(poll),
	ALLOW(readlink),
#endif
	RETURN(SECCOMP_RET_ERRNO | EPERM),
};

bool
filter_available(void)
{
	uint32_t action = SECCOMP_RET_ERRNO;

	return syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
}

int
filter_install(void)
{
	struct sock_fprog p = {.len = ARRAY_SIZE(program), .filter = program};
	unsigned long flags = SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW;

	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p) == 0 || errno == ENOSYS)
		return 0;
	return -errno;
}

#else

bool
filter_available(void)
{
	return false;
}

int
filter_install(void)
{
	return 0;
}

#endif
