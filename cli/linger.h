/* linger.h - does a ctxd outlive its user's last logout? */
#ifndef CTX_CLI_LINGER_H
#define CTX_CLI_LINGER_H

#include <stdbool.h>
#include <stdint.h>

/* Is the ctxd PID a unit of a user's service manager (systemd's user@UID.service) that is to end
 * with that user's last session? False also if it cannot be told. */
bool linger_missing(int64_t pid);

#endif
