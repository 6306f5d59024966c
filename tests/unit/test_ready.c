/* test_ready.c - base/ready.h */
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/ready.h"
#include "tap.h"

TEST(as_poll)
{
	struct pollfd p[2] = {{.fd = -1, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
	int fds[2];

	need(pipe(fds) == 0);
	p[1].fd = fds[0];
	is_int(ready_poll(p, 2, 0), 0);
	is_int(p[1].revents, 0);
	need(write(fds[1], "x", 1) == 1);
	is_int(ready_poll(p, 2, -1), 1);
	is_int(p[0].revents, 0);
	is_int(p[1].revents, POLLIN);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

/* Valgrind keeps this limit to itself: the kernel has another one. */
static bool
limit_is_emulated(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload && strstr(preload, "vgpreload");
}

TEST(fewer_descriptors_allowed_than_waited_for)
{
	struct pollfd p[3] = {{.fd = -1, .events = POLLIN},
			      {.fd = 0, .events = POLLIN},
			      {.fd = 1, .events = POLLOUT}};
	struct rlimit was, none;

	need(getrlimit(RLIMIT_NOFILE, &was) == 0);
	none = (struct rlimit){0, was.rlim_max};
	need(setrlimit(RLIMIT_NOFILE, &none) == 0);
	if (!limit_is_emulated())
		is_int(poll(p, 3, 0) < 0 ? errno : 0, EINVAL);
	/* For ever, for long, and not at all: it always comes back, and says that all may be ready.
	 */
	is_int(ready_poll(p, 3, -1), 2);
	is_int(p[0].revents, 0);
	is_int(p[1].revents, POLLIN);
	is_int(p[2].revents, POLLOUT);
	p[1].revents = p[2].revents = 0;
	is_int(ready_poll(p, 3, 1000000), 2);
	is_int(p[1].revents, POLLIN);
	is_int(ready_poll(p, 3, 0), 2);
	need(setrlimit(RLIMIT_NOFILE, &was) == 0);
}
