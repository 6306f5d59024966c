/* jw.h - JSON writer, straight into a buffer. Commas place themselves. Reading is jansson's work,
 * elsewhere.
 *
 * Errors stay in the buffer (buf.failed). Strings must be UTF-8; invalid bytes come out as U+FFFD.
 */
#ifndef CTX_BASE_JW_H
#define CTX_BASE_JW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

struct jw {
	struct buf *out; /* not owned */
	bool comma;      /* a value was written at this level */
};

void jw_init(struct jw *j, struct buf *out);
/* KEY NULL: an array element or the top. */
void jw_obj_open(struct jw *j, const char *key);
void jw_obj_close(struct jw *j);
void jw_arr_open(struct jw *j, const char *key);
void jw_arr_close(struct jw *j);
void jw_str(struct jw *j, const char *key, const char *s); /* S NULL: null */
void jw_strn(struct jw *j, const char *key, const char *s, size_t n);
void jw_int(struct jw *j, const char *key, int64_t v);
void jw_int_if(struct jw *j, const char *key, bool has, int64_t v); /* HAS false: null */
/* US since 1970 as RFC 3339; 0: null. */
void jw_time(struct jw *j, const char *key, int64_t us);
void jw_bool(struct jw *j, const char *key, bool v);
void jw_null(struct jw *j, const char *key);
void jw_base64(struct jw *j, const char *key, const void *p, size_t n); /* RFC 4648, padded */
/* TEXT is JSON already. */
void jw_raw(struct jw *j, const char *key, const char *text, size_t n);

#endif
