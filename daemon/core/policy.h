/* policy.h - the configuration as the daemon's modules see it: plain values, no text, no files.
 * Filled by daemon/config; read by core, engine and api. Replaced as a whole on reload. */
#ifndef CTXD_CORE_POLICY_H
#define CTXD_CORE_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DUR_MAX_US (INT64_C(3650) * 86400 * 1000000)

struct policy_names { /* a comma list */
	char **v;     /* owned strings, owned array */
	size_t n;
};
struct policy_ids {            /* what such a list stands for */
	uint32_t *uids, *gids; /* owned */
	size_t n_uids, n_gids;
};
enum env_mode { ENV_MODE_ALL, ENV_MODE_NONE, ENV_MODE_LIST };
enum on_interrupt { ON_INTERRUPT_UNSET, ON_INTERRUPT_HOLD, ON_INTERRUPT_RETRY };
enum output_to { OUTPUT_TO_FILE = 1, OUTPUT_TO_JOURNAL, OUTPUT_TO_BOTH };
struct policy_env_mode {
	enum env_mode mode;
	struct policy_names names; /* for LIST */
};

enum policy_rlimit { /* in the order of record's enum spec_rlimit */
		     POLICY_NOFILE,
		     POLICY_NPROC,
		     POLICY_CORE,
		     POLICY_FSIZE,
		     POLICY_AS,
		     POLICY_STACK,
		     POLICY_MEMLOCK,
		     POLICY_CPU,
		     POLICY_DATA,
		     POLICY_RLIMITS
};
#define POLICY_INFINITY INT64_MAX

/* In the struct every number is int64_t; 0 = unset where unset is allowed. priority and nice have
 * has_ flags. */
struct policy_class {
	struct policy_class *next; /* owned */
	char name[33];
	int64_t timeout_us, max_timeout_us, grace_us, stop_signal, running, priority, nice,
		on_interrupt, max_attempts;
	bool has_priority, has_nice;
	/* Limits, 0: none; cpu_max in percent of one CPU. Of umask and rlimit[] policy_limit tells
	 * the value. */
	int64_t memory_max, cpu_max, pids_max, io_weight, umask;
	int64_t rlimit[POLICY_RLIMITS];
};

struct policy {
	int64_t max_connections, max_connections_per_user, max_message;
	char *on_half_processed; /* owned; NULL: none */
	int64_t reattach_us, stdin_max, stdin_per_user;
	int64_t running, queued, running_per_user, queued_per_user;
	int64_t timeout_us, max_timeout_us, grace_us, stop_signal;
	int64_t output_max, output_to;
	int64_t keep_jobs_us, keep_output_us, keep_max_jobs, keep_output_per_user;
	struct policy_names admins;
	struct policy_env_mode env_mode;
	struct policy_names env_deny;
	int64_t env_keep_us;
	int64_t outbox;
	struct policy_names exporters;
	/* resolved from admins and exporters when loaded */
	struct policy_ids admin_ids, exporter_ids;
	struct policy_class *classes; /* owned list, in file order */
};

/* What a field holds where 0 is a value like any other: true and the value, POLICY_INFINITY among
 * them, or false: not given. */
static inline bool
policy_limit(int64_t field, int64_t *ret)
{
	*ret = field == POLICY_INFINITY ? field : field - 1;
	return field != 0;
}

struct policy *policy_new(void); /* all defaults; NULL on ENOMEM */
struct policy *policy_free(struct policy *p);
static inline void
policy_freep(struct policy **p)
{
	*p = policy_free(*p);
}
/* NULL if unknown. `default` always exists for submitters: it is the class without a section unless
 * one is given. */
const struct policy_class *policy_class_find(const struct policy *p, const char *name);
/* May NAME be given at submission? `default`, or one that has a section. */
bool policy_class_known(const struct policy *p, const char *name);
bool policy_is_admin(const struct policy *p, uint32_t uid, uint32_t gid, const uint32_t *groups,
		     size_t n_groups);
/* The same for who may take spans out of the outbox; an administrator may. */
bool policy_is_exporter(const struct policy *p, uint32_t uid, uint32_t gid, const uint32_t *groups,
			size_t n_groups);
void policy_ids_done(struct policy_ids *ids); /* frees what it owns and zeroes it */
/* Is the variable NAME (N bytes) taken from a submission? */
bool policy_env_taken(const struct policy *p, const char *name, size_t n);

#endif
