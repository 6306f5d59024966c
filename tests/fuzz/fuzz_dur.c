/* fuzz_dur.c - durations, points in time and the other short forms that people type: never out of
 * bounds, always a reason, and what is printed reads back as the same value. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
duration(const char *s)
{
	struct dur d = {-1}, back;
	const char *why = NULL;
	char buf[CLOCK_TEXT];

	if (dur_parse(s, &d, &why) < 0) {
		assert(why && *why && d.ns == -1);
		return;
	}
	assert(d.ns > 0 && d.ns <= DUR_MAX_NS && d.ns % NSEC_PER_USEC == 0);
	assert(strlen(dur_format(d, buf, sizeof(buf))) < sizeof(buf));
	assert(dur_parse(buf, &back, &why) == 0 && back.ns == d.ns);
}

static void
point(const char *s)
{
	const struct wall now = {INT64_C(1700000000) * NSEC_PER_SEC};
	struct wall w = {-1}, back;
	const char *why = NULL;
	char buf[CLOCK_TEXT];

	if (wall_parse(s, now, &w, &why) < 0) {
		assert(why && *why && w.ns == -1);
		return;
	}
	assert(w.ns >= 0);
	assert(strlen(wall_format(w, buf, sizeof(buf))) == 27);
	assert(wall_parse(buf, now, &back, &why) == 0);
	assert(back.ns == w.ns - w.ns % NSEC_PER_USEC);
}

static void
others(const char *s)
{
	uint64_t u, u2;
	int64_t i;
	int sig, sig2;
	char buf[32];

	if (text_size(s, &u) == 0)
		assert(text_size(text_size_format(u, buf, sizeof(buf)), &u2) == 0 && u == u2);
	if (text_signal(s, &sig) == 0)
		assert(text_signal(text_signal_name(sig, buf, sizeof(buf)), &sig2) == 0 &&
		       sig == sig2);
	(void)text_u64(s, &u);
	(void)text_i64(s, &i);
	(void)text_class_name(s);
	if (text_job_name(s))
		assert(text_utf8_valid(s, strlen(s), NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1);

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	duration(s);
	point(s);
	others(s);
	free(s);
	return 0;
}
