/* complete_ask.c - ids, names and classes, as ctxd has them now.
 *
 * A key was pressed and somebody waits: what does not come in a moment ($CTXD_COMPLETE_MS) does not
 * come. Another machine is not asked, for ssh might ask back. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/complete.h"
#include "cli/conn.h"
#include "cli/filter.h"
#include "cli/out.h"

enum { PATIENCE_MS = 700, PATIENCE_MAX_MS = 60 * 1000, MOST = 200, TEXT_MAX = 60 };

/* What a command is for: the other jobs are not offered to it. */
static const char *const open_ones[] = {"open", NULL};
static const char *const queued_ones[] = {"queued", NULL};
static const char *const unsuccessful[] = {"failed", "canceled", "deadline_exceeded", "interrupted",
					   NULL};
static const struct {
	const char *command;
	const char *const *states; /* NULL: half-processed ones */
} rules[] = {
	{"cancel", filter_live},    {"extend", filter_live},  {"signal", filter_live},
	{"wait", filter_live},      {"retry", unsuccessful},  {"prune", filter_ended},
	{"hold", queued_ones},      {"release", queued_ones}, {"reprioritize", queued_ones},
	{"scope close", open_ones}, {"resolve", NULL},
};

static void
on_alarm(int sig)
{
	(void)sig;
	_exit(0);
}

/* 0: none any more. */
static void
set_alarm(int64_t ms)
{
	struct itimerval t = {.it_value = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000}};

	(void)signal(SIGALRM, on_alarm);
	(void)setitimer(ITIMER_REAL, &t, NULL);
}

static int64_t
patience(void)
{
	const char *word = getenv("CTXD_COMPLETE_MS");
	int64_t ms;

	return word && text_i64(word, &ms) == 0 && ms > 0 && ms <= PATIENCE_MAX_MS ? ms
										   : PATIENCE_MS;
}

/* The reply, or NULL. What was offered before has been printed. PARAMS is stolen. */
static json_t *
ask(const struct cli *cli, const char *method, json_t *params)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	struct ctxd_failure f;
	json_t *reply = NULL;

	if (!params || cli->host || out_flush() < 0) {
		json_decref(params);
		return NULL;
	}
	set_alarm(patience());
	if (conn_try(cli, &c, &f) < 0)
		json_decref(params);
	else if (ctxd_call(c, method, params, &reply, &f) < 0)
		reply = NULL;
	set_alarm(0);
	return reply;
}

static json_t *
state_list(const char *const *states)
{
	json_t *list = json_array();

	for (size_t i = 0; states[i]; i++)
		if (json_array_append_new(list, json_string(states[i])) < 0) {
			json_decref(list);
			return NULL;
		}
	return list;
}

static json_t *
jobs_for(const char *command)
{
	json_t *params = json_pack("{s:b, s:i}", "last", true, "limit", MOST);
	int r = params ? 0 : -1;

	for (size_t i = 0; i < ARRAY_SIZE(rules) && r == 0; i++) {
		if (strcmp(command, rules[i].command) != 0)
			continue;
		r = rules[i].states
			    ? json_object_set_new(params, "states", state_list(rules[i].states))
			    : json_object_set_new(params, "half_processed", json_true());
	}
	if (r == 0)
		return params;
	json_decref(params);
	return NULL;
}

static const char *
member(const json_t *job, const char *key)
{
	const char *s = json_string_value(json_object_get(job, key));

	return s ? s : "";
}

void
complete_ids(const struct cli *cli, const struct complete *c)
{
	_cleanup_(conn_jsonp) json_t *reply = ask(cli, "ListSummaries", jobs_for(cli->command));
	const json_t *jobs = json_object_get(reply, "jobs");

	for (size_t i = 0; i < json_array_size(jobs); i++) {
		const json_t *job = json_array_get(jobs, i);
		const char *name = member(job, "name"), *command = member(job, "command");
		char id[24], text[TEXT_MAX];
		int n;

		(void)snprintf(id, sizeof(id), "%" JSON_INTEGER_FORMAT,
			       json_integer_value(json_object_get(job, "id")));
		n = snprintf(text, sizeof(text), "%s %s%s%s", member(job, "state"), name,
			     *name && *command ? ": " : "", command);
		if (n >= (int)sizeof(text))
			text[text_utf8_prefix(text, strlen(text), sizeof(text) - 2)] = '\0';
		complete_offer(c, id, text);
	}
}

/* They come in the order of the newest; each once. */
void
complete_names(const struct cli *cli, const struct complete *c)
{
	_cleanup_(conn_jsonp) json_t *reply = ask(cli, "ListSummaries", jobs_for(cli->command)),
				     *seen = json_object();
	const json_t *jobs = json_object_get(reply, "jobs");

	for (size_t i = 0; i < json_array_size(jobs) && seen; i++) {
		const char *name = member(json_array_get(jobs, i), "name");

		if (!*name || json_object_get(seen, name) ||
		    json_object_set_new(seen, name, json_true()) < 0)
			continue;
		complete_offer(c, name, "name");
	}
}

void
complete_classes(const struct cli *cli, const struct complete *c)
{
	_cleanup_(conn_jsonp) json_t *reply = ask(cli, "Config", json_object());
	const json_t *settings = json_object_get(reply, "settings");
	const char *last = "";

	if (reply)
		complete_offer(c, "default", "class");
	for (size_t i = 0; i < json_array_size(settings); i++) {
		const char *section = member(json_array_get(settings, i), "section");

		if (strncmp(section, "class ", strlen("class ")) != 0 || strcmp(section, last) == 0)
			continue;
		complete_offer(c, section + strlen("class "), "class");
		last = section;
	}
}
