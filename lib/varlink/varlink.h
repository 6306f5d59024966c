/* varlink.h - the Varlink wire (https://varlink.org): JSON objects ended by NUL; calls, replies,
 * errors, argument tables. Both halves, no IO: the caller owns sockets and buffers. Reading is done
 * with jansson, writing with base/jw.h. */
#ifndef CTX_VARLINK_VARLINK_H
#define CTX_VARLINK_VARLINK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/jw.h"
#include "base/strv.h"

struct buf;

enum {
	VARLINK_E_NONE = 1, /* no complete message yet */
	VARLINK_E_TOO_BIG = 2,
	VARLINK_E_BAD = 3,  /* not a Varlink message: close the connection */
	VARLINK_E_VALUE = 4 /* of the right type, but not to be had */
};

/* First complete message in IN: 0 with *RET_MSG (inside IN, NUL-ended) and *RET_LEN (without the
 * NUL); the caller consumes LEN + 1. VARLINK_E_NONE, or VARLINK_E_TOO_BIG when more than MAX bytes
 * came without a NUL. *SCANNED is how far the search came last time (start with 0, reset after
 * consuming): a message that comes in small pieces is searched once. */
int varlink_next(const struct buf *in, size_t max, size_t *scanned, const char **ret_msg,
		 size_t *ret_len);

/* For main, before anything else of this or of jansson: its allocations are taken over, so that no
 * message comes out of the functions below that lacks a part of it. Not for a library: it is for
 * the whole process. */
void varlink_watch_memory(void);

struct varlink_call {
	json_t *root;       /* owned */
	const char *method; /* inside root: full name, interface and method */
	json_t *params;     /* inside root; never NULL after parse (an empty object if absent) */
	bool more, oneway, upgrade;
	const char *bad_value; /* inside root: a parameter with \u0000 in a string, or a number that
				* is out of range: then no parameter is to be used; else NULL */
	const char *bad_why;   /* static text */
};
/* 0, VARLINK_E_BAD (WHY: static text), -ENOMEM. Depth is bounded; duplicate keys, invalid UTF-8,
 * and \u0000 anywhere but in the value of a parameter are refused. */
int varlink_call_parse(struct varlink_call *c, const char *msg, size_t len, const char **why);
void varlink_call_done(struct varlink_call *c);

/* ---- server: replies. Between open and close write members of `parameters` with jw_*. */
void varlink_reply_open(struct jw *j, struct buf *out);
void varlink_reply_close(struct jw *j, bool continues); /* appends the NUL */
/* NAME is the full error name. Members of parameters are written in between. */
void varlink_error_open(struct jw *j, struct buf *out, const char *name);
void varlink_error_close(struct jw *j);
/* org.varlink.service errors. */
void varlink_error_method_not_found(struct buf *out, const char *method);
void varlink_error_interface_not_found(struct buf *out, const char *interface);
void varlink_error_method_not_implemented(struct buf *out, const char *method);
void varlink_error_invalid_parameter(struct buf *out, const char *parameter);
void varlink_error_expected_more(struct buf *out);

/* ---- server: arguments by table. */
enum varlink_type {
	VARLINK_INT,     /* int64_t */
	VARLINK_BOOL,    /* bool */
	VARLINK_STRING,  /* const char *, inside the call */
	VARLINK_STRINGS, /* struct strv, owned by the arguments: varlink_args_done */
	VARLINK_STRMAP,  /* [string]string -> struct strv of NAME=VALUE; a name that is empty or has
			    a '=' is VARLINK_E_VALUE */
	VARLINK_INTS,    /* struct varlink_ints, owned */
	VARLINK_FLOAT,   /* double; a number written as an integer is one, too */
};
struct varlink_ints {
	int64_t *v;
	size_t n;
};
struct varlink_arg {
	const char *name;
	enum varlink_type type;
	bool required;
	size_t offset;     /* of the value in the argument struct */
	size_t has_offset; /* of a `bool has_x`, set when given and not null; SIZE_MAX: none */
};
/* Decode PARAMS into the zeroed struct OUT. 0; VARLINK_E_BAD with *RET_PARAMETER = the offending
 * name (unknown, missing or wrongly typed; inside SPEC or PARAMS), or VARLINK_E_VALUE; -ENOMEM. A
 * JSON null counts as not given. Call varlink_args_done in each case. */
int varlink_args_decode(json_t *params, const struct varlink_arg *spec, size_t n, void *out,
			const char **ret_parameter);
void varlink_args_done(const struct varlink_arg *spec, size_t n, void *out);

/* ---- client half. */
enum { VARLINK_MORE = 1, VARLINK_ONEWAY = 2 };
/* Append a call; PARAMS may be NULL, stays the caller's. 0 or -errno. */
int varlink_call_write(struct buf *out, const char *method, json_t *params, unsigned flags);
struct varlink_reply {
	json_t *root;      /* owned */
	const char *error; /* full error name or NULL */
	json_t *params;    /* never NULL */
	bool continues;
};
int varlink_reply_parse(struct varlink_reply *r, const char *msg, size_t len, const char **why);
void varlink_reply_done(struct varlink_reply *r);

/* ---- IDL. */
extern const char varlink_service_idl[]; /* org.varlink.service */

#endif
