/* notify.h - telling the service manager how we are: the notify protocol of sd_notify(3), spoken
 * directly (one datagram), so that the daemon needs no library for it. */
#ifndef CTXD_NOTIFY_H
#define CTXD_NOTIFY_H

#include <stdint.h>

/* Take NOTIFY_SOCKET and WATCHDOG_USEC out of the environment (jobs and children must not see
 * them). */
void notify_init(void);
/* STATE as in sd_notify(3), e.g. "READY=1\nSTATUS=…". Nothing happens without a manager. */
void notify_send(const char *state);
/* The configuration is about to be read again; notify_reloaded says that this is over, and how it
 * went (for people; REASON may be NULL). Both in the form that Type=notify-reload asks
 * for, which Type=notify takes, too. */
void notify_reloading(void);
void notify_reloaded(const char *status, const char *reason);
/* Interval at which WATCHDOG=1 must come, in microseconds; 0: none asked. */
uint64_t notify_watchdog_usec(void);

#endif
