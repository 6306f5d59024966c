/* harness.h - what the fuzzers of sockets and run directories share: an input that is read as a
 * list of steps, a directory that is emptied between two inputs, descriptors that must not leak,
 * and a log that is formatted and not written (the Makefile wraps log_* for them). */
#ifndef CTX_TESTS_FUZZ_HARNESS_H
#define CTX_TESTS_FUZZ_HARNESS_H

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sock.h"
#include "record/frame.h"

enum { HARNESS_FDS = 256 };

/* Of the input that is left; never owned. */
struct input {
	const uint8_t *p;
	size_t n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next byte; 0 at the end. */
static inline uint8_t
input_byte(struct input *in)
{
	if (in->n == 0)
		return 0;
	in->n--;
	return *in->p++;
}

/* At most N bytes; how many there were. */
static inline size_t
input_bytes(struct input *in, size_t n, const uint8_t **ret)
{
	if (n > in->n)
		n = in->n;
	*ret = in->p;
	in->p += n;
	in->n -= n;
	return n;
}

/* A frame with a true head, and as many bytes behind it as the input says: type, id (of 4), attempt
 * (of 3), length, bytes. What is missing is 0. Its size. */
static inline size_t
input_frame(struct input *in, void *buf, size_t size)
{
	enum frame_type type = (enum frame_type)input_byte(in);
	uint8_t who = input_byte(in);
	size_t n = input_byte(in) * (who & 0x80 ? 16u : 1u), got;
	const uint8_t *p;

	if (n > size - sizeof(struct frame_head))
		n = size - sizeof(struct frame_head);
	frame_init(buf, type, who & 3, (who >> 2) % 3, sizeof(struct frame_head) + n);
	got = input_bytes(in, n, &p);
	if (got)
		memcpy((char *)buf + sizeof(struct frame_head), p, got);
	return sizeof(struct frame_head) + n;
}

static inline size_t
harness_fds(void)
{
	size_t n = 0;

	for (int fd = 0; fd < HARNESS_FDS; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static char harness_path[128];

static void
harness_remove(void)
{
	(void)rmdir(harness_path);
}

/* A directory of this process, in TMPDIR; its path. */
static inline const char *
harness_dir(void)
{
	const char *tmp = getenv("TMPDIR");

	if (*harness_path)
		return harness_path;
	(void)snprintf(harness_path, sizeof(harness_path), "%s/ctx-fuzz.XXXXXX",
		       tmp ? tmp : "/tmp");
	assert(mkdtemp(harness_path));
	(void)atexit(harness_remove);
	return harness_path;
}

static int
harness_unlink(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	if (at->level > 0)
		assert((type == FTW_DP ? rmdir(path) : unlink(path)) == 0);
	return 0;
}

static inline void
harness_empty(void)
{
	assert(nftw(harness_dir(), harness_unlink, 16, FTW_DEPTH | FTW_PHYS) == 0);
}

static inline int
harness_memfd(const void *p, size_t n, unsigned seals)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert(fd >= 0 && write(fd, p, n) == (ssize_t)n);
	assert(fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

/* What the other side was told: each message a frame as it should be. ON_FRAME is told of it, and
 * may take descriptors (-1 in their place). False: it has closed. */
static inline bool
harness_told(int fd, void (*on_frame)(void *arg, const struct frame_head *h, int *fds, size_t n),
	     void *arg)
{
	static _Alignas(uint64_t) char buf[FRAME_MAX];

	for (;;) {
		int fds[SOCK_MAX_FDS];
		size_t n_fds = ARRAY_SIZE(fds);
		ssize_t n = sock_recv(fd, buf, sizeof(buf), fds, &n_fds);

		if (n == -ECONNRESET)
			continue;
		if (n <= 0)
			return n == -EAGAIN;
		assert(frame_check(buf, (size_t)n) == 0);
		on_frame(arg, (const struct frame_head *)(const void *)buf, fds, n_fds);
		for (size_t i = 0; i < n_fds; i++)
			if (fds[i] >= 0)
				(void)close(fds[i]);
	}
}

#define HARNESS_LOG(name)                                                                          \
	void __wrap_##name(const char *fmt, ...) __attribute__((format(printf, 1, 2)));            \
	void __wrap_##name(const char *fmt, ...)                                                   \
	{                                                                                          \
		char line[1024];                                                                   \
		va_list ap;                                                                        \
                                                                                                   \
		va_start(ap, fmt);                                                                 \
		(void)vsnprintf(line, sizeof(line), fmt, ap);                                      \
		va_end(ap);                                                                        \
	}
HARNESS_LOG(log_err)
HARNESS_LOG(log_warn)
HARNESS_LOG(log_info)
HARNESS_LOG(log_debug)

#endif
