/* test_alloc_base.c - memory that runs out in lib/base, lib/trace, lib/record: each operation says
 * -ENOMEM, leaves what it was given as it was, and loses nothing. */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc.h"
#include "base/buf.h"
#include "base/jw.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/sock.h"
#include "base/strv.h"
#include "base/text.h"
#include "record/spec.h"
#include "trace/trace.h"

static char dir[64];

/* ---- buffers */

static int
appending(void)
{
	struct buf b = {0};
	int r;

	for (int i = 0; i < 40; i++) {
		size_t before = buf_len(&b);

		r = i % 2 ? buf_puts(&b, "some text that is put behind the other")
			  : buf_printf(&b, "%d %s", i, "printed");
		if (r == 0)
			continue;
		alloc_off();
		is_int(r, -ENOMEM);
		is_int(buf_len(&b), before);        /* as it was */
		is_int(buf_putc(&b, 'x'), -ENOMEM); /* and so it stays */
		buf_clear(&b);
		is_int(buf_puts(&b, "again"), 0);
		ok(buf_len(&b) == 5 && memcmp(buf_head(&b), "again", 5) == 0);
		break;
	}
	r = b.end == 5;
	buf_done(&b);
	return r;
}
TEST(buf_append)
{
	alloc_each(appending);
}

static int
giving_back(void)
{
	struct buf b = {0};
	char *p = buf_reserve(&b, 100000);
	bool failed = !p;

	if (p)
		buf_wrote(&b, 100000);
	buf_consume(&b, buf_len(&b));
	buf_shrink(&b, 100); /* without memory for less it keeps what it has */
	alloc_off();
	is_int(buf_len(&b), 0);
	ok(failed ? b.failed == -ENOMEM : b.failed == 0);
	buf_done(&b);
	return failed;
}
TEST(buf_reserve_and_shrink)
{
	alloc_each(giving_back);
}

static int
writing_json(void)
{
	struct buf b = {0};
	struct jw j;
	int r;

	jw_init(&j, &b);
	jw_obj_open(&j, NULL);
	for (int i = 0; i < 20; i++)
		jw_str(&j, "name",
		       "a text with \"quotes\" and \xff no UTF-8, long enough to grow the buffer");
	jw_base64(&j, "data", "0123456789", 10);
	jw_obj_close(&j);
	alloc_off();
	r = b.failed;
	ok(r == 0 ? buf_head(&b)[buf_len(&b) - 1] == '}' : r == -ENOMEM);
	buf_done(&b);
	return r != 0;
}
TEST(jw)
{
	alloc_each(writing_json);
}

static int
texts(void)
{
	struct buf b = {0};
	_free_ char *s = text_format("%s and %d", "text", 42);
	int r = text_escape_buf(&b, "a\tb\x1b[m", 6);

	r = r ? r : text_shell_quote(&b, "it's");
	r = r ? r : text_base64_decode("aGVsbG8gd29ybGQsIHRoaXMgaXMgbG9uZ2Vy", 36, &b);
	alloc_off();
	ok(!s || strcmp(s, "text and 42") == 0);
	ok(r == 0 || r == -ENOMEM);
	is_int(b.failed, r);
	buf_done(&b);
	return r != 0 || !s;
}
TEST(text)
{
	alloc_each(texts);
}

/* ---- vectors of strings */

static bool
is_abc(const struct strv *v)
{
	return v->n == 3 && v->size == 12 && memcmp(v->data, "A=1\0B=2\0C=3\0", 12) == 0;
}

static int
vectors(void)
{
	static const char abc[] = "A=1\0B=2\0C=3";
	struct strv v = {0}, copy = {0};
	_free_ char **p = NULL;
	int r = strv_from_bytes(&v, abc, sizeof(abc));

	if (r == 0)
		r = strv_copy(&copy, &v);
	if (r == 0) {
		p = strv_pointers(&v);
		r = p ? 0 : -ENOMEM;
	}
	alloc_off();
	ok(r == 0 || r == -ENOMEM);
	ok(v.n == 0 || is_abc(&v));
	ok(copy.n == 0 || is_abc(&copy));
	ok(!p || (strcmp(p[2], "C=3") == 0 && !p[3]));
	strv_done(&v);
	strv_done(&copy);
	return r != 0;
}
TEST(strv_copies)
{
	alloc_each(vectors);
}

static int
adding(void)
{
	struct strv v = {0};
	int r = 0;

	for (int i = 0; i < 100 && r == 0; i++) {
		size_t n = v.n, size = v.size;

		r = i % 2 ? strv_add(&v, "NAME=a value")
			  : strv_add_pair(&v, "OTHER", "another value");
		ok(r == 0 ? v.n == n + 1 : r == -ENOMEM && v.n == n && v.size == size);
	}
	alloc_off();
	is_int(strv_add(&v, "LAST=one"), 0); /* usable */
	is_str(strv_env_get(&v, "LAST"), "one");
	strv_done(&v);
	return r != 0;
}
TEST(strv_add)
{
	alloc_each(adding);
}

