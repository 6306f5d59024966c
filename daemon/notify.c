/* notify.c - the notify protocol, see notify.h. */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "notify.h"

static struct sockaddr_un manager;
static socklen_t manager_len;
static uint64_t watchdog_usec;

static void
take_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t v, p;

	if (usec && text_u64(usec, &v) == 0 &&
	    (!pid || (text_u64(pid, &p) == 0 && p == (uint64_t)getpid())))
		watchdog_usec = v;
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
}

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;

	take_watchdog();
	if (n > 1 && n < sizeof(manager.sun_path) && (path[0] == '/' || path[0] == '@')) {
		manager.sun_family = AF_UNIX;
		memcpy(manager.sun_path, path, n);
		if (path[0] == '@')
			manager.sun_path[0] = '\0';
		manager_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	}
	(void)unsetenv("NOTIFY_SOCKET");
}

void
notify_send(const char *state)
{
	_close_ int fd = -1;

	if (manager_len == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL,
			     (const struct sockaddr *)&manager, manager_len) < 0)
		log_debug("tell the service manager: %s", strerror(errno));
}

void
notify_reloading(void)
{
	struct timespec ts = {0};
	char text[80];

	/* Which reload it was, if several are asked for in a row. */
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	(void)snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64,
		       (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000);
	notify_send(text);
}

void
notify_reloaded(const char *status, const char *reason)
{
	char line[512], text[600];

	/* A line ends an assignment: what was read from files must not begin another. */
	(void)snprintf(line, sizeof(line), "%s%s%s", status, reason ? ": " : "",
		       reason ? reason : "");
	for (char *p = line; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
	(void)snprintf(text, sizeof(text), "READY=1\nSTATUS=%s", line);
	notify_send(text);
}

uint64_t
notify_watchdog_usec(void)
{
	return watchdog_usec;
}
