/* job.c - a job in memory: ownership, names of stored numbers, which state may follow which. */
#include "core/job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* The daemon's states end at JOB_STATE_MAX; masks of states are uint32_t. */
#define JOB_STATE(id, name, number, ended, next)                                                   \
	_Static_assert((number) > 0 && (number) <= JOB_STATE_MAX, name);                           \
	_Static_assert((ended) == ((number) > JOB_OPEN), name ": numbers beyond open are over");
#include "core/job_state.def"
#undef JOB_STATE
_Static_assert(JOB_STATE_MAX < 32, "masks of states");

struct job_state_row {
	const char *name;
	bool ended;
	uint32_t next;
};

static const struct job_state_row states[JOB_STATE_MAX + 1] = {
#define JOB_STATE(id, name, number, ended, next) [JOB_##id] = {name, ended, next},
#include "core/job_state.def"
#undef JOB_STATE
};

struct job *
job_new(void)
{
	struct job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->kind = JOB_KIND_JOB;
	j->attempt = 1;
	return j;
}

struct job *
job_free(struct job *j)
{
	if (!j)
		return NULL;
	free(j->name);
	free(j->class_name);
	free(j->key);
	free(j->groups);
	free(j->user);
	free(j->home);
	free(j->shell);
	strv_done(&j->argv);
	free(j->cwd);
	strv_done(&j->values);
	free(j->tracestate);
	free(j->baggage);
	free(j->progress_text);
	free(j->last_text);
	free(j->cause);
	free(j->resolution_as);
	free(j->resolution_note);
	free(j);
	return NULL;
}

struct job *
job_copy(const struct job *j)
{
	_cleanup_(job_freep) struct job *c = malloc(sizeof(*c));

	if (!c)
		return NULL;
	*c = *j;
	/* Nothing of the original may be freed with a half-made copy. */
	c->name = c->class_name = c->key = c->user = c->home = c->shell = c->cwd = c->cause = NULL;
	c->resolution_as = c->resolution_note = NULL;
	c->tracestate = c->baggage = c->progress_text = c->last_text = NULL;
	c->argv = c->values = (struct strv){0};
	c->groups = NULL;
	if (j->n_groups > 0) {
		c->groups = calloc(j->n_groups, sizeof(*c->groups));
		if (!c->groups)
			return NULL;
		memcpy(c->groups, j->groups, j->n_groups * sizeof(*c->groups));
	}
	if (strv_copy(&c->argv, &j->argv) < 0 || strv_copy(&c->values, &j->values) < 0 ||
	    job_set(&c->tracestate, j->tracestate) < 0 || job_set(&c->baggage, j->baggage) < 0 ||
	    job_set(&c->progress_text, j->progress_text) < 0 ||
	    job_set(&c->last_text, j->last_text) < 0 || job_set(&c->name, j->name) < 0 ||
	    job_set(&c->class_name, j->class_name) < 0 || job_set(&c->key, j->key) < 0 ||
	    job_set(&c->user, j->user) < 0 || job_set(&c->home, j->home) < 0 ||
	    job_set(&c->shell, j->shell) < 0 || job_set(&c->cwd, j->cwd) < 0 ||
	    job_set(&c->cause, j->cause) < 0 || job_set(&c->resolution_as, j->resolution_as) < 0 ||
	    job_set(&c->resolution_note, j->resolution_note) < 0)
		return NULL;
	return take_ptr(c);
}

int
job_set(char **field, const char *s)
{
	char *copy = NULL;

	if (s) {
		copy = strdup(s); /* first: S may lie in the old string */
		if (!copy)
			return -ENOMEM;
	}
	free(*field);
	*field = copy;
	return 0;
}

static const struct job_state_row *
state_row(enum job_state s)
{
	return (unsigned)s > JOB_STATE_MAX ? &states[0] : &states[s];
}

const char *
job_state_name(enum job_state s)
{
	const char *name = state_row(s)->name;

	return name ? name : "unknown";
}

int
job_state_parse(const char *name, enum job_state *ret)
{
	for (unsigned i = 1; i <= JOB_STATE_MAX; i++)
		if (strcmp(states[i].name, name) == 0) {
			*ret = (enum job_state)i;
			return 0;
		}
	return -EINVAL;
}

