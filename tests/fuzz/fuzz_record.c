/* fuzz_record.c - what lies in a memfd or in a run directory and is read by somebody with more
 * rights or of another version: spec, result, progress, `seen`, `uuid`. The first byte says which.
 * What is accepted is within bounds and, unless it is of an older version, written again as the
 * same bytes. */
#include "base/file.h"
#include "base/strv.h"
#include "harness.h"
#include "record/rundir.h"
#include "record/spec.h"

enum { SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

static void
same(int fd, const uint8_t *data, size_t size)
{
	char *p = malloc(size + 1);

	assert(p && pread(fd, p, size + 1, 0) == (ssize_t)size);
	assert(memcmp(p, data, size) == 0);
	free(p);
}

static void
spec(const uint8_t *data, size_t size, unsigned seals)
{
	_cleanup_(spec_done) struct spec s = {0};
	int fd = harness_memfd(data, size, seals), again;
	int r = spec_read(fd, &s);

	(void)close(fd);
	if (r < 0) {
		assert(r == -EPROTO && !s.cwd && !s.groups);
		return;
	}
	assert(seals == SEALS && s.argv.n > 0 && s.cwd[0] == '/' && s.id > 0 && s.attempt > 0);
	assert(s.deadline_ns > 0 && s.limit_ns >= s.deadline_ns);
	for (const char *e = strv_first(&s.env); e; e = strv_next(&s.env, e))
		assert(strchr(e, '=') > e);
	again = spec_seal(&s);
	assert(again >= 0);
	if (data[4] == SPEC_VERSION) /* an older one is written as ours */
		same(again, data, size);
	(void)close(again);
}

static void
file(int at, const char *name, const uint8_t *data, size_t size)
{
	assert(file_replace_at(at, name, data, size, 0600) == 0);
}

/* A record is put in order as far as its sum, or nothing would ever be accepted. */
static void
evidence(int dir, const uint8_t *data, size_t size, bool is_progress)
{
	struct rundir_evidence e = {0};
	struct progress p;
	int r;

	assert(mkdirat(dir, "1.1", 0700) == 0);
	if (is_progress && size == sizeof(p)) {
		memcpy(&p, data, sizeof(p));
		progress_seal(&p);
		data = (const uint8_t *)&p;
	}
	file(dir, is_progress ? "1.1/" RUNDIR_PROGRESS : "1.1/" RUNDIR_RESULT, data, size);
	r = rundir_look(dir, 1, 1, &e);
	assert(r == 0 || (r == -EPROTO && !e.has_result && !is_progress));
	assert(e.dir && !e.fresh && !e.started && !e.swept);
	if (e.has_progress)
		assert(strlen(e.progress.text) == e.progress.text_size &&
		       memcmp(&e.progress, data, size) == 0);
	if (e.has_result)
		assert(r == 0 && e.result.id == 1 && e.result.attempt == 1 &&
		       memcmp(&e.result, data, size) == 0);
}

static void
numbers(int dir, const uint8_t *data, size_t size)
{
	uint64_t seen = 5, again = 6;
	uint8_t uuid[16] = {0}, other[16];

	file(dir, RUNDIR_SEEN, data, size);
	if (rundir_seen_read(dir, &seen) == 0) {
		assert(rundir_seen_write(dir, seen) == 0 && rundir_seen_read(dir, &again) == 0 &&
		       again == seen);
	} else {
		assert(seen == 5);
	}
	file(dir, RUNDIR_UUID, data, size);
	if (rundir_uuid_read(dir, uuid) == 0)
		assert(rundir_uuid_write(dir, uuid) == 0 && rundir_uuid_read(dir, other) == 0 &&
		       memcmp(uuid, other, sizeof(uuid)) == 0);
}

static void
name(const uint8_t *data, size_t size)
{
	char text[64] = "", buf[RUNDIR_NAME];
	uint64_t id = 0;
	uint32_t attempt = 0;

	memcpy(text, data, size < sizeof(text) ? size : sizeof(text) - 1);
	if (rundir_parse(text, &id, &attempt) == 0)
		assert(id && attempt && strcmp(rundir_name(id, attempt, buf), text) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, size};
	uint8_t what = input_byte(&in) & 7;
	size_t fds = harness_fds();
	int dir = open(harness_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert(dir >= 0);
	if (what < 3)
		spec(in.p, in.n, SEALS);
	else if (what == 3)
		spec(in.p, in.n, F_SEAL_SHRINK | F_SEAL_GROW);
	else if (what < 6)
		evidence(dir, in.p, in.n, what == 5);
	else if (what == 6)
		numbers(dir, in.p, in.n);
	else
		name(in.p, in.n);
	(void)close(dir);
	assert(harness_fds() == fds);
	harness_empty();
	return 0;
}
