/* errors.h - a refusal as an error reply of io.ctxd. */
#ifndef CTXD_API_ERRORS_H
#define CTXD_API_ERRORS_H

#include <stddef.h>

struct buf;
struct refusal;

void errors_write(struct buf *out, const struct refusal *r);
/* "NoSuchJob" and so on, for the log. */
const char *errors_name(const struct refusal *r);
/* One line for the log, escaped. Returns DST. */
const char *errors_text(const struct refusal *r, char *dst, size_t size);

#endif
