/* submission.c - the call made of the options of `submit` and `run` and of the command. What it
 * takes from where it is made: submission_place.c; how it gets to ctxd: submission_send.c.
 *
 * JSON is UTF-8: an argument that is not cannot be sent, and is refused with its position rather
 * than changed. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/out.h"
#include "cli/submission.h"

void
submission_done(struct submission *s)
{
	context_done(&s->context);
	options_list_done(&s->env);
	options_list_done(&s->after);
	input_done(&s->input);
	json_decref(s->params);
	s->params = NULL;
}

static int
failed(const struct cli *cli)
{
	return cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED;
}

/* ---- the command */

/* AT 0 is the command itself. */
static int
add_arg(const struct cli *cli, struct submission *s, json_t *out, const char *arg, size_t at)
{
	size_t n = strlen(arg), bad;

	if (!text_utf8_valid(arg, n, &bad)) {
		char place[64] = "the command";

		if (at > 0)
			(void)snprintf(place, sizeof(place), "argument %zu", at);
		return options_wrong(cli, "%s is not UTF-8 (byte %zu) and cannot be sent", place,
				     bad + 1);
	}
	s->bytes += n + 3;
	return json_array_append_new(out, json_stringn_nocheck(arg, n)) < 0 ? conn_no_memory(cli)
									    : 0;
}

static int
add_shell(const struct cli *cli, struct submission *s, json_t *out, bool more)
{
	const char *const words[] = {"/bin/sh", "-c", s->shell, more ? "sh" : NULL};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(words) && words[i] && r == 0; i++)
		r = add_arg(cli, s, out, words[i], i);
	return r;
}

static int
add_argv(const struct cli *cli, struct submission *s, int argc, char **argv, json_t *params)
{
	json_t *out = json_array();
	int r = 0;

	if (json_object_set_new_nocheck(params, "argv", out) < 0)
		return conn_no_memory(cli);
	if (!s->shell && argc == 0)
		return options_wrong(cli, "which command?");
	if (!s->shell && !*argv[0])
		return options_wrong(cli, "the command is empty");
	if (s->shell)
		r = add_shell(cli, s, out, argc > 0);
	for (int i = 0; i < argc && r == 0; i++)
		r = add_arg(cli, s, out, argv[i], (size_t)i + (s->shell ? 1 : 0));
	return r;
}

/* ---- the rest */

/* Of this call only: the time in front, so that keys of one moment lie together in an index. */
static int
make_key(const struct cli *cli, char key[static SUBMISSION_KEY])
{
	uint8_t random[10];
	int n = snprintf(key, SUBMISSION_KEY, "~%012" PRIx64,
			 (uint64_t)(wall_to_usec(wall_now()) / 1000));

	if (getrandom(random, sizeof(random), 0) != sizeof(random)) {
		out_error("no random numbers: %s", strerror(errno));
		return failed(cli);
	}
	for (size_t i = 0; i < sizeof(random); i++)
		n += snprintf(key + n, SUBMISSION_KEY - (size_t)n, "%02x", random[i]);
	return 0;
}

