/* test_client.c - libctxd against a server that behaves, and against many that do not.
 *
 * The server is a child that accepts one connection and plays one script. It is bounded by an
 * alarm; nothing here sleeps. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/text.h"
#include "client/client.h"
#include "tap.h"

enum { SERVER_BOUND_S = 600, BACKLOG = 8 };

/* ---- the server */

static char dir[64], sock[128];
static pid_t server;

static void
make_dir(void)
{
	snprintf(dir, sizeof(dir), "%s", "/tmp/ctxd-test-XXXXXX");
	need(mkdtemp(dir));
	snprintf(sock, sizeof(sock), "%s/ctxd.sock", dir);
}

static void
remove_dir(void)
{
	int st;
	pid_t pid = fork();

	if (pid == 0) {
		execlp("rm", "rm", "-rf", dir, (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &st, 0);
}

/* Read one message, the NUL included, into BUF. Not more: what comes behind stays in the socket. */
static void
s_read(int fd, char *buf, size_t size)
{
	const char *end = NULL;
	size_t n = 0;

	while (!end) {
		ssize_t got = recv(fd, buf + n, size - n, MSG_PEEK);

		if (got <= 0)
			_exit(3);
		end = memchr(buf + n, '\0', (size_t)got);
		if (end)
			got = end + 1 - (buf + n);
		if (recv(fd, buf + n, (size_t)got, 0) != got)
			_exit(3);
		n += (size_t)got;
	}
}

static void
s_call(int fd)
{
	static char msg[1 << 16];

	s_read(fd, msg, sizeof(msg));
}

static void
s_put(int fd, const void *p, size_t n)
{
	const char *at = p;

	while (n > 0) {
		ssize_t w = write(fd, at, n);

		if (w <= 0)
			_exit(4);
		at += w;
		n -= (size_t)w;
	}
}

static void
s_say(int fd, const char *json)
{
	s_put(fd, json, strlen(json) + 1);
}

/* Until the client hangs up. */
static void
s_drain(int fd)
{
	static char waste[4096];

	while (read(fd, waste, sizeof(waste)) > 0)
		;
}

/* Start a server that plays SCRIPT, and connect to it. */
static struct ctxd_client *
start(void (*script)(int fd, const void *arg), const void *arg)
{
	struct ctxd_client *c = NULL;
	struct ctxd_failure f;
	int l;

	make_dir();
	l = sock_listen(sock, SOCK_STREAM, 0600, BACKLOG);
	need(l >= 0);
	fflush(stdout);
	server = fork();
	need(server >= 0);
	if (server == 0) {
		int fd;

		alarm(SERVER_BOUND_S);
		signal(SIGPIPE, SIG_IGN);
		if (fcntl(l, F_SETFL, 0) < 0)
			_exit(1);
		fd = accept(l, NULL, NULL);
		if (fd < 0)
			_exit(2);
		script(fd, arg);
		_exit(0);
	}
	close(l);
	if (ctxd_open(sock, &c, &f) < 0)
		printf("# %s\n", f.text);
	need(c);
	is_str(ctxd_path(c), sock);
	ok(ctxd_fd(c) >= 0);
	ctxd_set_timeout(c, SERVER_BOUND_S * 1000);
	return c;
}

/* Hang up, and what the server's exit status says. */
static int
stop(struct ctxd_client *c)
{
	int st = -1;

	ok(ctxd_close(c) == NULL);
	waitpid(server, &st, 0);
	remove_dir();
	return WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st);
}

static int64_t
ms_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000) + t.tv_nsec / 1000000;
}

/* One line, nothing that moves a cursor. */
static bool
clean(const struct ctxd_failure *f)
{
	size_t n = strlen(f->text);

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)f->text[i] < ' ' || f->text[i] == 127)
			return false;
	return n > 0 && n < sizeof(f->text) && text_utf8_valid(f->text, n, NULL);
}

/* ---- what works */

static void
script_get(int fd, const void *arg)
{
	char msg[256];

	s_read(fd, msg, sizeof(msg));
	s_say(fd, strcmp(msg, arg) == 0 ? "{\"parameters\":{\"job\":{\"id\":42}}}"
					: "{\"error\":\"io.ctxd.Unexpected\"}");
	s_drain(fd);
}

TEST(call)
{
	struct ctxd_client *c =
		start(script_get, "{\"method\":\"io.ctxd.Get\",\"parameters\":{\"id\":42}}");
	struct ctxd_failure f;
	json_t *r = NULL;

	is_int(ctxd_call(c, "Get", json_pack("{s:i}", "id", 42), &r, &f), 0);
	is_int(f.code, CTXD_E_NONE);
	is_str(f.text, "");
	is_int(json_integer_value(json_object_get(json_object_get(r, "job"), "id")), 42);
	json_decref(r);
	is_int(stop(c), 0);
}

