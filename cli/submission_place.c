/* submission_place.c - what a job takes from where it is submitted: the directory, the umask and
 * the environment. With -H that is a login on the other machine, as if `ssh HOST ctxctl submit` had
 * been said: the directory of this machine may not be there, and its environment is not for there.
 *
 * Variables that are not UTF-8 cannot be sent, and are left out with a warning. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/out.h"
#include "cli/remote.h"
#include "cli/submission.h"

extern char **environ;

/* ---- where: the directory and the umask */

/* The directory that a relative one is meant from: owned, or NULL, after it was said. */
static char *
base(const struct cli *cli)
{
	char *here = cli->host ? strdup(remote_cwd(cli)) : getcwd(NULL, 0);

	if (here && here[0] == '/')
		return here;
	out_error("the current directory cannot be named (%s); say where to run: -C DIR",
		  here ? "it is out of reach" : strerror(errno));
	free(here);
	return NULL;
}

static int
add_cwd(const struct cli *cli, struct submission *s, json_t *params)
{
	_free_ char *here = NULL, *joined = NULL;
	const char *cwd = s->chdir;

	if (!cwd || cwd[0] != '/') {
		here = base(cli);
		if (!here)
			return cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED;
		if (cwd)
			joined = text_format("%s/%s", strcmp(here, "/") == 0 ? "" : here, cwd);
		if (cwd && !joined)
			return conn_no_memory(cli);
		cwd = cwd ? joined : here;
	}
	if (!text_utf8_valid(cwd, strlen(cwd), NULL)) {
		out_error("the path of the directory is not UTF-8 and cannot be sent; say where to "
			  "run: -C DIR");
		return cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED;
	}
	s->bytes += strlen(cwd);
	return json_object_set_new_nocheck(params, "cwd", json_string_nocheck(cwd)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

static int64_t
own_umask(void)
{
	mode_t mask = umask(0);

	(void)umask(mask);
	return mask;
}

static int
add_umask(const struct cli *cli, json_t *params)
{
	int64_t mask = cli->host ? remote_umask(cli) : own_umask();

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

/* There it came as an object, with nothing in it that cannot be sent. */
static int
env_all_there(struct env *e)
{
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach ((json_t *)(uintptr_t)remote_env(e->cli), name, value)
		if (json_is_string(value) && r == 0)
			r = env_put(e, name, strlen(name), json_string_value(value));
	return r;
}

/* A variable of the place that the environment is from; one that is not set is left out. */
static int
env_named(struct env *e, const char *name)
{
	const char *value;

	if (e->cli->host) {
		value = json_string_value(json_object_get(remote_env(e->cli), name));
		return value ? env_put(e, name, strlen(name), value) : 0;
	}
	value = getenv(name);
	return value ? env_take(e, value - strlen(name) - 1) : 0;
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
		r = env_named(e, name);
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
	/* What is in ours is not for another user, unless it is named. */
	const char *mode = s->env_mode ? s->env_mode : s->as ? "none" : "all";
	struct env e = {.cli = cli, .s = s, .out = json_object()};
	int r = 0;

	if (json_object_set_new_nocheck(params, "env", e.out) < 0)
		return conn_no_memory(cli);
	if (strcmp(mode, "all") == 0)
		r = cli->host ? env_all_there(&e) : env_all(&e);
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

int
submission_place(const struct cli *cli, struct submission *s, json_t *params)
{
	int r = cli->host ? remote_meet(cli) : 0;

	if (r == 0)
		r = add_cwd(cli, s, params);
	if (r == 0)
		r = add_umask(cli, params);
	return r ? r : add_env(cli, s, params);
}
