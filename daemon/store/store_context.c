/* store_context.c - contexts: keys, children, scopes, what is bound; history for readers. */
#include "store/store_db.h"

int
store_job_by_key(struct store *s, uint32_t uid, const char *key, uint64_t *ret_id)
{
	(void)s, (void)uid, (void)key, (void)ret_id;
	return STORE_E_NOT_FOUND;
}
int
store_attached(struct store *s, uint64_t parent, uint64_t after, uint64_t *ids, size_t max,
	       size_t *ret_n)
{
	(void)s, (void)parent, (void)after, (void)ids, (void)max;
	*ret_n = 0;
	return 0;
}
int
store_scopes_each(struct store *s, store_job_fn fn, void *arg)
{
	(void)s, (void)fn, (void)arg;
	return 0;
}
int
store_scope_next_deadline(struct store *s, int64_t *ret)
{
	(void)s, (void)ret;
	return STORE_E_NOT_FOUND;
}
int
store_scope_overdue(struct store *s, int64_t now_ns, uint64_t *ids, size_t max, size_t *ret_n)
{
	(void)s, (void)now_ns, (void)ids, (void)max;
	*ret_n = 0;
	return 0;
}
int
store_bound(struct store *s, uint64_t after, uint64_t *ids, size_t max, size_t *ret_n)
{
	(void)s, (void)after, (void)ids, (void)max;
	*ret_n = 0;
	return 0;
}
int
store_events(struct store *s, const struct store_event_filter *f, store_event_fn fn, void *arg,
	     uint64_t *ret_next)
{
	(void)s, (void)f, (void)fn, (void)arg;
	*ret_next = 0;
	return 0;
}
int
store_events_last(struct store *s, uint64_t *ret)
{
	(void)s;
	*ret = 0;
	return 0;
}