static int
setting(void)
{
	struct strv v = {0};
	int r;

	alloc.on = false;
	need(strv_add(&v, "A=1") == 0 && strv_add(&v, "B=2") == 0 && strv_add(&v, "C=3") == 0);
	alloc.on = true;
	r = strv_env_set(&v, "B", "something much longer than what it was");
	alloc_off();
	if (r == 0)
		is_str(strv_env_get(&v, "B"), "something much longer than what it was");
	else
		ok(r == -ENOMEM && is_abc(&v));
	strv_done(&v);
	return r != 0;
}
TEST(strv_env_set)
{
	alloc_each(setting);
}

/* ---- maps */

static int
inserting(void)
{
	static struct map_node nodes[300];
	struct map m = {0};
	size_t n = 0;
	int r = 0;

	while (n < ARRAY_SIZE(nodes) && r == 0) {
		r = map_insert(&m, n, &nodes[n]);
		n += r == 0;
	}
	alloc_off();
	ok(r == 0 || r == -ENOMEM);
	is_int(m.n, n);
	for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
		ok(map_find(&m, i) == (i < n ? &nodes[i] : NULL));
	alloc.on = !alloc.fired; /* it shrinks, or stays large */
	while (n > 0)
		map_remove(&m, &nodes[--n]);
	alloc_off();
	is_int(m.n, 0);
	map_done(&m);
	return r != 0;
}
TEST(map)
{
	alloc_each(inserting);
}

/* ---- sockets */

static int
long_path(char *path, size_t size)
{
	int n = snprintf(path, size, "%s/", dir);

	memset(path + n, 'd', 150);
	path[n + 150] = '\0';
	(void)mkdir(path, 0700);
	return snprintf(path + n + 150, size - (size_t)n - 150, "/sock");
}

/* 0, 1 or 2: what was made is closed. */
static int
sockets(void)
{
	struct sock_peer peer = {.pid = 0};
	char path[300];
	int fd, to = -1, r;

	long_path(path, sizeof(path));
	(void)unlink(path);
	fd = sock_listen(path, SOCK_STREAM, 0600, 5);
	to = fd < 0 ? fd : sock_connect(path, SOCK_STREAM);
	r = to < 0 ? to : sock_peer(to, &peer);
	alloc_off();
	ok(r == 0 ? peer.pid == getpid() : r == -ENOMEM && !peer.groups);
	sock_peer_done(&peer);
	if (fd >= 0)
		(void)close(fd);
	if (to >= 0)
		(void)close(to);
	return r != 0;
}

TEST(sockets_of_a_long_path)
{
	char path[300];

	snprintf(dir, sizeof(dir), "%s", "/tmp/ctx-alloc-XXXXXX");
	need(mkdtemp(dir));
	alloc_each(sockets);
	long_path(path, sizeof(path));
	ok(unlink(path) == 0);
	*strrchr(path, '/') = '\0';
	ok(rmdir(path) == 0 && rmdir(dir) == 0);
}

/* ---- trace */

static int
trace(void)
{
	_free_ char *state = NULL, *baggage = NULL;
	const char *why = NULL;
	int r = trace_state_parse("a=1 , b=2", &state, &why);

	r = r ? r : trace_baggage_parse("key = value;property , other=1", &baggage, &why);
	alloc_off();
	ok(r == 0 || r == -ENOMEM);
	ok(!state || strcmp(state, "a=1,b=2") == 0);
	ok((r == 0) == (baggage != NULL));
	return r != 0;
}
TEST(trace_state_and_baggage)
{
	alloc_each(trace);
}

/* ---- spec */

static int
spec(void)
{
	struct spec s = {.id = 7,
			 .attempt = 1,
			 .n_groups = 2,
			 .deadline_ns = 5,
			 .grace_ns = 1,
			 .limit_ns = 5,
			 .stop_signal = 15};
	uint32_t groups[] = {1, 2};
	struct spec back = {0};
	char cwd[] = "/";
	int fd, r;

	alloc.on = false;
	need(strv_add(&s.argv, "true") == 0 && strv_add(&s.env, "A=1") == 0);
	alloc.on = true;
	s.groups = groups;
	s.cwd = cwd;
	fd = spec_seal(&s);
	r = fd < 0 ? fd : spec_read(fd, &back);
	alloc_off();
	if (r == 0)
		ok(back.id == 7 && back.n_groups == 2 && strcmp(back.cwd, "/") == 0 &&
		   back.argv.n == 1 && back.env.n == 1);
	else
		ok(r == -ENOMEM && !back.cwd && !back.groups && back.argv.n == 0);
	spec_done(&back);
	strv_done(&s.argv);
	strv_done(&s.env);
	if (fd >= 0)
		(void)close(fd);
	return r != 0;
}
TEST(spec_seal_and_read)
{
	alloc_each(spec);
}
