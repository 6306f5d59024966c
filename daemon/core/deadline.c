/* deadline.c - which deadline a job gets: the minimum of everything, and which rule won. */
#include "core/deadline.h"

#include "core/policy.h"

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

void
deadline_start(const struct policy *p, struct job *j, struct wall now_wall, struct mono now_mono)
{
	int64_t left;

	deadline_grant(p, j->class_name, j->timeout_requested_us, &j->timeout_us,
		       &j->deadline_rule);
	j->deadline_us = wall_to_usec(wall_add(now_wall, dur_usec(j->timeout_us)));
	if (j->deadline_requested_us > 0 && j->deadline_requested_us < j->deadline_us) {
		left = j->deadline_requested_us - wall_to_usec(now_wall);
		j->timeout_us = left > 0 ? left : 1; /* passed: due at once; 0 would mean unset */
		j->deadline_us = j->deadline_requested_us;
		j->deadline_rule = RULE_ABSOLUTE;
	}
	j->deadline_boot_ns = mono_add(now_mono, dur_usec(j->timeout_us)).ns;
}

int64_t
deadline_limit(const struct policy *p, const char *class_name, int64_t started_boot_ns)
{
	enum deadline_rule rule;
	int64_t most = deadline_most(p, policy_class_find(p, class_name), &rule);

	return mono_add((struct mono){started_boot_ns}, dur_usec(most)).ns;
}