static int
add_string(const struct cli *cli, struct submission *s, json_t *params, const char *key,
	   const char *value)
{
	if (!value)
		return 0;
	s->bytes += strlen(value);
	return json_object_set_new_nocheck(params, key, json_string_nocheck(value)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

static int
add_key(const struct cli *cli, struct submission *s, json_t *params)
{
	static const char *const ways[] = {"return", "retry", "fail"};
	char text[80];
	size_t i = 0;
	int r;

	if (!s->key) {
		r = s->if_exists ? options_wrong(cli, "--if-exists needs --key")
				 : make_key(cli, s->own_key);
		return r ? r : add_string(cli, s, params, "key", s->own_key);
	}
	if (s->key[0] == '~')
		return options_wrong(
			cli,
			"--key: a key that begins with ~ is one that is never shown; take another");
	while (s->if_exists && i < ARRAY_SIZE(ways) && strcmp(s->if_exists, ways[i]) != 0)
		i++;
	if (i == ARRAY_SIZE(ways))
		return options_wrong(cli, "--if-exists: '%s' is none of return, retry, fail",
				     text_escape(s->if_exists, text, sizeof(text)));
	r = add_string(cli, s, params, "key", s->key);
	return r ? r : add_string(cli, s, params, "if_exists", s->if_exists);
}

static int
add_int(const struct cli *cli, json_t *params, const char *key, bool given, int64_t v)
{
	return given && json_object_set_new_nocheck(params, key, json_integer(v)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

/* DUR[:SIG] */
static int
add_warn(const struct cli *cli, struct submission *s, json_t *params)
{
	size_t n = s->warn ? strcspn(s->warn, ":") : 0;
	_free_ char *span = NULL;
	const char *why;
	char text[80], name[16];
	struct dur d;
	int sig, r;

	if (!s->warn)
		return 0;
	span = strndup(s->warn, n);
	if (!span)
		return conn_no_memory(cli);
	text_escape(s->warn, text, sizeof(text));
	if (dur_parse(span, &d, &why) < 0)
		return options_wrong(cli, "--warn: '%s' is not accepted: %s (30s, 5m:USR2)", text,
				     why);
	r = add_int(cli, params, "warn_usec", true, dur_to_usec(d));
	if (r || s->warn[n] == '\0')
		return r;
	if (text_signal(s->warn + n + 1, &sig) < 0)
		return options_wrong(cli, "--warn: '%s': behind the colon is no signal (30s:USR1)",
				     text);
	return add_string(cli, s, params, "warn_signal", text_signal_name(sig, name, sizeof(name)));
}

static int
add_flag(const struct cli *cli, json_t *params, const char *key, bool on)
{
	return on && json_object_set_new_nocheck(params, key, json_true()) < 0 ? conn_no_memory(cli)
									       : 0;
}

/* --at, or --in from now. */
static int
add_start(const struct cli *cli, struct submission *s, json_t *params)
{
	char text[CLOCK_TEXT];

	if (s->at.given && s->delay)
		return options_wrong(cli, "either --at or --in");
	if (s->at.given)
		return add_string(cli, s, params, "not_before", s->at.text);
	if (!s->delay)
		return 0;
	return add_string(
		cli, s, params, "not_before",
		wall_format(wall_add(wall_now(), dur_usec(s->delay)), text, sizeof(text)));
}

static int
add_after(const struct cli *cli, struct submission *s, json_t *params)
{
	json_t *list;

	if (s->after.n == 0)
		return 0;
	list = json_array();
	for (size_t i = 0; i < s->after.n; i++) {
		s->bytes += strlen(s->after.v[i]);
		if (json_array_append_new(list, json_string(s->after.v[i])) < 0) {
			json_decref(list);
			return options_wrong(cli, "--after: not UTF-8");
		}
	}
	return json_object_set_new_nocheck(params, "after", list) < 0 ? conn_no_memory(cli) : 0;
}

static int
add_options(const struct cli *cli, struct submission *s, json_t *params)
{
	int r = add_key(cli, s, params);

	if (r == 0)
		r = add_string(cli, s, params, "stop_signal", s->signal);
	if (r == 0)
		r = add_string(cli, s, params, "user", s->as);
	if (r == 0)
		r = add_int(cli, params, "grace_usec", s->grace, s->grace);
	if (r == 0)
		r = add_int(cli, params, "priority", s->priority.given, s->priority.v);
	if (r == 0)
		r = add_int(cli, params, "watchdog_usec", s->watchdog, s->watchdog);
	if (r == 0 && s->backoff && !s->retries.given)
		return options_wrong(cli, "--backoff needs --retries");
	if (r == 0)
		r = add_int(cli, params, "retries", s->retries.given, s->retries.v);
	if (r == 0)
		r = add_int(cli, params, "backoff_usec", s->backoff, s->backoff);
	if (r == 0)
		r = add_warn(cli, s, params);
	if (r == 0)
		r = add_start(cli, s, params);
	if (r == 0)
		r = add_after(cli, s, params);
	if (r == 0)
		r = add_flag(cli, params, "split_output", s->split_output);
	return r ? r : add_flag(cli, params, "bound", s->bound);
}

int
submission_prepare(const struct cli *cli, struct submission *s, int argc, char **argv)
{
	json_t *params = s->params = json_object();
	int r;

	if (!params)
		return conn_no_memory(cli);
	r = add_argv(cli, s, argc, argv, params);
	if (r == 0)
		r = context_params(cli, &s->context, params);
	if (r == 0)
		r = add_options(cli, s, params);
	if (r == 0)
		r = submission_place(cli, s, params);
	if (r == 0 && s->in)
		r = input_open(cli, s->in, &s->input);
	s->bytes += s->context.bytes;
	return r;
}
