/* conn.h - the connection as the commands use it: a failure is said on stderr and becomes an exit
 * code. */
#ifndef CTX_CLI_CONN_H
#define CTX_CLI_CONN_H

#include <jansson.h>
#include <stdint.h>

#include "client/client.h"

struct cli;

static inline void
conn_closep(struct ctxd_client **c)
{
	*c = ctxd_close(*c);
}
static inline void
conn_jsonp(json_t **v)
{
	json_decref(*v);
	*v = NULL;
}
/* A text made by jansson, which may have another malloc than we. */
static inline void
conn_textp(char **p)
{
	json_free_t give_back;

	json_get_alloc_funcs(NULL, &give_back);
	give_back(*p);
}

/* Open the daemon's socket, or the way to that of cli->host, saying nothing: 0, or -1 with F. */
int conn_try(const struct cli *cli, struct ctxd_client **ret, struct ctxd_failure *f);

/* All: 0, or the exit code after the failure was said. */
int conn_open(const struct cli *cli, struct ctxd_client **ret);
/* PARAMS is stolen; NULL means that memory ran out while it was built. */
int conn_send(const struct cli *cli, struct ctxd_client *c, const char *method, json_t *params,
	      unsigned flags);
int conn_receive(const struct cli *cli, struct ctxd_client *c, json_t **ret, bool *ret_continues);
int conn_call(const struct cli *cli, struct ctxd_client *c, const char *method, json_t *params,
	      json_t **ret);

/* Say F and return its exit code. */
int conn_fail(const struct cli *cli, const struct ctxd_failure *f);
int conn_no_memory(const struct cli *cli);
/* A reply lacks what it must have. */
int conn_strange(const struct cli *cli, const char *what);

/* What REPLY has in `notices`, on stderr. */
void conn_say_notices(const json_t *reply);

json_t *conn_id(uint64_t id); /* { id } */

#endif