TEST(call_of_another_interface)
{
	struct ctxd_client *c = start(script_get, "{\"method\":\"org.varlink.service.GetInfo\"}");
	json_t *r = NULL;

	is_int(ctxd_call(c, "org.varlink.service.GetInfo", NULL, &r, NULL), 0);
	json_decref(r);
	is_int(stop(c), 0);
}

static void
script_more(int fd, const void *arg)
{
	char msg[256];

	s_read(fd, msg, sizeof(msg));
	if (strcmp(msg, "{\"method\":\"io.ctxd.Wait\",\"more\":true}") != 0)
		_exit(9);
	/* two in one piece, the third byte by byte */
	s_put(fd, arg, 90);
	for (const char *p = "{\"parameters\":{\"n\":3}}";; p++) {
		s_put(fd, p, 1);
		if (!*p)
			break;
	}
	s_drain(fd);
}

TEST(more)
{
	static const char two[] = "{\"parameters\":{\"n\":1},\"continues\":true}     \0"
				  "{\"parameters\":{\"n\":2},\"continues\":true}     \0";
	struct ctxd_client *c = start(script_more, two);
	struct ctxd_failure f;

	is_int(sizeof(two) - 1, 90);
	is_int(ctxd_send(c, "Wait", NULL, CTXD_CALL_MORE, &f), 0);
	for (int i = 1; i <= 3; i++) {
		json_t *r = NULL;
		bool more = i == 3;

		is_int(ctxd_receive(c, &r, &more, &f), 0);
		is_int(json_integer_value(json_object_get(r, "n")), i);
		ok(more == (i < 3));
		json_decref(r);
	}
	is_int(stop(c), 0);
}

static void
script_halves(int fd, const void *arg)
{
	(void)arg;
	s_call(fd);
	s_put(fd, "{\"param", 7);
	s_call(fd);
	s_put(fd, "eters\":{}}\0{}", 14);
	s_drain(fd);
}

TEST(poll_takes_what_is_there)
{
	struct ctxd_client *c = start(script_halves, NULL);
	struct ctxd_failure f;
	json_t *r = NULL;

	is_int(ctxd_poll(c, &r, NULL, &f), 1);
	is_int(ctxd_send(c, "Stats", NULL, 0, &f), 0);
	ctxd_set_timeout(c, 20);
	is_int(ctxd_receive(c, &r, NULL, &f), -1); /* half of it */
	is_int(f.code, CTXD_E_TIMEOUT);
	is_int(ctxd_poll(c, &r, NULL, &f), 1);
	ctxd_set_timeout(c, -1);
	is_int(ctxd_send(c, "Stats", NULL, 0, &f), 0);
	is_int(ctxd_receive(c, &r, NULL, &f), 0); /* a receive may be repeated */
	json_decref(r);
	is_int(ctxd_poll(c, &r, NULL, &f), 0); /* buffered: comes without a read */
	json_decref(r);
	is_int(ctxd_poll(c, &r, NULL, &f), 1);
	is_int(stop(c), 0);
}

static void
script_echo_big(int fd, const void *arg)
{
	static char big[100001];

	(void)arg;
	snprintf(big, sizeof(big), "{\"parameters\":{}%*s}", 100000 - 17, "");
	for (int i = 0; i < 200; i++) {
		s_call(fd);
		s_put(fd, big, sizeof(big)); /* blocks until the client reads */
	}
	s_drain(fd);
}

/* Neither side may wait for the other: while we send, we read. */
TEST(pipelining_does_not_lock_up)
{
	struct ctxd_client *c = start(script_echo_big, NULL);
	struct ctxd_failure f;
	static char pad[30001];

	memset(pad, 'x', sizeof(pad) - 1);
	for (int i = 0; i < 200; i++)
		is_int(ctxd_send(c, "Get", json_pack("{s:s}", "pad", pad), 0, &f), 0);
	for (int i = 0; i < 200; i++) {
		json_t *r = NULL;

		need(ctxd_receive(c, &r, NULL, &f) == 0);
		json_decref(r);
	}
	is_int(stop(c), 0);
}

static void
script_rows(int fd, const void *arg)
{
	struct buf b = {0};
	struct jw j;

	s_call(fd);
	jw_init(&j, &b);
	jw_obj_open(&j, NULL);
	jw_obj_open(&j, "parameters");
	jw_arr_open(&j, "jobs");
	for (int i = 0; i < *(const int *)arg; i++) {
		jw_obj_open(&j, NULL);
		jw_int(&j, "id", i);
		jw_null(&j, "name");
		jw_str(&j, "class", "default");
		jw_str(&j, "state", "succeeded");
		jw_int(&j, "uid", 1000);
		jw_str(&j, "user", "someone");
		jw_str(&j, "command", "tar -C /home/someone -czf /backup/someone.tar.gz Documents");
		jw_str(&j, "submitted_at", "2026-11-21T03:22:47.123456Z");
		jw_str(&j, "started_at", "2026-11-21T03:22:47.123456Z");
		jw_str(&j, "ended_at", "2026-11-21T03:22:47.123456Z");
		jw_str(&j, "deadline_at", "2026-11-21T03:32:47.123456Z");
		jw_int(&j, "exit_code", 0);
		jw_null(&j, "signal");
		jw_null(&j, "cause");
		jw_bool(&j, "half_processed", false);
		jw_obj_close(&j);
	}
	jw_arr_close(&j);
	jw_obj_close(&j);
	jw_obj_close(&j);
	buf_putc(&b, '\0');
	s_put(fd, buf_head(&b), buf_len(&b));
	buf_done(&b);
	s_drain(fd);
}

