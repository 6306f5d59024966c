/* floor.c - what the machine can do at best, to divide our own numbers by.
 *
 *   floor rate N K CMD…   run CMD N times, K in flight: {"per_s": …}
 *   floor time N CMD…     wall time of CMD, N times one after another: {"med_us": …, "p99_us": …};
 * {} in an argument = number
 *
 * posix_spawn only: never a fork of something big. Output of CMD goes to /dev/null. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

static posix_spawn_file_actions_t quiet;

static void
launch(char **argv)
{
	pid_t pid;

	if (posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ) != 0)
		die(argv[0]);
}

static int
reap(void)
{
	int status;

	if (wait(&status) < 0)
		die("wait");
	return status;
}

static int
rate(long n, long k, char **argv)
{
	long started = 0, ended = 0, bad = 0;
	double t = now();

	while (ended < n) {
		for (; started < n && started - ended < k; started++)
			launch(argv);
		bad += reap() != 0;
		ended++;
	}
	(void)printf("{\"per_s\": %.1f, \"bad\": %ld}\n", (double)n / (now() - t), bad);
	return 0;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int
times(long n, int argc, char **argv)
{
	double *v = calloc((size_t)n, sizeof(*v));
	char **args = calloc((size_t)argc + 1, sizeof(*args));
	char number[32];
	long bad = 0;

	if (!v || !args)
		die("memory");
	for (long i = 0; i < n; i++) {
		double t;

		(void)snprintf(number, sizeof(number), "%ld", i);
		for (int a = 0; a < argc; a++)
			args[a] = strcmp(argv[a], "{}") == 0 ? number : argv[a];
		t = now();
		launch(args);
		bad += reap() != 0;
		v[i] = (now() - t) * 1e6;
	}
	qsort(v, (size_t)n, sizeof(*v), by_value);
	(void)printf("{\"med_us\": %.1f, \"p99_us\": %.1f, \"min_us\": %.1f, \"bad\": %ld}\n",
		     v[n / 2], v[n * 99 / 100], v[0], bad);
	return 0;
}

int
main(int argc, char **argv)
{
	if (posix_spawn_file_actions_init(&quiet) != 0 ||
	    posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0) != 0)
		die("spawn actions");
	if (argc > 4 && strcmp(argv[1], "rate") == 0)
		return rate(atol(argv[2]), atol(argv[3]), argv + 4);
	if (argc > 3 && strcmp(argv[1], "time") == 0)
		return times(atol(argv[2]), argc - 3, argv + 3);
	(void)fprintf(stderr, "usage: floor rate N K CMD… | floor time N CMD…\n");
	return 2;
}
