/* deadline.c - which deadline a context gets: the minimum of everything, and which rule won. */
#include "core/deadline.h"

#include "core/policy.h"

/* Two readings of two clocks are never of one moment: clocks that differ by less than this from
 * what they were have not been set, and within it an extension has reached the inherited deadline.
 */
#define SAME_MOMENT_NS (100 * NSEC_PER_MSEC)

/* The most that is allowed, and whose word that is. Where both maxima are the same, the class's is
 * named: it is the nearer one to the user. */
static int64_t
deadline_most(const struct policy *p, const struct policy_class *c, enum deadline_rule *ret_rule)
{
	if (c && c->max_timeout_us > 0 && c->max_timeout_us <= p->max_timeout_us) {
		*ret_rule = RULE_CLASS_MAX;
		return c->max_timeout_us;
	}
	*ret_rule = RULE_GLOBAL_MAX;
	return p->max_timeout_us;
}

void
deadline_grant(const struct policy *p, const char *class_name, int64_t requested_us,
	       int64_t *ret_timeout_us, enum deadline_rule *ret_rule)
{
	const struct policy_class *c = policy_class_find(p, class_name);
	enum deadline_rule rule = RULE_DEFAULT, most_rule;
	int64_t timeout = p->timeout_us, most = deadline_most(p, c, &most_rule);

	if (requested_us > 0) {
		timeout = requested_us;
		rule = RULE_REQUESTED;
	} else if (c && c->timeout_us > 0) {
		timeout = c->timeout_us;
		rule = RULE_CLASS_DEFAULT;
	}
	if (timeout > most) {
		timeout = most;
		rule = most_rule;
	}
	*ret_timeout_us = timeout;
	*ret_rule = rule;
}

enum deadline_rule
deadline_latest_rule(const struct job *j)
{
	if (j->inherited_us > 0 &&
	    (j->deadline_requested_us <= 0 || j->inherited_us <= j->deadline_requested_us))
		return RULE_INHERITED;
	return j->deadline_requested_us > 0 ? RULE_ABSOLUTE : RULE_NONE;
}

int64_t
deadline_latest(const struct job *j)
{
	if (deadline_latest_rule(j) == RULE_INHERITED)
		return j->inherited_us;
	return j->deadline_requested_us > 0 ? j->deadline_requested_us : 0;
}

/* J has its timeout and rule by spans alone; what is absolute may come first. */
static void
settle(struct job *j, struct wall now_wall, struct mono now_mono)
{
	enum deadline_rule rule = deadline_latest_rule(j);
	int64_t latest = deadline_latest(j), left;

	j->deadline_us = wall_to_usec(wall_add(now_wall, dur_usec(j->timeout_us)));
	if (rule != RULE_NONE &&
	    (latest < j->deadline_us || (rule == RULE_INHERITED && latest == j->deadline_us))) {
		left = latest - wall_to_usec(now_wall);
		j->timeout_us = left > 0 ? left : 1; /* passed: due at once; 0 would mean unset */
		j->deadline_us = latest;
		j->deadline_rule = rule;
	}
	j->deadline_boot_ns = mono_add(now_mono, dur_usec(j->timeout_us)).ns;
}

void
deadline_start(const struct policy *p, struct job *j, struct wall now_wall, struct mono now_mono)
{
	deadline_grant(p, j->class_name, j->timeout_requested_us, &j->timeout_us,
		       &j->deadline_rule);
	settle(j, now_wall, now_mono);
}

void
deadline_scope(const struct policy *p, struct job *j, struct wall now_wall, struct mono now_mono)
{
	int64_t asked = j->timeout_requested_us > 0 ? j->timeout_requested_us : INT64_MAX;

	deadline_grant(p, j->class_name, asked, &j->timeout_us, &j->deadline_rule);
	settle(j, now_wall, now_mono);
}

int64_t
deadline_moment(const struct job *j, int64_t at_us, struct wall now_wall, struct mono now_mono)
{
	struct mono from_deadline =
		mono_add((struct mono){j->deadline_boot_ns},
			 wall_diff(wall_usec(at_us), wall_usec(j->deadline_us)));
	struct mono from_now = mono_add(now_mono, wall_diff(wall_usec(at_us), now_wall));
	int64_t apart = mono_diff(from_now, from_deadline).ns;

	return (-SAME_MOMENT_NS < apart && apart < SAME_MOMENT_NS ? from_deadline : from_now).ns;
}

int64_t
deadline_limit(const struct policy *p, const struct job *j, struct wall now_wall,
	       struct mono now_mono)
{
	/* Spans of one start: the wall clock may have been set since. */
	struct dur ran = dur_usec(j->deadline_us - j->started_us);
	struct mono started = mono_add((struct mono){j->deadline_boot_ns}, (struct dur){-ran.ns});
	enum deadline_rule rule;
	int64_t most = deadline_most(p, policy_class_find(p, j->class_name), &rule);
	int64_t limit = mono_add(started, dur_usec(most)).ns, inherited;

	if (j->inherited_us <= 0)
		return limit;
	inherited = j->deadline_rule == RULE_INHERITED
			    ? j->deadline_boot_ns
			    : deadline_moment(j, j->inherited_us, now_wall, now_mono);
	return inherited < limit ? inherited : limit;
}

void
deadline_extend(struct job *j, int64_t deadline_ns, struct wall now_wall, struct mono now_mono)
{
	int64_t more_us = (deadline_ns - j->deadline_boot_ns) / NSEC_PER_USEC;

	j->deadline_boot_ns = deadline_ns;
	j->deadline_us += more_us;
	j->timeout_us = j->deadline_us - j->started_us;
	j->deadline_rule = RULE_EXTENDED;
	if (j->inherited_us > 0 &&
	    deadline_ns >= deadline_moment(j, j->inherited_us, now_wall, now_mono) - SAME_MOMENT_NS)
		j->deadline_rule = RULE_INHERITED;
}
