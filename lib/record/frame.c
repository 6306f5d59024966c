/* frame.c - heads and sizes of the frames, see frame.h. Says nothing about who may send what. */
#include <errno.h>
#include <string.h>

#include "record/frame.h"

_Static_assert(sizeof(struct frame_plain) == 24, "plain");
_Static_assert(sizeof(struct frame_welcome) == 32, "welcome");
_Static_assert(sizeof(struct frame_dir) == 16, "dir");
_Static_assert(sizeof(struct frame_dirs) == 32, "dirs");
_Static_assert(sizeof(struct frame_claimed) == 32, "claimed");
_Static_assert(sizeof(struct frame_refused) == 40, "refused");
_Static_assert(sizeof(struct frame_spawned) == 32, "spawned");
_Static_assert(sizeof(struct frame_spawn_failed) == 32, "spawn failed");
_Static_assert(sizeof(struct frame_swept) == 32, "swept");
_Static_assert(sizeof(struct frame_stopping) == 40, "stopping");
_Static_assert(sizeof(struct frame_extend) == 32, "extend");
_Static_assert(sizeof(struct frame_end) == 248, "end");
_Static_assert(sizeof(struct frame_progress) == 336, "progress");
_Static_assert(sizeof(struct frame_extended) == 40, "extended");
_Static_assert(sizeof(struct frame_signal) == 32, "signal");
_Static_assert(sizeof(struct frame_dirs) + FRAME_DIRS_MAX * sizeof(struct frame_dir) <= FRAME_MAX,
	       "a full DIRS fits into a frame");

enum { FRAME_TYPES = FRAME_SIGNAL + 1 };

static const struct {
	const char *name;
	uint32_t size; /* 0: no such type; of DIRS: without its entries */
} types[FRAME_TYPES] = {
	[FRAME_CLAIM] = {"CLAIM", sizeof(struct frame_claim)},
	[FRAME_SPAWN] = {"SPAWN", sizeof(struct frame_spawn)},
	[FRAME_SWEEP] = {"SWEEP", sizeof(struct frame_plain)},
	[FRAME_FORGET] = {"FORGET", sizeof(struct frame_plain)},
	[FRAME_WELCOME] = {"WELCOME", sizeof(struct frame_welcome)},
	[FRAME_DIRS] = {"DIRS", sizeof(struct frame_dirs)},
	[FRAME_CLAIMED] = {"CLAIMED", sizeof(struct frame_claimed)},
	[FRAME_REFUSED] = {"REFUSED", sizeof(struct frame_refused)},
	[FRAME_SPAWNED] = {"SPAWNED", sizeof(struct frame_spawned)},
	[FRAME_SPAWN_FAILED] = {"SPAWN_FAILED", sizeof(struct frame_spawn_failed)},
	[FRAME_SWEPT] = {"SWEPT", sizeof(struct frame_swept)},
	[FRAME_HELLO] = {"HELLO", sizeof(struct frame_hello)},
	[FRAME_STOPPING] = {"STOPPING", sizeof(struct frame_stopping)},
	[FRAME_END] = {"END", sizeof(struct frame_end)},
	[FRAME_PROGRESS] = {"PROGRESS", sizeof(struct frame_progress)},
	[FRAME_EXTENDED] = {"EXTENDED", sizeof(struct frame_extended)},
	[FRAME_STOP] = {"STOP", sizeof(struct frame_stop)},
	[FRAME_EXTEND] = {"EXTEND", sizeof(struct frame_extend)},
	[FRAME_SIGNAL] = {"SIGNAL", sizeof(struct frame_signal)},
};

void
frame_init(void *frame, enum frame_type type, uint64_t id, uint32_t attempt, size_t size)
{
	struct frame_head h = {
		.magic = FRAME_MAGIC,
		.version = FRAME_VERSION,
		.type = (uint16_t)type,
		.size = (uint32_t)size,
		.attempt = attempt,
		.id = id,
	};

	/* The whole frame: no byte of our stack travels. */
	memset(frame, 0, size);
	memcpy(frame, &h, sizeof(h));
}

static int
dirs_check(const void *p, size_t size)
{
	const struct frame_dirs *d = p;

	if (size < sizeof(*d) || d->n == 0 || d->n > FRAME_DIRS_MAX)
		return -EPROTO;
	return size == sizeof(*d) + d->n * sizeof(d->dir[0]) ? 0 : -EPROTO;
}

/* Has a frame of TYPE this size, now or in an older version? */
static bool
is_size_of(unsigned type, size_t size)
{
	if (type == FRAME_END && size == offsetof(struct frame_end, result) + RESULT_SIZE_1)
		return true;
	return size == types[type].size;
}

int
frame_check(const void *p, size_t size)
{
	const struct frame_head *h = p;

	if (size < sizeof(*h) || size > FRAME_MAX || h->magic != FRAME_MAGIC || h->size != size ||
	    h->version == 0)
		return -EPROTO;
	if (h->version > FRAME_VERSION || h->type >= FRAME_TYPES || types[h->type].size == 0)
		return -EPROTONOSUPPORT;
	if (h->type == FRAME_DIRS)
		return dirs_check(p, size);
	return is_size_of(h->type, size) ? 0 : -EPROTO;
}

unsigned
frame_welcome_spec(uint32_t flags)
{
	return flags >> 24 ? flags >> 24 : SPEC_VERSION_FIRST;
}

const char *
frame_type_name(unsigned type)
{
	return type < FRAME_TYPES && types[type].name ? types[type].name : "unknown";
}
