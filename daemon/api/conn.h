/* conn.h - one connection: buffers, framing, replies in call order, and the one call that may be
 * going on (struct op).
 *
 * Written replies are *held* in the output buffer behind `sendable` until the iteration's commit;
 * if it fails, they are cut off and each call of the iteration is answered StorageUnavailable.
 * Handlers run from loop callbacks, never from effects. */
#ifndef CTXD_API_CONN_H
#define CTXD_API_CONN_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/user.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/sock.h"
#include "engine/engine.h"

struct api;
struct conn;
struct op;

#define CONN_MAGIC UINT32_C(0x636f6e6e)

enum { OP_WAIT = 0, OP_REFUSED = ENGINE_E_REFUSED, OP_DONE = 2, OP_AGAIN = 3 };

struct op_type {
	const char *method;
	/* Go on; called when conn_op_ready was, and little is unsent. OP_WAIT: somebody will call
	 * conn_op_ready; OP_DONE: the last reply was written; OP_AGAIN: at once, after others had
	 * their turn; OP_REFUSED with R, or negative errno: answered with an error by the caller.
	 */
	int (*step)(struct op *op, struct refusal *r);
	/* Free. GONE: the peer went away before the end. */
	void (*drop)(struct op *op, bool gone);
};

struct op { /* first member of each kind of waiting call */
	const struct op_type *type;
	struct conn *conn;
};

enum conn_pause {               /* why serving stopped */
		  CONN_IDLE,    /* no complete call is there */
		  CONN_NAMES,   /* the uid's names are being looked up */
		  CONN_BACKLOG, /* too much unsent */
		  CONN_OP,      /* a call is going on */
		  CONN_YIELD,   /* others' turn; is in api->again */
};

enum { CONN_SPOOLS_MAX = 4 };

struct conn_spool {
	int64_t id; /* 0: none */
	struct spool *spool;
};

struct conn {
	uint32_t magic;
	struct api *api;
	struct list link;  /* api->conns */
	struct list again; /* api->again */
	int fd;            /* owned; -1 once closed */
	ev_io rd, wr;
	ev_timer tick; /* watches for stalled and vanished peers */
	struct sock_peer peer;
	struct requester who;
	struct user *user; /* a reference */
	struct user_wait names;
	struct buf in, out;
	size_t scanned;      /* of IN, see varlink_next */
	size_t sendable;     /* first bytes of OUT that are committed */
	size_t accounted;    /* of our buffers in user->bytes */
	int64_t progress_ns; /* mono: when the peer last took something, or owed nothing */
	struct effect fx;
	bool fx_queued;
	bool dead;            /* closed; freed when the effect has run */
	uint32_t held_finals; /* calls answered for good in this iteration */
	struct op *op;
	bool op_ready;
	bool op_touched; /* started, or replied, in this iteration */
	enum conn_pause pause;
	struct conn_spool spools[CONN_SPOOLS_MAX]; /* owned; see m_spool.c */
	int64_t last_spool;
	bool eof;     /* the peer will send no more */
	bool hup;     /* and reads no more */
	bool closing; /* close when all is sent */
	bool broken;  /* close */
	bool stranger;
};

/* Take over an accepted socket, the peer's credentials and a user reference. NULL on ENOMEM:
 * nothing was taken. */
struct conn *conn_new(struct api *a, int fd, struct sock_peer *peer, struct user *u);
/* Close; GONE: tell the engine of bound jobs. */
void conn_close(struct conn *c, bool gone);
/* From the again list. C may be gone afterwards. */
void conn_on_again(struct conn *c);
/* Assert that all is well. */
void conn_check(const struct conn *c);

/* ---- conn_in.c, for conn.c */
/* Read what is there, at most a share, and execute the calls in it. */
void conn_read(struct conn *c);
/* Execute the calls that have been read, as long as nothing speaks against it: C->pause says what
 * did. */
void conn_run(struct conn *c);
/* Is there room for more? */
bool conn_wants_input(const struct conn *c);
bool conn_hung_up(const struct conn *c);

/* ---- conn_out.c, for conn.c */
/* Send what is committed. 0 also when the peer takes no more now; -errno: it is gone. */
int conn_flush(struct conn *c);
/* Effect of an iteration that executed something. */
void conn_on_commit(struct effect *fx, int result);
/* What the buffers hold counts for the uid. */
void conn_account(struct conn *c);
void conn_free(struct conn *c);

/* ---- for dispatch and the methods */
/* The requester with the names known now. */
const struct requester *conn_who(struct conn *c);
/* A call was executed: whatever it wrote waits for the commit. */
void conn_hold(struct conn *c);
/* A call (or op) was answered for good in this iteration. */
void conn_final(struct conn *c);
/* Cut off what was written after the mark (= buf_len(&c->out) then). */
void conn_rewind(struct conn *c, size_t mark);
/* The call goes on as OP (owned from now on); READY: step it soon. */
void conn_op_start(struct conn *c, struct op *op, bool ready);
/* Something happened that OP waited for. Legal from effects. */
void conn_op_ready(struct op *op);
/* Forget the op. */
void conn_op_drop(struct conn *c, bool gone);
/* No more calls are read; close when all is sent. */
void conn_shut(struct conn *c);
/* One info line about a refused request, rate-limited for the uid. */
void conn_log_refused(struct conn *c, const char *method, const char *error, const char *reason);
/* The line about R, which goes to the audit log if it concerns that. */
void conn_refused(struct conn *c, const char *method, const struct refusal *r);

#endif
