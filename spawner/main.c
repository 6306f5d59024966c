/* main.c - ctx-spawner: forks one monitor a job for ctxd, which has no right (and, under systemd,
 * no place) to do so itself.
 *
 * Here: options, and what must be true before the first frame is read. All signals are blocked for
 * good and at their defaults, so monitors and jobs need not undo anything; descriptors 0-2 are
 * open, the socket is 3, nothing else is. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crash.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "spawner/cgroup.h"
#include "spawner/confine.h"
#include "spawner/limits.h"
#include "spawner/listen.h"
#include "spawner/spawner.h"
#include "spawner/tree.h"

enum { EXIT_USAGE = 2, LISTEN_FD = 3, HEAP_BLOCK = 16384 };

struct options {
	bool system, allow_root;
	const char *runtime_dir, *cgroup; /* NULL: not given */
	int64_t idle_s;
	bool has_owner;
	uid_t owner;
};

static const char usage_text[] =
	"Usage: ctx-spawner [OPTION]...\n"
	"Runs jobs for ctxd. Not for use by hand: its socket is inherited as descriptor 3 "
	"(LISTEN_FDS=1).\n"
	"\n"
	"  --system            jobs run as the users who submitted them (needs root)\n"
	"  --allow-root        with --system: root may submit jobs, too\n"
	"  --runtime-dir DIR   where jobs/ is (default: the directory of the socket)\n"
	"  --cgroup DIR        give each job a cgroup below this delegated cgroup v2\n"
	"  --idle-exit SECONDS leave after having nothing to do for so long (default: never)\n"
	"  --owner UID         who may connect, besides root (default: us; with --system: the "
	"socket's owner)\n"
	"  --version, --help\n";

_Noreturn static void
usage_error(const char *what, const char *arg)
{
	fprintf(stderr, "ctx-spawner: %s%s%s\nTry 'ctx-spawner --help'.\n", what, arg ? ": " : "",
		arg ? arg : "");
	exit(EXIT_USAGE);
}

static uint64_t
number(const char *option, const char *arg, uint64_t max)
{
	uint64_t v;

	if (text_u64(arg, &v) < 0 || v > max)
		usage_error(option, arg);
	return v;
}

static void
parse_options(int argc, char **argv, struct options *o)
{
	enum {
		O_SYSTEM = 1,
		O_ALLOW_ROOT,
		O_RUNTIME_DIR,
		O_CGROUP,
		O_IDLE_EXIT,
		O_OWNER,
		O_VERSION,
		O_HELP
	};
	static const struct option longs[] = {
		{"system", no_argument, NULL, O_SYSTEM},
		{"allow-root", no_argument, NULL, O_ALLOW_ROOT},
		{"runtime-dir", required_argument, NULL, O_RUNTIME_DIR},
		{"cgroup", required_argument, NULL, O_CGROUP},
		{"idle-exit", required_argument, NULL, O_IDLE_EXIT},
		{"owner", required_argument, NULL, O_OWNER},
		{"version", no_argument, NULL, O_VERSION},
		{"help", no_argument, NULL, O_HELP},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == O_SYSTEM)
			o->system = true;
		else if (c == O_ALLOW_ROOT)
			o->allow_root = true;
		else if (c == O_RUNTIME_DIR)
			o->runtime_dir = optarg;
		else if (c == O_CGROUP)
			o->cgroup = optarg;
		else if (c == O_IDLE_EXIT)
			o->idle_s = (int64_t)number("--idle-exit", optarg, UINT64_C(86400) * 365);
		else if (c == O_OWNER) {
			o->owner = (uid_t)number("--owner", optarg, UINT32_MAX - 1);
			o->has_owner = true;
		} else if (c == O_VERSION || c == O_HELP) {
			(void)fputs(c == O_HELP ? usage_text : "ctx-spawner " CTX_VERSION "\n",
				    stdout);
			exit(0);
		} else
			exit(EXIT_USAGE);
	}
	if (optind < argc)
		usage_error("unexpected argument", argv[optind]);
	if (o->allow_root && !o->system)
		usage_error("--allow-root is for --system", NULL);
	if (o->cgroup && o->cgroup[0] != '/')
		usage_error("--cgroup needs an absolute path", o->cgroup);
	if (o->system && geteuid() != 0)
		usage_error("--system needs root", NULL);
}

/* As sd_listen_fds(3), for exactly one; who starts us by fork and exec cannot know our pid and
 * leaves LISTEN_PID out. */
static void
check_listen_env(void)
{
	const char *n = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
	uint64_t v;

	if (!n || strcmp(n, "1") != 0)
		usage_error("no socket: LISTEN_FDS=1 and the listening socket as descriptor 3 are "
			    "needed",
			    NULL);
	if (pid && (text_u64(pid, &v) < 0 || v != (uint64_t)getpid()))
		usage_error("LISTEN_PID is not this process", pid);
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDNAMES");
}

static int
int_option(int fd, int option)
{
	int v = -1;
	socklen_t size = sizeof(v);

	return getsockopt(fd, SOL_SOCKET, option, &v, &size) < 0 ? -1 : v;
}

static void
check_socket(void)
{
	if (int_option(LISTEN_FD, SO_DOMAIN) != AF_UNIX ||
	    int_option(LISTEN_FD, SO_TYPE) != SOCK_SEQPACKET ||
	    int_option(LISTEN_FD, SO_ACCEPTCONN) != 1)
		usage_error("descriptor 3 is not a listening SOCK_SEQPACKET socket", NULL);
	if (fcntl(LISTEN_FD, F_SETFD, FD_CLOEXEC) < 0 || fcntl(LISTEN_FD, F_SETFL, O_NONBLOCK) < 0)
		usage_error("descriptor 3", strerror(errno));
}

