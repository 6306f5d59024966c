/* cmd_wait.c - wait for jobs to end, and exit as they did. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/follow.h"
#include "cli/options.h"
#include "cli/out.h"
#include "cli/view.h"

struct options {
	bool any;
	int64_t timeout;
};
static const struct options_def defs[] = {
	{"any", 0, NULL, "until one of them has ended; its id is printed", OPTIONS_FLAG,
	 offsetof(struct options, any)},
	{"timeout", 't', "DUR", "wait at most this long, then exit 125; the jobs go on",
	 OPTIONS_SPAN, offsetof(struct options, timeout)},
};
static const struct options_spec spec = {
	"[OPTIONS] ID...",
	"Wait for the end of jobs, and exit as they did: 0, or the first code that is not, in the "
	"order of\n"
	"the arguments (with --any: that of the job that has ended). How a job ended is said on "
	"stderr\n"
	"unless its exit code says it all; --json prints an array of the ended jobs.\n"
	"Exit code: the command's own; 128+N: killed by signal N; 122 canceled; 123 interrupted;\n"
	"124 deadline exceeded; 125 ctxctl or ctxd failed, or the time to wait is over.",
	"  ctxctl wait 42\n"
	"  ctxctl wait --timeout 30s 42 43 || echo $?",
	defs,
	ARRAY_SIZE(defs),
	false,
};

/* Each id once, in order. Sorting would be quicker for very many, but the order counts. */
static size_t
unique(uint64_t *ids, size_t n)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < kept && ids[k] != ids[i])
			k++;
		if (k == kept)
			ids[kept++] = ids[i];
	}
	return kept;
}

static void
on_end(struct follow *f, const struct view *v)
{
	(void)f;
	view_say_end(v);
}

static void
print(const struct follow *f)
{
	bool first = true;

	if (!f->cli->json) {
		for (size_t i = 0; i < f->n && f->any; i++)
			if (f->jobs[i])
				out_printf("%" PRIu64 "\n", f->ids[i]);
		return;
	}
	out_puts("[");
	for (size_t i = 0; i < f->n; i++) {
		if (!f->jobs[i])
			continue;
		out_puts(first ? "\n" : ",\n");
		first = false;
		out_json(f->jobs[i]);
	}
	out_puts("\n]\n");
}

static void
say_timeout(const struct follow *f)
{
	_cleanup_(buf_done) struct buf b = {0};
	char span[CLOCK_TEXT];
	size_t left = 0;

	for (size_t i = 0; i < f->n; i++)
		if (!f->jobs[i] && ++left <= 20)
			(void)buf_printf(&b, " %" PRIu64, f->ids[i]);
	if (left > 20)
		(void)buf_puts(&b, " ...");
	if (buf_putc(&b, '\0') == 0)
		out_error("after %s %zu of %zu job%s not ended:%s",
			  dur_format(dur_usec(f->timeout), span, sizeof(span)), left, f->n,
			  f->n == 1 ? " has" : "s have", buf_head(&b));
}

static int
wait_for(struct cli *cli, const struct options *o, const uint64_t *ids, size_t n)
{
	_cleanup_(follow_done) struct follow f = {
		.cli = cli,
		.ids = ids,
		.n = n,
		.end = true,
		.any = o->any,
		.timeout = o->timeout,
		.on_end = on_end,
		.tail = -1,
		.bar = n == 1,
	};
	int r;

	if (o->any && n > FOLLOW_ANY_MAX)
		return options_wrong(cli, "--any waits for at most %d jobs", FOLLOW_ANY_MAX);
	r = follow(&f);
	if (r == FOLLOW_E_GIVEN_UP)
		return f.exit;
	print(&f);
	if (r == FOLLOW_E_TIMEOUT) {
		say_timeout(&f);
		return EXITCODE_OURS;
	}
	return follow_exit(&f);
}

int
cmd_wait(struct cli *cli, int argc, char **argv)
{
	_free_ uint64_t *ids = NULL;
	struct options o = {.any = false};
	size_t n = 0;
	int r;

	cli->as_job = true;
	r = options_parse(cli, &spec, &o, &argc, &argv);
	if (r)
		return options_exit(cli, r);
	r = options_ids(cli, argc, argv, &ids, &n);
	return r ? r : wait_for(cli, &o, ids, unique(ids, n));
}
