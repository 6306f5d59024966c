/* test_buf.c - base/buf.h: bounds, failure that sticks, reuse of the front, and a long random run
 * against a model. */
#include <errno.h>

#include "base/buf.h"
#include "rnd.h"
#include "tap.h"

static bool
holds(const struct buf *b, const char *want)
{
	return buf_len(b) == strlen(want) && memcmp(buf_head(b), want, buf_len(b)) == 0;
}

TEST(zero_is_empty)
{
	struct buf b = {0};

	is_int(buf_len(&b), 0);
	ok(buf_head(&b) != NULL);
	buf_consume(&b, 0);
	buf_consume(&b, 10);
	buf_clear(&b);
	buf_shrink(&b, 0);
	buf_done(&b);
	is_int(buf_put(&b, NULL, 0), 0);
	is_int(buf_len(&b), 0);
	buf_done(&b);
}

TEST(appends_of_each_kind)
{
	struct buf b = {0};
	char *p;

	is_int(buf_put(&b, "ab", 2), 0);
	is_int(buf_puts(&b, "cd"), 0);
	is_int(buf_putc(&b, 'e'), 0);
	is_int(buf_printf(&b, "-%d-%s", 42, "x"), 0);
	p = buf_reserve(&b, 100);
	need(p);
	p[0] = p[1] = '!';
	buf_wrote(&b, 2);
	ok(holds(&b, "abcde-42-x!!"));
	buf_consume(&b, 5);
	ok(holds(&b, "-42-x!!"));
	buf_consume(&b, 1000);
	is_int(buf_len(&b), 0);
	is_int(b.start, 0);
	buf_done(&b);
}

TEST(printf_of_every_length_around_its_own_space)
{
	struct buf b = {0};

	for (int n = 500; n < 530; n++) {
		buf_clear(&b);
		is_int(buf_printf(&b, "%*d", n, 7), 0);
		is_int(buf_len(&b), n);
		ok(buf_head(&b)[n - 1] == '7' && buf_head(&b)[0] == ' ');
	}
	is_int(buf_printf(&b, "%*d", 100000, 7), 0);
	is_int(buf_len(&b), 100529);
	buf_done(&b);
}

TEST(bound_is_exact)
{
	struct buf b;

	buf_init(&b, 10);
	is_int(buf_put(&b, "0123456789", 10), 0);
	is_int(buf_put(&b, "", 0), 0);
	is_int(buf_putc(&b, 'x'), -ENOBUFS);
	is_int(b.failed, -ENOBUFS);
	ok(holds(&b, "0123456789"));
	buf_done(&b);
	is_int(b.failed, 0);
	is_int(b.max, 10);
	is_int(buf_printf(&b, "%s", "0123456789"), 0);
	is_int(buf_printf(&b, "%s", "0"), -ENOBUFS);
	buf_clear(&b);
	is_int(buf_printf(&b, "%*d", 600, 1), -ENOBUFS);
	is_int(buf_len(&b), 0);
	buf_done(&b);
}

TEST(bound_counts_content_only)
{
	struct buf b;

	buf_init(&b, 8);
	for (int i = 0; i < 1000; i++) {
		need(buf_put(&b, "abcd", 4) == 0);
		if (buf_len(&b) == 8)
			buf_consume(&b, 4);
	}
	ok(holds(&b, "abcd"));
	buf_done(&b);
}

TEST(failure_sticks)
{
	struct buf b;

	buf_init(&b, 4);
	is_int(buf_puts(&b, "ab"), 0);
	is_int(buf_puts(&b, "cde"), -ENOBUFS);
	is_int(buf_puts(&b, "c"), -ENOBUFS);
	ok(buf_reserve(&b, 1) == NULL);
	is_int(buf_printf(&b, "c"), -ENOBUFS);
	ok(holds(&b, "ab"));
	buf_clear(&b);
	is_int(buf_puts(&b, "cde"), 0);
	buf_done(&b);
}

TEST(absurd_sizes_are_refused)
{
	struct buf b = {0};

	ok(buf_reserve(&b, SIZE_MAX) == NULL);
	is_int(b.failed, -ENOMEM);
	buf_clear(&b);
	ok(buf_reserve(&b, SIZE_MAX / 2) == NULL);
	is_int(b.failed, -ENOMEM);
	buf_clear(&b);
	is_int(buf_puts(&b, "abc"), 0);
	ok(buf_reserve(&b, SIZE_MAX - 2) == NULL);
	buf_clear(&b);
	buf_done(&b);
	buf_init(&b, 100);
	ok(buf_reserve(&b, SIZE_MAX) == NULL);
	is_int(b.failed, -ENOBUFS);
	buf_done(&b);
}

TEST(shrink_only_when_empty)
{
	struct buf b = {0};

	need(buf_reserve(&b, 1 << 20));
	buf_wrote(&b, 1 << 10);
	buf_shrink(&b, 4096);
	ok(b.cap >= 1 << 20);
	buf_consume(&b, 1 << 10);
	buf_shrink(&b, 4096);
	is_int(b.cap, 4096);
	buf_shrink(&b, 8192);
	is_int(b.cap, 4096);
	is_int(buf_puts(&b, "still good"), 0);
	ok(holds(&b, "still good"));
	buf_clear(&b);
	buf_shrink(&b, 0);
	is_int(b.cap, 0);
	ok(b.data == NULL);
	is_int(buf_puts(&b, "again"), 0);
	buf_done(&b);
}

/* A queue that never empties: the block stays within twice the bound. */
TEST(queue_stays_small)
{
	struct buf b;
	char piece[100];

	memset(piece, 'p', sizeof(piece));
	buf_init(&b, 1000);
	need(buf_put(&b, piece, 100) == 0);
	for (int i = 0; i < 20000; i++) {
		need(buf_put(&b, piece, 1 + rnd(100)) == 0);
		while (buf_len(&b) > 900)
			buf_consume(&b, 1 + rnd(99));
	}
	ok(b.cap <= 2000);
	buf_done(&b);
}

TEST(random_against_a_model)
{
	struct buf b;
	static char model[4096];
	size_t len = 0;

	buf_init(&b, sizeof(model));
	for (int i = 0; i < 50000; i++) {
		char piece[300];
		size_t n = rnd(sizeof(piece));

		if (rnd(2)) {
			memset(piece, (int)('a' + i % 26), n);
			if (len + n <= sizeof(model)) {
				need(buf_put(&b, piece, n) == 0);
				memcpy(model + len, piece, n);
				len += n;
			} else {
				need(buf_put(&b, piece, n) == -ENOBUFS);
				b.failed = 0;
			}
		} else {
			n = n < len ? n : len;
			buf_consume(&b, n);
			memmove(model, model + n, len - n);
			len -= n;
		}
		need(buf_len(&b) == len && memcmp(buf_head(&b), model, len) == 0);
		if (rnd(100) == 0)
			buf_shrink(&b, 512);
	}
	buf_done(&b);
}