TEST(list_of_10000)
{
	static const int n = 10000;
	struct ctxd_client *c = start(script_rows, &n);
	struct ctxd_failure f;
	json_t *r = NULL;
	int64_t t = ms_now();

	is_int(ctxd_call(c, "ListSummaries", NULL, &r, &f), 0);
	t = ms_now() - t;
	printf("# 10,000 summaries in %lld ms\n", (long long)t);
	is_int(json_array_size(json_object_get(r, "jobs")), n);
	json_decref(r);
	is_int(stop(c), 0);
}

struct sum {
	int n, succeeded;
	int64_t ids;
};

static int
add_row(const struct ctxd_cell *cells, void *arg)
{
	struct sum *sum = arg;

	sum->n++;
	sum->ids += cells[0].number;
	sum->succeeded += strcmp(cells[1].text, "succeeded") == 0;
	return 0;
}

static const char *const id_and_state[] = {"id", "state"};

TEST(rows_of_10000)
{
	static const int n = 10000;
	struct ctxd_client *c = start(script_rows, &n);
	struct ctxd_failure f;
	struct sum sum = {0};
	bool more = true;
	int64_t t = ms_now();

	is_int(ctxd_send(c, "ListSummaries", NULL, CTXD_CALL_MORE, &f), 0);
	is_int(ctxd_receive_rows(c, "jobs", id_and_state, 2, add_row, &sum, &more, &f), 0);
	printf("# 10,000 summaries in %lld ms\n", (long long)(ms_now() - t));
	is_int(sum.n, n);
	is_int(sum.succeeded, n);
	is_int(sum.ids, (int64_t)n * (n - 1) / 2);
	ok(!more);
	is_int(stop(c), 0);
}

static void
script_pages(int fd, const void *arg)
{
	(void)arg;
	s_call(fd);
	s_say(fd, "{\"parameters\":{\"jobs\":[{\"id\":1},{\"id\":2,\"state\":\"succeeded\"}]},"
		  "\"continues\":true}");
	s_say(fd, "{\"parameters\":{\"jobs\":[{\"id\":4}]},\"continues\":true}");
	s_say(fd, "{\"error\":\"io.ctxd.StorageUnavailable\",\"parameters\":{\"reason\":\"no\"}}");
	s_call(fd);
	s_say(fd, "{\"parameters\":{\"jobs\":[{\"id\":8}]}}");
	s_call(fd);
	s_say(fd, "{\"parameters\":{\"job\":{\"id\":8}}}");
	s_drain(fd);
}

static int
stop_row(const struct ctxd_cell *cells, void *arg)
{
	(void)cells, (void)arg;
	return -ENOMEM;
}

TEST(rows_in_pages_and_an_error)
{
	struct ctxd_client *c = start(script_pages, NULL);
	struct ctxd_failure f;
	struct sum sum = {0};
	bool more = false;

	is_int(ctxd_send(c, "List", NULL, CTXD_CALL_MORE, &f), 0);
	is_int(ctxd_receive_rows(c, "jobs", id_and_state, 2, add_row, &sum, &more, &f), 0);
	ok(more);
	is_int(ctxd_receive_rows(c, "jobs", id_and_state, 2, add_row, &sum, &more, &f), 0);
	is_int(ctxd_receive_rows(c, "jobs", id_and_state, 2, add_row, &sum, &more, &f), -1);
	is_int(f.code, CTXD_E_STORAGE_UNAVAILABLE);
	is_int(sum.n, 3);
	is_int(sum.ids, 7);
	is_int(ctxd_send(c, "List", NULL, 0, &f), 0);
	is_int(ctxd_receive_rows(c, "jobs", id_and_state, 2, stop_row, NULL, NULL, &f), -1);
	is_int(f.code, CTXD_E_MEMORY);
	is_int(ctxd_send(c, "Get", NULL, 0, &f), 0);
	is_int(ctxd_receive_rows(c, "jobs", id_and_state, 2, add_row, &sum, NULL, &f), -1);
	is_int(f.code, CTXD_E_PROTOCOL);
	is_int(stop(c), 0);
}

/* ---- errors of the service */

static void
script_say(int fd, const void *arg)
{
	s_call(fd);
	s_say(fd, arg);
	s_drain(fd);
}

