/* main.c - ctxd: options, places, the loop, signals. Everything else has a module of its own. */
#include <errno.h>
#include <ev.h>
#include <getopt.h>
#include <inttypes.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "api/lookup.h"
#include "base/crash.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sock.h"
#include "config.h"
#include "core/policy.h"
#include "engine/engine.h"
#include "exec/exec.h"
#include "notify.h"
#include "place.h"
#include "recoverdb.h"
#include "varlink/varlink.h"

enum { EXIT_USAGE = 2, EXIT_CONFIG = 78, EXIT_DATABASE = 79, LISTEN_MAX = 4 };

struct daemon {
	struct ev_loop *loop;
	struct place place;
	const char *config; /* --config, or NULL */
	uint64_t nofile; /* soft limit of descriptors we were started with; 0: it is still that */
	struct engine *engine;
	struct api *api;
	bool serving, storage_bad;
	ev_signal term, intr, hup;
	ev_timer watchdog;
	int listen_fds[LISTEN_MAX];
	size_t n_listen_fds;
};

struct options {
	struct place_options place;
	const char *config;
	bool check_config, print_config, recover_db;
};

static const char usage[] =
	"Usage: ctxd [OPTIONS]\n"
	"Runs commands detached from whoever submits them, each under a deadline. Stays in the "
	"foreground.\n"
	"\n"
	"      --user             serve the user who starts it (the default)\n"
	"      --system           serve all users, as the system units start it\n"
	"      --config FILE      read FILE instead of the usual configuration\n"
	"      --check-config     check the configuration and exit (0: good, 78: bad)\n"
	"      --print-config     print the configuration in force, documented, and exit\n"
	"      --recover-db       make a new database of what can be read of a damaged one\n"
	"      --state-dir DIR    where the database and the output of jobs are kept\n"
	"      --runtime-dir DIR  where running jobs have their directories\n"
	"      --socket PATH      where to listen\n"
	"      --version          print the version and exit\n"
	"      --help             print this and exit\n"
	"\n"
	"Submit with ctxctl(1). Manual: ctxd(8), ctxd.conf(5).\n";

/* ---- reload */

struct tell { /* who is told of changes */
	api_change_fn fn;
	void *arg;
	bool dry; /* they are not to be made */
};

static const char *
shown(const char *value)
{
	return !value ? "(unset)" : *value ? value : "(empty)";
}

static int
tell_change(void *arg, const char *section, const char *key, const char *old_value,
	    const char *new_value, const char *acts)
{
	struct tell *to = arg;

	if (!to->dry && !*key) /* a class without keys */
		log_info("configuration: %s: %s", section, new_value ? "added" : "removed");
	else if (!to->dry)
		log_info("configuration: %s.%s: %s -> %s", section, key, shown(old_value),
			 shown(new_value));
	if (to->fn)
		to->fn(to->arg, section, key, old_value, new_value, acts);
	return 0;
}

static void
log_errors(const struct config_errors *errs)
{
	for (size_t i = 0; i < errs->n; i++)
		log_err("%s", errs->v[i].text);
	if (errs->more > 0)
		log_err("and %zu more errors", errs->more);
}

static const char *
status(const struct daemon *d)
{
	return d->storage_bad
		       ? "The database cannot be written: new jobs are refused, what runs goes "
			 "on"
		       : "Serving";
}

static int
reload_refused(const struct config_errors *errs, int e, struct refusal *r)
{
	return refusal_set(
		r, REFUSAL_INVALID_ARGUMENT, "config", "%s%s; nothing was changed",
		errs->n > 0 ? errs->v[0].text : strerror(-e),
		errs->n + errs->more > 1 ? " (and more: see the log, or ctxd --check-config)" : "");
}

static int
reload_dry(struct daemon *d, struct tell *to, struct refusal *r)
{
	_cleanup_(config_errors_done) struct config_errors errs = {0};
	_cleanup_(policy_freep) struct policy *p = NULL;
	int e = config_load(d->config, d->place.system_mode, &p, &errs);

	if (e < 0)
		return reload_refused(&errs, e, r);
	(void)config_diff(engine_policy(d->engine), p, tell_change, to);
	return 0;
}

