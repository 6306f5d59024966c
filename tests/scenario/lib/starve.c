/* starve.c - to be preloaded: one allocation in N fails, at random, where N is the number in the
 * file that $CTX_STARVE names (32 bits of this machine; 0: none fails). */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static volatile const uint32_t *one_in;
static uint64_t state = 88172645463325252u;

__attribute__((constructor)) static void
init(void)
{
	const char *path = getenv("CTX_STARVE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*one_in), PROT_READ, MAP_SHARED, fd, 0);

	state ^= (uint64_t)getpid() << 20;
	one_in = p == MAP_FAILED ? NULL : p;
	if (fd >= 0)
		close(fd);
}

static int
fails(void)
{
	uint32_t n = one_in ? *one_in : 0;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	if (n == 0 || state % n != 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
