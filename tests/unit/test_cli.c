/* test_cli.c - the pure parts of ctxctl: widths, suggestions, escaping, options, users, ends in
 * words, exit codes. ctxctl is a program and no layer: its files are taken in here. */
#include <sys/stat.h>

/* NOLINTBEGIN(bugprone-suspicious-include) */
#include "cli/bar.c"
#include "cli/conn.c"
#include "cli/exitcode.c"
#include "cli/near.c"
#include "cli/options.c"
#include "cli/out.c"
#include "cli/remote.c"
#include "cli/user.c"
#include "cli/view.c"
#include "cli/width.c"
/* NOLINTEND(bugprone-suspicious-include) */
#include "tap.h"

TEST(width)
{
	is_int(width_of("", 0), 0);
	is_int(width_of("abc", 3), 3);
	is_int(width_of("\xc3\xa4", 2), 1);                 /* a umlaut */
	is_int(width_of("a\xcc\x88", 3), 1);                /* a and a combining diaeresis */
	is_int(width_of("\xe4\xb8\xad\xe6\x96\x87", 6), 4); /* two ideographs */
	is_int(width_of("\xf0\x9f\x98\x80", 4), 2);         /* a face */
	is_int(width_of("\xff\xfe", 2), 2);                 /* no UTF-8 at all */
	is_int(width_prefix("\xe4\xb8\xad\xe6\x96\x87", 6, 3), 3);
	is_int(width_prefix("abc", 3, 2), 2);
	is_int(width_prefix("abc", 3, 9), 3);
}

TEST(width_tables_are_sorted)
{
	for (size_t i = 1; i < ARRAY_SIZE(wide); i++)
		ok(wide[i - 1].last < wide[i].first);
	for (size_t i = 1; i < ARRAY_SIZE(combining); i++)
		ok(combining[i - 1].last < combining[i].first);
}

static const char *
nearest(const char *word)
{
	static const char *const words[] = {"submit", "run",    "list",  "status",
					    "wait",   "cancel", "extend"};
	struct near n;

	near_init(&n, word);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		near_offer(&n, words[i]);
	return n.best;
}

TEST(near)
{
	is_str(nearest("sumbit"), "submit");
	is_str(nearest("lits"), "list");
	is_str(nearest("cancle"), "cancel");
	is_str(nearest("stat"), "status");
	is_str(nearest("prune"), NULL);
	is_str(nearest("x"), NULL);
	is_str(nearest(""), NULL);
	is_str(nearest("a-word-that-is-longer-than-any-command-could-be"), NULL);
}

static const char *
shown(const char *s)
{
	static char text[128];
	struct buf b = {0};

	(void)out_escape(&b, s, strlen(s));
	(void)buf_putc(&b, '\0');
	(void)snprintf(text, sizeof(text), "%s", buf_head(&b));
	buf_done(&b);
	return text;
}

TEST(escape_for_terminals)
{
	is_str(shown("plain 'quoted' \"text\" \\n"), "plain 'quoted' \"text\" \\n");
	is_str(shown("\033[31mred\n\x7f"), "\\x1b[31mred\\n\\x7f");
	is_str(shown("\xc3\xa4\xc2\x9b"), "\xc3\xa4\\u009b"); /* C1 CSI */
	is_str(shown("a\xe2\x80\xae"), "a\\u202e");           /* right-to-left override */
	is_str(shown("\xff"), "\\xff");
}

TEST(spans_for_people)
{
	char b[OUT_SPAN];

	is_str(out_span(0, b), "0s");
	is_str(out_span(999, b), "999us");
	is_str(out_span(250000, b), "250ms");
	is_str(out_span(1500000, b), "1.5s");
	is_str(out_span(59999999, b), "59s");
	is_str(out_span(INT64_C(312) * 1000000, b), "5m12s");
	is_str(out_span(INT64_C(7500) * 1000000, b), "2h05m");
	is_str(out_span(INT64_C(200000) * 1000000, b), "2d07h");
	is_str(out_span(-1500000, b), "-1.5s");
	(void)out_span(INT64_MIN, b);
	is_str(out_bytes(1023, b), "1023 bytes");
	is_str(out_bytes(1536, b), "1.5 KiB");
	is_str(out_bytes(INT64_C(3) << 30, b), "3.0 GiB");
	(void)out_bytes(INT64_MAX, b);
}

