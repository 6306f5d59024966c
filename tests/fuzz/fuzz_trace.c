/* fuzz_trace.c - traceparent, tracestate, baggage: never out of bounds, always a reason; what is
 * taken is within the limits, safe to show, and comes back as the same when it is read again. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "trace/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
parent(const char *s)
{
	struct trace_context t, back;
	char buf[TRACE_PARENT_TEXT], id[TRACE_ID_TEXT];
	const char *why = NULL;
	uint8_t raw[16];

	if (trace_parse(s, &t, &why) < 0) {
		assert(why && *why);
		return;
	}
	assert(t.flags <= (TRACE_SAMPLED | TRACE_RANDOM));
	assert(strlen(trace_format(&t, buf)) == sizeof(buf) - 1);
	assert(strncmp(s + 2, buf + 2, 51) == 0);
	assert(trace_parse(buf, &back, &why) == 0 && memcmp(&t, &back, sizeof(t)) == 0);
	assert(trace_id_parse(trace_id_format(t.trace_id, id), raw) == 0);
	assert(memcmp(raw, t.trace_id, sizeof(raw)) == 0);
}

static size_t
members(const char *s)
{
	size_t n = 1;

	for (; *s; s++) {
		assert(*s >= ' ' && *s <= '~');
		n += *s == ',';
	}
	return n;
}

static void
list(int (*parse)(const char *s, char **ret, const char **ret_why), const char *s, size_t most)
{
	char *got = NULL, *again = NULL;
	const char *why = NULL;
	int r = parse(s, &got, &why);

	if (r < 0) {
		assert(r == -EINVAL && why && *why && !got);
		return;
	}
	if (!got)
		return;
	assert(*got && strlen(got) <= strlen(s));
	assert(members(got) <= most);
	assert(parse(got, &again, &why) == 0 && again && strcmp(got, again) == 0);
	free(got);
	free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *s = malloc(size + 1); /* of this size, so that one byte too many is seen */
	uint8_t id[16];

	if (!s)
		return 0;
	memcpy(s, data, size);
	s[size] = '\0';
	parent(s);
	(void)trace_id_parse(s, id);
	list(trace_state_parse, s, TRACE_STATE_MEMBERS);
	list(trace_baggage_parse, s, TRACE_BAGGAGE_MEMBERS);
	free(s);
	return 0;
}
