/* remote.h - the ctxd of another machine: `ssh HOST ctxctl bridge --hello`, one ssh for each
 * connection.
 *
 * Where ctxctl asks this machine (who am I, where, with which environment), with -H it asks the
 * first message of that bridge. */
#ifndef CTX_CLI_REMOTE_H
#define CTX_CLI_REMOTE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct cli;
struct ctxd_client;
struct ctxd_failure;
struct remote;

/* For cli->host and the options that say which daemon there. 0 with cli->remote and cli->self, or
 * the exit code (said): HOST is none. */
int remote_init(struct cli *cli);
/* End what is left of ssh. All connections must be closed. */
void remote_done(struct cli *cli);

/* Have the first message of --hello name the uid of USER there. Before the first connection. */
void remote_ask_uid(const struct cli *cli, const char *user);

/* A connection that has said hello. 0 or -1 with F. The first one waits without limit (ssh may be
 * asking for a password), later ones half a minute, and none once a signal is pending that this
 * process has blocked. */
int remote_open(const struct cli *cli, struct ctxd_client **ret, struct ctxd_failure *f);
/* Know the first message; the connection that brought it is the one of the next remote_open. 0, or
 * the exit code (said). */
int remote_meet(const struct cli *cli);

/* Of the first message; the environment is an object, never NULL. After remote_open or remote_meet
 * only. */
const json_t *remote_env(const struct cli *cli);
const char *remote_cwd(const struct cli *cli);
int64_t remote_umask(const struct cli *cli);
int64_t remote_uid(const struct cli *cli);
/* What remote_ask_uid asked; false: there is no such user. */
bool remote_uid_of(const struct cli *cli, uint32_t *ret);

#endif
