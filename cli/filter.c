/* filter.c - which jobs. */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/context.h"
#include "cli/exitcode.h"
#include "cli/filter.h"
#include "cli/near.h"
#include "cli/out.h"
#include "cli/remote.h"
#include "cli/user.h"

const char *const filter_live[] = {"queued", "running", "stopping", "open", NULL};
const char *const filter_ended[] = {"succeeded",   "failed", "canceled", "deadline_exceeded",
				    "interrupted", "closed", NULL};

bool
filter_any(const struct filter *f)
{
	return f->states.n || f->class_name || f->name || f->key || f->user || f->half_processed ||
	       f->since.given || f->after.given || f->values.n || f->trace || f->parent.given;
}

void
filter_done(struct filter *f)
{
	options_list_done(&f->states);
	options_list_done(&f->values);
}

static bool
known(const char *const *table, const char *s, size_t n, struct near *near)
{
	for (; *table; table++) {
		if (strlen(*table) == n && memcmp(*table, s, n) == 0)
			return true;
		near_offer(near, *table);
	}
	return false;
}

/* One state of a list with commas. 0 or the exit code. */
static int
add_state(const struct cli *cli, json_t *states, const char *s, size_t n)
{
	char word[32] = "", text[64];
	struct near near;

	memcpy(word, s, n < sizeof(word) ? n : sizeof(word) - 1);
	near_init(&near, word);
	if (!known(filter_live, s, n, &near) && !known(filter_ended, s, n, &near))
		return options_wrong(cli, "--state: '%s' is no state%s%s%s",
				     text_escape(word, text, sizeof(text)),
				     near.best ? " (did you mean " : "", near.best ? near.best : "",
				     near.best ? "?)" : "");
	return json_array_append_new(states, json_stringn(s, n)) < 0 ? conn_no_memory(cli) : 0;
}

static int
add_states(const struct cli *cli, json_t *states, const char *list)
{
	for (;;) {
		size_t n = strcspn(list, ",");
		int r = add_state(cli, states, list, n);

		if (r || list[n] == '\0')
			return r;
		list += n + 1;
	}
}

static int
take_states(const struct cli *cli, const struct filter *f, const char *const *fallback,
	    json_t *params)
{
	json_t *states;
	int r = 0;

	if (f->states.n == 0 && !fallback)
		return 0;
	states = json_array();
	if (json_object_set_new(params, "states", states) < 0)
		return conn_no_memory(cli);
	for (size_t i = 0; i < f->states.n && r == 0; i++)
		r = add_states(cli, states, f->states.v[i]);
	for (size_t i = 0; f->states.n == 0 && fallback[i] && r == 0; i++)
		r = add_states(cli, states, fallback[i]);
	return r;
}

static int
take_user(const struct cli *cli, const char *name, json_t *params)
{
	char text[64];
	uint32_t uid;
	int r;

	if (!name)
		return 0;
	text_escape(name, text, sizeof(text));
	if (!cli->host)
		r = user_find(name, &uid);
	else
		r = remote_uid_of(cli, &uid) ? 0 : USER_E_UNKNOWN;
	if (r == USER_E_UNKNOWN)
		return options_wrong(cli, "--user: there is no user '%s'%s", text,
				     cli->host ? " there" : "");
	if (r < 0) {
		out_error("cannot look up the user '%s': %s", text, strerror(-r));
		return cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED;
	}
	return json_object_set_new(params, "uid", json_integer(uid)) < 0 ? conn_no_memory(cli) : 0;
}

static int
take_values(const struct cli *cli, const struct filter *f, json_t *params)
{
	json_t *values;

	if (f->values.n == 0)
		return 0;
	values = json_object();
	if (json_object_set_new(params, "values", values) < 0)
		return conn_no_memory(cli);
	for (size_t i = 0; i < f->values.n; i++) {
		int r = context_value(cli, values, f->values.v[i]);

		if (r)
			return r;
	}
	return 0;
}

/* A trace is known by its id; who has a whole traceparent need not cut it up. */
static int
take_trace(const struct cli *cli, const char *trace, json_t *params)
{
	enum { ID = 32, AT = 3, VERSION = 2 };
	char text[80];
	size_t n;

	if (!trace)
		return 0;
	text_escape(trace, text, sizeof(text));
	if (strlen(trace) > AT + ID && trace[VERSION] == '-' && trace[AT + ID] == '-')
		trace += AT;
	n = strspn(trace, "0123456789abcdef");
	if (n != ID || (trace[n] != '\0' && trace[n] != '-'))
		return options_wrong(cli, "--trace: '%s' is no trace id (32 digits of 0-9a-f)",
				     text);
	return json_object_set_new(params, "trace", json_stringn(trace, ID)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

static int
take_int(const struct cli *cli, const char *key, const struct options_int *v, json_t *params)
{
	return v->given && json_object_set_new(params, key, json_integer(v->v)) < 0
		       ? conn_no_memory(cli)
		       : 0;
}

int
filter_check(const struct cli *cli, const struct filter *f)
{
	if (f->limit.given && f->limit.v == 0)
		return options_wrong(cli, "--limit: 0 is no limit");
	if (f->parent.given && f->parent.v == 0)
		return options_wrong(cli, "--parent: 0 is no id");
	if (cli->host && f->user)
		remote_ask_uid(cli, f->user);
	return 0;
}

int
filter_params_paged(const struct cli *cli, const struct filter *f, const char *const *states,
		    json_t **ret)
{
	_cleanup_(conn_jsonp) json_t *params = NULL;
	int r = filter_params(cli, f, states, &params);

	if (r == 0)
		r = take_int(cli, "limit", &f->limit, params);
	if (r == 0)
		r = take_int(cli, "after", &f->after, params);
	if (r == 0)
		*ret = take_ptr(params);
	return r;
}

int
filter_params(const struct cli *cli, const struct filter *f, const char *const *states,
	      json_t **ret)
{
	_cleanup_(conn_jsonp) json_t *params =
		json_pack("{s:s*, s:s*, s:s*, s:s*}", "class", f->class_name, "name", f->name,
			  "key", f->key, "since", f->since.given ? f->since.text : NULL);
	int r;

	if (!params)
		return conn_no_memory(cli);
	if (f->half_processed && json_object_set_new(params, "half_processed", json_true()) < 0)
		return conn_no_memory(cli);
	r = take_states(cli, f, states, params);
	if (r == 0)
		r = take_user(cli, f->user, params);
	if (r == 0)
		r = take_values(cli, f, params);
	if (r == 0)
		r = take_trace(cli, f->trace, params);
	if (r == 0)
		r = take_int(cli, "parent", &f->parent, params);
	if (r == 0)
		*ret = take_ptr(params);
	return r;
}
