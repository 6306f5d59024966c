/* test_alloc_wire.c - memory that runs out in lib/varlink and lib/client: a call fails with the
 * error for it, nothing is lost, and the next one goes well where that is promised. */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "alloc.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/sock.h"
#include "client/client.h"
#include "client/path.h"
#include "varlink/varlink.h"

__attribute__((constructor)) static void
watch(void)
{
	varlink_watch_memory(); /* as the programs do */
}

/* ---- the server's half */

struct args {
	int64_t number;
	bool has_number, flag;
	const char *text;
	struct strv list, map;
	struct varlink_ints ints;
};
static const struct varlink_arg spec[] = {
	{"number", VARLINK_INT, true, offsetof(struct args, number),
	 offsetof(struct args, has_number)},
	{"flag", VARLINK_BOOL, false, offsetof(struct args, flag), SIZE_MAX},
	{"text", VARLINK_STRING, false, offsetof(struct args, text), SIZE_MAX},
	{"list", VARLINK_STRINGS, false, offsetof(struct args, list), SIZE_MAX},
	{"map", VARLINK_STRMAP, false, offsetof(struct args, map), SIZE_MAX},
	{"ints", VARLINK_INTS, false, offsetof(struct args, ints), SIZE_MAX},
};
static const char call_text[] =
	"{\"method\":\"io.ctxd.Try\",\"more\":true,\"parameters\":{\"number\":5,\"flag\":true,"
	"\"text\":\"a text of more than sixteen bytes\","
	"\"list\":[\"one\",\"two\"],\"map\":{\"A\":\"1\",\"B\":\"2\"},\"ints\":[1,2,3]}}";

static int
serving(void)
{
	struct varlink_call c = {NULL};
	struct args a = {0};
	const char *why = NULL, *parameter = NULL;
	int r = varlink_call_parse(&c, call_text, strlen(call_text), &why);

	if (r == 0)
		r = varlink_args_decode(c.params, spec, ARRAY_SIZE(spec), &a, &parameter);
	alloc_off();
	if (r == 0)
		ok(c.more && a.number == 5 && a.list.n == 2 && a.map.n == 2 && a.ints.n == 3 &&
		   a.ints.v[2] == 3 && strcmp(a.text, "a text of more than sixteen bytes") == 0);
	else
		is_int(r, -ENOMEM);
	varlink_args_done(spec, ARRAY_SIZE(spec), &a);
	varlink_call_done(&c);
	return r != 0;
}
TEST(call_and_arguments)
{
	alloc_each(serving);
}

static int
replying(void)
{
	struct buf b = {0};
	struct jw j;
	int r;

	varlink_reply_open(&j, &b);
	jw_str(&j, "text",
	       "long enough that the buffer has to grow, and more than once, which it does when "
	       "this is written");
	jw_str(&j, "text2",
	       "long enough that the buffer has to grow, and more than once, which it does when "
	       "this is written");
	varlink_reply_close(&j, true);
	varlink_error_invalid_parameter(&b, "number");
	alloc_off();
	r = b.failed;
	ok(r == 0 ? buf_head(&b)[buf_len(&b) - 1] == '\0' : r == -ENOMEM);
	buf_done(&b);
	return r != 0;
}
TEST(reply)
{
	alloc_each(replying);
}

/* ---- the client's half */

static int
calling(void)
{
	static const char text[] =
		"{\"continues\":true,\"parameters\":{\"job\":{\"id\":1,\"argv\":[\"a\",\"b\"]}}}";
	struct varlink_reply reply = {NULL};
	struct buf b = {0};
	const char *why = NULL;
	json_t *params = json_pack("{s:i,s:s}", "id", 1, "text", "abc");
	int r = params ? varlink_call_write(&b, "io.ctxd.Get", params, VARLINK_MORE) : -ENOMEM;

	ok(r == 0 ? buf_head(&b)[buf_len(&b) - 1] == '\0' : r == -ENOMEM);
	if (r == 0)
		r = varlink_reply_parse(&reply, text, strlen(text), &why);
	alloc_off();
	ok(r == 0 ? reply.continues && !reply.error && reply.params : r == -ENOMEM);
	varlink_reply_done(&reply);
	json_decref(params);
	buf_done(&b);
	return r != 0;
}
TEST(call_write_and_reply_parse)
{
	alloc_each(calling);
}

/* A connection whose answers are there before the questions. */
static int peer = -1;

static struct ctxd_client *
answered(const char *replies, size_t n, struct ctxd_failure *f)
{
	struct ctxd_client *c = NULL;
	bool on = alloc.on;
	int fds[2];

	alloc.on = false;
	need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
	need(write(fds[1], replies, n) == (ssize_t)n);
	peer = fds[1];
	alloc.on = on;
	if (ctxd_open_fd(fds[0], "the other end", &c, f) == 0)
		return c;
	is_int(f->code, CTXD_E_MEMORY);
	return NULL;
}