static const char *
bar_of(double percent, const char *text, size_t width)
{
	static char line[256];
	struct buf b = {0};

	ok(bar_line(&b, 42, percent, text, width) == 0);
	ok(width_of(buf_head(&b), buf_len(&b)) <= width);
	(void)buf_putc(&b, '\0');
	(void)snprintf(line, sizeof(line), "%s", buf_head(&b));
	buf_done(&b);
	return line;
}

TEST(bars)
{
	is_str(bar_of(0, NULL, 32), "job 42   0% [..................]");
	is_str(bar_of(50, NULL, 32), "job 42  50% [#########.........]");
	is_str(bar_of(100, NULL, 32), "job 42 100% [##################]");
	is_str(bar_of(99.9, "", 32), "job 42  99% [#################.]");
	is_str(bar_of(1000, NULL, 32), "job 42 100% [##################]");
	is_str(bar_of(-1, NULL, 32), "job 42   0% [..................]");
	is_str(bar_of(50, "page 5", 50), "job 42  50% [########........] page 5");
	/* What is narrow has no room for it, then for the text, then for anything. */
	is_str(bar_of(50, "page 5", 20), "job 42  50% page 5");
	is_str(bar_of(50, "page 5", 14), "job 42  50% pa");
	is_str(bar_of(50, "page 5", 3), "job");
	is_str(bar_of(50, "page 5", 0), "");
	/* Never half a character, and nothing that acts on the terminal. */
	is_str(bar_of(50, "\xe4\xb8\xad\xe6\x96\x87", 15), "job 42  50% \xe4\xb8\xad");
	is_str(bar_of(50, "\033[2J", 22), "job 42  50% \\x1b[2J");
}

/* ---- options */

struct values {
	bool flag;
	const char *name, *class_name, *sig;
	struct options_list list;
	int64_t span, max;
	struct options_time time;
	struct options_int number, count;
};
static const struct options_def defs[] = {
	{"flag", 'f', NULL, "", OPTIONS_FLAG, offsetof(struct values, flag)},
	{"name", 'n', "NAME", "", OPTIONS_NAME, offsetof(struct values, name)},
	{"class", 0, "CLASS", "", OPTIONS_CLASS, offsetof(struct values, class_name)},
	{"signal", 0, "SIG", "", OPTIONS_SIGNAL, offsetof(struct values, sig)},
	{"env", 'E', "X", "", OPTIONS_LIST, offsetof(struct values, list)},
	{"span", 0, "DUR", "", OPTIONS_SPAN, offsetof(struct values, span)},
	{"max", 0, "DUR", "", OPTIONS_SPAN_MAX, offsetof(struct values, max)},
	{"time", 0, "TIME", "", OPTIONS_SINCE, offsetof(struct values, time)},
	{"number", 0, "N", "", OPTIONS_INT, offsetof(struct values, number)},
	{"count", 0, "N", "", OPTIONS_COUNT, offsetof(struct values, count)},
};
static const struct options_spec stops = {"", "text", "  example", defs, ARRAY_SIZE(defs), true};
static const struct options_spec permutes = {"",   "text",           "  example",
					     defs, ARRAY_SIZE(defs), false};

/* Words separated by blanks; returns the outcome, *WORDS what is left. What is said goes to
 * /dev/null. */
static int
parse(const struct options_spec *spec, struct cli *cli, const char *line, struct values *v,
      int *words)
{
	static char copy[256];
	char *argv_room[32] = {(char *)(uintptr_t) "test"}, **argv = argv_room;
	int argc = 1, r, err = dup(STDERR_FILENO), null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	need(err >= 0 && null >= 0);
	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *p = copy, *end; *p && argc < 31; p = end) {
		end = p + strcspn(p, " ");
		argv_room[argc++] = p;
		if (*end)
			*end++ = '\0';
	}
	*v = (struct values){.flag = false};
	(void)dup2(null, STDERR_FILENO);
	r = options_parse(cli, spec, v, &argc, &argv);
	(void)dup2(err, STDERR_FILENO);
	(void)close(err);
	(void)close(null);
	*words = argc;
	return r;
}

