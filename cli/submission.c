/* submission.c - the call made of the options of `submit` and `run` and of the command. How it gets
 * to ctxd: submission_send.c.
 *
 * JSON is UTF-8: an argument that is not cannot be sent, and is refused with its position rather
 * than changed. Variables of the environment that are not are left out with a warning. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/out.h"
#include "cli/submission.h"

extern char **environ;

void
submission_done(struct submission *s)
{
	context_done(&s->context);
	options_list_done(&s->env);
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

/* ---- where */

static int
add_cwd(const struct cli *cli, struct submission *s, json_t *params)
{
	_free_ char *here = NULL, *joined = NULL;
	const char *cwd = s->chdir;

	if (!cwd || cwd[0] != '/') {
		here = getcwd(NULL, 0);
		if (!here || here[0] != '/') {
			out_error("the current directory cannot be named (%s); say where to run: "
				  "-C DIR",
				  here ? "it is out of reach" : strerror(errno));
			return failed(cli);
		}
		if (cwd)
			joined = text_format("%s/%s", strcmp(here, "/") == 0 ? "" : here, cwd);
		if (cwd && !joined)
			return conn_no_memory(cli);
		cwd = cwd ? joined : here;
	}
	if (!text_utf8_valid(cwd, strlen(cwd), NULL)) {
		out_error("the path of the directory is not UTF-8 and cannot be sent; say where to "
			  "run: -C DIR");
		return failed(cli);
	}
	s->bytes += strlen(cwd);
	return json_object_set_new_nocheck(params, "cwd", json_string_nocheck(cwd)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

static int
add_umask(const struct cli *cli, json_t *params)
{
	mode_t mask = umask(0);

	(void)umask(mask);
	return json_object_set_new_nocheck(params, "umask", json_integer(mask)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

/* ---- the environment */

struct env {
	const struct cli *cli;
	struct submission *s;
	json_t *out;
	size_t dropped;
	const char *first; /* of the dropped */
};

static int
env_put(struct env *e, const char *name, size_t n, const char *value)
{
	e->s->bytes += n + strlen(value) + 6;
	return json_object_setn_new_nocheck(e->out, name, n, json_string_nocheck(value)) < 0
		       ? conn_no_memory(e->cli)
		       : 0;
}

/* ENTRY as it is in an environment. */
static int
env_take(struct env *e, const char *entry)
{
	size_t len = strlen(entry), n = strcspn(entry, "=");

	if (n == 0 || n == len || !text_utf8_valid(entry, len, NULL)) {
		e->first = e->dropped++ ? e->first : entry;
		return 0;
	}
	return env_put(e, entry, n, entry + n + 1);
}

/* From the last to the first: of two with the same name the first counts, as for getenv. */
static int
env_all(struct env *e)
{
	size_t n = 0;
	int r = 0;

	while (environ && environ[n])
		n++;
	while (n > 0 && r == 0)
		r = env_take(e, environ[--n]);
	return r;
}

static int
env_list(struct env *e, const char *list)
{
	int r = 0;

	for (const char *p = list; r == 0; p++) {
		size_t n = strcspn(p, ",");
		_free_ char *name = strndup(p, n);
		char text[80];

		if (!name)
			return conn_no_memory(e->cli);
		if (n == 0 || strchr(name, '='))
			return options_wrong(
				e->cli, "--env-mode: '%s' is no list of names, nor all or none",
				text_escape(list, text, sizeof(text)));
		if (getenv(name))
			r = env_take(e, getenv(name) - n - 1);
		p += n;
		if (*p == '\0')
			break;
	}
	return r;
}

static int
env_add(struct env *e, const char *word)
{
	size_t n = strcspn(word, "=");
	const char *value = word[n] ? word + n + 1 : getenv(word);
	char text[80];

	text_escape(word, text, sizeof(text));
	if (n == 0)
		return options_wrong(e->cli, "--env: '%s' has no name", text);
	if (!value)
		return options_wrong(e->cli, "--env: %s is not set here; give it a value: %s=VALUE",
				     text, text);
	if (!text_utf8_valid(word, n, NULL) || !text_utf8_valid(value, strlen(value), NULL))
		return options_wrong(e->cli, "--env: '%s' is not UTF-8 and cannot be sent", text);
	return env_put(e, word, n, value);
}

static int
add_env(const struct cli *cli, struct submission *s, json_t *params)
{
	const char *mode = s->env_mode ? s->env_mode : "all";
	struct env e = {.cli = cli, .s = s, .out = json_object()};
	int r = 0;

	if (json_object_set_new_nocheck(params, "env", e.out) < 0)
		return conn_no_memory(cli);
	if (strcmp(mode, "all") == 0)
		r = env_all(&e);
	else if (strcmp(mode, "none") != 0)
		r = env_list(&e, mode);
	for (size_t i = 0; i < s->env.n && r == 0; i++)
		r = env_add(&e, s->env.v[i]);
	if (r == 0 && e.dropped) {
		char text[80], name[40];

		(void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(e.first, "="), e.first);
		out_error("warning: %zu variable%s of the environment left out, not NAME=VALUE in "
			  "UTF-8: %s%s",
			  e.dropped, e.dropped > 1 ? "s" : "",
			  text_escape(name, text, sizeof(text)), e.dropped > 1 ? ", ..." : "");
	}
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

static int
add_options(const struct cli *cli, struct submission *s, json_t *params)
{
	int r = add_key(cli, s, params);

	if (r == 0)
		r = add_string(cli, s, params, "stop_signal", s->signal);
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
		r = add_cwd(cli, s, params);
	if (r == 0)
		r = add_umask(cli, params);
	if (r == 0)
		r = add_env(cli, s, params);
	if (r == 0 && s->in)
		r = input_open(cli, s->in, &s->input);
	s->bytes += s->context.bytes;
	return r;
}
