/* otlp.h - spans of io.ctxd as a request of OTLP/HTTP in JSON (opentelemetry-proto,
 * ExportTraceServiceRequest): pure. Ids are hexadecimal, times are texts of nanoseconds,
 * enumerations are numbers, as its JSON encoding has them. */
#ifndef CTX_EXPORTER_OTLP_H
#define CTX_EXPORTER_OTLP_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct settings;

/* SPANS is the list in an answer of Spans: those FROM to FROM+N-1 are appended to OUT. */
void
otlp_request(const json_t *spans, size_t from, size_t n, const struct settings *s, struct buf *out);
/* How many spans the collector did not take, by its answer; *RET_WHY (may be set to NULL) is owned
 * by the caller. What is no such answer says that it took all. */
uint64_t otlp_rejected(const char *body, size_t n, char **ret_why);

#endif
