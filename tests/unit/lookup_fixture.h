/* lookup_fixture.h - a name service that is a shell script, and a loop that waits for its answers.
 */
#ifndef CTX_TESTS_LOOKUP_FIXTURE_H
#define CTX_TESTS_LOOKUP_FIXTURE_H

#include <ev.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/lookup.h"
#include "api/user.h"
#include "base/clock.h"
#include "tap.h"
#include "tmpdir.h"

static char program[64]; /* the script */
static struct lookup_table *lookups;
static int told; /* how many of who waited were */

/* The name service says what the shell command BODY does. */
static void
script(const char *body)
{
	FILE *f;

	(void)snprintf(program, sizeof(program), "%s/lookup", dir_path);
	(void)unlink(program);
	f = fopen(program, "we");
	need(f != NULL);
	need(fprintf(f, "#!/bin/sh\n%s\n", body) > 0);
	need(fchmod(fileno(f), 0700) == 0 && fclose(f) == 0);
}

static void
on_ready(struct user_wait *w)
{
	(void)w;
	told++;
}

/* Run the loop until N were told. */
static void
run_until(int n)
{
	struct mono end = mono_add(mono_now(), dur_sec(60));

	while (told < n && mono_now().ns < end.ns)
		ev_run(ev_default_loop(0), EVRUN_ONCE);
	is_int(told, n);
}

#endif
