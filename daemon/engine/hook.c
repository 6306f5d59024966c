/* hook.c - the command of [daemon] on_half_processed: run once for each job that is newly found
 * half-processed, as a job of the daemon's own user.
 *
 * It is submitted in the transaction that makes the job interrupted, so that it is neither lost nor
 * run twice, whatever dies when. For one that is interrupted itself there is none. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/submit.h"
#include "engine/tell.h"

/* Its key: hidden, and of this attempt of this job alone. */
#define HOOK_KEY "~half-processed:"
#define HOOK_ENV "CTX_HALF_PROCESSED_"

static int
add_number(struct strv *env, const char *name, uint64_t v)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%" PRIu64, v);
	return strv_add_pair(env, name, text);
}

static int
add_text(struct strv *env, const char *name, const char *text)
{
	return text ? strv_add_pair(env, name, text) : 0;
}

static int
make_env(const struct engine *g, const struct job *j, struct strv *env)
{
	char percent[32];
	int r = add_number(env, HOOK_ENV "ID", j->id);

	r = r ? r : add_number(env, HOOK_ENV "ATTEMPT", j->attempt);
	r = r ? r : add_number(env, HOOK_ENV "UID", j->uid);
	r = r ? r : add_text(env, HOOK_ENV "NAME", j->name);
	r = r ? r : add_text(env, HOOK_ENV "CLASS", j->class_name);
	r = r ? r : add_text(env, HOOK_ENV "CAUSE_CODE", job_cause_name(j->cause_code));
	r = r ? r : add_text(env, HOOK_ENV "STATUS", j->progress_text);
	if (r == 0 && j->has_percent) {
		(void)snprintf(percent, sizeof(percent), "%.15g", j->percent);
		r = add_text(env, HOOK_ENV "PERCENT", percent);
	}
	if (r == 0 && !g->system_mode) {
		r = add_text(env, "HOME", getenv("HOME"));
		r = r ? r : add_text(env, "PATH", getenv("PATH"));
	}
	return r;
}

static int
submit(struct engine *g, const struct job *j, struct submit_args *a)
{
	struct requester who = {.uid = geteuid(), .gid = getegid(), .pid = getpid()};
	char key[64], name[64];
	struct refusal refusal = {.id = 0};
	int r;

	(void)snprintf(key, sizeof(key), HOOK_KEY "%" PRIu64 ".%" PRIu32, j->id, j->attempt);
	(void)snprintf(name, sizeof(name), "on_half_processed %" PRIu64, j->id);
	a->key = key;
	a->name = name;
	r = submit_own(g, &who, a, &refusal);
	a->key = a->name = NULL;
	if (r == ENGINE_E_REFUSED) {
		log_job(LOG_LVL_WARN, j,
			"is half-processed, and on_half_processed cannot be run (%s), continuing",
			refusal.reason);
		return 0;
	}
	return r < 0 ? err_pass(r) : 0;
}

int
hook_run(struct engine *g, const struct job *j)
{
	_cleanup_(strv_done) struct strv argv = {0}, env = {0};
	struct submit_args a = {.has_umask = false};
	int r;

	if (!g->policy->on_half_processed || !job_half_processed(j) ||
	    (j->key && j->uid == geteuid() && strncmp(j->key, HOOK_KEY, strlen(HOOK_KEY)) == 0))
		return 0;
	r = make_env(g, j, &env);
	r = r ? r : strv_add(&argv, "/bin/sh");
	r = r ? r : strv_add(&argv, "-c");
	r = r ? r : strv_add(&argv, g->policy->on_half_processed);
	if (r < 0)
		return err_raise(r, "run on_half_processed");
	a.argv = argv;
	a.env = env;
	a.context.has_inherit = true; /* nothing */
	return submit(g, j, &a);
}
