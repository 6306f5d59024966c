/* stop.h - who stopped a job, how, and when, as others are told: in its record, in its history.
 * Pure.
 */
#ifndef CTXD_CORE_STOP_H
#define CTXD_CORE_STOP_H

#include <stdint.h>

struct job;
struct jw;

/* The object KEY (NULL: an element, or the document), of which what did not happen, or is not known
 * yet, is null; or null as a whole, when nobody stopped J. Members: the type Stop of
 * io.ctxd.varlink. */
void stop_write(struct jw *w, const char *key, const struct job *j);

#endif