static void
remote(const char *error, const char *params, enum ctxd_error code, const char *text)
{
	char msg[8192];
	struct ctxd_client *c;
	struct ctxd_failure f;
	json_t *r = NULL;

	snprintf(msg, sizeof(msg), "{\"error\":\"%s\",\"parameters\":%s}", error, params);
	c = start(script_say, msg);
	is_int(ctxd_call(c, "Get", NULL, &r, &f), -1);
	ok(r == NULL);
	is_int(f.code, code);
	if (text)
		is_str(f.text, text);
	ok(clean(&f));
	is_int(stop(c), 0);
}

TEST(errors_become_sentences)
{
	remote("io.ctxd.NoSuchJob", "{\"id\":42}", CTXD_E_NO_SUCH_JOB, "no such job: 42");
	remote("io.ctxd.NotPermitted", "{\"reason\":\"job 42 belongs to someone else\"}",
	       CTXD_E_NOT_PERMITTED, "not permitted: job 42 belongs to someone else");
	remote("io.ctxd.InvalidArgument", "{\"field\":\"timeout_usec\",\"reason\":\"is negative\"}",
	       CTXD_E_INVALID_ARGUMENT, "timeout_usec: is negative");
	remote("io.ctxd.KeyConflict", "{\"key\":\"k\",\"id\":7}", CTXD_E_KEY_CONFLICT,
	       "the key \"k\" is that of job 7");
	remote("io.ctxd.QueueFull", "{\"limit\":100000}", CTXD_E_QUEUE_FULL,
	       "the queue is full (limit 100000)");
	remote("io.ctxd.StorageUnavailable", "{\"reason\":\"disk full\"}",
	       CTXD_E_STORAGE_UNAVAILABLE, "ctxd cannot store anything now: disk full");
	remote("io.ctxd.AlreadyEnded", "{\"id\":3,\"state\":\"failed\"}", CTXD_E_ALREADY_ENDED,
	       "job 3 has already ended: failed");
	remote("io.ctxd.Draining", "{}", CTXD_E_DRAINING,
	       "ctxd takes no new jobs now: it is being drained");
	remote("io.ctxd.NotReady", "{\"reason\":\"the spawner is down\"}", CTXD_E_NOT_READY,
	       "ctxd is not ready: the spawner is down");
	remote("org.varlink.service.InvalidParameter", "{\"parameter\":\"retries\"}",
	       CTXD_E_INVALID_ARGUMENT, "this ctxd does not know the parameter retries");
	remote("org.varlink.service.MethodNotFound", "{\"method\":\"io.ctxd.Retry\"}",
	       CTXD_E_UNKNOWN_METHOD,
	       "this ctxd does not know io.ctxd.Retry (it is of another version)");
	remote("org.varlink.service.MethodNotImplemented", "{\"method\":\"io.ctxd.Retry\"}",
	       CTXD_E_UNKNOWN_METHOD, NULL);
	remote("org.varlink.service.InterfaceNotFound", "{\"interface\":\"io.ctxd\"}",
	       CTXD_E_PROTOCOL, NULL);
	remote("org.varlink.service.PermissionDenied", "{}", CTXD_E_NOT_PERMITTED, "not permitted");
	remote("io.ctxd.Novel", "{\"reason\":\"why not\"}", CTXD_E_REMOTE,
	       "ctxd answered Novel: why not");
	remote("io.systemd.System", "{\"errno\":5}", CTXD_E_REMOTE,
	       "ctxd answered io.systemd.System");
}

TEST(errors_with_parameters_missing_or_hostile)
{
	struct buf b = {0};

	remote("io.ctxd.NoSuchJob", "{}", CTXD_E_NO_SUCH_JOB, NULL);
	remote("io.ctxd.NoSuchJob", "{\"id\":[1]}", CTXD_E_NO_SUCH_JOB, NULL);
	remote("io.ctxd.NotPermitted", "{\"reason\":null}", CTXD_E_NOT_PERMITTED, "not permitted");
	remote("io.ctxd.InvalidArgument", "null", CTXD_E_INVALID_ARGUMENT, "argument: invalid");
	remote("io.ctxd.NotPermitted", "{\"reason\":\"\\u001b[2J\\u0007\\nx\\u009b\\u202e\"}",
	       CTXD_E_NOT_PERMITTED, NULL);
	buf_puts(&b, "{\"field\":\"");
	for (int i = 0; i < 1000; i++)
		buf_puts(&b, "\xc3\xa4");
	buf_puts(&b, "\",\"reason\":\"");
	for (int i = 0; i < 2000; i++)
		buf_puts(&b, "\xe2\x82\xac");
	buf_put(&b, "\"}", 3);
	need(!b.failed);
	remote("io.ctxd.InvalidArgument", buf_head(&b), CTXD_E_INVALID_ARGUMENT, NULL);
	buf_done(&b);
}

static void
script_error_then_answer(int fd, const void *arg)
{
	(void)arg;
	s_call(fd);
	s_say(fd, "{\"error\":\"io.ctxd.NoSuchJob\",\"parameters\":{\"id\":1}}");
	s_call(fd);
	s_say(fd, "{}");
	s_drain(fd);
}

