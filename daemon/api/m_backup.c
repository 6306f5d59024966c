/* m_backup.c - a copy of the database, made here and passed on in pieces: whoever asks may write
 * where the daemon may not.
 *
 * Copying takes a bounded part with each iteration of the loop; sending goes at the pace of the
 * peer, from a file without a name, and holds up nothing. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/conn.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/err.h"
#include "base/jw.h"
#include "base/mem.h"
#include "engine/backup.h"

struct backup_op {
	struct op op;
	struct store_backup *backup; /* owned */
	int fd;                      /* the backup's; -1: it is not complete */
	uint64_t offset, size;
};

static int
put_piece(struct backup_op *b)
{
	char *p = b->op.conn->api->scratch;
	ssize_t n = pread(b->fd, p, API_SCRATCH, (off_t)b->offset);
	bool over;
	struct jw j;

	if (n <= 0)
		return err_raise(n < 0 ? -errno : -EIO, "read a backup");
	b->offset += (uint64_t)n;
	over = b->offset >= b->size;
	varlink_reply_open(&j, &b->op.conn->out);
	jw_base64(&j, "data", p, (size_t)n);
	jw_int(&j, "offset", (int64_t)b->offset);
	jw_int(&j, "size", (int64_t)b->size);
	varlink_reply_close(&j, !over);
	return over ? OP_DONE : OP_AGAIN;
}

static int
backup_step(struct op *op, struct refusal *r)
{
	struct backup_op *b = container_of(op, struct backup_op, op);
	bool done = false;
	int e;

	(void)r;
	if (b->fd >= 0)
		return put_piece(b);
	e = store_backup_step(b->backup, &done);
	if (e < 0)
		return e;
	if (done)
		b->fd = store_backup_fd(b->backup, &b->size);
	return OP_AGAIN;
}

static void
backup_drop(struct op *op, bool gone)
{
	struct backup_op *b = container_of(op, struct backup_op, op);

	(void)gone;
	(void)store_backup_free(b->backup);
	free(b);
}

static const struct op_type backup_type = {"io.ctxd.Backup", backup_step, backup_drop};

int
m_backup_backup(struct call *c, void *args)
{
	_free_ struct backup_op *b = NULL;
	int r;

	(void)args;
	if (!c->more)
		return CALL_E_EXPECTED_MORE;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->op = (struct op){.type = &backup_type, .conn = c->conn};
	b->fd = -1;
	r = backup_new(c->engine, &b->backup, &c->refusal);
	if (r == 0)
		conn_op_start(c->conn, &take_ptr(b)->op, true);
	return r;
}
