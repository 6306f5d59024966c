/* cmd_backup.c - a copy of the database, written here: ctxd passes the bytes. It gets its name when
 * it is complete and on disk. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/cli.h"
#include "cli/conn.h"
#include "cli/exitcode.h"
#include "cli/options.h"
#include "cli/out.h"

struct options {
	bool force;
};
static const struct options_def defs[] = {
	{"force", 'f', NULL, "replace a file that is there", OPTIONS_FLAG,
	 offsetof(struct options, force)},
};
static const struct options_spec spec = {
	"[--force] FILE",
	"Write a copy of the database as it is now to FILE, while ctxd goes on working. It appears "
	"when it is\n"
	"complete and on disk. It holds the environments of jobs, which may be secrets: its mode "
	"is "
	"0600.\n"
	"For root, the owner of a private ctxd, and [access] admins.",
	"  ctxctl backup /backup/ctxd.db",
	defs,
	ARRAY_SIZE(defs),
	false,
};

static int
cannot(const char *what, const char *path)
{
	(void)fprintf(stderr, "ctxctl: cannot %s %s: %s\n", what, path, strerror(errno));
	return EXITCODE_FAILED;
}

static int
write_piece(const struct cli *cli, int fd, const char *path, const json_t *reply, uint64_t *offset)
{
	_cleanup_(buf_done) struct buf bytes = {0};
	const json_t *data = json_object_get(reply, "data");
	int r = -EINVAL;

	if (json_is_string(data))
		r = text_base64_decode(json_string_value(data), json_string_length(data), &bytes);
	if (r == -ENOMEM)
		return conn_no_memory(cli);
	*offset += buf_len(&bytes);
	if (r < 0 || json_integer_value(json_object_get(reply, "offset")) != (json_int_t)*offset)
		return conn_strange(cli, "data");
	r = file_write_full(fd, buf_head(&bytes), buf_len(&bytes));
	if (r == 0)
		return 0;
	errno = -r;
	return cannot("write", path);
}

static int
fetch(const struct cli *cli, int fd, const char *path, uint64_t *ret_size)
{
	_cleanup_(conn_closep) struct ctxd_client *c = NULL;
	bool more = true;
	uint64_t offset = 0, size = 0;
	int r = conn_open(cli, &c);

	if (r == 0)
		r = conn_send(cli, c, "Backup", json_object(), CTXD_CALL_MORE);
	if (r == 0)
		ctxd_set_timeout(c, -1); /* it is copied before the first piece comes */
	while (r == 0 && more) {
		_cleanup_(conn_jsonp) json_t *reply = NULL;

		r = conn_receive(cli, c, &reply, &more);
		if (r == 0)
			r = write_piece(cli, fd, path, reply, &offset);
		if (r == 0)
			size = (uint64_t)json_integer_value(json_object_get(reply, "size"));
	}
	if (r == 0 && offset != size)
		return conn_strange(cli, "size");
	*ret_size = size;
	return r;
}

/* The name itself is on disk, too, when this returns. */
static int
sync_dir_of(const char *path)
{
	_free_ char *dir = strdup(path);
	_close_ int fd = -1;
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -1;
	if (slash)
		slash[slash == dir ? 1 : 0] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -1 : fsync(fd);
}

static int
put_in_place(int fd, const char *tmp, const char *path, bool force)
{
	if (fsync(fd) < 0)
		return cannot("sync", tmp);
	if (renameat2(AT_FDCWD, tmp, AT_FDCWD, path, force ? 0 : RENAME_NOREPLACE) < 0)
		return cannot("make", path);
	return sync_dir_of(path) < 0 ? cannot("sync the directory of", path) : 0;
}

static int
refuse(const char *path, const char *why)
{
	(void)fprintf(stderr, "ctxctl: %s is not replaced: %s\n", path, why);
	return EXITCODE_FAILED;
}

/* Not a device, nor a database that somebody works on, whatever was asked for. */
static int
may_make(const struct cli *cli, const char *path, bool force)
{
	_free_ char *wal = text_format("%s-wal", path);
	struct stat st;

	if (!wal)
		return conn_no_memory(cli);
	if (lstat(path, &st) == 0 && !force) {
		errno = EEXIST;
		return cannot("make", path);
	}
	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
		return refuse(path, "it is not a regular file");
	if (lstat(wal, &st) == 0)
		return refuse(path, "it is in use, or was not closed: there is a -wal beside it");
	return 0;
}

static int
backup(const struct cli *cli, const char *path, bool force)
{
	_free_ char *tmp = text_format("%s.tmp", path);
	_close_ int fd = -1;
	uint64_t size = 0;
	int r;

	if (!tmp)
		return conn_no_memory(cli);
	r = may_make(cli, path, force);
	if (r)
		return r;
	if (unlink(tmp) < 0 && errno != ENOENT) /* of one that was ended */
		return cannot("remove", tmp);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return cannot("make", tmp);
	r = fetch(cli, fd, tmp, &size);
	if (r == 0)
		r = put_in_place(fd, tmp, path, force);
	if (r)
		(void)unlink(tmp);
	else if (cli->json)
		out_printf("{\"file_bytes\":%" PRIu64 "}\n", size);
	return r;
}

int
cmd_backup(struct cli *cli, int argc, char **argv)
{
	struct options o = {.force = false};
	int r = options_parse(cli, &spec, &o, &argc, &argv);

	if (r)
		return options_exit(cli, r);
	if (argc != 1)
		return options_wrong(cli, "one FILE is expected");
	return backup(cli, argv[0], o.force);
}
