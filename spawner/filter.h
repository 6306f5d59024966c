/* filter.h - the system calls that a monitor may make once its job runs. */
#ifndef CTX_SPAWNER_FILTER_H
#define CTX_SPAWNER_FILTER_H

#include <stdbool.h>

/* Is there a filter in this build, and can the kernel take it? Not with the address sanitizer,
 * which has calls of its own, nor on machines whose numbers were not looked at (filter.c). */
bool filter_available(void);
/* From now on everything but the list fails with EPERM, which the kernel notes in the audit log;
 * a call in the numbers of another architecture kills. Needs PR_SET_NO_NEW_PRIVS. Holds until the
 * end and for whatever is forked. 0 or -errno; 0 as well when there is none to be had. */
int filter_install(void);

#endif
