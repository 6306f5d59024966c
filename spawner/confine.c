/* confine.c - giving up rights, see confine.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "spawner/confine.h"
#include "spawner/filter.h"

#define CAP(name) (UINT64_C(1) << CAP_##name)

/* What starting a job takes: its identity, the output and the notify socket that become its user's,
 * its priority and limits; and killing it, whoever it has become. Whoever has CAP_SETUID can be
 * root: these are few so that a mistake does little, not so that one who runs code in here is held.
 */
static const uint64_t for_spawner = CAP(SETUID) | CAP(SETGID) | CAP(CHOWN) | CAP(FOWNER) |
				    CAP(KILL) | CAP(SYS_NICE) | CAP(SYS_RESOURCE);
/* Until its exec a job of root has no more than we, and its directory may be another's. */
static const uint64_t for_root_jobs = CAP(DAC_READ_SEARCH);
static const uint64_t for_monitor = CAP(KILL);
/* Where /proc hides the processes of other users (hidepid=), this alone shows them. */
static const uint64_t for_hidden_proc = CAP(SYS_PTRACE);

static struct {
	bool proc_hidden;
	uint64_t files; /* LANDLOCK_ACCESS_FS_* that this kernel can deny; 0: none */
} here;

/* PERMITTED and EFFECTIVE are what remains of what we have. Nothing is inheritable, and so nothing
 * ambient. */
static int
lower(uint64_t permitted, uint64_t effective)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		data[i].permitted &= (uint32_t)(permitted >> 32 * i);
		data[i].effective = data[i].permitted & (uint32_t)(effective >> 32 * i);
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/* Process 1 has more capabilities than we: it is seen only where all are. */
static bool
proc_is_hidden(void)
{
	int fd = open("/proc/1/stat", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT || errno == EPERM || errno == EACCES;
	(void)close(fd);
	return false;
}

static int
lower_spawner(bool root_jobs)
{
	uint64_t keep = for_spawner | (root_jobs ? for_root_jobs : 0);
	int r = lower(keep | for_hidden_proc, keep);

	if (r < 0)
		return r;
	here.proc_hidden = proc_is_hidden();
	if (!here.proc_hidden)
		return lower(keep, keep);
	log_notice("/proc hides processes (hidepid): keeping CAP_SYS_PTRACE to see those of jobs");
	return lower(keep | for_hidden_proc, keep | for_hidden_proc);
}

#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (UINT64_C(1) << 14)
#endif

#ifdef CTX_CRASH_POINTS
/* They leave marks elsewhere. */
static uint64_t
landlock_files(void)
{
	return 0;
}
#else
enum { LANDLOCK_ABI_TRUNCATE = 3 };

static uint64_t
landlock_files(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	uint64_t all = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |
		       LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_WRITE_FILE |
		       LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
		       LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_DIR |
		       LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
		       LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_BLOCK |
		       LANDLOCK_ACCESS_FS_MAKE_SYM;

	if (abi < 1)
		return 0;
	return abi < LANDLOCK_ABI_TRUNCATE ? all : all | LANDLOCK_ACCESS_FS_TRUNCATE;
}
#endif

static int
allow_below(int ruleset, int dir, uint64_t what)
{
	struct landlock_path_beneath_attr a = {.allowed_access = what & here.files,
					       .parent_fd = dir};
	long r = syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &a, 0);

	return r < 0 ? -errno : 0;
}

/* A process in such a domain may not look into those outside where /proc asks for that right: then
 * there is none. */
static int
restrict_files(int dir, int cgroup)
{
	const uint64_t read = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const uint64_t into = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE;
	const uint64_t make = LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE;
	struct landlock_ruleset_attr a = {.handled_access_fs = here.files};
	_close_ int ruleset = -1, proc = -1;
	int r;

	if (!here.files || here.proc_hidden)
		return 0;
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &a, sizeof(a.handled_access_fs), 0);
	if (proc < 0 || ruleset < 0)
		return -errno;
	r = allow_below(ruleset, proc, read);
	if (r == 0)
		r = allow_below(ruleset, dir, read | into | make);
	if (r == 0 && cgroup >= 0)
		r = allow_below(ruleset, cgroup, read | into);
	if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = -errno;
	return r;
}

int
confine_spawner(bool system, bool root_jobs)
{
	here.files = landlock_files();
	if (!filter_available())
		log_notice("no system call filter for monitors here; continuing");
	if (!here.files)
		log_notice("no Landlock for monitors here; continuing");
	if (!system)
		return 0;
	/* Environments of jobs pass through our memory, and that of a monitor is a copy of it. */
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return -errno;
	return lower_spawner(root_jobs);
}

static void
tell(const char *what, int r)
{
	if (r < 0)
		log_warn("a monitor keeps rights that it does not need (%s): %s; continuing", what,
			 strerror(-r));
}

void
confine_monitor(int dir, int cgroup)
{
	uint64_t keep = for_monitor | (here.proc_hidden ? for_hidden_proc : 0);

	log_set_journal(NULL); /* there will be no socket for it; stderr leads there as well */
	tell("capabilities", lower(keep, keep));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		tell("no_new_privs", -errno);
		return;
	}
	tell("Landlock", restrict_files(dir, cgroup));
	tell("seccomp", filter_install());
	log_set_journal(NULL); /* it may make no socket */
}

bool
confine_is_bare(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(data); i++) {
		if (data[i].permitted || data[i].effective || data[i].inheritable)
			return false;
	}
	return true;
}
