/* test_recorded.c - what version 1 wrote down and sent is accepted and understood.
 *
 * tests/unit/data/frames-1 holds each frame and each record as a ctx of that version made it, with
 * a different value in each field; frames-2 what changed with limits of cgroups: the longer result
 * and spec, and what HELLO and WELCOME say in room that was left; frames-3 a WELCOME that says
 * which specs it reads. A monitor outlives an upgrade, and so does its run directory: these files
 * stay as they are, and a version that changes a layout says here how it reads the old one. Bytes
 * of a little-endian machine. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "record/frame.h"
#include "record/spec.h"
#include "tap.h"

#define DATA "tests/unit/data/frames-"
#define ID UINT64_C(0x1122334455667788)
#define AT INT64_C(1700000000000000)
enum { ATTEMPT = 7, FRAMES = 19, RECORDS = 4, FRAMES_2 = 3, RECORDS_2 = 2, RESULT_FLAGS_1 = 63 };

static const uint8_t uuid[16] = {0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7,
				 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

static union {
	char bytes[FRAME_MAX];
	struct frame_head head;
	struct frame_claim claim;
	struct frame_spawn spawn;
	struct frame_welcome welcome;
	struct frame_dirs dirs;
	struct frame_claimed claimed;
	struct frame_refused refused;
	struct frame_spawned spawned;
	struct frame_spawn_failed spawn_failed;
	struct frame_swept swept;
	struct frame_hello hello;
	struct frame_stopping stopping;
	struct frame_end end;
	struct frame_progress progress;
	struct frame_extended extended;
	struct frame_stop stop;
	struct frame_extend extend;
	struct frame_signal signal;
	struct result result_record;
	struct progress progress_record;
} u;

static int set = 1; /* frames-1 to frames-3 */

static size_t
load(const char *name)
{
	char path[256];
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), DATA "%d/%s.bin", set, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	need(fd >= 0);
	memset(&u, 0, sizeof(u));
	n = read(fd, u.bytes, sizeof(u.bytes));
	(void)close(fd);
	need(n > 0);
	return (size_t)n;
}

/* A frame of a job. */
static void
frame(const char *name, enum frame_type type)
{
	size_t n = load(name);

	is_int(frame_check(&u, n), 0);
	is_int(u.head.type, type);
	ok(u.head.id == ID);
	is_int(u.head.attempt, ATTEMPT);
}

/* One of the connection. */
static void
plain(const char *name, enum frame_type type)
{
	size_t n = load(name);

	is_int(frame_check(&u, n), 0);
	is_int(u.head.type, type);
	ok(u.head.id == 0);
	is_int(u.head.attempt, 0);
}

static void
is_the_result(const void *p, size_t size)
{
	struct result res, *r = &res;

	is_int(result_take(r, p, size, ID, ATTEMPT), 0);
	is_int(r->flags & RESULT_FLAGS_1, RESULT_HAS_STATUS | RESULT_TERM_SENT | RESULT_KILL_SENT |
						  RESULT_CAP_UNENFORCED | RESULT_OUTPUT_FAILED |
						  RESULT_SELF_EXTENDED);
	is_int(r->wait_status, 7 << 8);
	is_int(r->exec_error, 0);
	is_int(r->exec_step, EXEC_STEP_NONE);
	is_int(r->stop_cause, STOP_CAUSE_WATCHDOG);
	is_int(r->pid, 1013);
	is_int(r->leftovers, 5);
	is_int(r->started_us, AT + 3);
	is_int(r->ended_us, AT + 4);
	is_int(r->main_ended_us, AT + 5);
	is_int(r->term_us, AT + 6);
	is_int(r->kill_us, AT + 7);
	is_int(r->out_bytes, 1014);
	is_int(r->out_dropped, 1015);
	is_int(r->user_us, 1016);
	is_int(r->system_us, 1017);
	is_int(r->max_rss_bytes, 1018);
	is_int(r->err_bytes, 1019);
	is_int(r->err_dropped, 1020);
	is_int(r->deadline_ns, 1021);
	is_int(result_take(r, p, size - 1, ID, ATTEMPT), -EPROTO);
	is_int(result_take(r, p, size + 8, ID, ATTEMPT), -EPROTO);
}

/* Nothing of what came later is believed to have been said. */
static void
is_of_version_1(const void *p, size_t size)
{
	struct result res;

	is_int(size, RESULT_SIZE_1);
	is_int(result_take(&res, p, size, ID, ATTEMPT), 0);
	is_int(res.flags & ~(uint32_t)RESULT_FLAGS_1, 0);
	is_int(res.memory_peak_bytes, 0);
	is_int(res.io_read_bytes, 0);
	is_int(res.io_write_bytes, 0);
	is_int(res.memory_max_bytes, 0);
	is_int(res.oom_kills, 0);
	is_int(res.unenforced, 0);
	is_int(res.term_processes, 0);
	is_int(res.kill_processes, 0);
}