TEST(options_good)
{
	struct cli cli = {.command = "test"};
	struct values v;
	int words;

	is_int(parse(&stops, &cli,
		     "-f -n job --class=nightly --signal usr1 -E A=1 -E B cmd -x --flag", &v,
		     &words),
	       0);
	ok(v.flag);
	is_str(v.name, "job");
	is_str(v.class_name, "nightly");
	is_str(v.sig, "USR1");
	is_int(v.list.n, 2);
	is_int(words, 3);
	options_list_done(&v.list);
	is_int(parse(&stops, &cli, "-f -- -n", &v, &words), 0);
	is_int(words, 1);
	is_int(parse(&permutes, &cli, "42 --json --span 1h30m --max max 43", &v, &words), 0);
	is_int(words, 2);
	ok(cli.json);
	is_int(v.span, INT64_C(5400) * 1000000);
	ok(v.max == INT64_MAX);
	is_int(parse(&permutes, &cli, "--time @0 --number -5 --count 0", &v, &words), 0);
	ok(v.time.given);
	is_str(v.time.text, "1970-01-01T00:00:00.000000Z");
	is_int(v.number.v, -5);
	ok(v.count.given);
	is_int(parse(&permutes, &cli, "--time 2h", &v, &words), 0);
	ok(v.time.given);
}

TEST(options_bad)
{
	static const char *const lines[] = {
		"--nothing",   "-x",
		"--flag=1",    "--name",
		"--span 0",    "--span -5",
		"--span max",  "--max 1e9",
		"--span 11y",  "--max 3651d",
		"--time soon", "--number 1x",
		"--count -1",  "--count 99999999999999999999",
		"--class A",   "--signal 99",
		"--name \xff", "--class=",
	};
	struct cli cli = {.command = "test"};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct values v;
		int words;

		if (parse(&permutes, &cli, lines[i], &v, &words) != OPTIONS_E_USAGE) {
			printf("# accepted: %s\n", lines[i]);
			tap_failed++;
		}
		options_list_done(&v.list);
	}
}

TEST(options_wrong_ones_do_not_hide_flags)
{
	struct cli cli = {.command = "test"};
	struct values v;
	int words;

	is_int(parse(&stops, &cli, "--nothing -f", &v, &words), OPTIONS_E_USAGE);
	ok(v.flag);
}

/* ---- users */

TEST(users)
{
	static const char text[] =
		"root:x:0:0:root:/root:/bin/sh\nbroken\nx:y\nalice:x:1000:1000::/:\n"
		"big:x:99999999999:1::/:\nnone::\nlast:x:7";
	uint32_t uid = 77;

	is_int(user_in_passwd(text, sizeof(text) - 1, "alice", &uid), 0);
	is_int(uid, 1000);
	is_int(user_in_passwd(text, sizeof(text) - 1, "last", &uid), 0);
	is_int(uid, 7);
	is_int(user_in_passwd(text, sizeof(text) - 1, "big", &uid), USER_E_UNKNOWN);
	is_int(user_in_passwd(text, sizeof(text) - 1, "none", &uid), USER_E_UNKNOWN);
	is_int(user_in_passwd(text, sizeof(text) - 1, "ali", &uid), USER_E_UNKNOWN);
	is_int(user_in_passwd(text, sizeof(text) - 1, "broken", &uid), USER_E_UNKNOWN);
	is_int(user_in_passwd("", 0, "x", &uid), USER_E_UNKNOWN);
	is_int(user_find("1234", &uid), 0);
	is_int(uid, 1234);
	is_int(user_find("root", &uid), 0);
	is_int(uid, 0);
	is_int(user_find("", &uid), USER_E_UNKNOWN);
	is_int(user_find("4294967295", &uid), USER_E_UNKNOWN);
	is_int(user_find("no-such-user-anywhere", &uid), USER_E_UNKNOWN);
}

/* ---- jobs */

static const char *
end_of(const char *json, int *code)
{
	static char text[256];
	json_t *job = json_loads(json, 0, NULL);
	struct buf b = {0};
	struct view v;

	need(job && view_read(job, &v) == 0);
	*code = view_exit_code(&v);
	(void)view_end(&v, &b);
	(void)buf_putc(&b, '\0');
	(void)snprintf(text, sizeof(text), "%s", buf_head(&b));
	buf_done(&b);
	json_decref(job);
	return text;
}