TEST(an_error_does_not_end_the_connection)
{
	struct ctxd_client *c = start(script_error_then_answer, NULL);
	json_t *r = NULL;

	is_int(ctxd_call(c, "Get", NULL, &r, NULL), -1); /* nobody wants to know why */
	is_int(ctxd_call(c, "Get", NULL, &r, NULL), 0);
	json_decref(r);
	is_int(stop(c), 0);
}

/* ---- servers that do not speak Varlink */

TEST(garbage)
{
	static const char *const bad[] = {"hello",
					  "",
					  "[]",
					  "42",
					  "{\"parameters\":[]}",
					  "{\"error\":1}",
					  "{\"parameters\":{\"a\":\"\xff\"}}",
					  "{\"parameters\":{\"a\":1,\"a\":2}}",
					  "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct ctxd_client *c = start(script_say, bad[i]);
		struct ctxd_failure f;
		json_t *r = NULL;

		is_int(ctxd_call(c, "Get", NULL, &r, &f), -1);
		is_int(f.code, CTXD_E_PROTOCOL);
		ok(strstr(f.text, sock) != NULL);
		ok(clean(&f));
		is_int(ctxd_call(c, "Get", NULL, &r, &f), -1); /* it is not asked again */
		is_int(f.code, CTXD_E_LOST);
		is_int(stop(c), 0);
	}
}

static void
script_endless(int fd, const void *arg)
{
	static char x[1 << 18];

	(void)arg;
	s_call(fd);
	memset(x, 'x', sizeof(x));
	while (write(fd, x, sizeof(x)) > 0)
		;
}

TEST(endless_message)
{
	struct ctxd_client *c = start(script_endless, NULL);
	struct ctxd_failure f;
	json_t *r = NULL;

	is_int(ctxd_call(c, "Get", NULL, &r, &f), -1);
	is_int(f.code, CTXD_E_PROTOCOL);
	ok(strstr(f.text, "256 MiB") != NULL);
	is_int(ctxd_poll(c, &r, NULL, &f), -1);
	is_int(f.code, CTXD_E_PROTOCOL);
	is_int(stop(c), 0);
}

/* ---- lost connections and waits */

static void
script_close(int fd, const void *arg)
{
	if (arg) {
		s_call(fd);
		s_put(fd, arg, strlen(arg));
	}
	close(fd);
}

TEST(lost_before_or_in_the_reply)
{
	static const char *const parts[] = {NULL, "", "{", "{\"parameters\":{}}"};

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		struct ctxd_client *c = start(script_close, parts[i]);
		struct ctxd_failure f;
		json_t *r = NULL;

		is_int(ctxd_call(c, "Get", NULL, &r, &f), -1);
		is_int(f.code, CTXD_E_LOST);
		ok(strstr(f.text, sock) != NULL);
		is_int(ctxd_receive(c, &r, NULL, &f), -1);
		is_int(f.code, CTXD_E_LOST);
		is_int(ctxd_send(c, "Get", NULL, 0, &f), -1);
		is_int(f.code, CTXD_E_LOST);
		is_int(stop(c), 0);
	}
}

static void
script_refuse_early(int fd, const void *arg)
{
	char some[100];

	(void)arg;
	if (read(fd, some, sizeof(some)) <= 0)
		_exit(5);
	s_say(fd, "{\"error\":\"io.ctxd.InvalidArgument\",\"parameters\":"
		  "{\"field\":\"message\",\"reason\":\"longer than 1 MiB\"}}");
	close(fd);
}

/* The answer that says why arrives although the call could not be sent to its end. */
TEST(refused_while_sending)
{
	struct ctxd_client *c = start(script_refuse_early, NULL);
	struct ctxd_failure f;
	json_t *r = NULL;
	static char pad[4 << 20];

	memset(pad, 'x', sizeof(pad) - 1);
	is_int(ctxd_call(c, "Submit", json_pack("{s:s}", "pad", pad), &r, &f), -1);
	is_int(f.code, CTXD_E_INVALID_ARGUMENT);
	is_str(f.text, "message: longer than 1 MiB");
	is_int(ctxd_call(c, "Get", NULL, &r, &f), -1);
	is_int(f.code, CTXD_E_LOST);
	is_int(stop(c), 0);
}

static void
script_silent(int fd, const void *arg)
{
	(void)arg;
	s_call(fd);
	s_drain(fd);
}

TEST(timeout)
{
	struct ctxd_client *c = start(script_silent, NULL);
	struct ctxd_failure f;
	json_t *r = NULL;
	int64_t t = ms_now();

	ctxd_set_timeout(c, 50);
	is_int(ctxd_call(c, "Get", NULL, &r, &f), -1);
	t = ms_now() - t;
	ok(t >= 50);
	is_int(f.code, CTXD_E_TIMEOUT);
	ok(strstr(f.text, "50ms") != NULL && strstr(f.text, sock) != NULL);
	/* a late reply must not be taken for that of the next call */
	is_int(ctxd_call(c, "Get", NULL, &r, &f), -1);
	is_int(f.code, CTXD_E_LOST);
	is_int(stop(c), 0);
}

