/* test_result.c - record/result.h. */
#include <errno.h>

#include "record/result.h"
#include "tap.h"

static struct result
exited(void)
{
	struct result r;

	result_init(&r, 42, 1);
	r.flags = RESULT_HAS_STATUS;
	r.wait_status = 3 << 8;
	return r;
}

TEST(init_then_check)
{
	struct result r = exited();

	ok(memcmp(&r, "CTXR", 4) == 0);
	is_int(r.size, 224);
	is_int(result_check(&r, sizeof(r), 42, 1), 0);
}

/* What a monitor of version 1 wrote: as long as it was then, and nothing else. */
TEST(version_1)
{
	struct result r = exited(), t;

	r.version = 1;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
	is_int(result_check(&r, 160, 42, 1), -EPROTO);
	r.size = 160;
	r.memory_peak_bytes = 7; /* not of the record */
	is_int(result_take(&t, &r, 160, 42, 1), 0);
	is_int(t.memory_peak_bytes, 0);
	is_int(result_take(&t, &r, sizeof(r), 42, 1), -EPROTO);
	is_int(result_take(&t, &r, 159, 42, 1), -EPROTO);
	r.version = 2;
	is_int(result_take(&t, &r, 160, 42, 1), -EPROTO);
}

TEST(short_long_or_foreign)
{
	struct result r = exited();

	is_int(result_check(&r, 0, 42, 1), -EPROTO);
	is_int(result_check(&r, sizeof(r) - 1, 42, 1), -EPROTO);
	is_int(result_check(&r, sizeof(r) + 1, 42, 1), -EPROTO);
	is_int(result_check(&r, sizeof(r), 43, 1), -EPROTO);
	is_int(result_check(&r, sizeof(r), 42, 2), -EPROTO);
	r.magic++;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
	r = exited();
	r.version++;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
	r = exited();
	r.size--;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
}

TEST(reserved_space_is_no_result)
{
	struct result r;

	memset(&r, 0, sizeof(r));
	is_int(result_check(&r, sizeof(r), 0, 0), -EPROTO);
}

TEST(a_status_or_a_reason_why_there_is_none)
{
	struct result r = exited();

	r.exec_error = ENOENT;
	r.exec_step = EXEC_STEP_EXEC;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
	r.flags = 0;
	is_int(result_check(&r, sizeof(r), 42, 1), 0);
	r.exec_error = 0;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
	r.exec_error = -2;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
}

TEST(enums_in_range)
{
	struct result r = exited();

	r.stop_cause = STOP_CAUSE_WATCHDOG;
	is_int(result_check(&r, sizeof(r), 42, 1), 0);
	r.stop_cause = STOP_CAUSE_WATCHDOG + 1;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
	r = exited();
	r.exec_step = EXEC_STEP_FORK + 1;
	is_int(result_check(&r, sizeof(r), 42, 1), -EPROTO);
}
