/* context.c - the options of a context, and what it takes from where it is made. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/context.h"
#include "cli/out.h"

enum { VALUES = 1, TRACE = 2, DEADLINE = 4, CANCEL = 8, ALL = 15, DETACHED = VALUES | TRACE };

const char *const context_sets[] = {"values", "trace", "deadline", "cancel", NULL};
static const unsigned set_bits[] = {VALUES, TRACE, DEADLINE, CANCEL};

void
context_done(struct context *o)
{
	options_list_done(&o->values);
}

static int
put(const struct cli *cli, struct context *o, json_t *params, const char *key, const char *value)
{
	if (!value)
		return 0;
	o->bytes += strlen(value);
	return json_object_set_new_nocheck(params, key, json_string_nocheck(value)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

/* ---- which set */

static int
add_word(const struct cli *cli, const char *s, size_t n, unsigned *set)
{
	char word[32] = "", text[80];

	memcpy(word, s, n < sizeof(word) ? n : sizeof(word) - 1);
	for (size_t i = 0; context_sets[i]; i++)
		if (strcmp(word, context_sets[i]) == 0) {
			*set |= set_bits[i];
			return 0;
		}
	return options_wrong(cli,
			     "--inherit: '%s' is none of values, trace, deadline, cancel (nothing "
			     "at all: --background)",
			     text_escape(word, text, sizeof(text)));
}

static int
add_words(const struct cli *cli, const char *list, unsigned *set)
{
	for (;;) {
		size_t n = strcspn(list, ",");
		int r = add_word(cli, list, n, set);

		if (r || list[n] == '\0')
			return r;
		list += n + 1;
	}
}

/* Two of them would each say what the whole set is. */
static int
check_modes(const struct cli *cli, const struct context *o)
{
	const struct {
		bool given;
		const char *name;
	} modes[] = {{o->attach, "attach"},
		     {o->detach, "detach"},
		     {o->background, "background"},
		     {o->inherit != NULL, "inherit"}};
	const char *first = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (!modes[i].given)
			continue;
		if (first)
			return options_wrong(cli, "--%s and --%s contradict each other", first,
					     modes[i].name);
		first = modes[i].name;
	}
	if (o->keep_deadline && (o->background || o->inherit))
		return options_wrong(cli, "--keep-deadline and --%s contradict each other",
				     o->background ? "background" : "inherit");
	return 0;
}

static int
take_set(const struct cli *cli, const struct context *o, unsigned *set)
{
	int r = check_modes(cli, o);

	*set = 0;
	if (r || o->background)
		return r;
	if (o->inherit)
		return add_words(cli, o->inherit, set);
	*set = o->attach || (o->attaches && !o->detach) ? ALL : DETACHED;
	*set |= o->keep_deadline ? DEADLINE : 0;
	return 0;
}

/* ---- which parent */