TEST(timeout_zero_does_not_wait)
{
	struct ctxd_client *c = start(script_silent, NULL);
	struct ctxd_failure f;
	json_t *r = NULL;

	ctxd_set_timeout(c, 0);
	is_int(ctxd_send(c, "Get", NULL, 0, &f), 0);
	is_int(ctxd_receive(c, &r, NULL, &f), -1);
	is_int(f.code, CTXD_E_TIMEOUT);
	is_int(stop(c), 0);
}

static void
script_never_reads(int fd, const void *arg)
{
	struct pollfd p = {.fd = fd};

	(void)arg;
	(void)poll(&p, 1, -1); /* POLLHUP when the client has gone */
}

TEST(timeout_while_sending)
{
	struct ctxd_client *c = start(script_never_reads, NULL);
	struct ctxd_failure f;
	static char pad[4 << 20];

	memset(pad, 'x', sizeof(pad) - 1);
	ctxd_set_timeout(c, 50);
	is_int(ctxd_send(c, "Submit", json_pack("{s:s}", "pad", pad), 0, &f), -1);
	is_int(f.code, CTXD_E_TIMEOUT);
	is_int(ctxd_send(c, "Get", NULL, 0, &f), -1); /* half a message is out there */
	is_int(f.code, CTXD_E_LOST);
	is_int(stop(c), 0);
}

TEST(what_cannot_be_sent)
{
	struct ctxd_client *c = start(script_never_reads, NULL);
	struct ctxd_failure f;

	is_int(ctxd_send(c, "no such", json_object(), 0, &f), -1);
	is_int(f.code, CTXD_E_INVALID_ARGUMENT);
	is_int(ctxd_send(c, "Get", json_array(), 0, &f), -1);
	is_int(f.code, CTXD_E_INVALID_ARGUMENT);
	is_int(ctxd_send(c, "Get", NULL, 0, &f), 0); /* nothing of these went out */
	is_int(stop(c), 0);
}

/* ---- connecting */

static void
unreachable(const char *path, const char *part, const char *advice)
{
	struct ctxd_client *c = NULL;
	struct ctxd_failure f;

	is_int(ctxd_open(path, &c, &f), -1);
	is_int(f.code, CTXD_E_UNREACHABLE);
	ok(clean(&f));
	if (strlen(path) < 150)
		ok(strstr(f.text, path) != NULL);
	ok(strstr(f.text, part) != NULL);
	ok(strstr(f.text, advice) != NULL);
	if (!strstr(f.text, part) || !strstr(f.text, advice))
		printf("# %s\n", f.text);
}

TEST(unreachable)
{
	char p[256];
	int l;

	make_dir();
	unreachable(sock, "no such socket", "`ctxd --user");
	snprintf(p, sizeof(p), "%s/a/b", sock);
	unreachable(p, "no such socket", "`ctxd --user");
	l = sock_listen(sock, SOCK_STREAM, 0600, 1);
	need(l >= 0);
	close(l); /* its file stays */
	unreachable(sock, "nothing listens there", "`ctxd --user");
	snprintf(p, sizeof(p), "%s/seq", dir);
	l = sock_listen(p, SOCK_SEQPACKET, 0600, 1);
	need(l >= 0);
	unreachable(p, "another kind", "`ctxd --user");
	close(l);
	unreachable(dir, "nothing listens there", "`ctxd --user");
	unreachable("", "path is empty", "");
	setenv("XDG_RUNTIME_DIR", dir, 1);
	snprintf(p, sizeof(p), "%s/ctxd/ctxd.sock", dir);
	unreachable(p, "no such socket", "`ctxd --user &`");
	unsetenv("XDG_RUNTIME_DIR");
	remove_dir();
}

/* Nothing may depend on whether a ctxd of the system runs here: either answer is tested. */
TEST(unreachable_system)
{
	struct ctxd_client *c = NULL;
	struct ctxd_failure f;

	if (ctxd_open(CTXD_SYSTEM_SOCKET, &c, &f) == 0) {
		ok(ctxd_close(c) == NULL);
		return;
	}
	is_int(f.code, CTXD_E_UNREACHABLE);
	ok(strstr(f.text, CTXD_SYSTEM_SOCKET) != NULL);
	ok(strstr(f.text, "`ctxd --user &`") != NULL);
	ok(strstr(f.text, "`systemctl start ctxd.socket`") || strstr(f.text, "group ctx"));
}

TEST(unreachable_very_long_path_keeps_the_advice)
{
	char p[3000];

	memset(p, 'x', sizeof(p) - 1);
	p[0] = '/';
	for (size_t i = 100; i < sizeof(p) - 1; i += 100)
		p[i] = '/';
	p[sizeof(p) - 1] = '\0';
	unreachable(p, "no such socket", "`ctxd --user");
}

