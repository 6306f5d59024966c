/* crash.h - named points at which a program can be made to die, for the tests alone.
 *
 * Built with -DCTX_CRASH_POINTS (make CRASH=1), else nothing of it is in the programs. RECOVERY.md
 * lists every point. The environment says what happens:
 *
 *   CTX_CRASH_AT=POINT[:N][+WITH]...[,POINT...]
 *                  the N-th passing (default 1) of POINT, in any one process, kills this process
 * with SIGKILL; WITH is killed just before: `ctxd`, `spawner`, `monitors`, or `all`
 *   CTX_CRASH_FILE=PATH
 *                  a point kills once: PATH.POINT is made then, with the process id in it.
 * PATH.pids is where the processes put their ids down that WITH may mean
 *
 * Never between vfork and exec: the child runs in its parent's memory. */
#ifndef CTX_BASE_CRASH_H
#define CTX_BASE_CRASH_H

#ifdef CTX_CRASH_POINTS
#include <stdbool.h>

#define CRASH_PROCESS() crash_process()
#define CRASH_POINT(name) crash_point(name)
/* The open transaction holds what NAME stands for. Four points come of it: NAME.commit (all is
 * written, not committed), NAME.committed, NAME.answered (the requests of the iteration are), and
 * NAME.done (so is what follows from it). */
#define CRASH_COMMIT(name) crash_commit(name)
#define CRASH_COMMIT_STAGE(stage) crash_commit_stage(stage)

enum crash_stage { CRASH_COMMIT_NEXT, CRASH_COMMITTED, CRASH_ANSWERED, CRASH_DONE };

void crash_process(void); /* at the start of a process, and of a fork */
void crash_point(const char *name);
void crash_commit(const char *name); /* a literal */
/* What was noted since the stage before; CRASH_DONE forgets. */
void crash_commit_stage(enum crash_stage stage);
#else
#define CRASH_PROCESS() ((void)0)
#define CRASH_POINT(name) ((void)0)
#define CRASH_COMMIT(name) ((void)0)
#define CRASH_COMMIT_STAGE(stage) ((void)0)
#endif

#endif