static int
reload(void *arg, bool dry, api_change_fn fn, void *fn_arg, struct refusal *r)
{
	struct daemon *d = arg;
	_cleanup_(config_errors_done) struct config_errors errs = {0};
	struct tell to = {fn, fn_arg, dry};
	struct policy *p = NULL;
	int e;

	if (dry)
		return reload_dry(d, &to, r);
	notify_reloading();
	e = config_load(d->config, d->place.system_mode, &p, &errs);
	if (e < 0) {
		log_errors(&errs);
		log_err("the configuration is wrong; the old one stays in force");
		(void)reload_refused(&errs, e, r);
		notify_reloaded("The configuration is wrong, the old one stays in force",
				r->reason);
		return ENGINE_E_REFUSED;
	}
	(void)config_diff(engine_policy(d->engine), p, tell_change, &to);
	engine_policy_set(d->engine, p);
	notify_reloaded(status(d), NULL);
	return 0;
}

static int
tell_setting(void *arg, const char *section, const char *key, const char *value)
{
	struct {
		api_setting_fn fn;
		void *arg;
	} *to = arg;

	to->fn(to->arg, section, key, value);
	return 0;
}

static void
settings(void *arg, api_setting_fn fn, void *fn_arg)
{
	struct daemon *d = arg;
	struct {
		api_setting_fn fn;
		void *arg;
	} to = {fn, fn_arg};

	(void)config_each(engine_policy(d->engine), tell_setting, &to);
}

/* ---- signals, watchdog */

static void
on_stop(struct ev_loop *loop, ev_signal *w, int revents)
{
	(void)w, (void)revents;
	ev_break(loop, EVBREAK_ALL);
}

static void
on_hup(struct ev_loop *loop, ev_signal *w, int revents)
{
	struct daemon *d = container_of(w, struct daemon, hup);
	struct refusal r;

	(void)loop, (void)revents;
	if (reload(d, false, NULL, NULL, &r) == 0)
		log_notice("configuration reloaded");
}

static void
on_watchdog(struct ev_loop *loop, ev_timer *w, int revents)
{
	(void)loop, (void)w, (void)revents;
	notify_send("WATCHDOG=1");
}

static void
watch_signals(struct daemon *d)
{
	sigset_t none;

	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none,
			  NULL); /* what our starter may have blocked; libev does not look */
	ev_signal_init(&d->term, on_stop, SIGTERM);
	ev_signal_init(&d->intr, on_stop, SIGINT);
	ev_signal_init(&d->hup, on_hup, SIGHUP);
	ev_signal_start(d->loop, &d->term);
	ev_signal_start(d->loop, &d->intr);
	ev_signal_start(d->loop, &d->hup);
	if (notify_watchdog_usec() > 0) {
		double every = (double)notify_watchdog_usec() / 2e6;

		ev_timer_init(&d->watchdog, on_watchdog, 0., every);
		ev_timer_start(d->loop, &d->watchdog);
	}
}

/* ---- start */

/* Print TEXT and leave. */
_Noreturn static void
tell(const char *text)
{
	exit(fputs(text, stdout) < 0 || fflush(stdout) != 0 ? EXIT_FAILURE : 0);
}

