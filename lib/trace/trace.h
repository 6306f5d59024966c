/* trace.h - W3C Trace Context (level 1, with the random flag of level 2) and W3C Baggage: parsing
 * by the letter of the specifications, printing, new ids. Pure but for getrandom.
 *
 *   https://www.w3.org/TR/trace-context/     traceparent, tracestate
 *   https://www.w3.org/TR/trace-context-2/   the random flag
 *   https://www.w3.org/TR/baggage/           baggage */
#ifndef CTX_TRACE_TRACE_H
#define CTX_TRACE_TRACE_H

#include <stddef.h>
#include <stdint.h>

enum { TRACE_SAMPLED = 1, TRACE_RANDOM = 2 };
struct trace_context {
	uint8_t trace_id[16]; /* never all zero */
	uint8_t span_id[8];   /* never all zero */
	uint8_t flags;        /* TRACE_*; other bits are dropped when parsed */
};

enum {
	TRACE_PARENT_TEXT = 56, /* a traceparent of version 00 and its NUL */
	TRACE_ID_TEXT = 33,
	TRACE_SPAN_TEXT = 17,
	TRACE_STATE_MEMBERS = 32,    /* most list-members of a tracestate */
	TRACE_STATE_MAX = 8192,      /* bytes; the specification asks for 512 at least */
	TRACE_BAGGAGE_MEMBERS = 180, /* it asks for 64 at least */
	TRACE_BAGGAGE_MAX = 8192,
};

/* A traceparent. Version 00: exactly its 55 bytes; ff is invalid; a higher version is read as 00 as
 * far as that goes (what follows must start with "-"). 0, or -EINVAL with *RET_WHY (static text)
 * and RET untouched. */
int trace_parse(const char *s, struct trace_context *ret, const char **ret_why);
/* As version 00. Returns BUF. */
const char *trace_format(const struct trace_context *t, char buf[static TRACE_PARENT_TEXT]);
/* 32 lower-case hex digits, not all zero. 0 or -EINVAL. */
int trace_id_parse(const char *s, uint8_t ret[static 16]);
const char *trace_id_format(const uint8_t id[static 16], char buf[static TRACE_ID_TEXT]);
const char *trace_span_format(const uint8_t id[static 8], char buf[static TRACE_SPAN_TEXT]);

/* A new trace: sampled and random, with a span of its own. The first six bytes of the trace id are
 * the wall clock in milliseconds (so that an index grows at one end), the other ten are random, as
 * level 2 asks of the last seven. 0 or -errno of getrandom. */
int trace_new(int64_t now_us, struct trace_context *ret);
/* A new span id. 0 or -errno. */
int trace_new_span(uint8_t ret[static 8]);

/* A tracestate (one header's value; several are joined by "," first). Empty list-members are
 * allowed and dropped, blanks around them too. *RET is the normal form on the heap, the caller's;
 * NULL when nothing is left. 0; -EINVAL with *RET_WHY (bad key or value, key twice, over
 * TRACE_STATE_MEMBERS or TRACE_STATE_MAX); -ENOMEM. */
int trace_state_parse(const char *s, char **ret, const char **ret_why);
/* A baggage, likewise. Keys are tokens, values baggage-octets, properties are kept as they are; a
 * key may come twice (the last one counts, all are kept). */
int trace_baggage_parse(const char *s, char **ret, const char **ret_why);

#endif
