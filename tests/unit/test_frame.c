/* test_frame.c - record/frame.h: heads, sizes, what is refused. */
#include <errno.h>
#include <stdint.h>

#include "base/mem.h"
#include "record/frame.h"
#include "tap.h"

static const struct {
	enum frame_type type;
	size_t size;
	const char *name;
} types[] = {
	{FRAME_CLAIM, 48, "CLAIM"},
	{FRAME_SPAWN, 32, "SPAWN"},
	{FRAME_SWEEP, 24, "SWEEP"},
	{FRAME_FORGET, 24, "FORGET"},
	{FRAME_WELCOME, 32, "WELCOME"},
	{FRAME_CLAIMED, 32, "CLAIMED"},
	{FRAME_REFUSED, 40, "REFUSED"},
	{FRAME_SPAWNED, 32, "SPAWNED"},
	{FRAME_SPAWN_FAILED, 32, "SPAWN_FAILED"},
	{FRAME_SWEPT, 32, "SWEPT"},
	{FRAME_HELLO, 72, "HELLO"},
	{FRAME_STOPPING, 40, "STOPPING"},
	{FRAME_END, 248, "END"},
	{FRAME_PROGRESS, 336, "PROGRESS"},
	{FRAME_EXTENDED, 40, "EXTENDED"},
	{FRAME_STOP, 32, "STOP"},
	{FRAME_EXTEND, 32, "EXTEND"},
	{FRAME_SIGNAL, 32, "SIGNAL"},
};

static union {
	uint64_t align;
	struct frame_head head;
	struct frame_dirs dirs;
	char bytes[FRAME_MAX + 64];
} u;

TEST(every_type_has_one_size)
{
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		frame_init(&u, types[i].type, 7, 2, types[i].size);
		is_int(frame_check(&u, types[i].size), 0);
		is_str(frame_type_name(types[i].type), types[i].name);
		for (size_t size = 24; size < 400; size++) {
			if (size == types[i].size || (types[i].type == FRAME_END && size == 184))
				continue;
			u.head.size = (uint32_t)size;
			is_int(frame_check(&u, size), -EPROTO);
		}
	}
}

TEST(init_fills_the_head_and_clears_the_rest)
{
	struct frame_spawn f;

	memset(&f, 0xff, sizeof(f));
	frame_init(&f, FRAME_SPAWN, UINT64_C(0x1122334455667788), 9, sizeof(f));
	is_int(f.head.magic, 0x46585443);
	ok(memcmp(&f, "CTXF", 4) == 0); /* as a hex dump shows it */
	is_int(f.head.version, 1);
	is_int(f.head.type, FRAME_SPAWN);
	is_int(f.head.size, 32);
	is_int(f.head.attempt, 9);
	ok(f.head.id == UINT64_C(0x1122334455667788));
	is_int(f.seq, 0);
}

TEST(malformed_heads)
{
	frame_init(&u, FRAME_SWEEP, 1, 1, 24);
	is_int(frame_check(&u, 24), 0);
	for (size_t size = 0; size < 24; size++)
		is_int(frame_check(&u, size), -EPROTO);
	u.head.magic ^= 1;
	is_int(frame_check(&u, 24), -EPROTO);
	u.head.magic ^= 1;
	u.head.size = 25;
	is_int(frame_check(&u, 24), -EPROTO);
	u.head.size = 24;
	u.head.version = 0;
	is_int(frame_check(&u, 24), -EPROTO);
}

TEST(what_a_newer_one_says_is_to_be_skipped)
{
	static const uint16_t unknown[] = {0, 5, 15, 23, 31, 37, 47, 51, 52, 1000, 65535};

	frame_init(&u, FRAME_SWEEP, 1, 1, 24);
	u.head.version = 2;
	is_int(frame_check(&u, 24), -EPROTONOSUPPORT);
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		frame_init(&u, FRAME_SWEEP, 1, 1, 100);
		u.head.type = unknown[i];
		is_int(frame_check(&u, 100), -EPROTONOSUPPORT);
		is_str(frame_type_name(unknown[i]), "unknown");
	}
}

TEST(dirs_counts_its_entries)
{
	size_t full = sizeof(struct frame_dirs) + FRAME_DIRS_MAX * sizeof(struct frame_dir);

	frame_init(&u, FRAME_DIRS, 0, 0, full);
	u.dirs.n = FRAME_DIRS_MAX;
	is_int(frame_check(&u, full), 0);
	u.dirs.n = FRAME_DIRS_MAX - 1;
	is_int(frame_check(&u, full), -EPROTO);
	u.dirs.n = UINT32_MAX;
	is_int(frame_check(&u, full), -EPROTO);
	frame_init(&u, FRAME_DIRS, 0, 0, 32);
	is_int(frame_check(&u, 32), -EPROTO); /* none: such a frame is not sent */
	frame_init(&u, FRAME_DIRS, 0, 0, 48);
	u.dirs.n = 1;
	is_int(frame_check(&u, 48), 0);
	u.head.size = 24;
	is_int(frame_check(&u, 24), -EPROTO);
}

TEST(larger_than_any_frame)
{
	frame_init(&u, FRAME_DIRS, 0, 0, FRAME_MAX + 16);
	u.dirs.n = (FRAME_MAX - 16) / 16;
	is_int(frame_check(&u, FRAME_MAX + 16), -EPROTO);
}