static void
is_of_version_2(const void *p, size_t size)
{
	struct result res;

	is_int(size, sizeof(res));
	is_int(result_take(&res, p, size, ID, ATTEMPT), 0);
	is_int(res.flags & ~(uint32_t)RESULT_FLAGS_1,
	       RESULT_HAS_MEMORY_PEAK | RESULT_HAS_IO | RESULT_OOM_AT_LIMIT);
	is_int(res.memory_peak_bytes, 2001);
	is_int(res.io_read_bytes, 2002);
	is_int(res.io_write_bytes, 2003);
	is_int(res.memory_max_bytes, 2004);
	is_int(res.oom_kills, 2005);
	is_int(res.unenforced, SPEC_LIMIT_NICE | SPEC_LIMIT_OF(SPEC_DATA));
	is_int(res.term_processes, 2006);
	is_int(res.kill_processes, 2007);
}

static void
is_the_progress(const struct progress *p)
{
	is_int(progress_check(p, sizeof(*p), ID, ATTEMPT), 0);
	is_int(p->flags, PROGRESS_HAS_PERCENT | PROGRESS_READY);
	is_int(p->at_us, AT + 8);
	is_int(p->ready_us, AT + 9);
	is_int(p->percent_milli, 50125);
	is_int(p->text_size, 8);
	is_str(p->text, "half way");
}

static int
files_in(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	need(d != NULL);
	for (const struct dirent *e; (e = readdir(d));)
		n += strstr(e->d_name, ".bin") != NULL;
	(void)closedir(d);
	return n;
}

TEST(every_file_is_looked_at)
{
	is_int(files_in(DATA "1"), FRAMES + RECORDS);
	is_int(files_in(DATA "2"), FRAMES_2 + RECORDS_2);
	is_int(files_in(DATA "3"), 1);
}

TEST(from_ctxd_to_the_spawner)
{
	plain("claim", FRAME_CLAIM);
	ok(memcmp(u.claim.uuid, uuid, sizeof(uuid)) == 0);
	is_int(u.claim.last_seq, 1001);
	frame("spawn", FRAME_SPAWN);
	is_int(u.spawn.seq, 1002);
	frame("sweep", FRAME_SWEEP);
	frame("forget", FRAME_FORGET);
}

TEST(from_the_spawner_to_ctxd)
{
	plain("welcome", FRAME_WELCOME);
	is_int(u.welcome.pid, 1003);
	is_int(u.welcome.flags, WELCOME_SYSTEM | WELCOME_ALLOW_ROOT | WELCOME_CGROUP);
	is_int(frame_welcome_spec(u.welcome.flags), SPEC_VERSION_FIRST);
	plain("dirs", FRAME_DIRS);
	is_int(u.dirs.n, 2);
	is_int(u.dirs.dir[0].id, 1004);
	is_int(u.dirs.dir[0].attempt, 1);
	is_int(u.dirs.dir[1].id, 1005);
	is_int(u.dirs.dir[1].attempt, 2);
	plain("claimed", FRAME_CLAIMED);
	is_int(u.claimed.seen, 1006);
	plain("refused", FRAME_REFUSED);
	ok(memcmp(u.refused.uuid, uuid, sizeof(uuid)) == 0);
	frame("spawned", FRAME_SPAWNED);
	is_int(u.spawned.pid, 1007);
	frame("spawn_failed", FRAME_SPAWN_FAILED);
	is_int(u.spawn_failed.error, ENOMEM);
	is_int(u.spawn_failed.step, SPAWN_STEP_FORK);
	frame("swept", FRAME_SWEPT);
	is_int(u.swept.flags, SWEPT_CERTAIN);
	is_int(u.swept.killed, 1008);
}

TEST(from_a_monitor_to_ctxd)
{
	frame("hello", FRAME_HELLO);
	is_int(u.hello.pid, 1009);
	is_int(u.hello.monitor_pid, 1010);
	is_int(u.hello.phase, PHASE_STOPPING);
	is_int(u.hello.stop_cause, STOP_CAUSE_REQUEST);
	is_int(u.hello.started_us, AT + 1);
	is_int(u.hello.started_ns, 1011);
	is_int(u.hello.deadline_ns, 1012);
	is_int(u.hello.flags, HELLO_CAP_UNENFORCED | HELLO_SELF_EXTENDED);
	is_int(u.hello.unenforced, 0);
	frame("stopping", FRAME_STOPPING);
	is_int(u.stopping.phase, PHASE_KILLING);
	is_int(u.stopping.stop_cause, STOP_CAUSE_DEADLINE);
	is_int(u.stopping.at_us, AT + 2);
	frame("end", FRAME_END);
	is_the_result(&u.end.result, u.head.size - sizeof(u.head));
	is_of_version_1(&u.end.result, u.head.size - sizeof(u.head));
	frame("progress", FRAME_PROGRESS);
	is_the_progress(&u.progress.progress);
	frame("extended", FRAME_EXTENDED);
	is_int(u.extended.deadline_ns, 1022);
	is_int(u.extended.at_us, AT + 10);
}

TEST(from_ctxd_to_a_monitor)
{
	frame("stop", FRAME_STOP);
	is_int(u.stop.flags, STOP_NOW);
	is_int(u.stop.stop_cause, STOP_CAUSE_REQUEST);
	frame("extend", FRAME_EXTEND);
	is_int(u.extend.deadline_ns, 1023);
	frame("signal", FRAME_SIGNAL);
	is_int(u.signal.signo, 10);
	is_int(u.signal.flags, SIGNAL_TREE);
}

