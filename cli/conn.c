/* conn.c - the connection as the commands use it. */
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/out.h"
#include "cli/remote.h"

/* A refused value is named as a field of the interface; people know it by its option. What is no
 * option (NULL) was said without a name: the reason tells which it is. Returns whether TEXT is
 * about a job that was named: the call was right, and that one is not what it needs. */
static bool
say_invalid(const char *text)
{
	static const struct {
		const char *field, *option;
	} table[] = {
		{"timeout_usec", "--timeout"},
		{"deadline_at", "--deadline"},
		{"grace_usec", "--grace"},
		{"stop_signal", "--signal"},
		{"cwd", "--chdir"},
		{"class", "--class"},
		{"id", NULL},
		{"after", "--after"},
		{"not_before", "--at"},
		{"umask", "--umask"},
		{"retries", "--retries"},
		{"backoff_usec", "--backoff"},
		{"name", "--name"},
		{"priority", "--priority"},
		{"by_usec", "--by"},
		{"to", "--to"},
		{"cause", "--cause"},
		{"tail", "--tail"},
		{"stream", "--stderr"},
		{"env", "--env"},
		{"key", "--key"},
		{"if_exists", "--if-exists"},
		{"parent", "--parent"},
		{"inherit", "--inherit"},
		{"values", "--value"},
		{"trace", "--trace"},
		{"stdin", "--stdin"},
		{"data", "--stdin"},
		{"note", "--note"},
		{"warn_usec", "--warn"},
		{"warn_signal", "--warn"},
		{"watchdog_usec", "--watchdog"},
		{"since", "--since"},
		{"user", "--as"},
	};
	size_t n = strcspn(text, ":");

	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (strlen(table[i].field) == n && memcmp(table[i].field, text, n) == 0) {
			if (table[i].option)
				out_error("%s%s", table[i].option, text + n);
			else
				out_error("%s", text + n + strspn(text + n, ": "));
			return !table[i].option;
		}
	out_error("%s", text);
	return false;
}

int
conn_fail(const struct cli *cli, const struct ctxd_failure *f)
{
	if (f->code != CTXD_E_INVALID_ARGUMENT)
		out_error("%s", f->text);
	else if (say_invalid(f->text) && !cli->as_job)
		return EXITCODE_FAILED;
	return exitcode_of_failure(f->code, cli->as_job);
}

int
conn_no_memory(const struct cli *cli)
{
	const struct ctxd_failure f = {CTXD_E_MEMORY, "out of memory"};

	return conn_fail(cli, &f);
}

int
conn_strange(const struct cli *cli, const char *what)
{
	out_error("the answer of ctxd has no %s; is it of another version?", what);
	return exitcode_of_failure(CTXD_E_PROTOCOL, cli->as_job);
}

int
conn_try(const struct cli *cli, struct ctxd_client **ret, struct ctxd_failure *f)
{
	char whose = 0;

	if (cli->host)
		return remote_open(cli, ret, f);
	if (cli->user || cli->system)
		whose = cli->user ? 'u' : 's';
	return ctxd_open_default(cli->socket, whose, ret, f);
}

int
conn_open(const struct cli *cli, struct ctxd_client **ret)
{
	struct ctxd_failure f;

	return conn_try(cli, ret, &f) < 0 ? conn_fail(cli, &f) : 0;
}

int
conn_send(const struct cli *cli, struct ctxd_client *c, const char *method, json_t *params,
	  unsigned flags)
{
	struct ctxd_failure f;

	if (!params)
		return conn_no_memory(cli);
	return ctxd_send(c, method, params, flags, &f) < 0 ? conn_fail(cli, &f) : 0;
}

int
conn_receive(const struct cli *cli, struct ctxd_client *c, json_t **ret, bool *ret_continues)
{
	struct ctxd_failure f;

	return ctxd_receive(c, ret, ret_continues, &f) < 0 ? conn_fail(cli, &f) : 0;
}

int
conn_call(const struct cli *cli, struct ctxd_client *c, const char *method, json_t *params,
	  json_t **ret)
{
	int r = conn_send(cli, c, method, params, 0);

	return r ? r : conn_receive(cli, c, ret, NULL);
}

void
conn_say_notices(const json_t *reply)
{
	const json_t *notices = json_object_get(reply, "notices");

	for (size_t i = 0; i < json_array_size(notices); i++) {
		const char *s = json_string_value(json_array_get(notices, i));
		char text[512];

		if (s)
			out_error("note: %s", text_escape_sentence(s, text, sizeof(text)));
	}
}

json_t *
conn_id(uint64_t id)
{
	return json_pack("{s:I}", "id", (json_int_t)id);
}