static void
hang_up(struct ctxd_client *c)
{
	ok(!ctxd_close(c));
	(void)close(peer);
}

/* Is it what a lack of memory leads to? After a message that was read and could not be kept the
 * connection is no more use. */
static bool
as_documented(const struct ctxd_failure *f)
{
	return f->code == CTXD_E_MEMORY && f->text[0] != '\0';
}

static int
asking(void)
{
	static const char replies[] = "{\"parameters\":{\"job\":{\"id\":1,\"state\":\"queued\"}}}\0"
				      "{\"error\":\"io.ctxd.NoSuchJob\",\"parameters\":{\"id\":9}}";
	struct ctxd_failure f = {CTXD_E_NONE, ""};
	struct ctxd_client *c = answered(replies, sizeof(replies), &f);
	json_t *got = NULL;
	int r = c ? ctxd_call(c, "Get", json_pack("{s:i}", "id", 1), &got, &f) : -1;

	if (r < 0) {
		alloc_off();
		ok(as_documented(&f) && !got);
	} else {
		ok(json_is_object(got));
		json_decref(got);
		got = NULL;
		r = ctxd_call(c, "Get", NULL, &got, &f); /* an error, or no memory for it */
		alloc_off();
		ok(r < 0 && !got && (f.code == CTXD_E_NO_SUCH_JOB || as_documented(&f)));
		r = f.code != CTXD_E_NO_SUCH_JOB;
	}
	hang_up(c);
	return r != 0;
}
TEST(client_call)
{
	alloc_each(asking);
}

static int
not_waiting(void)
{
	static const char reply[] = "{\"continues\":true,\"parameters\":{\"data\":\"abc\"}}";
	struct ctxd_failure f = {CTXD_E_NONE, ""};
	struct ctxd_client *c = answered(reply, sizeof(reply), &f);
	json_t *got = NULL;
	bool continues = false;
	int r = c ? ctxd_queue(c, "Logs", json_pack("{s:i,s:b}", "id", 1, "follow", 1),
			       CTXD_CALL_MORE, &f)
		  : -1;

	r = r ? r : ctxd_flush(c, &f);
	r = r ? r : ctxd_poll(c, &got, &continues, &f);
	alloc_off();
	ok(r == 0 ? json_is_object(got) && continues : as_documented(&f) && !got);
	json_decref(got);
	hang_up(c);
	return r != 0;
}
TEST(client_for_a_loop)
{
	alloc_each(not_waiting);
}

static int
count_row(const struct ctxd_cell *cells, void *arg)
{
	ok(cells[0].type == CTXD_CELL_INT && cells[1].type == CTXD_CELL_STRING);
	++*(int *)arg;
	return 0;
}

static int
listing(void)
{
	static const char replies[] = "{\"parameters\":{\"jobs\":[{\"id\":1,\"name\":\"a\"},{"
				      "\"id\":2,\"name\":\"b\\u00e4\"}]}}";
	static const char *const columns[] = {"id", "name"};
	struct ctxd_failure f = {CTXD_E_NONE, ""};
	struct ctxd_client *c = answered(replies, sizeof(replies), &f);
	bool continues = false;
	int rows = 0, r = c ? ctxd_send(c, "List", NULL, CTXD_CALL_MORE, &f) : -1;

	r = r ? r : ctxd_receive_rows(c, "jobs", columns, 2, count_row, &rows, &continues, &f);
	alloc_off();
	ok(r == 0 ? rows == 2 : as_documented(&f));
	hang_up(c);
	return r != 0;
}
TEST(client_rows)
{
	alloc_each(listing);
}

static int
looking_for_it(void)
{
	struct ctxd_failure f = {CTXD_E_NONE, ""};
	struct ctxd_client *c = NULL;
	char *path = ctxd_socket_path("/nowhere/at/all.sock", 0);
	bool found = path != NULL;
	int r;

	ok(!path || strcmp(path, "/nowhere/at/all.sock") == 0);
	free(path);
	path = ctxd_socket_path(NULL, 'u');
	found = found && path;
	free(path);
	r = ctxd_open_default(NULL, 0, &c, &f);
	alloc_off();
	ok(r < 0 && !c && (f.code == CTXD_E_UNREACHABLE || as_documented(&f)));
	return !found || f.code != CTXD_E_UNREACHABLE;
}

TEST(client_search)
{
	setenv("XDG_RUNTIME_DIR", "/nowhere/run", 1);
	setenv("XDG_STATE_HOME", "/nowhere/state", 1);
	setenv("CTXD_SOCKET", "/nowhere/else.sock", 1);
	alloc_each(looking_for_it);
	unsetenv("CTXD_SOCKET");
	alloc_each(looking_for_it);
}
