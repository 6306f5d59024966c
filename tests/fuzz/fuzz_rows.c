/* fuzz_rows.c - the reader of long lists beside jansson: what it accepts, jansson accepts, and both
 * see the same values. What only it accepts is bytes that are no UTF-8, and a key given twice. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "client/rows.h"

static const char *const columns[] = {"a", "bc", "id"};

struct beside {
	const json_t *jobs; /* NULL: jansson cannot tell */
	size_t at;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same(const struct ctxd_cell *c, const json_t *v)
{
	switch (c->type) {
	case CTXD_CELL_NONE:
		assert(!v || json_is_null(v));
		return;
	case CTXD_CELL_INT:
		assert(json_is_integer(v) && json_integer_value(v) == c->number);
		return;
	case CTXD_CELL_BOOL:
		assert(json_is_boolean(v) && json_is_true(v) == (c->number != 0));
		return;
	case CTXD_CELL_STRING:
		assert(json_is_string(v) && json_string_length(v) == c->len);
		assert(strcmp(json_string_value(v), c->text) == 0);
		return;
	case CTXD_CELL_OTHER:
		assert(json_is_real(v) || json_is_array(v) || json_is_object(v));
		return;
	}
	abort();
}

static int
row(const struct ctxd_cell *cells, void *arg)
{
	struct beside *b = arg;
	const json_t *job = json_array_get(b->jobs, b->at++);

	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		assert(strlen(cells[i].text) == cells[i].len);
		if (b->jobs)
			same(&cells[i], json_object_get(job, columns[i]));
	}
	return 0;
}

/* A tree to compare with. Not where there are escapes: a key that has one matches no column. */
static json_t *
tree(const char *text, size_t size)
{
	return strstr(text, "\\") ? NULL : json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct beside b = {0};
	struct rows_want w = {"jobs", columns, ARRAY_SIZE(columns), row, &b};
	const char *why = NULL;
	bool continues = false;
	json_t *j;
	int r;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	size = strlen(text);
	j = tree(text, size);
	b.jobs = json_object_get(json_object_get(j, "parameters"), "jobs");
	r = rows_read(text, size, &w, &continues, &why);
	assert(r != ROWS_E_BAD || why);
	if (r == 0 && j) {
		assert(json_array_size(b.jobs) == b.at);
		assert(json_is_true(json_object_get(j, "continues")) == continues);
	}
	json_decref(j);
	free(text);
	return 0;
}
