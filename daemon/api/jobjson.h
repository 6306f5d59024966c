/* jobjson.h - a job as the interface shows it. No allocation per field; fields of later versions
 * are null or empty. */
#ifndef CTXD_API_JOBJSON_H
#define CTXD_API_JOBJSON_H

struct job;
struct jw;

void jobjson_job(struct jw *j, const char *key, const struct job *job);     /* type Job */
void jobjson_summary(struct jw *j, const char *key, const struct job *job); /* type Summary */

#endif