TEST(what_lies_in_a_run_directory)
{
	is_int(load("record-result"), 160);
	is_the_result(&u.result_record, 160);
	is_of_version_1(&u.result_record, 160);
	is_int(load("record-result-unstarted"), 160);
	is_int(result_check(&u.result_record, 160, ID, ATTEMPT), 0);
	is_int(u.result_record.exec_error, ENOENT);
	is_int(u.result_record.exec_step, EXEC_STEP_EXEC);
	is_int(load("record-progress"), 312);
	is_the_progress(&u.progress_record);
}

static int
sealed(const char *name)
{
	size_t n = load(name);
	int fd = memfd_create("spec", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	need(fd >= 0 && write(fd, u.bytes, n) == (ssize_t)n);
	need(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0);
	return fd;
}

static void
is_the_spec(struct spec *ret)
{
	int fd = sealed("record-spec");
	struct spec s = {0};

	is_int(spec_read(fd, &s), 0);
	(void)close(fd);
	*ret = s;
	ok(s.id == ID);
	is_int(s.attempt, ATTEMPT);
	is_int(s.uid, 1000);
	is_int(s.gid, 1001);
	need(s.n_groups == 2);
	is_int(s.groups[0], 7);
	is_int(s.groups[1], 4000000000);
	is_int(s.umask, 027);
	is_int(s.stop_signal, 15);
	is_int(s.nice, -5);
	is_int(s.out_gid, 99);
	is_int(s.deadline_ns, 1024);
	is_int(s.grace_ns, 1025);
	is_int(s.limit_ns, 1026);
	is_int(s.warn_ns, 1027);
	is_int(s.watchdog_ns, 1028);
	is_int(s.warn_signal, 64);
	is_int(s.out_max, INT64_C(1) << 40);
	is_str(s.cwd, "/srv/data");
	need(s.argv.n == 3 && s.env.n == 2);
	is_str(strv_first(&s.argv), "sh");
	is_str(strv_first(&s.env), "PATH=/bin");
}

TEST(what_is_to_be_run)
{
	_cleanup_(spec_done) struct spec s = {0};

	is_the_spec(&s);
	is_int(s.memory_max, 0);
	is_int(s.pids_max, 0);
	is_int(s.cpu_percent, 0);
	is_int(s.io_weight, 0);
	is_int(s.rlimits, 0);
	for (int i = 0; i < SPEC_RLIMITS; i++)
		is_int(s.limit[i], 0);
}

TEST(what_is_to_be_run_within_limits)
{
	_cleanup_(spec_done) struct spec s = {0};

	set = 2;
	is_the_spec(&s);
	is_int(s.memory_max, 2008);
	is_int(s.pids_max, 2009);
	is_int(s.cpu_percent, 150);
	is_int(s.io_weight, 2011);
	is_int(s.rlimits, 0x1ef00);
	is_int(s.limit[SPEC_NOFILE], 2100);
	is_int(s.limit[SPEC_NPROC], 2101);
	is_int(s.limit[SPEC_CORE], 2102);
	is_int(s.limit[SPEC_FSIZE], 2103);
	is_int(s.limit[SPEC_AS], 0);
	ok(s.limit[SPEC_STACK] == SPEC_INFINITY);
	is_int(s.limit[SPEC_MEMLOCK], 2106);
	is_int(s.limit[SPEC_CPU], 2107);
	is_int(s.limit[SPEC_DATA], 2108);
	set = 1;
}

TEST(what_says_more_in_frames_2)
{
	size_t n;

	set = 2;
	frame("end", FRAME_END);
	n = u.head.size - sizeof(u.head);
	is_the_result(&u.end.result, n);
	is_of_version_2(&u.end.result, n);
	n = load("record-result");
	is_the_result(&u.result_record, n);
	is_of_version_2(&u.result_record, n);
	frame("hello", FRAME_HELLO);
	is_int(u.hello.deadline_ns, 1012);
	is_int(u.hello.unenforced, SPEC_LIMIT_CPU_MAX | SPEC_LIMIT_OF(SPEC_NOFILE));
	plain("welcome", FRAME_WELCOME);
	is_int(u.welcome.pid, 1003);
	is_int(u.welcome.flags, WELCOME_SYSTEM | WELCOME_ALLOW_ROOT | WELCOME_CGROUP |
					WELCOME_MEMORY | WELCOME_CPU | WELCOME_PIDS | WELCOME_IO);
	is_int(frame_welcome_spec(u.welcome.flags), SPEC_VERSION_FIRST);
	set = 1;
}

TEST(what_says_more_in_frames_3)
{
	set = 3;
	plain("welcome", FRAME_WELCOME);
	is_int(u.welcome.pid, 1003);
	is_int(u.welcome.flags, WELCOME_SYSTEM | WELCOME_SPEC(3));
	is_int(frame_welcome_spec(u.welcome.flags), 3);
	set = 1;
}
