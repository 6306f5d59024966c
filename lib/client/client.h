/* ctxd/client.h - libctxd: talk to ctxd from C. One connection, blocking by default with a time
 * limit on each wait.
 *
 * Not thread-safe; one connection per thread. Nothing here prints, exits, or raises SIGPIPE. */
#ifndef CTXD_CLIENT_H
#define CTXD_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default)

#define CTXD_INTERFACE "io.ctxd"
#define CTXD_SYSTEM_SOCKET "/run/ctxd/ctxd.sock"

struct ctxd_client;

/* What struct ctxd_failure.code holds. */
enum ctxd_error {
	CTXD_E_NONE = 0,
	CTXD_E_UNREACHABLE, /* nothing answers at the socket */
	CTXD_E_LOST,        /* the connection ended before the answer */
	CTXD_E_TIMEOUT,
	CTXD_E_PROTOCOL, /* the other side does not speak Varlink, or not this interface */
	CTXD_E_MEMORY,
	CTXD_E_NO_SUCH_JOB, /* from here on: errors that the service answered */
	CTXD_E_NOT_PERMITTED,
	CTXD_E_INVALID_ARGUMENT, /* InvalidArgument and the standard InvalidParameter */
	CTXD_E_KEY_CONFLICT,
	CTXD_E_QUEUE_FULL,
	CTXD_E_STORAGE_UNAVAILABLE,
	CTXD_E_ALREADY_ENDED,
	CTXD_E_DRAINING,
	CTXD_E_NOT_READY,
	CTXD_E_UNKNOWN_METHOD, /* a ctxd of another version */
	CTXD_E_REMOTE,         /* any other error of the service */
};
struct ctxd_failure {
	enum ctxd_error code;
	char text[512]; /* for a person; no newline; control characters escaped */
};
const char *ctxd_strerror(enum ctxd_error code);

/* Where ctxd listens: EXPLICIT if not NULL; else $CTXD_SOCKET; else the user's own (if something
 * answers there); else the system's. MODE: 0 search, 'u' the user's only, 's' the system's only.
 * Heap string of the caller, NULL on ENOMEM. */
char *ctxd_socket_path(const char *explicit_path, char mode);
/* 0 or -1 with F. A path that is longer than a socket address holds works as well. */
int ctxd_open(const char *path, struct ctxd_client **ret, struct ctxd_failure *f);
/* Search as ctxd_socket_path and open what was found: one connection where the two calls would make
 * two. */
int ctxd_open_default(const char *explicit_path, char mode, struct ctxd_client **ret,
		      struct ctxd_failure *f);
/* On a connection that something else has made, as ssh to the `ctxctl bridge` of another machine:
 * FD, a connected stream socket, is taken over, also on failure. NAME is what failures call the
 * other end, and what ctxd_path gives. */
int ctxd_open_fd(int fd, const char *name, struct ctxd_client **ret, struct ctxd_failure *f);
const char *ctxd_path(const struct ctxd_client *c);    /* of the socket; lives as long as C */
struct ctxd_client *ctxd_close(struct ctxd_client *c); /* returns NULL */
int ctxd_fd(const struct ctxd_client *c); /* for poll; readable may mean part of a reply */
/* Limit for each following wait in milliseconds; -1: none (the default is 30 s). A receive that ran
 * into it may be repeated; a call or a send that did leaves the connection useless (CTXD_E_LOST
 * from then on). */
void ctxd_set_timeout(struct ctxd_client *c, int ms);

enum { CTXD_CALL_MORE = 1 };
/* Send a call of io.ctxd (METHOD without the interface, e.g. "Get"; with a dot it is a full name,
 * of any interface). PARAMS is stolen, may be NULL. Calls may be sent ahead of their replies, which
 * come in order. 0 or -1. */
int ctxd_send(struct ctxd_client *c, const char *method, json_t *params, unsigned flags,
	      struct ctxd_failure *f);
/* Next reply: its parameters in *RET (a new reference of the caller), *RET_CONTINUES may be NULL.
 * 0, or -1 with F. */
int ctxd_receive(struct ctxd_client *c, json_t **ret, bool *ret_continues, struct ctxd_failure *f);
/* Both. F may be NULL, here and in every function. */
int ctxd_call(struct ctxd_client *c, const char *method, json_t *params, json_t **ret,
	      struct ctxd_failure *f);
/* ---- For an event loop: nothing below here waits. Watch ctxd_fd for ctxd_events; when it is
 * writable call ctxd_flush, when it is readable call ctxd_poll until it gives 1. */

/* As ctxd_send, but what the socket does not take now stays queued (memory is the limit: look at
 * ctxd_events before sending much). */
int ctxd_queue(struct ctxd_client *c, const char *method, json_t *params, unsigned flags,
	       struct ctxd_failure *f);
/* Send on what is queued. 0 (also when not all of it could go), or -1. */
int ctxd_flush(struct ctxd_client *c, struct ctxd_failure *f);
/* POLLIN, and POLLOUT while something is queued. */
short ctxd_events(const struct ctxd_client *c);
/* A reply that is already buffered, without waiting: 0, -1 with F, or 1 when there is none yet
 * (reads once, not blocking). */
int ctxd_poll(struct ctxd_client *c, json_t **ret, bool *ret_continues, struct ctxd_failure *f);

/* A long list without a tree of it, at a tenth of the cost. */
enum ctxd_cell_type {
	CTXD_CELL_NONE, /* null, or not given */
	CTXD_CELL_INT,
	CTXD_CELL_BOOL,
	CTXD_CELL_STRING,
	CTXD_CELL_OTHER, /* a fraction, a list, an object: `text` is its JSON */
};
struct ctxd_cell {
	enum ctxd_cell_type type;
	int64_t number;   /* CTXD_CELL_INT; 0 or 1 for CTXD_CELL_BOOL; else 0 */
	const char *text; /* NUL-ended, as it came but for the JSON escapes; "" for none; until FN
			     returns */
	size_t len;
};
enum { CTXD_COLUMNS_MAX = 64 };
/* Return 0, or a negative errno to stop: that becomes the failure. CELLS are as the columns asked
 * for. */
typedef int (*ctxd_row_fn)(const struct ctxd_cell *cells, void *arg);
/* As ctxd_receive, for a reply whose parameter LIST is a list of objects: FN is called for each of
 * them with the values of N members. Other parameters are passed over; so ask with CTXD_CALL_MORE,
 * which needs no `next`. */
int ctxd_receive_rows(struct ctxd_client *c, const char *list, const char *const *columns, size_t n,
		      ctxd_row_fn fn, void *arg, bool *ret_continues, struct ctxd_failure *f);

#pragma GCC visibility pop

#endif
