/* spool.c - see impl.h. */
#include <errno.h>

#include "base/err.h"
#include "engine/impl.h"
struct spool {
	int fd;
};
int
spool_open_dir(struct engine *g, const char *state_dir)
{
	(void)g, (void)state_dir;
	return 0;
}
int
spool_keep(struct engine *g, struct spool *s, const struct job *j)
{
	(void)g, (void)s, (void)j;
	return -ENOSYS;
}
int
spool_open(struct engine *g, uint64_t id)
{
	(void)g, (void)id;
	return -ENOSYS;
}
void
spool_remove(struct engine *g, uint64_t id)
{
	(void)g, (void)id;
}
int
engine_spool_new(struct engine *g, struct spool **ret)
{
	(void)g, (void)ret;
	return -ENOSYS;
}
int
engine_spool_add(struct engine *g, struct spool *s, const void *p, size_t n)
{
	(void)g, (void)s, (void)p, (void)n;
	return -ENOSYS;
}
uint64_t
spool_bytes(const struct spool *s)
{
	(void)s;
	return 0;
}
struct spool *
spool_free(struct spool *s)
{
	(void)s;
	return NULL;
}
