/* filter.c - which jobs. */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/filter.h"
#include "cli/near.h"
#include "cli/out.h"
#include "cli/user.h"

const char *const filter_live[] = {"queued", "running", "stopping", NULL};
const char *const filter_ended[] = {"succeeded",         "failed",      "canceled",
				    "deadline_exceeded", "interrupted", NULL};

bool
filter_any(const struct filter *f)
{
	return f->states.n || f->class_name || f->name || f->key || f->user || f->half_processed ||
	       f->since.given || f->after.given;
}

void
filter_done(struct filter *f)
{
	options_list_done(&f->states);
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
	r = user_find(name, &uid);
	if (r == USER_E_UNKNOWN)
		return options_wrong(cli, "--user: there is no user '%s'", text);
	if (r < 0) {
		out_error("cannot look up the user '%s': %s", text, strerror(-r));
		return cli->as_job ? EXITCODE_OURS : EXITCODE_FAILED;
	}
	return json_object_set_new(params, "uid", json_integer(uid)) < 0 ? conn_no_memory(cli) : 0;
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
		*ret = take_ptr(params);
	return r;
}
