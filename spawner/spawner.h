/* spawner.h - what the parts of ctx-spawner share: its options, its descriptors, its table of
 * monitors. One thread, one poll loop (listen.c); nothing here blocks. */
#ifndef CTX_SPAWNER_SPAWNER_H
#define CTX_SPAWNER_SPAWNER_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/strv.h"
#include "spawner/spare.h"

struct sweep; /* children.c */

/* An attempt whose monitor this process forked; kept until FORGET, because SWEEP asks whose it was.
 */
struct child {
	uint64_t id;
	uint32_t attempt;
	pid_t pid;         /* 0: reaped */
	struct strv about; /* owned; see record/about.h */
};

struct children {
	struct child *list; /* owned */
	size_t n, cap, alive;
	struct sweep *sweeps; /* owned; not answered yet */
	size_t n_sweeps;
	bool orphans;    /* something that a dead monitor left is (or may be) alive below us */
	int64_t tick_ns; /* CLOCK_BOOTTIME: when to look after the above; 0: not */
};

enum conn_state {
	CONN_NEW,      /* waits for WELCOME, until older connections are drained */
	CONN_WELCOMED, /* may send CLAIM */
	CONN_LISTING,  /* is being told what directories there are */
	CONN_READY,
};
struct conn {
	int fd; /* -1: closed, to be taken out of the table */
	enum conn_state state;
	uint64_t serial; /* never used twice */
	DIR *dirs;       /* owned; in CONN_LISTING */
};
enum { CONNS_MAX = 8 };

struct spawner {
	bool system, allow_root;
	bool reset_oom;  /* our oom_score_adj is not 0 */
	uid_t owner;     /* may connect, besides root */
	gid_t group;     /* of what ctxd has to read (system mode) */
	int64_t idle_ns; /* leave after this long with nothing to do; 0: never */
	int listen_fd, signal_fd;
	int dir_fd;              /* runtime directory */
	int jobs_fd;             /* jobs/ in it; -1 until claimed */
	const char *cgroup_path; /* parent of the jobs' cgroups; NULL: none wanted */
	int cgroup_fd;           /* its directory; -1: not there (now) */
	uint32_t controllers;    /* what is enforced below it: SPEC_LIMIT_* bits of cgroups */
	bool cgroup_missing;     /* the last job could be given none */
	uint64_t seen;           /* as in jobs/seen */
	int seen_fds[2]; /* that file, and the one it changes places with; -1: not to be had */
	struct spare spares[SPARE_MAX];
	size_t n_spares;
	int64_t spare_until_ns; /* CLOCK_BOOTTIME: when they go; 0: there are none */
	struct children children;
	struct conn conns[CONNS_MAX]; /* oldest first */
	size_t n_conns;
	uint64_t last_serial;
};

#endif
