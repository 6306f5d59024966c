/* key.c - same key, same job.
 *
 * A key is its user's own name for one piece of work, so that asking twice makes one job, however
 * the first answer was lost. What is compared is what is done: the command, where, as what class
 * and name, for how long, with which input. Environment and context are not: they differ between
 * two attempts of one client to say the same. */
#include <string.h>

#include "base/crash.h"
#include "base/err.h"
#include "engine/impl.h"
#include "engine/lifecycle.h"
#include "engine/submit.h"

static bool
same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool
same_input(const struct job *j, const struct spool *s)
{
	if (!s || !j->has_stdin)
		return !s && !j->has_stdin;
	return j->stdin_bytes == spool_bytes(s) && j->stdin_hash == spool_hash(s);
}

static bool
same_payload(const struct job *j, const struct submit_args *a)
{
	return j->argv.size == a->argv.size &&
	       memcmp(j->argv.data, a->argv.data, j->argv.size) == 0 &&
	       same_text(j->cwd, a->cwd ? a->cwd : "/") &&
	       same_text(j->class_name, a->class_name ? a->class_name : "default") &&
	       same_text(j->name, a->name) && j->timeout_requested_us == a->timeout_us &&
	       j->split_output == a->split_output && same_input(j, a->stdin_spool);
}

static int
conflict(const char *key, uint64_t id, const char *why, struct refusal *r)
{
	r->id = id;
	return refusal_set(r, REFUSAL_KEY_CONFLICT, key, "%s", why);
}

int
key_find(struct engine *g, const struct requester *who, const struct submit_args *a,
	 struct job **ret, struct refusal *r)
{
	_cleanup_(job_freep) struct job *j = NULL;
	uint64_t id = 0;
	int e = store_job_by_key(g->store, submit_owner(who, a)->uid, a->key, &id);

	if (e == STORE_E_NOT_FOUND)
		return KEY_E_NEW;
	if (!e)
		e = store_job_get(g->store, id, &j);
	if (e)
		return err_fold(e);
	if (a->if_exists == IF_EXISTS_FAIL)
		return conflict(a->key, id, "there is a job with this key", r);
	if (!same_payload(j, a))
		return conflict(a->key, id, "the job with this key runs something else", r);
	if (a->if_exists == IF_EXISTS_RETRY && retry_possible(j)) {
		j->bound = a->bound; /* to whoever asks for this attempt */
		e = retry_asked(g, who, j, "if_exists", r);
		if (e)
			return e;
	}
	*ret = take_ptr(j);
	return 0;
}