/* As nobody when the test runs as root, whom no mode stops. */
TEST(permission_denied)
{
	int l, st = -1;
	pid_t pid;

	make_dir();
	need(chmod(dir, 0711) == 0);
	l = sock_listen(sock, SOCK_STREAM, 0, 1);
	need(l >= 0);
	fflush(stdout);
	pid = fork();
	need(pid >= 0);
	if (pid == 0) {
		struct ctxd_client *c = NULL;
		struct ctxd_failure f;

		if (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0)
			_exit(9);
		if (ctxd_open(sock, &c, &f) != -1 || f.code != CTXD_E_UNREACHABLE)
			_exit(1);
		_exit(strstr(f.text, "permission denied") && strstr(f.text, sock) ? 0 : 2);
	}
	waitpid(pid, &st, 0);
	is_int(st, 0);
	close(l);
	remove_dir();
}

static int full_listener;

static void
on_alarm(int sig)
{
	(void)sig;
	(void)accept(full_listener, NULL, NULL); /* stays open until the test ends: as intended */
}

/* A full backlog says "again", and is asked again until someone accepts. */
TEST(full_backlog)
{
	struct itimerval in_20ms = {.it_value = {.tv_usec = 20000}}, off = {0};
	struct ctxd_client *c = NULL;
	struct ctxd_failure f;
	int fds[64], n = 0;

	make_dir();
	full_listener = sock_listen(sock, SOCK_STREAM, 0600, 1);
	need(full_listener >= 0);
	while (n < 64 && (fds[n] = sock_connect(sock, SOCK_STREAM)) >= 0)
		n++;
	need(n < 64 && fds[n] == -EAGAIN);
	signal(SIGALRM, on_alarm);
	setitimer(ITIMER_REAL, &in_20ms, NULL);
	is_int(ctxd_open(sock, &c, &f), 0);
	setitimer(ITIMER_REAL, &off, NULL);
	signal(SIGALRM, SIG_DFL);
	ctxd_close(c);
	while (n > 0)
		close(fds[--n]);
	close(full_listener);
	remove_dir();
}

/* ---- the search */

static char *
mkdirs(const char *below)
{
	static char p[512];

	snprintf(p, sizeof(p), "%s/%s", dir, below);
	for (char *s = p + strlen(dir) + 1; *s; s++) {
		if (*s != '/')
			continue;
		*s = '\0';
		(void)mkdir(p, 0700);
		*s = '/';
	}
	return p;
}

static void
set_env(const char *name, const char *below)
{
	char p[512];

	snprintf(p, sizeof(p), "%s/%s", dir, below);
	setenv(name, p, 1);
}

/* What is found is DIR/BELOW (or BELOW itself when it is absolute). */
static void
found(const char *explicit_path, char mode, const char *below)
{
	_free_ char *got = ctxd_socket_path(explicit_path, mode);
	char want[512];

	snprintf(want, sizeof(want), "%s%s%s", below[0] == '/' ? "" : dir,
		 below[0] == '/' ? "" : "/", below);
	is_str(got, want);
}

TEST(search)
{
	struct ctxd_client *c = NULL;
	struct ctxd_failure f;
	char sun[40];
	int runtime, state, home;

	make_dir();
	unsetenv("CTXD_SOCKET");
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	found(NULL, 0, CTXD_SYSTEM_SOCKET);
	found("/x/y", 0, "/x/y");
	found("/x/y", 'u', "/x/y");
	found("/x/y", 's', "/x/y");
	snprintf(sun, sizeof(sun), "/run/user/%u/ctxd/ctxd.sock", (unsigned)getuid());
	found(NULL, 'u', sun);

	set_env("HOME", "home");
	set_env("XDG_RUNTIME_DIR", "rt");
	found(NULL, 0, CTXD_SYSTEM_SOCKET); /* nobody answers there */
	found(NULL, 'u', "home/.local/state/ctxd/run/ctxd.sock");
	set_env("XDG_STATE_HOME", "state");
	found(NULL, 'u', "state/ctxd/run/ctxd.sock");
	is_int(ctxd_open_default(NULL, 'u', &c, &f), -1);
	ok(strstr(f.text, "state/ctxd/run/ctxd.sock") != NULL);

	home = sock_listen(mkdirs("home/.local/state/ctxd/run/ctxd.sock"), SOCK_STREAM, 0600, 8);
	need(home >= 0);
	found(NULL, 0, "home/.local/state/ctxd/run/ctxd.sock");
	state = sock_listen(mkdirs("state/ctxd/run/ctxd.sock"), SOCK_STREAM, 0600, 8);
	need(state >= 0);
	found(NULL, 0, "state/ctxd/run/ctxd.sock");
	runtime = sock_listen(mkdirs("rt/ctxd/ctxd.sock"), SOCK_STREAM, 0600, 8);
	need(runtime >= 0);
	found(NULL, 0, "rt/ctxd/ctxd.sock");
	found(NULL, 'u', "rt/ctxd/ctxd.sock");
	found(NULL, 's', CTXD_SYSTEM_SOCKET);

	setenv("CTXD_SOCKET", "/from/env", 1);
	found(NULL, 0, "/from/env");
	found("/x/y", 0, "/x/y");
	found(NULL, 'u', "rt/ctxd/ctxd.sock"); /* asked for on the command line */
	found(NULL, 's', CTXD_SYSTEM_SOCKET);
	setenv("CTXD_SOCKET", "", 1);
	found(NULL, 0, "rt/ctxd/ctxd.sock");
	unsetenv("CTXD_SOCKET");

	close(runtime); /* a socket file that nobody listens at hides nothing */
	found(NULL, 0, "state/ctxd/run/ctxd.sock");
	setenv("XDG_STATE_HOME", "state", 1); /* relative: invalid by its specification */
	found(NULL, 0, "home/.local/state/ctxd/run/ctxd.sock");
	close(state);

	is_int(ctxd_open_default(NULL, 0, &c, &f), 0);
	ok(strstr(ctxd_path(c), "/home/.local/state/ctxd/run/ctxd.sock") != NULL);
	ctxd_close(c);
	close(home);
	remove_dir();
	setenv("HOME", "/", 1);
	unsetenv("XDG_RUNTIME_DIR");
	unsetenv("XDG_STATE_HOME");
}