/* Path the socket is bound to, or NULL. */
static const char *
socket_path(struct sockaddr_un *a)
{
	socklen_t size = sizeof(*a);

	if (getsockname(LISTEN_FD, (struct sockaddr *)a, &size) < 0 || a->sun_path[0] != '/')
		return NULL;
	return a->sun_path;
}

static void
take_socket(struct spawner *s, const struct options *o)
{
	struct sockaddr_un a = {0};
	const char *path;
	struct stat st;

	check_listen_env();
	check_socket();
	path = socket_path(&a);
	s->listen_fd = LISTEN_FD;
	s->owner = o->has_owner ? o->owner : geteuid();
	s->group = getegid();
	if (!o->system)
		return;
	if (path && stat(path, &st) == 0) {
		s->group = st.st_gid;
		s->owner = o->has_owner ? o->owner : st.st_uid;
	} else if (!o->has_owner)
		usage_error("cannot tell whose socket this is: give --owner", NULL);
}

static int
open_dir(const struct options *o)
{
	struct sockaddr_un a = {0};
	const char *dir = o->runtime_dir, *path = NULL;
	char *slash;
	int fd;

	if (!dir) {
		path = socket_path(&a);
		slash = path ? strrchr(a.sun_path, '/') : NULL;
		if (!slash)
			usage_error("--runtime-dir is needed", NULL);
		slash[slash == a.sun_path] = '\0';
		dir = path;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		log_err("%s: %s", dir, strerror(errno));
	return fd;
}

/* Both ways to watch over a tree are complete: so a parent that is not there (yet) is no reason not
 * to start. */
static void
open_cgroups(struct spawner *s, const char *path)
{
	int fd = path ? cgroup_open_parent(path) : -ENOENT;

	s->cgroup_path = path;
	s->cgroup_fd = fd < 0 ? -1 : fd;
	s->cgroup_missing = path && fd < 0;
	if (fd >= 0)
		s->controllers = limits_enable(fd);
	if (!path || fd >= 0)
		return;
	if (fd != -ENOENT) {
		log_err("%s: %s", path,
			fd == -EMEDIUMTYPE ? "not in a cgroup v2 tree" : strerror(-fd));
		exit(1);
	}
	log_warn("%s is not there: until it is, jobs get no cgroup, and memory_max, cpu_max, "
		 "pids_max and io_weight of classes cannot be enforced; continuing",
		 path);
}

/* What a starter may have changed and a job would inherit: ignored signals, a mask. The kernel is
 * asked itself: libc keeps two signals for itself and has posix_spawn leave them ignored. */
static int
set_up_signals(void)
{
	static const struct {
		void *handler;
		unsigned long flags;
		void *restorer;
		uint64_t mask;
	} dfl;
	sigset_t all, ours;

	for (int sig = 1; sig < _NSIG; sig++)
		(void)syscall(SYS_rt_sigaction, sig, &dfl, NULL, sizeof(dfl.mask));
	(void)sigfillset(&all);
	(void)sigemptyset(&ours);
	(void)sigaddset(&ours, SIGCHLD);
	(void)sigaddset(&ours, SIGTERM);
	(void)sigaddset(&ours, SIGINT);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		return -errno;
	return signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Descriptors 0-2 exist, so that none of ours gets such a number; 0 and 1 hold nobody's pipe open.
 */
static void
set_up_stdio(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	while (fd >= 0 && fd <= 2)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, LISTEN_FD + 1);
	if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 ||
	    (fcntl(2, F_GETFD) < 0 && dup2(fd, 2) < 0))
		usage_error("/dev/null", strerror(errno));
	(void)close_range(LISTEN_FD + 1, ~0U, 0);
}

static bool
oom_score_is_set(void)
{
	char text[16];
	ssize_t n = file_read_at(AT_FDCWD, "/proc/self/oom_score_adj", text, sizeof(text));

	return n > 0 && !(n == 2 && text[0] == '0');
}

int
main(int argc, char **argv)
{
	static struct spawner s = {.jobs_fd = -1, .seen_fds = {-1, -1}};
	struct options o = {0};
	int r;

	parse_options(argc, argv, &o);
	set_up_stdio();
	CRASH_PROCESS();
	log_init("ctx-spawner");
	take_socket(&s, &o);
	s.system = o.system;
	s.allow_root = o.allow_root;
	s.idle_ns = o.idle_s * NSEC_PER_SEC;
	s.reset_oom = oom_score_is_set();
	open_cgroups(&s, o.cgroup);
	s.dir_fd = open_dir(&o);
	s.signal_fd = set_up_signals();
	if (s.dir_fd < 0 || s.signal_fd < 0)
		return 1;
	if (tree_available() < 0 || tree_open() < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) {
		log_err("cannot watch over processes: is /proc mounted?");
		return 1;
	}
	/* Own session: Ctrl-C in the terminal of whoever started us is not for us. Fails when we
	 * lead one already. */
	(void)setsid();
	if (chdir("/") < 0)
		return 1;
	(void)umask(022);
	if (s.system)
		(void)setfsgid(s.group);
	/* What a job's start needs is given back at once, by us and by its monitor. */
	(void)mallopt(M_MMAP_THRESHOLD, HEAP_BLOCK);
	r = confine_spawner(s.system, s.allow_root);
	if (r < 0) {
		log_err("cannot give up rights: %s", strerror(-r));
		return 1;
	}
	listen_run(&s);
	return 0;
}
