/* exec.h - running things: the link to ctx-spawner and the links to monitors. Knows frames and the
 * run directory; knows nothing of states, rules or the database. The seam where another executor
 * could be put.
 *
 * An attempt is named (id, attempt). All calls return at once; what came of them arrives through
 * struct exec_ops, always from the loop, never from inside a call. Nothing is concluded here:
 * evidence goes up, verdicts are made in engine. */
#ifndef CTXD_EXEC_EXEC_H
#define CTXD_EXEC_EXEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "record/frame.h"
#include "record/rundir.h"

struct ctx_err;
struct ev_loop;
struct exec;
struct spec;

struct exec_ops {
	/* The spawner is ready for SPAWN: claimed, every directory it has was reported by on_dir
	 * before. FLAGS: WELCOME_*. Called for every new connection. */
	void (*on_up)(void *arg, uint32_t flags, uint64_t seen);
	void (*on_down)(void *arg);
	void (*on_dir)(void *arg, uint64_t id, uint32_t attempt);
	void (*on_spawn_failed)(void *arg, uint64_t id, uint32_t attempt, int error,
				enum spawn_step step);
	/* A living monitor: just started, or adopted. */
	void (*on_hello)(void *arg, const struct frame_hello *h);
	void (*on_stopping)(void *arg, const struct frame_stopping *s);
	void (*on_progress)(void *arg, const struct progress *p);
	/* The job moved its own deadline. */
	void (*on_extended)(void *arg, const struct frame_extended *x);
	/* True end, from the monitor itself. */
	void (*on_end)(void *arg, const struct result *r);
	/* The connection ended without END, or connecting was refused (ECONNREFUSED, ENOENT):
	 * nobody listens. */
	void (*on_silent)(void *arg, uint64_t id, uint32_t attempt);
	void (*on_swept)(void *arg, uint64_t id, uint32_t attempt, bool certain, uint32_t killed);
	/* A line for the log: WHAT goes on after the name of the attempt. */
	void (*on_note)(void *arg, enum log_level l, uint64_t id, uint32_t attempt,
			const char *what);
};

struct exec_options {
	const char *runtime_dir;
	const uint8_t *uuid; /* 16 bytes */
	const char
		*spawner_path; /* program to start when none answers; NULL: never (system mode) */
	uint64_t nofile;       /* its soft limit of descriptors, which jobs inherit; 0: ours */
	struct exec_ops ops;
	void *arg;
};

int
exec_new(struct ev_loop *loop, const struct exec_options *o, struct exec **ret, struct ctx_err *e);
struct exec *exec_free(struct exec *x); /* jobs live on */
/* Start connecting; goes on by itself for ever, with bounded back-off. LAST_SEQ is asked at each
 * CLAIM. */
void exec_start(struct exec *x, uint64_t (*last_seq)(void *arg));
bool exec_is_up(const struct exec *x);
/* It is up, but of an older version: nothing can be started until it is replaced. */
bool exec_is_old(const struct exec *x);
/* WELCOME_* of the current connection; WELCOME_CGROUP: as it was with the last job. */
uint32_t exec_flags(const struct exec *x);

struct exec_job {
	uint64_t seq;
	const struct spec *spec;
	int in_fd;  /* -1: /dev/null */
	int out_fd; /* caller's, duplicated */
	int err_fd; /* -1: as out_fd */
};
/* SPAWN, and a link to the monitor-to-be. 0; -ENOTCONN when no spawner is up; -errno when it could
 * not be sent: then nothing was started and nothing will be reported. */
int exec_spawn(struct exec *x, const struct exec_job *j);
/* Find out whether a monitor lives: connect to its ctl. Answer: on_hello, or on_silent; nothing
 * while it cannot be known (tried again by itself). No-op when linked already. */
int exec_look(struct exec *x, uint64_t id, uint32_t attempt);
bool exec_linked(const struct exec *x, uint64_t id,
		 uint32_t attempt); /* a HELLO came and the link stands */
/* To a living monitor; -ENOTCONN when there is no link (the caller sends again after on_hello). */
int exec_stop(struct exec *x, uint64_t id, uint32_t attempt, bool now, enum stop_cause cause);
int exec_extend(struct exec *x, uint64_t id, uint32_t attempt, int64_t deadline_ns);
int exec_signal(struct exec *x, uint64_t id, uint32_t attempt, int signo, bool tree);
/* Path of the notify socket of an attempt into BUF; -ENAMETOOLONG when no client could connect to
 * it. */
int exec_notify_path(const struct exec *x, uint64_t id, uint32_t attempt, char *buf, size_t size);
/* To the spawner; -ENOTCONN when none is up. */
int exec_sweep(struct exec *x, uint64_t id, uint32_t attempt);
int exec_forget(struct exec *x, uint64_t id, uint32_t attempt);
/* Drop the link, if any, without a word (after the end is committed). */
void exec_unlink(struct exec *x, uint64_t id, uint32_t attempt);
/* Evidence in the run directory: see rundir_look. */
int exec_evidence(struct exec *x, uint64_t id, uint32_t attempt, struct rundir_evidence *ret);
int exec_seen(struct exec *x, uint64_t *ret); /* 0, -ENOENT, … */
size_t exec_n_links(const struct exec *x);

#endif
