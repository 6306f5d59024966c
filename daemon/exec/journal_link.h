/* journal_link.h - sending entries to the systemd journal without waiting: one datagram an entry, a
 * sealed file in memory for one that is too large for that. Knows when the journal cannot take
 * any, and when it has read all that was sent: until then it lies in a queue that may be lost. */
#ifndef CTXD_EXEC_JOURNAL_LINK_H
#define CTXD_EXEC_JOURNAL_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct ev_loop;
struct journal_link;

/* ON_CHANGE is called from the loop, never from inside a call: it may go well again after
 * -EAGAIN. ON_LOST from inside of journal_link_send and journal_link_taken: the journal is gone,
 * and with it what it had not read. PATH is borrowed. NULL on ENOMEM. Nothing is opened before the
 * first entry. */
struct journal_link *
journal_link_new(struct ev_loop *loop, const char *path, void (*on_change)(void *arg),
		 void (*on_lost)(void *arg), void *arg);
struct journal_link *journal_link_free(struct journal_link *l);
/* One entry. 0; -EAGAIN: not now, ON_CHANGE comes. */
int journal_link_send(struct journal_link *l, const struct iovec *v, size_t n);
/* From now on at most so many entries a second, after BURST at once: the journal drops what comes
 * faster than it is configured for. */
void journal_link_pace(struct journal_link *l, double per_second, double burst);
/* Has the journal read everything that was sent? ON_LOST may be called from inside. */
bool journal_link_taken(struct journal_link *l);
/* Does it take entries, as far as is known? Not, if it is gone or has taken nothing for a while. */
bool journal_link_ok(const struct journal_link *l);
/* Is there one at all at PATH? 0 or -errno. */
int journal_link_look(const char *path);

#endif
