/* view.h - a Job or a Summary of the interface, taken apart for showing. What is missing or of a
 * wrong type is unset: a newer daemon may say less, and nothing here may fall over that. */
#ifndef CTX_CLI_VIEW_H
#define CTX_CLI_VIEW_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cli/out.h"

struct buf;

/* Strings are inside the JSON; NULL: unset. Times: wall microseconds, 0: unset. Spans:
 * microseconds, 0: unset. */
struct view {
	const json_t *json;  /* borrowed */
	uint64_t id, parent; /* 0: none */
	const char *noun;    /* "job" or "scope" */
	const char *state;   /* never NULL */
	const char *class_name, *name, *key, *user;
	const char *command; /* of a Summary */
	const char *waiting; /* for what a queued one waits, if not for a slot */
	const char *rule, *cause, *cause_code;
	int64_t uid, exit_code, signal, timeout, timeout_requested;
	int64_t submitted, started, ended, deadline;
	bool has_uid, has_exit_code, half_processed, is_scope;
};
/* A member: NULL or 0 where there is none of that type. */
const char *view_str(const json_t *o, const char *key);
int64_t view_int(const json_t *o, const char *key);
/* 0, or -EINVAL: that is no job (no id, no state). */
int view_read(const json_t *job, struct view *ret);
/* A time of the interface; NULL or unreadable: 0. */
int64_t view_time(const char *s);
bool view_ended(const struct view *v);
/* What a command that exits as the job does makes of it; EXITCODE_OURS if it has not ended. */
int view_exit_code(const struct view *v);
/* The end in words, e.g. "exit 3", "deadline exceeded: asked 1h, granted 10m (rule class_max)".
 * Escaped. 0 or -ENOMEM. */
int view_end(const struct view *v, struct buf *b);
/* Say on stderr how the job ended, unless that is plain from the exit code. */
void view_say_end(const struct view *v);
/* How to show its state. */
enum out_style view_style(const struct view *v);
/* The time to its deadline at NOW (wall microseconds), "overdue", or NULL: it has none (any more).
 */
const char *view_left(const struct view *v, int64_t now, char span[OUT_SPAN]);
/* `waiting_for` in a few words, a time by how far it is from NOW (wall microseconds). Not escaped.
 */
enum { VIEW_WAITING = 64 };
const char *view_waiting(const char *waiting_for, int64_t now, char buf[VIEW_WAITING]);
/* argv of a Job quoted for a shell, escaped. 0 or -ENOMEM. */
int view_argv(const json_t *job, struct buf *b);

#endif