/* By the file, not by the name: there may be a link to it. */
static bool
same_socket(const char *a, const char *b)
{
	struct stat x, y;

	if (strcmp(a, b) == 0)
		return true;
	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* Is the ctxd that is spoken to the one whose job this runs in? */
static bool
is_its_ctxd(const struct cli *cli)
{
	const char *its = getenv("CTXD_SOCKET");
	_free_ char *found = NULL;

	if (cli->host)
		return false;
	if (!its || (!cli->socket && !cli->user && !cli->system))
		return true;
	if (cli->socket)
		return same_socket(cli->socket, its);
	found = ctxd_socket_path(NULL, cli->user ? 'u' : 's');
	return found && same_socket(found, its);
}

/* The one that the environment names: 0 if there is none. */
static uint64_t
surrounding(const struct cli *cli)
{
	const char *word = getenv("CTX_ID");
	char text[80];
	uint64_t id;

	if (!word || !*word || !is_its_ctxd(cli))
		return 0;
	if (text_u64(word, &id) == 0 && id > 0 && id <= INT64_MAX)
		return id;
	out_error("warning: CTX_ID is '%s', which is no id: going on without a parent",
		  text_escape(word, text, sizeof(text)));
	return 0;
}

/* What asks for more than can be had without a parent; NULL: nothing does. */
static const char *
needs_parent(const struct context *o, unsigned set)
{
	if (o->attach && !o->attaches)
		return "--attach";
	if (o->keep_deadline)
		return "--keep-deadline";
	return o->inherit && (set & (DEADLINE | CANCEL)) ? "--inherit" : NULL;
}

static int
take_parent(const struct cli *cli, struct context *o, unsigned set)
{
	bool none = o->parent && strcmp(o->parent, "none") == 0;
	const char *need = needs_parent(o, set);

	if (o->parent && !none && options_id(cli, o->parent, &o->has_parent) != 0)
		return options_exit(cli, OPTIONS_E_USAGE);
	if (!o->parent && !o->background)
		o->has_parent = surrounding(cli);
	o->can_be_orphan = !o->parent && !need && !o->attach && !o->inherit;
	if (o->has_parent || !need)
		return 0;
	if (o->attach)
		return options_wrong(
			cli,
			"--attach: there is nothing to attach to%s; attached to this command: "
			"`ctxctl run`; to another context: --parent ID",
			none ? ", as --parent is none" : " (this runs in no job)");
	return options_wrong(cli, "%s needs a parent%s: --parent ID", need,
			     none ? ", but --parent is none" : " (this runs in no job)");
}

static int
put_parent(const struct cli *cli, const struct context *o, unsigned set, json_t *params)
{
	json_t *names;

	if (o->has_parent &&
	    json_object_set_new(params, "parent", json_integer((json_int_t)o->has_parent)) < 0)
		return conn_no_memory(cli);
	if (!o->has_parent && !o->background && !o->inherit)
		return 0;
	names = json_array();
	if (json_object_set_new(params, "inherit", names) < 0)
		return conn_no_memory(cli);
	for (size_t i = 0; context_sets[i]; i++)
		if ((set & set_bits[i]) &&
		    json_array_append_new(names, json_string(context_sets[i])) < 0)
			return conn_no_memory(cli);
	return 0;
}

/* ---- values, and the trace */

int
context_value(const struct cli *cli, json_t *values, const char *word)
{
	size_t n = strcspn(word, "=");
	char text[80];

	text_escape(word, text, sizeof(text));
	if (n == 0 || word[n] == '\0')
		return options_wrong(cli, "--value: '%s' is not NAME=VALUE", text);
	if (!text_utf8_valid(word, strlen(word), NULL))
		return options_wrong(cli, "--value: '%s' is not UTF-8 and cannot be sent", text);
	return json_object_setn_new_nocheck(values, word, n, json_string_nocheck(word + n + 1)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

static int
put_values(const struct cli *cli, struct context *o, json_t *params)
{
	json_t *values;
	int r = 0;

	if (o->values.n == 0)
		return 0;
	values = json_object();
	if (json_object_set_new(params, "values", values) < 0)
		return conn_no_memory(cli);
	for (size_t i = 0; i < o->values.n && r == 0; i++) {
		r = context_value(cli, values, o->values.v[i]);
		o->bytes += strlen(o->values.v[i]) + 6;
	}
	return r;
}

/* What cannot be sent is left out; what is malformed, ctxd leaves out and says so. */
static int
put_trace(const struct cli *cli, struct context *o, json_t *params)
{
	static const struct {
		const char *variable, *key;
	} table[] = {
		{"TRACEPARENT", "traceparent"},
		{"TRACESTATE", "tracestate"},
		{"BAGGAGE", "baggage"},
	};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(table) && r == 0; i++) {
		const char *value = getenv(table[i].variable);

		if (!value || !*value)
			continue;
		if (text_utf8_valid(value, strlen(value), NULL))
			r = put(cli, o, params, table[i].key, value);
		else
			out_error("warning: %s of the environment is not UTF-8 and is left out",
				  table[i].variable);
	}
	return r;
}

/* ---- all of it */

int
context_params(const struct cli *cli, struct context *o, json_t *params)
{
	unsigned set;
	int r = take_set(cli, o, &set);

	if (r == 0)
		r = take_parent(cli, o, set);
	if (r == 0)
		r = put_parent(cli, o, set, params);
	if (r == 0)
		r = put_values(cli, o, params);
	if (r == 0 && (set & TRACE))
		r = put_trace(cli, o, params);
	if (r == 0)
		r = put(cli, o, params, "name", o->name);
	if (r == 0)
		r = put(cli, o, params, "class", o->class_name);
	if (r == 0)
		r = put(cli, o, params, "deadline_at", o->deadline.given ? o->deadline.text : NULL);
	if (r == 0 && o->timeout &&
	    json_object_set_new(params, "timeout_usec", json_integer(o->timeout)) < 0)
		r = conn_no_memory(cli);
	return r;
}

bool
context_orphan(struct context *o, json_t *params, const struct ctxd_failure *f)
{
	if (!o->can_be_orphan || !json_object_get(params, "parent"))
		return false;
	if (f->code != CTXD_E_NO_SUCH_JOB && f->code != CTXD_E_NOT_PERMITTED)
		return false;
	(void)json_object_del(params, "parent");
	(void)json_object_del(params, "inherit");
	return true;
}

int
context_fail(const struct cli *cli, const struct ctxd_failure *f)
{
	int r = conn_fail(cli, f);

	if (f->code == CTXD_E_ALREADY_ENDED)
		out_error("nothing can be attached to it any more; with --detach its values and "
			  "its trace can still be taken");
	return r;
}

void
context_say_orphan(const struct context *o, const char *why)
{
	out_error("warning: going on without a parent: CTX_ID is %" PRIu64 ", but %s",
		  o->has_parent, why);
}
