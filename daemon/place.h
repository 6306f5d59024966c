/* place.h - where this ctxd lives: mode, directories, sockets; made, checked and locked. */
#ifndef CTXD_PLACE_H
#define CTXD_PLACE_H

#include <stdbool.h>

struct ctx_err;

struct place_options { /* of the command line; NULL = not given */
	bool system_mode;
	const char *state_dir, *runtime_dir, *socket;
};
struct place {
	bool system_mode;
	char *state_dir, *runtime_dir, *socket; /* owned, absolute */
	char *spawner;      /* program to start when no spawner answers; NULL in system mode */
	char *session_link; /* $XDG_RUNTIME_DIR/ctxd/ctxd.sock, or NULL */
	int state_lock, runtime_lock; /* held while open */
};

/* Decide the paths. 0, or negative errno with E. */
int place_find(const struct place_options *o, struct place *ret, struct ctx_err *e);
/* Make the directories and take the locks; a second ctxd is told the pid of the first. */
int place_take(struct place *p, struct ctx_err *e);
/* User mode: a link to the socket where session programs look. Best effort. */
void place_link(const struct place *p);
void place_unlink(const struct place *p);
void place_done(struct place *p);

#endif
