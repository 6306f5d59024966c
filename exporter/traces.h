/* traces.h - spans from the outbox of ctxd to a collector, in a thread of its own. Taken, sent,
 * forgotten, in this order: whatever dies, each span arrives, at worst twice under the same id. */
#ifndef CTX_EXPORTER_TRACES_H
#define CTX_EXPORTER_TRACES_H

#include <stdint.h>

struct settings;
struct traces;

struct traces_options {
	const char *socket; /* as for ctxd_socket_path, as is MODE */
	char mode;
	int64_t wait_most_ms; /* between two tries; 0: a minute */
};
/* All is borrowed, also what O points to. NULL: said in the log. */
struct traces *traces_start(const struct settings *s, const struct traces_options *o);
struct traces *traces_stop(struct traces *t); /* within about a second */

struct traces_counts {
	uint64_t sent;     /* spans that the collector took */
	uint64_t refused;  /* that it did not, and never would */
	uint64_t requests; /* POSTs */
	uint64_t failed;   /* of these, to be tried again */
};
void traces_counts(const struct traces *t, struct traces_counts *ret);

#endif
