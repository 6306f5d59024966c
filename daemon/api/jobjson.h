/* jobjson.h - a job as the interface shows it. No allocation per field. */
#ifndef CTXD_API_JOBJSON_H
#define CTXD_API_JOBJSON_H

#include <stdint.h>

#include "core/job.h"

struct jw;

void jobjson_job(struct jw *j, const char *key, const struct job *job);     /* type Job */
void jobjson_summary(struct jw *j, const char *key, const struct job *job); /* type Summary */
/* Parts that others show, too. */
void jobjson_progress(struct jw *j, const struct job *job); /* member `progress`, or null */
/* JOB_LIMIT_* bits as the names of their keys. */
void jobjson_limits(struct jw *j, const char *key, uint32_t limits);
const char *jobjson_kind(enum job_kind kind);

#endif
