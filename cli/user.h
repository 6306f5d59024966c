/* user.h - a user's name to a uid, without the name service of libc: this program is static. */
#ifndef CTX_CLI_USER_H
#define CTX_CLI_USER_H

#include <stddef.h>
#include <stdint.h>

enum { USER_E_UNKNOWN = 1 };

/* A number is a uid. Else /etc/passwd is read, then getent(1) asked, with a time limit. 0,
 * USER_E_UNKNOWN, -errno. */
int user_find(const char *name, uint32_t *ret_uid);
/* The uid in TEXT of SIZE bytes, lines as in /etc/passwd. 0 or USER_E_UNKNOWN. */
int user_in_passwd(const char *text, size_t size, const char *name, uint32_t *ret_uid);

#endif
