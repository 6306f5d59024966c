/* varlink_memory.c - reading JSON when memory runs out. jansson does not expect that everywhere: it
 * goes on with a string that lacks bytes, and may then write beyond another one. A message comes
 * from a stranger, and a command that lacks a byte must not be run. So in a program, where the
 * allocations of jansson are ours, the reading is left by longjmp when one fails, and what was
 * allocated until then is freed. jansson holds nothing else meanwhile.
 *
 * In a library nothing is done to the allocations of the whole process; errno tells of most
 * failures. */
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>

#include "base/list.h"
#include "varlink/varlink.h"
#include "varlink/varlink_memory.h"

struct block {
	_Alignas(max_align_t) struct list link; /* with those of the same message, or alone */
};

struct reading {
	struct list blocks;
	jmp_buf out;
};
static _Thread_local struct reading *reading; /* NULL: no message is being read */
static bool watched;

static void *
take(size_t n)
{
	struct block *b = n <= SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + n) : NULL;

	if (!b && reading)
		longjmp(reading->out, 1);
	if (!b)
		return NULL;
	list_init(&b->link);
	if (reading)
		list_append(&reading->blocks, &b->link);
	return b + 1;
}

static void
give_back(void *p)
{
	struct block *b = p ? (struct block *)p - 1 : NULL;

	if (!b)
		return;
	list_unlink(&b->link);
	free(b);
}

void
varlink_watch_memory(void)
{
	json_set_alloc_funcs(take, give_back);
	watched = true;
}

static json_t *
read_watched(const char *text, size_t len, size_t flags, json_error_t *e)
{
	struct reading r;
	json_t *root;
	struct list *l;

	list_init(&r.blocks);
	reading = &r;
	if (setjmp(r.out) != 0) {
		reading = NULL;
		while ((l = list_pop(&r.blocks)))
			free(list_entry(l, struct block, link));
		errno = ENOMEM;
		return NULL;
	}
	errno = 0;
	root = json_loadb(text, len, flags | JSON_REJECT_DUPLICATES, e);
	reading = NULL;
	list_unlink(&r.blocks); /* the blocks stay linked with each other */
	if (!root)
		errno = 0;
	return root;
}

json_t *
varlink_memory_load(const char *text, size_t len, size_t flags, json_error_t *e, bool *ret_short)
{
	json_t *root;

	if (watched) {
		root = read_watched(text, len, flags, e);
		*ret_short = !root && errno == ENOMEM;
		return root;
	}
	errno = 0;
	root = json_loadb(text, len, flags | JSON_REJECT_DUPLICATES, e);
	*ret_short = errno == ENOMEM || (!root && json_error_code(e) == json_error_out_of_memory);
	if (!*ret_short)
		return root;
	json_decref(root);
	return NULL;
}
