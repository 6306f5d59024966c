/* api.h - the socket of ctxd: listens, admits, reads Varlink calls, answers them out of the engine.
 * For main only.
 *
 * Strangers' bytes are parsed here and nowhere else. A reply leaves only after the iteration's
 * commit. Bad peers lose their own connection; memory is bounded by the configuration. */
#ifndef CTXD_API_API_H
#define CTXD_API_API_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct api;
struct ctx_err;
struct engine;
struct ev_loop;
struct refusal;

typedef void (*api_change_fn)(void *arg, const char *section, const char *key,
			      const char *old_value,
			      const char *new_value, /* values: NULL = not there */
			      const char *acts);     /* now, new_jobs, restart */
typedef void (*api_setting_fn)(void *arg, const char *section, const char *key, const char *value);

struct api_options { /* everything is borrowed during api_new only, except loop, engine, version and
			arg: for life */
	struct ev_loop *loop; /* the default loop (children are watched) */
	struct engine *engine;
	const char *version;
	bool system_mode;
	uid_t own_uid;           /* user mode: only it and root are served */
	const char *socket_path; /* bound here unless descriptors are given; removed by api_free */
	mode_t socket_mode;      /* 0: 0600 */
	const int *listen_fds;   /* listening already (systemd); taken */
	size_t n_listen_fds;
	const char *lookup_program; /* asks the name service; NULL: this one. See lookup.h */
	double lookup_limit;        /* seconds for an answer of it; 0: two */
	/* Read the configuration again, tell each change, and put it into force unless DRY. 0, or
	 * ENGINE_E_REFUSED with R: nothing changed. */
	int (*reload)(void *arg, bool dry, api_change_fn fn, void *fn_arg, struct refusal *r);
	/* Tell every setting in force. */
	void (*config)(void *arg, api_setting_fn fn, void *fn_arg);
	void *arg;
};

/* Listen. 0, or negative errno with E filled (address in use, path too long, …). */
int api_new(const struct api_options *o, struct api **ret, struct ctx_err *e);
/* Stop: closes every connection; jobs bound to one are not cancelled by this. What was executed and
 * is not committed yet is answered when engine_free commits it, so this goes before engine_free.
 * Returns NULL. */
struct api *api_free(struct api *a);
size_t api_connections(const struct api *a);

#endif
