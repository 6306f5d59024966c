/* audit.h - lines of the log about what was refused: one for each, and for whoever makes many in a
 * short time the first few and a count of the rest. */
#ifndef CTXD_API_AUDIT_H
#define CTXD_API_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

struct audit;
struct engine;
struct ev_loop;
struct refusal;

/* ENGINE knows the jobs that lines are about. 0 or -ENOMEM. */
int audit_new(struct ev_loop *loop, struct engine *engine, struct audit **ret);
struct audit *audit_free(struct audit *a); /* says what was not said yet; returns NULL */
/* Is R about rights or a limit, not about a request that makes no sense? */
bool audit_concerns(const struct refusal *r);
/* METHOD of process PID of UID was refused. */
void
audit_refused(struct audit *a, uint32_t uid, int pid, const char *method, const struct refusal *r);

#endif
