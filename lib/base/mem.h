/* mem.h - ownership helpers: cleanup attributes, hand-over, container_of, magic numbers. Header
 * only. */
#ifndef CTX_BASE_MEM_H
#define CTX_BASE_MEM_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

static inline void
mem_freep(void *p)
{
	free(*(void **)p);
}

static inline void
mem_closep(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

#define _free_ _cleanup_(mem_freep)
#define _close_ _cleanup_(mem_closep)

/* Hand a local over to a new owner: yields the value, leaves NULL (or -1) behind. */
#define take_ptr(p)                                                                                \
	({                                                                                         \
		__typeof__(p) _taken = (p);                                                        \
		(p) = NULL;                                                                        \
		_taken;                                                                            \
	})
#define take_fd(fd)                                                                                \
	({                                                                                         \
		int _fd = (fd);                                                                    \
		(fd) = -1;                                                                         \
		_fd;                                                                               \
	})

/* Make x_freep() for use with _cleanup_ from `struct x *x_free(struct x *)`. */
#define DEFINE_FREEP(x)                                                                            \
	static inline void x##_freep(struct x **p)                                                 \
	{                                                                                          \
		*p = x##_free(*p);                                                                 \
	}

#ifndef container_of
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#endif

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Every object whose type is lost on the way through a callback carries `uint32_t magic` first. */
#define CHECK_MAGIC(obj, m) assert((obj) != NULL && (obj)->magic == (m))

#define assert_not_reached(why) abort()

#endif