bool
job_state_ended(enum job_state s)
{
	return state_row(s)->ended;
}

bool
job_state_allowed(enum job_state from, enum job_state to)
{
	return (unsigned)to <= JOB_STATE_MAX && state_row(from)->next & (UINT32_C(1) << to);
}

static const char *const causes[] = {
#define CAUSE(id, name, number) [number] = (name),
#include "core/names.def"
};
static const char *const rules[] = {
#define RULE(id, name, number) [number] = (name),
#include "core/names.def"
};
static const char *const knowers[] = {
#define KNOWN_BY(id, name, number) [number] = (name),
#include "core/names.def"
};

/* Name of I in TABLE; NULL for the empty name of NONE and for what is no member. */
static const char *
name_of(const char *const *table, size_t n, unsigned i)
{
	return i < n && table[i] && *table[i] ? table[i] : NULL;
}

const char *
job_cause_name(enum cause_code c)
{
	return name_of(causes, ARRAY_SIZE(causes), (unsigned)c);
}

const char *
job_rule_name(enum deadline_rule r)
{
	const char *name = name_of(rules, ARRAY_SIZE(rules), (unsigned)r);

	return name ? name : "";
}

const char *
job_known_by_name(enum known_by k)
{
	return name_of(knowers, ARRAY_SIZE(knowers), (unsigned)k);
}

const char *
job_limit_name(uint32_t l)
{
	switch (l) {
#define LIMIT(id, name, number)                                                                    \
	case number:                                                                               \
		return name;
#include "core/names.def"
	default:
		return NULL;
	}
}

bool
job_was_stopped(const struct job *j)
{
	return j->stop.asked_us || j->stop.term_us || j->stop.kill_us;
}

const char *
job_stop_rule(const struct job *j)
{
	bool deadline = j->cause_code == CAUSE_DEADLINE || j->cause_code == CAUSE_PARENT_DEADLINE;

	return deadline && j->stop.asked_us ? job_rule_name(j->deadline_rule) : NULL;
}

/* While a job is being stopped its cause tells; as in Go, the error is there from the moment of
 * cancelling. */
static const char *
stopping_err(enum cause_code c)
{
	switch (c) {
	case CAUSE_REQUESTED:
	case CAUSE_CLIENT_GONE:
	case CAUSE_PARENT:
	case CAUSE_SCOPE_CLOSED:
	case CAUSE_SHUTDOWN:
	case CAUSE_WATCHDOG:
		return "context canceled";
	case CAUSE_DEADLINE:
	case CAUSE_PARENT_DEADLINE:
		return "context deadline exceeded";
	case CAUSE_NONE:
	case CAUSE_EXIT:
	case CAUSE_SIGNAL:
	case CAUSE_EXEC:
	case CAUSE_OOM:
	case CAUSE_DEPENDENCY:
	case CAUSE_MONITOR_LOST:
	case CAUSE_EVIDENCE_LOST:
	case CAUSE_REBOOT:
		break;
	}
	return NULL;
}

const char *
job_err(const struct job *j)
{
	switch (j->state) {
	case JOB_CANCELED:
	case JOB_CLOSED: /* as Go's cancel function leaves it */
		return "context canceled";
	case JOB_DEADLINE_EXCEEDED:
		return "context deadline exceeded";
	case JOB_STOPPING:
		return stopping_err(j->cause_code);
	case JOB_QUEUED:
	case JOB_RUNNING:
	case JOB_SUCCEEDED:
	case JOB_FAILED:
	case JOB_INTERRUPTED:
	case JOB_OPEN:
		break;
	}
	return NULL;
}

bool
job_half_processed(const struct job *j)
{
	return j->state == JOB_INTERRUPTED && !j->resolution_as;
}

bool
job_key_is_hidden(const char *key)
{
	return key && key[0] == '~';
}

bool
job_blocked(const struct job *j)
{
	return j->state == JOB_QUEUED && (j->not_before_us > 0 || j->held || j->waits > 0);
}

bool
job_is_settled(const struct job *j)
{
	return job_state_ended(j->state) && !job_half_processed(j);
}
