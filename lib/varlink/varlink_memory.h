/* varlink_memory.h - see varlink_memory.c; for varlink.c alone. */
#ifndef CTX_VARLINK_VARLINK_MEMORY_H
#define CTX_VARLINK_VARLINK_MEMORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* TEXT as JSON, a new reference; members given twice are refused. NULL: *RET_SHORT for want of
 * memory, else E says what is wrong with it. */
json_t *
varlink_memory_load(const char *text, size_t len, size_t flags, json_error_t *e, bool *ret_short);

#endif
