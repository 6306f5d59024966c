/* test_strv.c - base/strv.h: packing, checking of foreign bytes, environments, aliases into the
 * vector itself. */
#include <errno.h>

#include "base/strv.h"
#include "tap.h"

static struct strv
make(const char *const *s)
{
	struct strv v = {0};

	for (; *s; s++)
		need(strv_add(&v, *s) == 0);
	return v;
}
#define MAKE(...) make((const char *const[]){__VA_ARGS__, NULL})

static bool
same(const struct strv *v, const char *bytes, size_t size, size_t n)
{
	return v->size == size && v->n == n && (size == 0 || memcmp(v->data, bytes, size) == 0);
}

TEST(empty)
{
	struct strv v = {0}, w;
	char **p;

	ok(strv_first(&v) == NULL);
	ok(strv_env_get(&v, "A") == NULL);
	is_int(strv_env_set(&v, "A", NULL), 0);
	is_int(strv_copy(&w, &v), 0);
	ok(same(&w, "", 0, 0));
	p = strv_pointers(&v);
	ok(p && !p[0]);
	free(p);
	strv_done(&v);
}

TEST(add_and_walk)
{
	struct strv v = MAKE("ls", "", "-l");
	const char *s;

	ok(same(&v, "ls\0\0-l", 7, 3));
	s = strv_first(&v);
	is_str(s, "ls");
	s = strv_next(&v, s);
	is_str(s, "");
	s = strv_next(&v, s);
	is_str(s, "-l");
	ok(strv_next(&v, s) == NULL);
	strv_done(&v);
	ok(v.data == NULL && v.n == 0 && v.size == 0);
}

TEST(one_empty_string_is_not_nothing)
{
	struct strv v = MAKE("");

	is_int(v.n, 1);
	is_str(strv_first(&v), "");
	ok(strv_next(&v, strv_first(&v)) == NULL);
	strv_done(&v);
}

TEST(pointers_for_execve)
{
	struct strv v = MAKE("a", "", "ccc");
	char **p = strv_pointers(&v);

	need(p);
	is_str(p[0], "a");
	is_str(p[1], "");
	is_str(p[2], "ccc");
	ok(p[3] == NULL && p[0] == v.data);
	free(p);
	strv_done(&v);
}

TEST(bytes_are_checked)
{
	struct strv v = {.n = 77};

	is_int(strv_from_bytes(&v, "abc", 3), -EINVAL);
	is_int(strv_from_bytes(&v, "a\0bc", 4), -EINVAL);
	is_int(strv_from_bytes(&v, NULL, 4), -EINVAL);
	is_int(v.n, 77);
	is_int(strv_from_bytes(&v, NULL, 0), 0);
	ok(same(&v, "", 0, 0));
	is_int(strv_from_bytes(&v, "", 1), 0);
	ok(same(&v, "", 1, 1));
	strv_done(&v);
	is_int(strv_from_bytes(&v, "\0\0ab\0", 5), 0);
	ok(same(&v, "\0\0ab\0", 5, 3));
	is_int(strv_add(&v, "more"), 0);
	is_int(v.n, 4);
	strv_done(&v);
}

TEST(copy_is_its_own)
{
	struct strv v = MAKE("x", "y"), w;

	is_int(strv_copy(&w, &v), 0);
	ok(w.data != v.data);
	strv_done(&v);
	ok(same(&w, "x\0y", 4, 2));
	strv_done(&w);
}

TEST(env_get_takes_the_last)
{
	struct strv v = MAKE("A=1", "AB=2", "A=3", "B", "=odd", "C=", "A");

	is_str(strv_env_get(&v, "A"), "3");
	is_str(strv_env_get(&v, "AB"), "2");
	is_str(strv_env_get(&v, "C"), "");
	ok(strv_env_get(&v, "B") == NULL);
	ok(strv_env_get(&v, "D") == NULL);
	strv_done(&v);
}

TEST(env_set_replaces_all)
{
	struct strv v = MAKE("A=1", "AB=2", "A=3", "PLAIN");

	is_int(strv_env_set(&v, "A", "new=value"), 0);
	ok(same(&v, "AB=2\0PLAIN\0A=new=value", 23, 3));
	is_int(strv_env_set(&v, "Z", ""), 0);
	is_str(strv_env_get(&v, "Z"), "");
	is_int(v.n, 4);
	is_int(strv_env_set(&v, "AB", NULL), 0);
	is_int(strv_env_set(&v, "A", NULL), 0);
	is_int(strv_env_set(&v, "nobody", NULL), 0);
	ok(same(&v, "PLAIN\0Z=", 9, 2));
	is_int(strv_env_set(&v, "", "x"), -EINVAL);
	is_int(strv_env_set(&v, "A=B", "x"), -EINVAL);
	strv_done(&v);
}

TEST(env_emptied)
{
	struct strv v = MAKE("A=1");

	is_int(strv_env_set(&v, "A", NULL), 0);
	is_int(v.n, 0);
	ok(strv_first(&v) == NULL);
	is_int(strv_env_set(&v, "A", "2"), 0);
	is_str(strv_first(&v), "A=2");
	strv_done(&v);
}

TEST(strings_of_the_vector_itself)
{
	struct strv v = MAKE("A=some value", "B=other");
	char long_value[3000];

	for (int i = 0; i < 50; i++)
		need(strv_add(&v, strv_first(&v)) == 0);
	is_int(v.n, 52);
	is_int(strv_env_set(&v, "B", strv_env_get(&v, "A")), 0);
	is_str(strv_env_get(&v, "B"), "some value");
	is_int(strv_env_set(&v, "A", strv_env_get(&v, "A")), 0);
	is_str(strv_env_get(&v, "A"), "some value");
	is_int(v.n, 2);
	memset(long_value, 'v', sizeof(long_value) - 1);
	long_value[sizeof(long_value) - 1] = '\0';
	is_int(strv_add_pair(&v, "L", long_value), 0);
	is_int(strv_add_pair(&v, strv_first(&v), strv_env_get(&v, "L")), 0);
	is_str(strv_env_get(&v, "L"), long_value);
	strv_done(&v);
}

TEST(many)
{
	struct strv v = {0}, w;
	char name[32], value[32];

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "N%d", i);
		snprintf(value, sizeof(value), "%d", i * i);
		need(strv_add_pair(&v, name, value) == 0);
	}
	is_int(v.n, 2000);
	is_str(strv_env_get(&v, "N1999"), "3996001");
	is_int(strv_from_bytes(&w, v.data, v.size), 0);
	is_int(w.n, 2000);
	strv_done(&w);
	strv_done(&v);
}