static int
parse(int argc, char **argv, struct options *o)
{
	enum {
		USER = 1,
		SYSTEM,
		CONFIG,
		CHECK,
		PRINT,
		RECOVER,
		STATE,
		RUNTIME,
		SOCKET,
		VERSION,
		HELP
	};
	static const struct option longs[] = {
		{"user", no_argument, NULL, USER},
		{"system", no_argument, NULL, SYSTEM},
		{"config", required_argument, NULL, CONFIG},
		{"check-config", no_argument, NULL, CHECK},
		{"print-config", no_argument, NULL, PRINT},
		{"recover-db", no_argument, NULL, RECOVER},
		{"state-dir", required_argument, NULL, STATE},
		{"runtime-dir", required_argument, NULL, RUNTIME},
		{"socket", required_argument, NULL, SOCKET},
		{"version", no_argument, NULL, VERSION},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	bool user = false;
	int c, at = 0;

	while ((c = getopt_long(argc, argv, "", longs, &at)) != -1) {
		/* That of a variable which is not set does not mean the current directory. */
		if (optarg && optarg[0] == '\0') {
			(void)fprintf(stderr, "ctxd: --%s: the path is empty\n", longs[at].name);
			return -EINVAL;
		}
		if (c == USER)
			user = true;
		else if (c == SYSTEM)
			o->place.system_mode = true;
		else if (c == CONFIG)
			o->config = optarg;
		else if (c == CHECK)
			o->check_config = true;
		else if (c == PRINT)
			o->print_config = true;
		else if (c == RECOVER)
			o->recover_db = true;
		else if (c == STATE)
			o->place.state_dir = optarg;
		else if (c == RUNTIME)
			o->place.runtime_dir = optarg;
		else if (c == SOCKET)
			o->place.socket = optarg;
		else if (c == VERSION)
			tell("ctxd " CTX_VERSION "\n");
		else if (c == HELP)
			tell(usage);
		else
			return -EINVAL;
	}
	if (optind < argc) {
		(void)fprintf(stderr, "ctxd: unexpected argument: %s\n", argv[optind]);
		return -EINVAL;
	}
	if (user && o->place.system_mode) {
		(void)fprintf(stderr, "ctxd: give either --user or --system\n");
		return -EINVAL;
	}
	return 0;
}

static int
load_config(const struct options *o, struct policy **ret)
{
	_cleanup_(config_errors_done) struct config_errors errs = {0};
	int r = config_load(o->config, o->place.system_mode, ret, &errs);

	if (r == 0)
		return 0;
	config_errors_print(&errs, stderr);
	if (r == -EINVAL)
		return EXIT_CONFIG;
	(void)fprintf(stderr, "ctxd: the configuration cannot be read: %s\n", strerror(-r));
	return EXIT_FAILURE; /* the machine's fault: a restart may help */
}

/* Descriptors: the soft limit is for programs that use select(), as jobs may. Returns what it was;
 * 0: as it is now. */
static uint64_t
raise_limits(void)
{
	struct rlimit rl;
	rlim_t was;

	if (getrlimit(RLIMIT_NOFILE, &rl) < 0 || rl.rlim_cur >= rl.rlim_max)
		return 0;
	was = rl.rlim_cur;
	rl.rlim_cur = rl.rlim_max;
	return setrlimit(RLIMIT_NOFILE, &rl) < 0 ? 0 : was;
}

static void
on_storage(void *arg, bool ok)
{
	struct daemon *d = arg;
	char text[160];

	d->storage_bad = !ok;
	(void)snprintf(text, sizeof(text), "STATUS=%s", status(d));
	if (d->serving)
		notify_send(text);
}

static int
open_engine(struct daemon *d, struct policy **policy, struct ctx_err *e)
{
	struct exec_options x = {.runtime_dir = d->place.runtime_dir,
				 .spawner_path = d->place.spawner,
				 .nofile = d->nofile};
	struct engine_options o = {.state_dir = d->place.state_dir,
				   .system_mode = d->place.system_mode,
				   .socket_path = d->place.socket,
				   .policy = take_ptr(*policy),
				   .exec = &x,
				   .on_storage = on_storage,
				   .on_storage_arg = d};

	return engine_new(d->loop, &o, &d->engine, e);
}

static int
open_api(struct daemon *d, struct ctx_err *e)
{
	struct api_options o = {.loop = d->loop,
				.engine = d->engine,
				.version = CTX_VERSION,
				.system_mode = d->place.system_mode,
				.own_uid = geteuid(),
				.socket_path = d->place.socket,
				.socket_mode = d->place.system_mode ? 0660 : 0600,
				.listen_fds = d->listen_fds,
				.n_listen_fds = d->n_listen_fds,
				.reload = reload,
				.config = settings,
				.arg = d};

	return api_new(&o, &d->api, e);
}

static int
open_all(struct daemon *d, struct policy **policy)
{
	struct ctx_err e = {0};
	int r = place_take(&d->place, &e);

	if (r < 0) {
		log_err("%s", e.text);
		return EXIT_FAILURE;
	}
	r = open_engine(d, policy, &e);
	if (r < 0) {
		log_err("%s", e.text);
		return e.code == STORE_OPEN_REFUSED ? EXIT_DATABASE : EXIT_FAILURE;
	}
	r = open_api(d, &e);
	if (r < 0) {
		log_err("%s", e.text);
		return EXIT_FAILURE;
	}
	return 0;
}

static void
serve(struct daemon *d)
{
	watch_signals(d);
	place_link(&d->place);
	engine_start(d->engine);
	log_notice("ctxd " CTX_VERSION " ready on %s (%s mode)", d->place.socket,
		   d->place.system_mode ? "system" : "user");
	d->serving = true;
	notify_reloaded(status(d), NULL);
	ev_run(d->loop, 0);
	d->serving = false;
	notify_send("STOPPING=1");
	engine_stop(d->engine);
	log_notice("stopping; %" PRIu64
		   " jobs go on running, their ends will be found at the next start",
		   engine_running(d->engine));
}

static int
run(const struct options *o, struct policy **policy)
{
	struct daemon d = {.config = o->config, .nofile = raise_limits()};
	struct ctx_err e = {0};
	int n, r;

	r = place_find(&o->place, &d.place, &e);
	if (r < 0) {
		log_err("%s", e.text);
		return EXIT_FAILURE;
	}
	n = sock_inherited(d.listen_fds, LISTEN_MAX);
	if (n < 0) {
		log_err("descriptors passed by the service manager: %s", strerror(-n));
		place_done(&d.place);
		return EXIT_FAILURE;
	}
	d.n_listen_fds = (size_t)n;
	d.loop = ev_default_loop(EVFLAG_AUTO);
	if (!d.loop) {
		log_err("no event loop");
		place_done(&d.place);
		return EXIT_FAILURE;
	}
	r = open_all(&d, policy);
	if (r == 0) {
		serve(&d);
		place_unlink(&d.place);
	}
	d.api = api_free(d.api);
	d.engine = engine_free(d.engine);
	place_done(&d.place);
	return r;
}

static int
recover_db(const struct options *o)
{
	struct place p;
	struct ctx_err e = {0};
	int r = place_find(&o->place, &p, &e);

	if (r == 0) {
		r = place_take(&p, &e);
		if (r == 0)
			r = recoverdb(&p, &e);
		place_done(&p);
	}
	if (r == 0)
		return 0;
	log_err("%s", e.text);
	return e.code == STORE_OPEN_REFUSED ? EXIT_DATABASE : EXIT_FAILURE;
}

int
main(int argc, char **argv)
{
	_cleanup_(policy_freep) struct policy *policy = NULL;
	struct options o = {0};
	int r;

	if (lookup_is_child(argc, argv))
		return lookup_main(argc, argv);
	if (parse(argc, argv, &o) < 0) {
		(void)fprintf(stderr, "Try: ctxd --help\n");
		return EXIT_USAGE;
	}
	CRASH_PROCESS();
	log_init("ctxd");
	varlink_watch_memory();
	r = load_config(&o, &policy);
	if (r != 0 || o.check_config)
		return r;
	if (o.print_config)
		return config_print(policy, stdout) < 0 || fflush(stdout) != 0 ? EXIT_FAILURE : 0;
	if (o.recover_db)
		return recover_db(&o);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)mallopt(M_ARENA_MAX, 1);
	notify_init();
	return run(&o, &policy);
}
