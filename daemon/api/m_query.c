/* m_query.c - looking: one job, the daemon as a whole, the configuration. Lists are in m_list.c. */
#include <string.h>
#include <unistd.h>

#include "api/conn.h"
#include "api/jobjson.h"
#include "api/methods.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/jw.h"

int
m_query_get(struct call *c, void *args)
{
	const struct args_id *a = args;
	_cleanup_(job_freep) struct job *job = NULL;
	int r = call_id(c, a->id);

	if (r == 0)
		r = engine_get(c->engine, c->who, (uint64_t)a->id, &job, &c->refusal);
	if (r == 0)
		call_put_job(c, job);
	return r;
}

static void
put_counts(struct jw *j, const struct store_counts *n)
{
	jw_obj_open(j, "jobs");
	for (unsigned s = 1; s <= JOB_STATE_MAX; s++)
		jw_int(j, job_state_name((enum job_state)s), (int64_t)n->by_state[s]);
	jw_obj_close(j);
	jw_int(j, "half_processed", (int64_t)n->half_processed);
}

static void
put_space(struct jw *j, const char *key, const struct engine_space *s)
{
	if (s->free < 0) {
		jw_null(j, key);
		return;
	}
	jw_obj_open(j, key);
	jw_int(j, "free", s->free);
	jw_int(j, "size", s->size);
	jw_obj_close(j);
}

int
m_query_stats(struct call *c, void *args)
{
	struct engine_stats s = {0};
	char at[CLOCK_TEXT];
	struct jw j;
	int r = engine_stats(c->engine, &s);

	(void)args;
	if (r != 0)
		return r;
	varlink_reply_open(&j, &c->conn->out);
	jw_str(&j, "version", c->api->version);
	jw_str(&j, "mode", c->api->system_mode ? "system" : "user");
	jw_int(&j, "pid", getpid());
	jw_str(&j, "started_at", wall_format(wall_usec(s.started_us), at, sizeof(at)));
	jw_int(&j, "uptime_usec", wall_to_usec(wall_now()) - s.started_us);
	put_counts(&j, &s.counts);
	jw_int(&j, "database_bytes", s.db_bytes);
	jw_int(&j, "wal_bytes", s.wal_bytes);
	jw_obj_open(&j, "space");
	put_space(&j, "state", &s.state);
	put_space(&j, "output", &s.output);
	put_space(&j, "runtime", &s.run);
	jw_obj_close(&j);
	jw_int(&j, "clock_step_usec", s.clock_step_us);
	jw_int(&j, "connections", (int64_t)c->api->n_conns);
	jw_bool(&j, "spawner_up", s.spawner_up);
	jw_bool(&j, "spawner_old", s.spawner_old);
	jw_bool(&j, "spawner_missing", s.spawner_missing);
	jw_bool(&j, "cgroup", s.cgroup);
	jobjson_limits(&j, "limits_unenforced", s.unenforced);
	jw_bool(&j, "storage_ok", s.storage_ok);
	call_put_queue(&j, c->engine, s.draining);
	jw_int(&j, "broken_rows", (int64_t)s.broken_rows);
	jw_bool(&j, "journal_ok", s.journal_ok);
	jw_int(&j, "journal_waiting", (int64_t)s.journal_waiting);
	varlink_reply_close(&j, false);
	return 0;
}

static void
put_setting(void *arg, const char *section, const char *key, const char *value)
{
	struct jw *j = arg;

	jw_obj_open(j, NULL);
	jw_str(j, "section", section);
	jw_str(j, "key", key);
	jw_str(j, "value", value ? value : "");
	jw_obj_close(j);
}

int
m_query_config(struct call *c, void *args)
{
	struct jw j;

	(void)args;
	varlink_reply_open(&j, &c->conn->out);
	jw_arr_open(&j, "settings");
	c->api->config(c->api->arg, put_setting, &j);
	jw_arr_close(&j);
	varlink_reply_close(&j, false);
	return 0;
}
