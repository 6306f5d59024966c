/* varlink_args.c - parameters of a call into a C struct, by a table.
 *
 * Strict: an unknown name, a wrong type, a missing required one are all "invalid parameter"; a
 * number is an integer only when written as one. Lists are counted first and then copied into one
 * block: their length is the sender's choice. */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "varlink/varlink.h"

static const struct varlink_arg *
spec_find(const struct varlink_arg *spec, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(spec[i].name, name) == 0)
			return &spec[i];
	return NULL;
}

static char *
put(char *at, const char *p, size_t n)
{
	memcpy(at, p, n);
	return at + n;
}

static int
strv_block(struct strv *v, size_t size, size_t n)
{
	v->data = malloc(size);
	if (!v->data)
		return err_raise(-ENOMEM, "%zu strings", n);
	v->size = size;
	v->n = n;
	return 0;
}

static int
strings_decode(const json_t *list, struct strv *ret)
{
	size_t size = 0, n = json_array_size(list);
	char *at;
	int r;

	if (!json_is_array(list))
		return VARLINK_E_BAD;
	for (size_t i = 0; i < n; i++) {
		const json_t *e = json_array_get(list, i);

		if (!json_is_string(e))
			return VARLINK_E_BAD;
		size += json_string_length(e) + 1;
	}
	if (size == 0)
		return 0;
	r = strv_block(ret, size, n);
	if (r < 0)
		return err_pass(r);
	at = ret->data;
	for (size_t i = 0; i < n; i++) {
		const json_t *e = json_array_get(list, i);

		at = put(at, json_string_value(e), json_string_length(e) + 1);
	}
	return 0;
}

static int
strmap_decode(json_t *map, struct strv *ret)
{
	bool nameless = false;
	size_t size = 0;
	const char *key;
	json_t *e;
	char *at;
	int r;

	if (!json_is_object(map))
		return VARLINK_E_BAD;
	json_object_foreach (map, key, e) {
		if (!json_is_string(e))
			return VARLINK_E_BAD;
		if (key[0] == '\0' || strchr(key, '='))
			nameless = true;
		size += strlen(key) + 1 + json_string_length(e) + 1;
	}
	if (nameless)
		return VARLINK_E_VALUE;
	if (size == 0)
		return 0;
	r = strv_block(ret, size, json_object_size(map));
	if (r < 0)
		return err_pass(r);
	at = ret->data;
	json_object_foreach (map, key, e) {
		at = put(at, key, strlen(key));
		*at++ = '=';
		at = put(at, json_string_value(e), json_string_length(e) + 1);
	}
	return 0;
}

static int
ints_decode(const json_t *list, struct varlink_ints *ret)
{
	size_t n = json_array_size(list);

	if (!json_is_array(list))
		return VARLINK_E_BAD;
	for (size_t i = 0; i < n; i++)
		if (!json_is_integer(json_array_get(list, i)))
			return VARLINK_E_BAD;
	if (n == 0)
		return 0;
	ret->v = calloc(n, sizeof(*ret->v));
	if (!ret->v)
		return err_raise(-ENOMEM, "%zu integers", n);
	ret->n = n;
	for (size_t i = 0; i < n; i++)
		ret->v[i] = json_integer_value(json_array_get(list, i));
	return 0;
}

/* 0, VARLINK_E_BAD, VARLINK_E_VALUE, -ENOMEM. P is where the value goes. */
static int
value_decode(json_t *v, enum varlink_type type, void *p)
{
	switch (type) {
	case VARLINK_INT:
		if (!json_is_integer(v))
			return VARLINK_E_BAD;
		*(int64_t *)p = json_integer_value(v);
		return 0;
	case VARLINK_BOOL:
		if (!json_is_boolean(v))
			return VARLINK_E_BAD;
		*(bool *)p = json_is_true(v);
		return 0;
	case VARLINK_STRING:
		if (!json_is_string(v))
			return VARLINK_E_BAD;
		*(const char **)p = json_string_value(v);
		return 0;
	case VARLINK_STRINGS:
		return strings_decode(v, p);
	case VARLINK_STRMAP:
		return strmap_decode(v, p);
	case VARLINK_INTS:
		return ints_decode(v, p);
	case VARLINK_FLOAT:
		if (!json_is_number(v))
			return VARLINK_E_BAD;
		*(double *)p = json_number_value(v);
		return 0;
	}
	assert_not_reached("a table with an unknown type");
}

int
varlink_args_decode(json_t *params, const struct varlink_arg *spec, size_t n, void *out,
		    const char **ret_parameter)
{
	const char *key;
	json_t *v;

	json_object_foreach (params, key, v) {
		const struct varlink_arg *a = spec_find(spec, n, key);
		int r;

		if (a && json_is_null(v))
			continue;
		r = a ? value_decode(v, a->type, (char *)out + a->offset) : VARLINK_E_BAD;
		if (r > 0)
			*ret_parameter = key;
		if (r != 0)
			return r;
		if (a->has_offset != SIZE_MAX)
			*(bool *)((char *)out + a->has_offset) = true;
	}
	for (size_t i = 0; i < n; i++) {
		v = spec[i].required ? json_object_get(params, spec[i].name) : params;
		if (!v || json_is_null(v)) {
			*ret_parameter = spec[i].name;
			return VARLINK_E_BAD;
		}
	}
	return 0;
}

void
varlink_args_done(const struct varlink_arg *spec, size_t n, void *out)
{
	for (size_t i = 0; i < n; i++) {
		void *p = (char *)out + spec[i].offset;

		if (spec[i].type == VARLINK_STRINGS || spec[i].type == VARLINK_STRMAP) {
			strv_done(p);
		} else if (spec[i].type == VARLINK_INTS) {
			struct varlink_ints *ints = p;

			free(ints->v);
			*ints = (struct varlink_ints){0};
		}
	}
}
