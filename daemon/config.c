/* config.c - finding and reading the files of a configuration. What they say is config_parse.c's
 * business.
 *
 * Every file of the list must be a regular one that can be read; only the main file of a default
 * place may be missing. Single-threaded; keeps nothing between two calls. */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "config_parse.h"
#include "core/policy.h"

struct files {
	char **path; /* owned, in the order of reading */
	size_t n;
};

static void
files_done(struct files *f)
{
	for (size_t i = 0; i < f->n; i++)
		free(f->path[i]);
	free(f->path);
}

/* Takes PATH. */
static int
files_add(struct files *f, char *path)
{
	char **bigger = path ? reallocarray(f->path, f->n + 1, sizeof(*bigger)) : NULL;

	if (!bigger) {
		free(path);
		return -ENOMEM;
	}
	f->path = bigger;
	bigger[f->n++] = path;
	return 0;
}

/* Default places. */

/* Home of this user; the caller's. NULL: errno is ENOENT if there is none. */
static char *
home_find(void)
{
	enum { ENTRY_BYTES = 16384 };
	const char *home = getenv("HOME");
	_free_ char *room = NULL;
	struct passwd pw, *found = NULL;
	int r;

	if (home && home[0] == '/')
		return strdup(home);
	room = malloc(ENTRY_BYTES);
	if (!room)
		return NULL;
	r = getpwuid_r(getuid(), &pw, room, ENTRY_BYTES, &found);
	if (r == 0 && found && pw.pw_dir[0] == '/')
		return strdup(pw.pw_dir);
	errno = r == 0 ? ENOENT : r;
	return NULL;
}

char *
config_path(bool system_mode)
{
	const char *xdg = getenv("XDG_CONFIG_HOME");
	_free_ char *home = NULL;

	if (system_mode)
		return strdup(CTX_SYSCONFDIR "/ctxd/ctxd.conf");
	if (xdg && xdg[0] == '/') /* relative ones are to be ignored, says the specification */
		return text_format("%s/ctxd/ctxd.conf", xdg);
	home = home_find();
	return home ? text_format("%s/.config/ctxd/ctxd.conf", home) : NULL;
}

/* The list of files. */

static int
wanted(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && n > 5 && strcmp(d->d_name + n - 5, ".conf") == 0;
}

static int
by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Add DIR/ *.conf; DIR need not exist. What is wrong with it is said at the file number 0, whose
 * companion it is. */
static int
files_add_dir(struct files *f, const char *dir, struct config_errors *errs)
{
	struct dirent **entry = NULL;
	int n, r = 0;

	n = scandir(dir, &entry, wanted, by_name);
	if (n < 0) {
		r = -errno;
		if (r == -ENOENT)
			return 0;
		if (r != -ENOMEM)
			config_errors_add(errs, dir, (struct config_place){0},
					  "the directory cannot be read: %s", strerror(-r));
		return r == -ENOMEM ? r : 0;
	}
	if (n > CONFIG_FILES_MAX)
		config_errors_add(errs, dir, (struct config_place){0},
				  "%d files, at most %d are allowed", n, CONFIG_FILES_MAX);
	for (int i = 0; i < n; i++) {
		if (r == 0 && n <= CONFIG_FILES_MAX)
			r = files_add(f, text_format("%s/%s", dir, entry[i]->d_name));
		free(entry[i]);
	}
	free(entry);
	return r;
}

static int
files_find(struct files *f, const char *main_path, struct config_errors *errs)
{
	_free_ char *dir = text_format("%s.d", main_path);
	int r;

	if (!dir)
		return -ENOMEM;
	r = files_add(f, strdup(main_path));
	if (r < 0)
		return r;
	return files_add_dir(f, dir, errs);
}

/* Reading. */

/* Read PATH into B. 0; -ENOENT; -EINVAL: said; another negative errno. */
static int
file_read(const char *path, struct config_place at, struct buf *b, struct config_errors *errs)
{
	_close_ int fd = -1;
	struct stat st;
	ssize_t n;
	char *p;

	fd = open(path,
		  O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK); /* a FIFO must not hold us up */
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode)) {
		config_errors_add(errs, path, at, "not a regular file");
		return -EINVAL;
	}
	p = buf_reserve(b, CONFIG_FILE_BYTES_MAX + 1);
	if (!p)
		return b->failed;
	n = file_read_full(fd, p, CONFIG_FILE_BYTES_MAX + 1);
	if (n < 0)
		return (int)n;
	if (n > CONFIG_FILE_BYTES_MAX) {
		config_errors_add(errs, path, at, "larger than %d bytes", CONFIG_FILE_BYTES_MAX);
		return -EINVAL;
	}
	buf_wrote(b, (size_t)n);
	return 0;
}

/* Memory is the machine's failure; everything else that is wrong with a file is for a person to put
 * right. */
static int
file_load(struct config_parse *c, unsigned number, const char *path, bool optional,
	  struct config_errors *errs)
{
	const struct config_place at = {.file = number};
	_cleanup_(buf_done) struct buf b = {0};
	int r;

	r = file_read(path, at, &b, errs);
	if (r == -ENOENT && optional)
		return 0;
	if (r == -ENOMEM)
		return r;
	if (r == 0)
		config_parse_file(c, number, path, buf_len(&b) ? buf_head(&b) : "", buf_len(&b));
	else if (r != -EINVAL)
		config_errors_add(errs, path, at, "cannot be read: %s", strerror(-r));
	return 0;
}

static int
load(struct config_parse *c, const char *main_path, bool optional, struct config_errors *errs)
{
	_cleanup_(files_done) struct files f = {0};
	int r;

	r = files_find(&f, main_path, errs);
	for (size_t i = 0; i < f.n && r == 0; i++)
		r = file_load(c, (unsigned)i, f.path[i], optional && i == 0, errs);
	if (r < 0)
		return r;
	config_parse_check(c, f.path);
	return c->failed;
}

int
config_load(const char *explicit_path, bool system_mode, struct policy **ret,
	    struct config_errors *errs)
{
	_cleanup_(policy_freep) struct policy *p = policy_new();
	_cleanup_(config_parse_done) struct config_parse c;
	_free_ char *path = explicit_path ? strdup(explicit_path) : config_path(system_mode);
	int no_path = path ? 0 : errno, r;

	config_parse_init(&c, p, errs);
	if (!p || (explicit_path && !path))
		return err_raise(-ENOMEM, "configuration");
	if (!path && no_path != ENOENT) /* to go on with the defaults would be another one */
		return err_raise(-no_path, "where the configuration is");
	if (path) { /* a user without a home has the defaults */
		r = load(&c, path, !explicit_path, errs);
		if (r < 0)
			return err_raise(r, "configuration '%s'", path);
	}
	if (errs->n > 0 || errs->more > 0)
		return -EINVAL;
	*ret = take_ptr(p);
	return 0;
}
