/* detach.c - libctxd in one file: hand a command over, and wait for jobs in an event loop.
 *
 *   cc detach.c $(pkg-config --cflags --libs libctxd) -o detach
 *
 *   ./detach KEY COMMAND [ARGUMENT...]   starts COMMAND once for KEY, prints the job's id, and
 * goes: the job stays
 *   ./detach --wait ID...                waits for the ends of jobs without blocking, and prints
 * them as they come
 */
#include <ctxd/client.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
fail(const struct ctxd_failure *f)
{
	fprintf(stderr, "detach: %s\n", f->text);
	return 1;
}

/* Blocking: one call, one answer. */
static int
detach(struct ctxd_client *c, const char *key, char **command)
{
	const char *trace = getenv("TRACEPARENT"), *path = getenv("PATH");
	json_t *argv = json_array(), *params, *reply;
	struct ctxd_failure f;

	for (; *command; command++)
		json_array_append_new(argv, json_string(*command));
	/* "s*" leaves a member out whose value is NULL. */
	params = json_pack("{s:o, s:s, s:s, s:s*, s:{s:s}, s:{s:s}}", "argv", argv, "cwd", "/",
			   "key", key, "traceparent", trace, "env", "PATH",
			   path ? path : "/usr/bin:/bin", "values", "started_by", "detach.c");
	if (ctxd_call(c, "Submit", params, &reply, &f) < 0)
		return fail(&f);
	printf("%lld%s\n",
	       (long long)json_integer_value(json_object_get(json_object_get(reply, "job"), "id")),
	       json_is_true(json_object_get(reply, "created")) ? "" : " (was there already)");
	json_decref(reply);
	return 0;
}

/* What came so far. 0, -1 on failure. *LEFT is cleared with the last reply. */
static int
take(struct ctxd_client *c, bool *left)
{
	struct ctxd_failure f;
	json_t *reply, *job;
	size_t i;
	int r;

	while ((r = ctxd_poll(c, &reply, left, &f)) == 0) {
		json_array_foreach (json_object_get(reply, "jobs"), i, job)
			printf("%lld %s\n",
			       (long long)json_integer_value(json_object_get(job, "id")),
			       json_string_value(json_object_get(job, "state")));
		fflush(stdout);
		json_decref(reply);
		if (!*left)
			return 0;
	}
	return r < 0 ? -fail(&f) : 0;
}

/* For an event loop: nothing waits but poll, which may watch whatever else the program has. */
static int
wait_for(struct ctxd_client *c, char **ids)
{
	json_t *list = json_array();
	struct ctxd_failure f;
	bool left = true;

	for (; *ids; ids++)
		json_array_append_new(list, json_integer(strtoll(*ids, NULL, 10)));
	if (ctxd_queue(c, "Wait", json_pack("{s:o}", "ids", list), CTXD_CALL_MORE, &f) < 0)
		return fail(&f);
	while (left) {
		struct pollfd p = {.fd = ctxd_fd(c), .events = ctxd_events(c)};

		if (poll(&p, 1, -1) < 0)
			continue;
		if (p.revents & POLLOUT && ctxd_flush(c, &f) < 0)
			return fail(&f);
		if (p.revents & ~POLLOUT && take(c, &left) < 0)
			return 1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct ctxd_client *c;
	struct ctxd_failure f;
	int r;

	if (argc < 3) {
		fprintf(stderr,
			"usage: detach KEY COMMAND [ARGUMENT...]\n       detach --wait ID...\n");
		return 2;
	}
	if (ctxd_open_default(NULL, 0, &c, &f) < 0)
		return fail(&f);
	r = strcmp(argv[1], "--wait") == 0 ? wait_for(c, argv + 2) : detach(c, argv[1], argv + 2);
	ctxd_close(c);
	return r;
}