/* The search and the opening are one connection. */
TEST(open_default_connects_once)
{
	struct ctxd_client *c = NULL;
	struct ctxd_failure f;
	int l;

	make_dir();
	set_env("XDG_RUNTIME_DIR", "rt");
	l = sock_listen(mkdirs("rt/ctxd/ctxd.sock"), SOCK_STREAM, 0600, 8);
	need(l >= 0);
	is_int(ctxd_open_default(NULL, 0, &c, &f), 0);
	ok(accept(l, NULL, NULL) >= 0);
	ok(accept(l, NULL, NULL) < 0 && errno == EAGAIN);
	ctxd_close(c);
	set_env("CTXD_SOCKET", "rt/ctxd/ctxd.sock");
	is_int(ctxd_open_default(NULL, 0, &c, &f), 0);
	ok(accept(l, NULL, NULL) >= 0);
	ok(accept(l, NULL, NULL) < 0 && errno == EAGAIN);
	ctxd_close(c);
	unsetenv("CTXD_SOCKET");
	unsetenv("XDG_RUNTIME_DIR");
	close(l);
	remove_dir();
}

/* What another program has connected. */
TEST(open_fd)
{
	struct ctxd_client *c = NULL;
	struct ctxd_failure f;
	json_t *reply = NULL;
	char call[256] = "";
	int s[2];

	need(sock_pair(SOCK_STREAM, s) == 0);
	is_int(ctxd_open_fd(s[0], "web1 (over ssh)", &c, &f), 0);
	is_str(ctxd_path(c), "web1 (over ssh)");
	is_int(ctxd_fd(c), s[0]);
	is_int(ctxd_send(c, "Get", json_pack("{s:i}", "id", 1), 0, &f), 0);
	ok(recv(s[1], call, sizeof(call) - 1, 0) > 0);
	ok(strstr(call, "io.ctxd.Get") != NULL);
	ok(send(s[1], "{}", 3, 0) == 3);
	is_int(ctxd_receive(c, &reply, NULL, &f), 0);
	json_decref(reply);
	(void)close(s[1]);
	is_int(ctxd_call(c, "Get", NULL, NULL, &f), -1);
	is_int(f.code, CTXD_E_LOST);
	ok(strstr(f.text, "web1 (over ssh)") != NULL);
	ctxd_close(c);
	ok(fcntl(s[0], F_GETFD) < 0); /* it was taken over */
}

TEST(long_paths_work)
{
	struct ctxd_client *c = NULL;
	struct ctxd_failure f;
	char below[300];
	size_t n = 0;
	int l;

	make_dir();
	for (; n < 220; n++)
		below[n] = n % 11 ? 'x' : '/';
	below[n] = '\0';
	set_env("XDG_RUNTIME_DIR", below + 1);
	snprintf(below + n, sizeof(below) - n, "/ctxd/ctxd.sock");
	l = sock_listen(mkdirs(below + 1), SOCK_STREAM, 0600, 8);
	need(l >= 0);
	found(NULL, 0, below + 1);
	is_int(ctxd_open_default(NULL, 0, &c, &f), 0);
	ctxd_close(c);
	unsetenv("XDG_RUNTIME_DIR");
	close(l);
	remove_dir();
}

TEST(each_code_has_a_text)
{
	for (int i = CTXD_E_NONE; i <= CTXD_E_REMOTE; i++)
		ok(ctxd_strerror((enum ctxd_error)i)[0] != '\0');
	is_str(ctxd_strerror((enum ctxd_error)99), "unknown error");
	ok(ctxd_close(NULL) == NULL);
}
