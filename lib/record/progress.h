/* progress.h - what a job last said of itself through its notify socket, as its monitor took it in.
 *
 * The same struct travels in FRAME_PROGRESS and lies in the file `progress` of the run directory
 * (whole file, overwritten in place: a reader that sees half of it finds that `check` is wrong, and
 * takes what the database has). A monitor that is killed leaves it behind as part of the evidence.
 */
#ifndef CTX_RECORD_PROGRESS_H
#define CTX_RECORD_PROGRESS_H

#include <stddef.h>
#include <stdint.h>

#define PROGRESS_MAGIC UINT32_C(0x50585443) /* "CTXP" */
enum { PROGRESS_VERSION = 1, PROGRESS_TEXT = 256 };
enum { PROGRESS_HAS_PERCENT = 1, PROGRESS_READY = 2 };

struct progress {
	uint32_t magic;
	uint16_t version;
	uint16_t size;
	uint64_t id;
	uint32_t attempt;
	uint32_t flags; /* PROGRESS_* */
	int64_t at_us;  /* wall: of the last word */
	int64_t ready_us;
	int32_t percent_milli;    /* 0..100000 */
	uint32_t text_size;       /* without the NUL */
	char text[PROGRESS_TEXT]; /* UTF-8 without control characters, NUL-padded */
	uint64_t check;           /* of all before it: progress_seal */
};
_Static_assert(sizeof(struct progress) == 312, "progress");

void progress_init(struct progress *p, uint64_t id, uint32_t attempt);
void progress_seal(struct progress *p);
/* Well-formed and of this attempt? 0 or -EPROTO. */
int progress_check(const struct progress *p, size_t size, uint64_t id, uint32_t attempt);

#endif
