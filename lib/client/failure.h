/* failure.h - fill struct ctxd_failure with what a person needs. All return -1; F may be NULL. */
#ifndef CTX_CLIENT_FAILURE_H
#define CTX_CLIENT_FAILURE_H

#include <jansson.h>

#include "client/client.h"

void failure_none(struct ctxd_failure *f);
int failure_errno(struct ctxd_failure *f, int r);
/* R: what connecting to PATH gave; -EAGAIN: its backlog was full to the end. */
int failure_connect(struct ctxd_failure *f, const char *path, int r);
int failure_lost(struct ctxd_failure *f, const char *path);
int failure_timeout(struct ctxd_failure *f, const char *path, int ms);
int failure_protocol(struct ctxd_failure *f, const char *path, const char *why);
/* An error reply: NAME is the full error name. */
int
failure_remote(struct ctxd_failure *f, const char *path, const char *name, const json_t *params);

#endif
