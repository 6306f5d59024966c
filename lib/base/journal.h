/* journal.h - the native protocol of the systemd journal
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/): one datagram an entry, with fields. */
#ifndef CTX_BASE_JOURNAL_H
#define CTX_BASE_JOURNAL_H

#include <stddef.h>

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
enum { JOURNAL_ENTRY_MAX = 65536 };

/* Where the output of jobs is sent: $CTXD_JOURNAL (for tests), else JOURNAL_SOCKET. */
const char *journal_socket(void);

/* For static memory, of which only what is filled exists. On the stack every page of it would be
 * touched (-fstack-clash-protection), and each monitor, a fork, keep a copy. */
struct journal_entry {
	size_t n;
	char data[JOURNAL_ENTRY_MAX];
};

/* Begin with an empty one. */
void journal_begin(struct journal_entry *e);
/* One more field. NAME is of A-Z, 0-9 and '_'; VALUE any bytes. What does not fit is left out. */
void journal_add(struct journal_entry *e, const char *name, const char *value, size_t n);
/* Send it without waiting. 0 or -errno: nothing was sent. A socket is opened for each entry, so
 * that none has to be kept across a fork. */
int journal_send(const char *path, const struct journal_entry *e);

#endif
