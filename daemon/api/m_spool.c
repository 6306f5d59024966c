/* m_spool.c - the standard input of a job to come, sent in pieces. What a connection has spooled is
 * its own, and goes with it. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "api/conn.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/buf.h"
#include "base/jw.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/policy.h"

/* Id 0: a free place. */
static struct conn_spool *
place(struct conn *conn, int64_t id)
{
	for (size_t i = 0; i < ARRAY_SIZE(conn->spools); i++)
		if (conn->spools[i].id == id)
			return &conn->spools[i];
	return NULL;
}

struct spool *
m_spool_find(struct call *c, int64_t id)
{
	struct conn_spool *p = id > 0 ? place(c->conn, id) : NULL;

	return p ? p->spool : NULL;
}

void
m_spool_forget(struct conn *conn, int64_t id)
{
	struct conn_spool *p = place(conn, id);

	assert(p);
	*p = (struct conn_spool){.spool = spool_free(p->spool)};
}

void
m_spool_forget_all(struct conn *conn)
{
	for (size_t i = 0; i < ARRAY_SIZE(conn->spools); i++)
		conn->spools[i].spool = spool_free(conn->spools[i].spool);
}

static int
no_room(struct call *c, int r)
{
	if (r != -EDQUOT)
		return r;
	return refusal_set(&c->refusal, REFUSAL_NOT_READY, NULL,
			   "uid %u has too much spooled that no job has taken", c->who->uid);
}

/* The spool of this call, a new one if none is named. */
static int
spool_get(struct call *c, const struct args_spool *a, struct conn_spool **ret)
{
	struct conn_spool *p = place(c->conn, a->has_spool ? a->spool : 0);
	int r;

	if (a->has_spool && (!p || a->spool <= 0))
		return call_invalid(c, "spool", "this connection has no such spool");
	if (!p)
		return call_invalid(c, "spool", "this connection has %d spools already",
				    CONN_SPOOLS_MAX);
	if (!a->has_spool) {
		r = engine_spool_new(c->engine, c->who, &p->spool);
		if (r < 0)
			return no_room(c, r);
		p->id = ++c->conn->last_spool;
	}
	*ret = p;
	return 0;
}

static int
spool_put(struct call *c, struct conn_spool *p, const struct buf *data)
{
	int r;

	assert(p); /* spool_get gave one, or a refusal */
	r = engine_spool_add(c->engine, p->spool, buf_head(data), buf_len(data));

	if (r == -EFBIG)
		return call_invalid(c, "data",
				    "more than the %" PRIi64 " bytes of [limits] stdin_max",
				    engine_policy(c->engine)->stdin_max);
	return no_room(c, r);
}

int
m_spool_spool(struct call *c, void *args)
{
	const struct args_spool *a = args;
	_cleanup_(buf_done) struct buf data = {0};
	struct conn_spool *p = NULL;
	struct jw j;
	int r = text_base64_decode(a->data, strlen(a->data), &data);

	if (r == -EINVAL)
		return call_invalid(c, "data", "is not base64");
	if (r == 0)
		r = spool_get(c, a, &p);
	if (r != 0)
		return r;
	r = spool_put(c, p, &data);
	if (r != 0) {
		if (!a->has_spool) /* nobody learns of it */
			m_spool_forget(c->conn, p->id);
		return r;
	}
	varlink_reply_open(&j, &c->conn->out);
	jw_int(&j, "spool", p->id);
	jw_int(&j, "bytes", (int64_t)spool_bytes(p->spool));
	varlink_reply_close(&j, false);
	return 0;
}