TEST(ends)
{
	int code;

	is_str(end_of("{\"id\":1,\"state\":\"succeeded\",\"exit_code\":0}", &code), "exit 0");
	is_int(code, 0);
	is_str(end_of("{\"id\":1,\"state\":\"failed\",\"exit_code\":3}", &code), "exit 3");
	is_int(code, 3);
	is_str(end_of("{\"id\":1,\"state\":\"failed\",\"exit_code\":null,\"signal\":9,\"cause\":"
		      "\"killed\"}",
		      &code),
	       "killed by signal 9 (KILL)");
	is_int(code, 137);
	is_str(end_of("{\"id\":1,\"state\":\"failed\",\"exit_code\":127,\"cause_code\":\"exec\","
		      "\"cause\":\"cannot execute x\\u001b\"}",
		      &code),
	       "cannot execute x\\x1b");
	is_int(code, 127);
	is_str(end_of("{\"id\":1,\"state\":\"canceled\",\"signal\":15,\"cause\":\"no more\"}",
		      &code),
	       "canceled: no more");
	is_int(code, 122);
	is_str(end_of("{\"id\":1,\"state\":\"interrupted\",\"cause\":\"reboot\"}", &code),
	       "interrupted, how it ended is not known: reboot");
	is_int(code, 123);
	is_str(end_of("{\"id\":1,\"state\":\"deadline_exceeded\",\"timeout_requested_usec\":"
		      "3600000000,\"timeout_usec\":600000000,"
		      "\"deadline_rule\":\"class_max\",\"started_at\":\"2026-11-21T03:00:00."
		      "000000Z\"}",
		      &code),
	       "deadline exceeded: asked 1h, granted 10m (rule class_max)");
	is_int(code, 124);
	is_str(end_of("{\"id\":1,\"state\":\"running\"}", &code), "running");
	is_int(code, 125);
	is_str(end_of("{\"id\":1,\"kind\":\"scope\",\"state\":\"closed\"}", &code), "closed");
	is_int(code, 0);
	is_str(end_of("{\"id\":1,\"kind\":\"scope\",\"state\":\"closed\",\"cause\":\"over\"}",
		      &code),
	       "closed: over");
	is_str(end_of("{\"id\":1,\"kind\":\"scope\",\"state\":\"open\"}", &code), "open");
	is_int(code, 125);
	is_str(end_of("{\"id\":1,\"kind\":\"scope\",\"state\":\"deadline_exceeded\","
		      "\"timeout_usec\":600000000,\"deadline_rule\":\"inherited\"}",
		      &code),
	       "deadline exceeded: granted 10m (rule inherited)");
	is_str(end_of("{\"id\":1,\"state\":\"of\\na later version\"}", &code),
	       "of\\na later version");
	is_int(code, 125);
}

TEST(no_job)
{
	static const char *const texts[] = {"[]",
					    "{}",
					    "{\"id\":1}",
					    "{\"id\":0,\"state\":\"queued\"}",
					    "{\"id\":\"1\",\"state\":\"queued\"}",
					    "{\"id\":1,\"state\":null}"};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		json_t *job = json_loads(texts[i], 0, NULL);
		struct view v;

		ok(view_read(job, &v) < 0);
		json_decref(job);
	}
}

/* ---- the manual */

/* The text of `.It CODE` in the page, its lines joined. */
static bool
documented(const char *page, int code, char *text, size_t size)
{
	char head[16];
	const char *p;
	size_t n = 0;

	(void)snprintf(head, sizeof(head), "\n.It %d\n", code);
	p = strstr(page, ".Sh EXIT STATUS");
	p = p ? strstr(p, head) : NULL;
	if (!p)
		return false;
	for (p += strlen(head); *p && *p != '.' && n + 1 < size;) {
		size_t len = strcspn(p, "\n");

		n += (size_t)snprintf(text + n, size - n, "%s%.*s", n ? " " : "", (int)len, p);
		p += len + (p[len] != '\0');
	}
	return true;
}

TEST(manual_has_the_exit_codes)
{
	static char page[64 << 10];
	ssize_t n = file_read_at(AT_FDCWD, "man/ctxctl.1", page, sizeof(page) - 1);

	need(n > 0);
	page[n] = '\0';
	for (size_t i = 0; i < exitcode_n; i++) {
		char text[256] = "";

		ok(documented(page, exitcode_table[i].code, text, sizeof(text)));
		is_str(text, exitcode_table[i].text);
	}
}

TEST(failures_have_exit_codes)
{
	is_int(exitcode_of_failure(CTXD_E_UNREACHABLE, false), 5);
	is_int(exitcode_of_failure(CTXD_E_NO_SUCH_JOB, false), 3);
	is_int(exitcode_of_failure(CTXD_E_NOT_PERMITTED, false), 4);
	is_int(exitcode_of_failure(CTXD_E_QUEUE_FULL, false), 7);
	is_int(exitcode_of_failure(CTXD_E_KEY_CONFLICT, false), 6);
	is_int(exitcode_of_failure(CTXD_E_INVALID_ARGUMENT, false), 2);
	for (int e = CTXD_E_UNREACHABLE; e <= CTXD_E_REMOTE; e++)
		is_int(exitcode_of_failure((enum ctxd_error)e, true), 125);
}
