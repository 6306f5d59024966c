/* limits.c - the limits of a job's class: what of them goes into its spec, and who is told when the
 * spawner cannot have them enforced. Nothing is refused for want of a cgroup: the log, doctor, the
 * submitter and the job's record say so. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/live.h"
#include "engine/submit.h"
#include "record/spec.h"

_Static_assert((int)JOB_LIMIT_MEMORY_MAX == (int)SPEC_LIMIT_MEMORY_MAX, "limits in records");
_Static_assert((int)JOB_LIMIT_CPU_MAX == (int)SPEC_LIMIT_CPU_MAX, "limits in records");
_Static_assert((int)JOB_LIMIT_PIDS_MAX == (int)SPEC_LIMIT_PIDS_MAX, "limits in records");
_Static_assert((int)JOB_LIMIT_IO_WEIGHT == (int)SPEC_LIMIT_IO_WEIGHT, "limits in records");
_Static_assert((int)JOB_LIMIT_NICE == (int)SPEC_LIMIT_NICE, "limits in records");
#define SAME_RLIMIT(name)                                                                          \
	_Static_assert((int)POLICY_##name == (int)SPEC_##name &&                                   \
			       JOB_LIMIT_##name == SPEC_LIMIT_OF(SPEC_##name),                     \
		       "limits in records")
SAME_RLIMIT(NOFILE);
SAME_RLIMIT(NPROC);
SAME_RLIMIT(CORE);
SAME_RLIMIT(FSIZE);
SAME_RLIMIT(AS);
SAME_RLIMIT(STACK);
SAME_RLIMIT(MEMLOCK);
SAME_RLIMIT(CPU);
SAME_RLIMIT(DATA);
_Static_assert((int)POLICY_RLIMITS == (int)SPEC_RLIMITS, "limits in records");

enum { NAMES_TEXT = 256 };

void
limits_spec(const struct engine *g, const struct job *j, struct spec *s)
{
	const struct policy_class *c = policy_class_find(g->policy, j->class_name);
	int64_t v;

	if (!c)
		return;
	s->nice = c->has_nice ? (int32_t)c->nice : 0;
	s->memory_max = (uint64_t)c->memory_max;
	s->cpu_percent = (uint32_t)c->cpu_max;
	s->pids_max = (uint64_t)c->pids_max;
	s->io_weight = (uint32_t)c->io_weight;
	for (unsigned i = 0; i < SPEC_RLIMITS; i++) {
		if (!policy_limit(c->rlimit[i], &v))
			continue;
		s->rlimits |= SPEC_LIMIT_OF(i);
		s->limit[i] = v == POLICY_INFINITY ? SPEC_INFINITY : (uint64_t)v;
	}
}

/* What C (NULL: nothing) asks of cgroups and the spawner, as it said when it was linked, cannot
 * have. Without a spawner nothing is known, and nothing starts. */
static uint32_t
missing(const struct engine *g, const struct policy_class *c)
{
	uint32_t flags = exec_flags(g->exec), bits = 0;

	if (!c || !exec_is_up(g->exec))
		return 0;
	if (!(flags & WELCOME_CGROUP))
		flags = 0;
	if (c->memory_max && !(flags & WELCOME_MEMORY))
		bits |= JOB_LIMIT_MEMORY_MAX;
	if (c->cpu_max && !(flags & WELCOME_CPU))
		bits |= JOB_LIMIT_CPU_MAX;
	if (c->pids_max && !(flags & WELCOME_PIDS))
		bits |= JOB_LIMIT_PIDS_MAX;
	if (c->io_weight && !(flags & WELCOME_IO))
		bits |= JOB_LIMIT_IO_WEIGHT;
	return bits;
}

/* "memory_max, cpu_max" */
static const char *
names(uint32_t bits, char *text)
{
	size_t n = 0;

	*text = '\0';
	for (; bits; bits &= bits - 1) {
		const char *name = job_limit_name(bits & -bits);
		int k = snprintf(text + n, NAMES_TEXT - n, "%s%s", n ? ", " : "",
				 name ? name : "?");

		n += k > 0 ? (size_t)k : 0;
		assert(n < NAMES_TEXT);
	}
	return text;
}

uint32_t
limits_missing(const struct engine *g)
{
	uint32_t bits = 0;

	for (const struct policy_class *c = g->policy->classes; c; c = c->next)
		bits |= missing(g, c);
	return bits;
}

void
limits_warn(const struct engine *g)
{
	char text[NAMES_TEXT];

	for (const struct policy_class *c = g->policy->classes; c; c = c->next) {
		uint32_t bits = missing(g, c);

		if (bits)
			log_warn("class %s: %s cannot be enforced (the log of ctx-spawner says "
				 "why); continuing",
				 c->name, names(bits, text));
	}
}

void
limits_notice(const struct engine *g, const struct job *j, struct notices *n)
{
	uint32_t bits = missing(g, policy_class_find(g->policy, j->class_name));
	char text[NAMES_TEXT];

	if (bits)
		notice_add(n, "%s of class %s cannot be enforced here", names(bits, text),
			   j->class_name);
}

/* Written when there is something to say only: a running job is to show it, too. */
int
limits_heard(struct live *l, uint32_t unenforced)
{
	_cleanup_(job_freep) struct job *j = NULL;
	int r;

	if (!unenforced || l->has_end)
		return 0;
	r = store_job_get(l->engine->store, l->id, &j);
	if (r != 0)
		return err_fold(r);
	if (j->attempt != l->attempt || j->unenforced == unenforced)
		return 0;
	j->unenforced = unenforced;
	return lifecycle_save(l->engine, j);
}
