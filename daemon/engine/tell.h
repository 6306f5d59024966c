/* tell.h - who is told what: the log, watchers, readers of history, collectors. */
#ifndef CTXD_ENGINE_TELL_H
#define CTXD_ENGINE_TELL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

struct engine;
struct job;
struct requester;

/* ---- log_job.c */
/* "job=ID TEXT", with what the journal is to know of J. User text must be escaped. */
void log_job(enum log_level l, const struct job *j, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Once the open transaction is committed, and not if it fails: TEXT, with what the journal is to
 * know of JOB then; 0: it is about none. */
void log_job_later(struct engine *g, enum log_level l, uint64_t job, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* One line for each edge; WHAT is the new state, or "queued again". */
void log_job_edge(const struct job *j, const char *what);

/* The same fields, but for the state, for a line that ATTEMPT of J wrote. */
struct journal_entry;
void log_job_entry(struct journal_entry *e, const struct job *j, uint32_t attempt);

/* ---- audit.c */
/* After the commit: the line that WHO did ACTION to J, if J is another user's. */
void
audit_job(struct engine *g, const struct requester *who, const struct job *j, const char *action);
void audit_pruned(struct engine *g, const struct requester *who, uint64_t n); /* by age */

/* ---- watch.c */
bool watch_any(const struct engine *g, uint64_t job);
void watch_tell(struct engine *g, const struct job *j);
void watch_again(struct engine *g, uint64_t job);
void watch_done(struct engine *g);

/* ---- events.c */
void events_init(struct engine *g);
/* History was written in this iteration, or a job told progress: the listeners are told after the
 * commit. */
void events_changed(struct engine *g);

/* ---- outbox.c */
int outbox_load(struct engine *g);
/* J, or this attempt of it, has ended, in the open transaction. 0 or negative errno. */
int outbox_add(struct engine *g, const struct job *j);

/* ---- query.c */
/* A filter by uid that WHO gave becomes one that shows nothing but what WHO may see. False: nothing
 * of what was asked for. */
bool
query_narrow(const struct engine *g, const struct requester *who, bool *has_uid, uint32_t *uid);
/* How much output J has, by its files. */
void query_output(struct engine *g, struct job *j);

#endif
