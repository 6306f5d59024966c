/* stamp.c - a job that says when things happened to it (wall clock, nanoseconds, on stdout).
 *
 *   stamp term       wait for SIGTERM, print the time at which it came, exit 0
 *   stamp after MS   wait so long, print the time, exit 0 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int
main(int argc, char **argv)
{
	struct timespec t;
	sigset_t s;
	int sig;

	(void)sigemptyset(&s);
	(void)sigaddset(&s, SIGTERM);
	(void)sigprocmask(SIG_BLOCK, &s, NULL);
	if (argc == 2 && strcmp(argv[1], "term") == 0) {
		if (sigwait(&s, &sig) != 0)
			return 1;
	} else if (argc == 3 && strcmp(argv[1], "after") == 0) {
		long ms = atol(argv[2]);
		struct timespec d = {ms / 1000, ms % 1000 * 1000000};

		(void)nanosleep(&d, NULL);
	} else {
		return 2;
	}
	(void)clock_gettime(CLOCK_REALTIME, &t);
	return printf("%lld\n", (long long)t.tv_sec * 1000000000 + t.tv_nsec) < 0;
}
