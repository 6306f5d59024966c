/* collect.h - what ctxd says of itself, fetched when somebody asks and kept for a second: however
 * many ask, ctxd answers once. Safe to call from several threads. */
#ifndef CTX_EXPORTER_COLLECT_H
#define CTX_EXPORTER_COLLECT_H

#include <stdbool.h>

#include "metrics/metrics_text.h"

struct buf;
struct collect;

/* SOCKET (may be NULL) and MODE as for ctxd_socket_path; borrowed. NULL on ENOMEM. */
struct traces;
/* What TRACES (borrowed; NULL: no spans are exported) has done is told, too. */
struct collect *collect_new(const char *socket, char mode, const struct traces *traces);
struct collect *collect_free(struct collect *c);
/* All metrics as text appended to OUT, `ctx_up 0` among them when ctxd does not answer. */
void collect_metrics(struct collect *c, enum metrics_format format, struct buf *out);
/* A JSON document that says whether ctxd takes and starts jobs, appended to OUT. */
bool collect_health(struct collect *c, struct buf *out);

#endif
