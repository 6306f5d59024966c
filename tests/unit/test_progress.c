/* test_progress.c - record/progress.h: what a job said is read back whole or not at all. */
#include <errno.h>
#include <stdlib.h>

#include "record/progress.h"
#include "tap.h"

static struct progress
half_way(void)
{
	struct progress p;

	progress_init(&p, 42, 1);
	p.flags = PROGRESS_HAS_PERCENT | PROGRESS_READY;
	p.at_us = 1700000000000000;
	p.ready_us = 1600000000000000;
	p.percent_milli = 50000;
	p.text_size = 8;
	memcpy(p.text, "half way", 8);
	progress_seal(&p);
	return p;
}

TEST(seal_then_check)
{
	struct progress p = half_way();

	ok(memcmp(&p, "CTXP", 4) == 0);
	is_int(p.size, 312);
	is_int(progress_check(&p, sizeof(p), 42, 1), 0);
}

TEST(nothing_said_yet)
{
	struct progress p;

	progress_init(&p, 42, 1);
	is_int(progress_check(&p, sizeof(p), 42, 1), -EPROTO); /* not sealed */
	progress_seal(&p);
	is_int(progress_check(&p, sizeof(p), 42, 1), 0);
}

TEST(short_long_or_foreign)
{
	struct progress p = half_way();

	is_int(progress_check(&p, 0, 42, 1), -EPROTO);
	is_int(progress_check(&p, sizeof(p) - 1, 42, 1), -EPROTO);
	is_int(progress_check(&p, sizeof(p) + 1, 42, 1), -EPROTO);
	is_int(progress_check(&p, sizeof(p), 43, 1), -EPROTO);
	is_int(progress_check(&p, sizeof(p), 42, 2), -EPROTO);
	memset(&p, 0, sizeof(p));
	is_int(progress_check(&p, sizeof(p), 0, 0), -EPROTO);
}

/* Overwritten in place: a reader may see the first bytes of a new one before the last of an old. */
TEST(any_mixture_of_two_is_refused)
{
	struct progress old = half_way(), new = half_way(), mixed;

	new.at_us += 1000003;
	new.percent_milli = 75001;
	memcpy(new.text, "nearly..", 8);
	progress_seal(&new);
	for (size_t i = 1; i < sizeof(mixed); i++) {
		mixed = old;
		memcpy(&mixed, &new, i);
		if (memcmp(&mixed, &old, sizeof(old)) != 0 &&
		    memcmp(&mixed, &new, sizeof(new)) != 0)
			is_int(progress_check(&mixed, sizeof(mixed), 42, 1), -EPROTO);
	}
}

TEST(any_bit_spoiled)
{
	struct progress p = half_way();
	unsigned char *b = (unsigned char *)&p;

	for (size_t i = 0; i < sizeof(p) * 8; i++) {
		b[i / 8] ^= (unsigned char)(1u << i % 8);
		is_int(progress_check(&p, sizeof(p), 42, 1), -EPROTO);
		b[i / 8] ^= (unsigned char)(1u << i % 8);
	}
}

static int
check_changed(void (*change)(struct progress *p))
{
	struct progress p = half_way();

	change(&p);
	progress_seal(&p);
	return progress_check(&p, sizeof(p), 42, 1);
}

#define SEALED(name, want, change)                                                                 \
	static void change_##name(struct progress *p)                                              \
	{                                                                                          \
		change;                                                                            \
	}                                                                                          \
	TEST(sealed_##name)                                                                        \
	{                                                                                          \
		is_int(check_changed(change_##name), want);                                        \
	}
SEALED(hundred, 0, p->percent_milli = 100000)
SEALED(over_hundred, -EPROTO, p->percent_milli = 100001)
SEALED(below_zero, -EPROTO, p->percent_milli = -1)
SEALED(text_longer_than_said, -EPROTO, p->text_size = 7)
SEALED(text_shorter_than_said, -EPROTO, p->text_size = 9)
SEALED(text_size_too_large, -EPROTO, p->text_size = PROGRESS_TEXT)
SEALED(full_text, 0, memset(p->text, 'x', 255); p->text_size = 255)
SEALED(text_without_end, -EPROTO, memset(p->text, 'x', 256); p->text_size = 255)
SEALED(newer, -EPROTO, p->version = 2)
