/* exec.c - from a monitor to the job's main process, see exec.h.
 *
 * The child of vfork runs in the monitor's memory until it execs, and the monitor stands still
 * meanwhile. So it may write its failure where the monitor finds it, and must change nothing else:
 * it calls only what is safe after vfork, all signals stay blocked until the last moment, and every
 * disposition is the default already (main.c). */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "record/spec.h"
#include "spawner/confine.h"
#include "spawner/exec.h"
#include "spawner/limits.h"

struct child {
	const struct exec_plan *plan;
	pid_t monitor;
	volatile struct exec_fault fault;
};

/* Lowering one's protection is always allowed. Where the spawner itself was made a preferred
 * victim, raising it again needs a privilege that a user's spawner has not: the job then keeps what
 * everything of this user has. */
static int
reset_oom_score(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, "0", 1) != 1 && errno != EACCES && errno != EPERM)
		r = -errno;
	(void)close(fd);
	return r;
}

/* Session, cgroup, limits. Runs with the spawner's rights. The limits come last: one of open files
 * would be in our own way. */
static int
set_up(struct child *c)
{
	const struct exec_plan *p = c->plan;
	int r = 0;

	if (setsid() < 0)
		return -errno;
	if (p->cgroup_procs_fd >= 0 && write(p->cgroup_procs_fd, "0", 1) != 1)
		return -errno;
	if (p->reset_oom)
		r = reset_oom_score();
	(void)umask((mode_t)p->spec->umask);
	c->fault.unenforced = limits_process(p->spec);
	return r;
}

static int
become_user(const struct spec *s)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	if (setgroups(s->n_groups, s->groups) < 0 || setresgid(s->gid, s->gid, s->gid) < 0 ||
	    setresuid(s->uid, s->uid, s->uid) < 0)
		return -errno;
	if (getresuid(&ru, &eu, &su) < 0 || getresgid(&rg, &eg, &sg) < 0)
		return -errno;
	if (ru != s->uid || eu != s->uid || su != s->uid || rg != s->gid || eg != s->gid ||
	    sg != s->gid)
		return -EPERM;
	/* Where a change of uid were told to leave them (securebits). */
	return s->uid == 0 || confine_is_bare() ? 0 : -EPERM;
}

/* A change of uid clears the parent-death signal, so it is set now; a monitor that died before will
 * not send it. */
static int
die_with(pid_t monitor)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -errno;
	if (getppid() != monitor)
		_exit(127);
	return 0;
}

static int
take_stdio(const struct exec_plan *p)
{
	if (dup2(p->in_fd, 0) < 0 || dup2(p->out_fd, 1) < 0 || dup2(p->err_fd, 2) < 0)
		return -errno;
	return close_range(3, ~0U, 0) < 0 ? -errno : 0;
}

/* argv[0] without a slash is looked for in the PATH of the job's environment, which is what execvp
 * reads. */
static int
execute(const struct exec_plan *p)
{
	sigset_t none;

	(void)sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return -errno;
	environ = p->envp;
	(void)execvp(p->argv[0], p->argv);
	return -errno;
}

_Noreturn static void
child_main(struct child *c)
{
	const struct exec_plan *p = c->plan;
	enum exec_step step = EXEC_STEP_SETUP;
	int r;

	(void)close(p->ctl_fd);
	r = set_up(c);
	if (r == 0 && p->switch_user) {
		step = EXEC_STEP_USER;
		r = become_user(p->spec);
	}
	if (r == 0) {
		step = EXEC_STEP_SETUP;
		r = die_with(c->monitor);
	}
	if (r == 0) {
		step = EXEC_STEP_CHDIR;
		r = chdir(p->spec->cwd) < 0 ? -errno : 0;
	}
	if (r == 0) {
		step = EXEC_STEP_SETUP;
		r = take_stdio(p);
	}
	if (r == 0) {
		step = EXEC_STEP_EXEC;
		r = execute(p);
	}
	c->fault.error = -r;
	c->fault.step = step;
	_exit(127);
}

pid_t
exec_start(const struct exec_plan *plan, struct exec_fault *ret)
{
	struct child c = {.plan = plan, .monitor = getpid()};
	char **env = environ;
	pid_t pid = vfork();

	if (pid == 0)
		child_main(&c);
	if (pid < 0) {
		*ret = (struct exec_fault){.error = errno, .step = EXEC_STEP_FORK};
		return -ret->error;
	}
	environ = env;
	*ret = (struct exec_fault){
		.error = c.fault.error, .step = c.fault.step, .unenforced = c.fault.unenforced};
	return pid;
}
